/* mltrain version: this program's version, and the API server's where one is reached. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

struct options {
    struct cli_target target;
    bool client_only;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    struct options *options = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &options->target;
        return 0;
    case 'c':
        options->client_only = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "no arguments expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_version(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {.name = "client", .key = 'c', .doc = "only this program's version; asks no server"}, {0}};
    static const struct argp_child children[] = {{.argp = &cli_target_argp, .header = "Cluster:"},
                                                 {0}};
    static const struct argp argp = {.options = table,
                                     .parser = parse,
                                     .children = children,
                                     .doc =
                                         "Prints the versions of mltrain and of the API server."};
    struct options options = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &options))
        return CLI_USAGE;
    printf("mltrain %s\n", MLTRAIN_VERSION);
    struct cli c;
    struct mlt_error err = {0};
    if (options.client_only ||
        cli_connect_file(&c, options.target.kubeconfig, options.target.context, NULL, &err) < 0)
        return CLI_OK;
    cJSON *version cleanup_json = NULL;
    int rc = cli_get(&c, "/version", &version, &err);
    if (rc == 0)
        printf("API server %s at %s\n", json_string(version, "gitVersion", "?"), c.config.server);
    else
        printf("API server at %s does not answer: %s\n", c.config.server, err.text);
    cli_disconnect(&c);
    return CLI_OK;
}
