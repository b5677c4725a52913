#!/usr/bin/env bash
# Completion in the shells themselves: commands, options, jobs, clusters. zsh and fish only where they are installed.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "cluster up"
plain_job spare-time 1 1 'exit 0' >job.yaml
mltrain submit job.yaml >/dev/null || fail "submit"

# Each shell gets a function file that prints the candidates of a line whose last word is being completed, on one line, sorted.
cat >bash.sh <<'SCRIPT'
source <(mltrain completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_mltrain mltrain "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
SCRIPT
cat >zsh.sh <<'SCRIPT'
source <(mltrain completion zsh)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_mltrain mltrain "${@[-1]}" "${@[-2]}"
print -l -- "${(M)COMPREPLY[@]:#${@[-1]}*}"
SCRIPT
cat >fish.sh <<'SCRIPT'
mltrain completion fish | source
complete -C "$argv" | string replace -r '\t.*' ''
SCRIPT
candidates() { # SHELL WORD...
  case $1 in
    bash) bash bash.sh "${@:2}" ;;
    zsh) zsh -f zsh.sh "${@:2}" ;;
    fish) fish -N fish.sh "${@:2}" ;;
  esac 2>>err.txt | sort -u | tr '\n' ' '
}
expect() { # SHELL "candidates" WORD...
  local seen
  seen=$(candidates "$1" "${@:3}")
  [ "$seen" = "$2 " ] || { cat err.txt; fail "$1 completes \`${*:3}\` to \`$seen\`, not to \`$2\`"; }
}

for shell in bash zsh fish; do
  if ! command -v "$shell" >/dev/null; then
    echo "$shell is not installed: not tried"
    continue
  fi
  expect "$shell" "cancel" mltrain ca
  expect "$shell" "cancel cluster completion" mltrain help c
  expect "$shell" "--framework" mltrain run --fr
  expect "$shell" "--nproc --nproc-per-node" mltrain run --np
  expect "$shell" "plain" mltrain run --framework pl
  expect "$shell" "spare-time" mltrain logs -f sp
  expect "$shell" "spare-time" mltrain describe --cluster default sp
  expect "$shell" "default" mltrain describe --cluster d
  expect "$shell" "default" mltrain cluster down --name d
  expect "$shell" "down" mltrain cluster do
  expect "$shell" "job.yaml" mltrain submit job
  expect "$shell" "job.yaml" mltrain simulate --trace job
  expect "$shell" "fifo" mltrain simulate --policy fi
  expect "$shell" "fish" mltrain completion f
  # No option of any command is missing.
  for command in run submit get describe events explain queue logs wait cancel suspend resume cluster simulate version; do
    wanted=$(mltrain "$command" --help | grep '^  *-' | grep -oE -- '--[a-z][a-z-]*' | sort -u | tr '\n' ' ')
    [ "$(candidates "$shell" mltrain "$command" --)" = "$wanted" ] || fail "$shell: options of $command"
  done
done

mltrain completion tcsh >out.txt 2>err.txt && fail "a shell that is not known"
grep -q 'expected one of bash, zsh and fish' err.txt || fail "no words about tcsh"
