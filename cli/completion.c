/* mltrain completion: prints the script that teaches a shell to complete mltrain's command line.
 *
 * The scripts hold no lists of commands and options: they ask `mltrain help` and `mltrain COMMAND
 * --help`, which argp makes from the tables that parse the line. Jobs come from `mltrain get -o
 * name`, clusters from their folder. tests/system/test_completion.sh runs them in their shells. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/base/cleanup.h"

/* Without indexes of arrays, which begin at 0 in bash and at 1 in zsh. */
static const char *const bash_script[] = {
    "# Completion of mltrain for bash, and for zsh through bashcompinit.",
    "",
    "_mltrain_words() { # SUBJECT: its candidates, one a line",
    "  case $1 in",
    "    commands)",
    "      mltrain help 2>/dev/null |",
    "        sed -n '/^Commands:/,/^$/s/^  \\([a-z]*\\) .*/\\1/p' ;;",
    "    jobs)",
    "      mltrain get -o name \"${target[@]}\" 2>/dev/null | sed 's|.*/||' ;;",
    "    queues)",
    "      mltrain queue -o name \"${target[@]}\" 2>/dev/null | sed 's|.*/||' ;;",
    "    clusters)",
    "      words=${XDG_STATE_HOME:-$HOME/.local/state}/mltrain",
    "      ls \"${MLTRAIN_HOME:-$words}/clusters\" 2>/dev/null ;;",
    "    states)",
    "      printf '%s\\n' Queued Admitted Starting Running Restarting \\",
    "        Suspended Succeeded Failed Complete ;;",
    "    options)",
    "      mltrain \"$command\" --help 2>/dev/null |",
    "      grep '^  *-' | grep -oE -- '--[a-z][a-z-]*' ;;",
    "  esac",
    "}",
    "",
    "_mltrain_takes_value() { # OPTION of $command",
    "  mltrain \"$command\" --help 2>/dev/null |",
    "    grep -qE -- \"^ *(-.*, )?$1(=|, --[a-z-]*=)\"",
    "}",
    "",
    "_mltrain_subject_of_value() {",
    "  case $command:$option in",
    "    *:--cluster | cluster:-N | cluster:--name) subject=clusters ;;",
    "    wait:--for) subject=states ;;",
    "    get:-o | get:--output) words='wide json yaml name' ;;",
    "    queue:-o | queue:--output) words='wide json yaml name' ;;",
    "    events:-o | events:--output) words='wide json yaml name' ;;",
    "    submit:-o | submit:--output) words=name ;;",
    "    run:--framework) words='pytorch mpi plain' ;;",
    "    *:--kubeconfig | run:--checkpoint-path) subject=files ;;",
    "    submit:-f | submit:--filename) subject=files ;;",
    "    simulate:--trace | simulate:--nodes) subject=files ;;",
    "    simulate:--report | simulate:--placements) subject=files ;;",
    "    simulate:--policy) words='gang fifo easy sjf ledger all' ;;",
    "    simulate:--queue-by) words='user group queue partition none' ;;",
    "    simulate:--estimates) words='user perfect' ;;",
    "    simulate:--order) words='fair fifo' ;;",
    "    simulate:--rack) words='prefer require none' ;;",
    "  esac",
    "}",
    "",
    "_mltrain_subject_of_argument() {",
    "  case $command in",
    "    '') subject=commands ;;",
    "    help) subject=commands ;;",
    "    get | describe | events | explain | logs | wait | cancel | suspend | resume) subject=jobs ;;",
    "    queue) subject=queues ;;",
    "    run | submit) subject=files ;;",
    "    cluster) words='up down status kubeconfig' ;;",
    "    completion) words='bash zsh fish' ;;",
    "  esac",
    "}",
    "",
    "_mltrain() {",
    "  local current=$2 word command='' option='' rest='' subject='' words=''",
    "  local number=0",
    "  local -a target",
    "  target=()",
    "  [ \"$current\" = = ] && current=''",
    "  for word in \"${COMP_WORDS[@]}\"; do",
    "    number=$((number + 1))",
    "    [ \"$number\" -gt \"$COMP_CWORD\" ] && break",
    "    [ \"$number\" = 1 ] && continue",
    "    if [ -n \"$rest\" ] || [ \"$word\" = = ]; then",
    "      continue",
    "    elif [ \"$word\" = -- ]; then",
    "      rest=1",
    "    elif [ -n \"$option\" ]; then",
    "      case $option in",
    "        -n | --namespace | --kubeconfig | --context | --cluster)",
    "          target=(\"${target[@]}\" \"$option\" \"$word\") ;;",
    "      esac",
    "      option=''",
    "    elif [ \"${word#-}\" != \"$word\" ]; then",
    "      if [ -n \"$command\" ] && [ \"${word#*=}\" = \"$word\" ]; then",
    "        _mltrain_takes_value \"$word\" && option=$word",
    "      fi",
    "    elif [ -z \"$command\" ]; then",
    "      command=$word",
    "    fi",
    "  done",
    "  if [ -n \"$rest\" ]; then",
    "    subject=files",
    "  elif [ -n \"$option\" ]; then",
    "    _mltrain_subject_of_value",
    "  elif [ -n \"$command\" ] && [ \"${current#-}\" != \"$current\" ]; then",
    "    subject=options",
    "  else",
    "    _mltrain_subject_of_argument",
    "  fi",
    "  if [ \"$subject\" = files ]; then",
    "    compopt -o filenames 2>/dev/null",
    "    local IFS=$'\\n' # names with spaces stay whole",
    "    COMPREPLY=($(compgen -f -- \"$current\"))",
    "  else",
    "    [ -n \"$subject\" ] && words=$(_mltrain_words \"$subject\")",
    "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))",
    "  fi",
    "}",
    "",
    "complete -F _mltrain mltrain",
    NULL,
};

static const char *const zsh_before[] = {
    "autoload -U +X compinit && compinit",
    "autoload -U +X bashcompinit && bashcompinit",
    NULL,
};

static const char *const fish_script[] = {
    "# Completion of mltrain for fish.",
    "",
    "function __mltrain_command # the subcommand on the line, if it is complete",
    "    set -l words (commandline -opc)",
    "    for word in $words[2..]",
    "        string match -q -- '-*' $word; or begin",
    "            echo $word",
    "            return 0",
    "        end",
    "    end",
    "    return 1",
    "end",
    "",
    "function __mltrain_is",
    "    contains -- (__mltrain_command; or echo -) $argv",
    "end",
    "",
    "function __mltrain_commands",
    "    mltrain help 2>/dev/null |",
    "        sed -n '/^Commands:/,/^$/s/^  \\([a-z]*\\)  *\\(.*\\)/\\1\\t\\2/p'",
    "end",
    "",
    "function __mltrain_options",
    "    mltrain (__mltrain_command) --help 2>/dev/null |",
    "        grep '^  *-' | grep -oE -- '--[a-z][a-z-]*'",
    "end",
    "",
    "function __mltrain_names # COMMAND that lists them",
    "    set -l target",
    "    set -l words (commandline -opc)",
    "    for number in (seq 2 (count $words))",
    "        if contains -- $words[$number] -n --namespace --kubeconfig --context --cluster",
    "            set target $target $words[$number] $words[(math $number + 1)]",
    "        end",
    "    end",
    "    mltrain $argv -o name $target 2>/dev/null | string replace -r '.*/' ''",
    "end",
    "",
    "function __mltrain_clusters",
    "    set -l home $MLTRAIN_HOME",
    "    set -l state $XDG_STATE_HOME",
    "    test -n \"$state\"; or set state $HOME/.local/state",
    "    test -n \"$home\"; or set home $state/mltrain",
    "    ls $home/clusters 2>/dev/null",
    "end",
    "",
    "set -l with_job get describe events explain logs wait cancel suspend resume",
    "complete -c mltrain -f",
    "complete -c mltrain -n 'not __mltrain_command' -a '(__mltrain_commands)'",
    "complete -c mltrain -n '__mltrain_command' -a '(__mltrain_options)'",
    "complete -c mltrain -n \"__mltrain_is $with_job\" -a '(__mltrain_names get)'",
    "complete -c mltrain -n '__mltrain_is queue' -a '(__mltrain_names queue)'",
    "complete -c mltrain -n '__mltrain_is help' -a '(__mltrain_commands)'",
    "complete -c mltrain -n '__mltrain_is cluster' -a 'up down status kubeconfig'",
    "complete -c mltrain -n '__mltrain_is completion' -a 'bash zsh fish'",
    "complete -c mltrain -n '__mltrain_is run submit' -F",
    "complete -c mltrain -n \"__mltrain_is run submit queue version $with_job\" \\",
    "    -l cluster -xa '(__mltrain_clusters)'",
    "complete -c mltrain -n '__mltrain_is cluster' \\",
    "    -s N -l name -xa '(__mltrain_clusters)'",
    "set -l states Queued Admitted Starting Running Restarting Suspended \\",
    "    Succeeded Failed Complete",
    "complete -c mltrain -n '__mltrain_is wait' -l for -xa \"$states\"",
    "complete -c mltrain -n '__mltrain_is get queue events' \\",
    "    -s o -l output -xa 'wide json yaml name'",
    "complete -c mltrain -n '__mltrain_is run' \\",
    "    -l framework -xa 'pytorch mpi plain'",
    "set -l simulate complete -c mltrain -n '__mltrain_is simulate'",
    "for option in trace nodes report placements",
    "    $simulate -l $option -rF",
    "end",
    "$simulate -l policy -xa 'gang fifo easy sjf ledger all'",
    "$simulate -l queue-by -xa 'user group queue partition none'",
    "$simulate -l estimates -xa 'user perfect'",
    "$simulate -l order -xa 'fair fifo'",
    "$simulate -l rack -xa 'prefer require none'",
    NULL,
};

static const struct shell {
    const char *name;
    const char *const *before, *const *script;
} shells[] = {
    {"bash", NULL, bash_script},
    {"zsh", zsh_before, bash_script},
    {"fish", NULL, fish_script},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    const struct shell **shell = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        for (size_t i = 0; i < MLT_ARRAY_LENGTH(shells); i++)
            if (!*shell && strcmp(arg, shells[i].name) == 0) {
                *shell = &shells[i];
                return 0;
            }
        argp_error(state, "`%s`: expected one of bash, zsh and fish", arg);
        return 0;
    case ARGP_KEY_END:
        if (!*shell)
            argp_error(state, "expected one of bash, zsh and fish");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void print_lines(const char *const *lines)
{
    for (; lines && *lines; lines++)
        (void)puts(*lines);
}

int cli_completion(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "bash | zsh | fish",
        .doc = "Prints a script that completes commands, options, jobs and clusters in a shell."
               "\vbash: source <(mltrain completion bash)   in ~/.bashrc\n"
               "zsh:  source <(mltrain completion zsh)    in ~/.zshrc\n"
               "fish: mltrain completion fish | source    in ~/.config/fish/config.fish"};
    const struct shell *shell = NULL;
    if (argp_parse(&argp, argc, argv, 0, NULL, &shell))
        return CLI_USAGE;
    print_lines(shell->before);
    print_lines(shell->script);
    return CLI_OK;
}
