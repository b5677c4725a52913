/* mltrain: the researcher's shell. A table of subcommands, each in a file of its own. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static int help(int argc, char **argv);

static const struct cli_command commands[] = {
    {"run", cli_run, "run a job to its end: a manifest, or a command in place of torchrun"},
    {"submit", cli_submit, "create the job of a manifest and return"},
    {"get", cli_get_command, "list jobs"},
    {"describe", cli_describe,
     "show all about one job: why it waits, what failed, what it resumed from"},
    {"events", cli_events, "list what happened to a job and its pods, in order"},
    {"queue", cli_queue, "list queues: quotas, what is used, borrowed and lent, who waits"},
    {"explain", cli_explain, "show why a job waits: what it asks, what is free, who holds it"},
    {"logs", cli_logs, "print the ranks' output, of any attempt"},
    {"wait", cli_wait, "wait until a job is in a phase or has a condition"},
    {"cancel", cli_cancel, "stop a job for good; its logs stay"},
    {"suspend", cli_suspend, "stop a job and free its place; it can be resumed"},
    {"resume", cli_resume, "queue a suspended job again"},
    {"cluster", cli_cluster, "the one-machine cluster: up, down, status, kubeconfig"},
    {"simulate", cli_simulate, "play a trace of jobs on a cluster that is only simulated"},
    {"completion", cli_completion, "print the script that completes command lines in a shell"},
    {"version", cli_version, "print versions"},
    {"help", help, "help for a command"},
};

static void usage(FILE *out)
{
    (void)fputs("Usage: mltrain COMMAND [ARGUMENTS]\n\n"
                "Runs distributed training jobs in gangs of pods, on Kubernetes or on this "
                "machine.\n\nCommands:\n",
                out);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(commands); i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\n`mltrain COMMAND --help` tells a command's options. To begin:\n"
                "  mltrain run --nproc 2 -- python3 train.py\n"
                "  mltrain run examples/hello/job.yaml\n",
                out);
}

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    cleanup_free char *name = mlt_asprintf("mltrain %s", command->name);
    argv[0] = name;
    program_invocation_name = name;
    return command->run(argc, argv);
}

static int help(int argc, char **argv)
{
    if (argc < 2) {
        usage(stdout);
        return CLI_OK;
    }
    const struct cli_command *command = find(argv[1]);
    if (!command || command->run == help)
        return cli_fail(CLI_USAGE, "no command `%s`; `mltrain help` lists them", argv[1]);
    char option[] = "--help";
    char *arguments[] = {argv[0], option, NULL};
    return run_command(command, 2, arguments);
}

/* Output that could not be written is a failure, and said, unless its reader chose to leave. */
static int check_output(int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    struct pollfd reader = {.fd = STDOUT_FILENO, .events = POLLOUT};
    if (!failed || errno == EPIPE || (poll(&reader, 1, 0) == 1 && reader.revents & POLLERR))
        return code;
    int said = cli_fail(CLI_FAILED, "standard output: %s",
                        errno ? strerror(errno) : "not everything could be written");
    return code ? code : said;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    argp_err_exit_status = CLI_USAGE;
    if (argc < 2) {
        usage(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        usage(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] += 2;
    const struct cli_command *command = find(argv[1]);
    if (!command)
        return cli_fail(CLI_USAGE, "no command `%s`; `mltrain help` lists them", argv[1]);
    return check_output(run_command(command, argc - 1, argv + 1));
}
