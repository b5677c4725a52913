/* mltrain submit: creates what a manifest holds and returns. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/manifest.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

struct options {
    struct cli_target target;
    const char *file;
    bool name_only;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->target;
        return 0;
    case 'o':
        if (strcmp(arg, "name") != 0)
            argp_error(state, "-o `%s`: expected name", arg);
        o->name_only = true;
        return 0;
    case 'f':
    case ARGP_KEY_ARG:
        if (o->file)
            argp_error(state, "one manifest expected");
        o->file = arg;
        return 0;
    case ARGP_KEY_END:
        if (!o->file)
            argp_error(state, "a manifest expected");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int cli_submit(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {.name = "filename",
         .key = 'f',
         .arg = "FILE",
         .doc = "the manifest, as an option (kubectl's way)"},
        {.name = "output",
         .key = 'o',
         .arg = "name",
         .doc = "print only trainingjob.mltrain.io/NAME"},
        {0}};
    static const struct argp_child children[] = {{.argp = &cli_target_argp, .header = "Cluster:"},
                                                 {0}};
    static const struct argp argp = {
        .options = table,
        .parser = parse,
        .children = children,
        .args_doc = "FILE",
        .doc = "Creates the TrainingJob of a manifest, and what stands beside it, and returns."
               "\vFILE may be - for standard input. `mltrain run` follows a job to its end."};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    struct mlt_error err = {0};
    cJSON *documents cleanup_json = NULL, *job = NULL, *created cleanup_json = NULL;
    if (manifest_read(o.file, &documents, &err) < 0)
        return cli_fail(CLI_USAGE, "%s", err.text);
    if (manifest_job(documents, &job, &err) < 0)
        return cli_fail(CLI_USAGE, "%s: %s", o.file, err.text);
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int rc = manifest_apply(&c, documents, &created, &err);
    cli_disconnect(&c);
    if (rc < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    printf("trainingjob.mltrain.io/%s%s\n", json_string(created, "metadata.name", "?"),
           o.name_only ? "" : " created");
    return CLI_OK;
}
