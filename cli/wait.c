/* mltrain wait: until a job is in a phase or has a condition; exits with the job's code when it is
 * finished. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/job_text.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "trainingjob/status.h"

struct options {
    struct cli_target target;
    const char *name, *what; /* what: a phase or a condition; NULL: the end */
    int64_t timeout_seconds; /* 0: none */
};

static const char *what_of(struct argp_state *state, const char *text)
{
    static const char *const words[] = {
#define XX(name, text) text,
        TRAININGJOB_PHASE_MAP(XX) TRAININGJOB_CONDITION_MAP(XX)
#undef XX
    };
    const char *word = strncmp(text, "condition=", 10) == 0 ? text + 10
                       : strncmp(text, "phase=", 6) == 0    ? text + 6
                                                            : text;
    for (size_t i = 0; *word && i < MLT_ARRAY_LENGTH(words); i++)
        if (strcasecmp(word, words[i]) == 0)
            return words[i];
    argp_error(state,
               "--for `%s`: expected a phase or a condition: Queued, Admitted, Starting, Running, "
               "Restarting, Preempting, Suspended, Succeeded, Failed, Complete, PodsReady or "
               "CheckpointNotDurable",
               text);
    return text;
}

/* "90", "90s", "5m" or "2h". */
static int64_t duration_of(struct argp_state *state, const char *text)
{
    static const struct {
        char suffix;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}};
    struct mlt_error err = {0};
    char digits[24];
    int64_t value = 0, factor = 1;
    size_t length = strlen(text);
    (void)snprintf(digits, sizeof digits, "%s", text);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(units) && length > 0 && length < sizeof digits; i++)
        if (digits[length - 1] == units[i].suffix) {
            digits[length - 1] = '\0';
            factor = units[i].seconds;
            break;
        }
    if (mlt_parse_integer(digits, 1, 365 * 86400, &value, &err) < 0)
        argp_error(state, "--timeout `%s`: expected a duration such as 90s or 5m", text);
    return value * factor;
}

enum { OPTION_FOR = 0x5001, OPTION_TIMEOUT };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->target;
        return 0;
    case OPTION_FOR:
        o->what = what_of(state, arg);
        return 0;
    case OPTION_TIMEOUT:
        o->timeout_seconds = duration_of(state, arg);
        return 0;
    default:
        return cli_take_job_name(key, arg, state, &o->name);
    }
}

struct wait {
    const struct options *options;
    struct cli cli;
    int code;
};

static void stop(struct wait *w, int code)
{
    w->code = code;
    uv_stop(&w->cli.loop);
}

static void on_job(void *arg, const cJSON *job)
{
    struct wait *w = arg;
    const char *name = w->options->name, *what = w->options->what;
    if (!job) {
        stop(w, cli_fail(CLI_FAILED, "%s was deleted", name));
        return;
    }
    const char *phase = json_string(job, "status.phase", "Pending"), *message = "";
    if (what && (strcasecmp(phase, what) == 0 || job_condition(job, what, NULL) == 1)) {
        printf("trainingjob.mltrain.io/%s is %s\n", name, phase);
        stop(w, CLI_OK);
    } else if (job_is_finished(job)) {
        (void)job_condition(job, "Failed", &message);
        printf("trainingjob.mltrain.io/%s is %s%s%s\n", name, phase, *message ? ": " : "", message);
        int code = job_exit_code(job);
        stop(w, what && code == 0 ? CLI_FAILED : code); /* it will never be what was waited for */
    }
}

static void on_line(void *arg, const char *pod, const struct log_line *line)
{
    (void)arg;
    (void)pod;
    (void)line;
}

static void on_done(void *arg)
{
    (void)arg;
}

static void on_trouble(void *arg, const char *words, bool is_over)
{
    struct wait *w = arg;
    int code =
        cli_fail(CLI_FAILED, "%s; %s", words, is_over ? "the cluster is down" : "trying again");
    if (is_over)
        stop(w, code);
}

static void timed_out(uv_timer_t *timer)
{
    struct wait *w = timer->data;
    stop(w, cli_fail(CLI_TIMEOUT, "timed out after %lld s waiting for %s",
                     (long long)w->options->timeout_seconds, w->options->name));
}

static int wait_for(struct wait *w)
{
    static const struct follow_ops ops = {
        .line = on_line, .job = on_job, .done = on_done, .trouble = on_trouble};
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(w->cli.namespace_, w->options->name, NULL, NULL);
    cJSON *job cleanup_json = NULL;
    if (cli_get(&w->cli, path, &job, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    uv_timer_t timer;
    (void)uv_timer_init(&w->cli.loop, &timer);
    timer.data = w;
    if (w->options->timeout_seconds)
        (void)uv_timer_start(&timer, timed_out, (uint64_t)w->options->timeout_seconds * 1000, 0);
    struct follow *f = follow_new(&w->cli, w->cli.namespace_, w->options->name,
                                  json_string(job, "metadata.uid", ""), false, &ops, w);
    (void)uv_run(&w->cli.loop, UV_RUN_DEFAULT);
    follow_free(f);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&w->cli.loop, UV_RUN_NOWAIT); /* the timer lives on this stack */
    return w->code;
}

int cli_wait(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {.name = "for",
         .key = OPTION_FOR,
         .arg = "WHAT",
         .doc = "a phase or condition (default: the job's end)"},
        {.name = "timeout",
         .key = OPTION_TIMEOUT,
         .arg = "TIME",
         .doc = "give up after 90s, 5m, 2h (exit code 3)"},
        {0}};
    static const struct argp_child children[] = {{.argp = &cli_target_argp, .header = "Cluster:"},
                                                 {0}};
    static const struct argp argp = {.options = table,
                                     .parser = parse,
                                     .children = children,
                                     .args_doc = "JOB",
                                     .doc = "Waits until a job has finished and exits with its "
                                            "code, or until it is what --for says."};
    struct options o = {0};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    struct wait w = {.options = &o};
    if (cli_connect(&w.cli, &o.target) < 0)
        return CLI_FAILED;
    int code = wait_for(&w);
    cli_disconnect(&w.cli);
    return code;
}
