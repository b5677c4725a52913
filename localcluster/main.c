/* mltrain-localcluster: the parts of the one-machine cluster. `mltrain cluster up` starts them; by
 * hand they are for those who look inside. */
#include <stdio.h>
#include <string.h>
#include "localcluster/agent/agent.h"
#include "localcluster/api/api.h"
#include "localcluster/shim/shim.h"

static const struct part {
    const char *name, *does;
    int (*main)(int argc, char **argv);
} parts[] = {
    {"api", "the API server and its store", api_main},
    {"agent", "the node agent: runs the pods of one node", agent_main},
    {"shim", "keeps one pod's processes and log; started by the agent", shim_main},
};

static void print_help(FILE *out)
{
    (void)fputs(
        "Usage: mltrain-localcluster PART [OPTION...]\n\nParts of the one-machine cluster:\n", out);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        (void)fprintf(out, "  %-8s%s\n", parts[i].name, parts[i].does);
    (void)fputs(
        "\n`mltrain-localcluster PART --help` tells more. To start a cluster: mltrain cluster up\n",
        out);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strcmp(wanted, parts[i].name) == 0)
            return parts[i].main(argc - 1, argv + 1);
    if (strcmp(wanted, "--help") == 0 || strcmp(wanted, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(wanted, "--version") == 0) {
        (void)printf("mltrain-localcluster %s\n", MLTRAIN_VERSION);
        return 0;
    }
    (void)fprintf(stderr, "mltrain-localcluster: `%.64s` is not one of its parts\n", wanted);
    print_help(stderr);
    return 64;
}
