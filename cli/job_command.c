/* The frame of one-job commands, and the shortest of them: cancel, suspend, resume. See
 * job_command.h. */
#include "cli/job_command.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "trainingjob/trainingjob.h"

struct options {
    struct cli_target target;
    const char *name;
    bool flag;
};

#define KEY_FLAG 256

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->target;
        return 0;
    case KEY_FLAG:
        o->flag = true;
        return 0;
    default:
        return cli_take_job_name(key, arg, state, &o->name);
    }
}

int job_command_or(int argc, char **argv, const char *about, const char *after,
                   int (*act)(struct cli *c, const char *name), const char *flag,
                   const char *flag_help, int (*flagged)(struct cli *c, const char *name))
{
    const struct argp_option options[] = {
        {.name = flag, .key = flag ? KEY_FLAG : 0, .doc = flag_help}, {0}};
    static const struct argp_child children[] = {{.argp = &cli_target_argp, .header = "Cluster:"},
                                                 {0}};
    cleanup_free char *doc = after ? mlt_asprintf("%s\v%s", about, after) : mlt_strdup(about);
    struct argp argp = {
        .options = options, .parser = parse, .children = children, .args_doc = "JOB", .doc = doc};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    const char *name;
    if (cli_job_name(o.name, &name) < 0)
        return CLI_USAGE;
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int code = o.flag ? flagged(&c, name) : act(&c, name);
    cli_disconnect(&c);
    return code;
}

int job_command(int argc, char **argv, const char *about, const char *after,
                int (*act)(struct cli *c, const char *name))
{
    return job_command_or(argc, argv, about, after, act, NULL, NULL, NULL);
}

static int patch_job(struct cli *c, const char *name, const cJSON *patch, const char *done)
{
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, name, NULL, NULL);
    if (cli_send(c, "PATCH", path, "application/merge-patch+json", patch, NULL, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    printf("trainingjob.mltrain.io/%s %s\n", name, done);
    return CLI_OK;
}

static int annotate_cancel(struct cli *c, const char *name, const char *how)
{
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, name, NULL, NULL);
    struct trainingjob job cleanup_trainingjob = {0};
    cJSON *object cleanup_json = NULL, *patch cleanup_json = cJSON_CreateObject();
    if (cli_get(c, path, &object, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (trainingjob_read(object, &job, NULL) == 0 && trainingjob_finished(&job))
        return cli_fail(CLI_FAILED, "%s has finished already (%s)", name,
                        json_string(object, "status.phase", "?"));
    json_set_string(patch, "metadata.annotations[" TRAININGJOB_ANNOTATION_CANCEL "]", how);
    return patch_job(c, name, patch, "cancelled");
}

static int cancel(struct cli *c, const char *name)
{
    return annotate_cancel(c, name, TRAININGJOB_CANCEL_GRACEFUL);
}

static int cancel_now(struct cli *c, const char *name)
{
    return annotate_cancel(c, name, TRAININGJOB_CANCEL_NOW);
}

static int set_suspend(struct cli *c, const char *name, bool suspend)
{
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, name, NULL, NULL);
    struct trainingjob job cleanup_trainingjob = {0};
    cJSON *object cleanup_json = NULL, *patch cleanup_json = cJSON_CreateObject();
    if (cli_get(c, path, &object, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    if (trainingjob_read(object, &job, NULL) == 0 && trainingjob_finished(&job))
        return cli_fail(CLI_FAILED, "%s has finished already (%s)", name,
                        json_string(object, "status.phase", "?"));
    if (json_bool(object, "spec.suspend", false) == suspend) {
        printf("trainingjob.mltrain.io/%s is %s\n", name,
               suspend ? "suspended already" : "not suspended");
        return CLI_OK;
    }
    json_set_bool(patch, "spec.suspend", suspend);
    return patch_job(c, name, patch, suspend ? "suspended" : "resumed");
}

static int suspend(struct cli *c, const char *name)
{
    return set_suspend(c, name, true);
}

static int resume(struct cli *c, const char *name)
{
    return set_suspend(c, name, false);
}

int cli_cancel(int argc, char **argv)
{
    return job_command_or(argc, argv, "Stops a job for good, with its grace to save.",
                          "The job becomes Failed with reason Cancelled and stays, with its logs, "
                          "until it is deleted or its TTL ends.",
                          cancel, "now", "kill the ranks at once, nothing is saved", cancel_now);
}

int cli_suspend(int argc, char **argv)
{
    return job_command(
        argc, argv, "Stops a job, with its grace to save, and frees its place.",
        "`mltrain resume JOB` queues it again; it goes on from its last complete checkpoint.",
        suspend);
}

int cli_resume(int argc, char **argv)
{
    return job_command(argc, argv, "Queues a suspended job again.", NULL, resume);
}
