/* mltrain logs: the ranks' output of all pods of a job, of any attempt, in the order of time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/job_text.h"
#include "cli/log_line.h"
#include "cli/log_stream.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "trainingjob/trainingjob.h"

#define LOG_BYTES_MAX                                                           \
    ((size_t)1024 * 1024 * 1024) /* held to be sorted; more is cut, and said so \
                                  */

/* A container that has run and ended within a second or so: its kubelet has not said yet that it
 * was started, and so the API server refuses its log. 5 s in all. */
#define NOT_YET_ROUNDS 20
#define NOT_YET_MS 250
#define WORDS_MAX 255

struct options {
    struct cli_target target;
    const char *name;
    struct log_line_filter filter;
    int64_t tail;
    bool follow, previous, timestamps;
};

enum {
    OPTION_RANK = 0x6001,
    OPTION_ATTEMPT,
    OPTION_PREVIOUS,
    OPTION_TAIL,
    OPTION_LAUNCHER,
    OPTION_TIMESTAMPS
};

static const struct argp_option table[] = {
    {.name = "rank",
     .key = OPTION_RANK,
     .arg = "N",
     .doc = "only this rank's lines, without prefix"},
    {.name = "attempt", .key = OPTION_ATTEMPT, .arg = "N", .doc = "only this attempt's lines"},
    {.name = "previous",
     .key = OPTION_PREVIOUS,
     .doc = "only the lines of the attempt before the newest"},
    {.name = "follow", .key = 'f', .doc = "go on until the job ends"},
    {.name = "tail", .key = OPTION_TAIL, .arg = "N", .doc = "only the last N lines"},
    {.name = "launcher", .key = OPTION_LAUNCHER, .doc = "the launchers' own lines too"},
    {.name = "timestamps", .key = OPTION_TIMESTAMPS, .doc = "each line's time before it"},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->target;
        return 0;
    case OPTION_RANK:
        o->filter.rank = cli_number(state, arg, 0, 100000000);
        return 0;
    case OPTION_ATTEMPT:
        o->filter.attempt = cli_number(state, arg, 1, INT64_MAX);
        return 0;
    case OPTION_PREVIOUS:
    case 'p':
        o->previous = true;
        return 0;
    case 'f':
        o->follow = true;
        return 0;
    case OPTION_TAIL:
        o->tail = cli_number(state, arg, 0, INT64_MAX);
        return 0;
    case OPTION_LAUNCHER:
        o->filter.with_launcher = true;
        return 0;
    case OPTION_TIMESTAMPS:
        o->timestamps = true;
        return 0;
    case ARGP_KEY_END:
        if (o->previous && o->filter.attempt)
            argp_error(state, "either --previous or --attempt");
        return cli_take_job_name(key, arg, state, &o->name);
    default:
        return cli_take_job_name(key, arg, state, &o->name);
    }
}

static void print_line(const struct options *o, const char *pod, const struct log_line *line,
                       const char *time, size_t time_length)
{
    FILE *out = line->is_error && line->rank != LOG_LINE_LAUNCHER ? stderr : stdout;
    if (out == stderr)
        (void)fflush(stdout); /* `2>&1 | less` shows a stack where it was printed */
    if (time_length)
        (void)fprintf(out, "%.*s ", (int)time_length, time);
    if (line->rank == LOG_LINE_LAUNCHER)
        (void)fprintf(out, "[%s launcher] ", pod);
    else if (o->filter.rank == LOG_LINE_LAUNCHER)
        (void)fprintf(out, "[rank %" PRId64 ", attempt %" PRId64 "] ", line->rank, line->attempt);
    (void)fwrite(line->text, 1, line->length, out);
    (void)fputc('\n', out);
}

/* ---- all at once, sorted by time over the pods ---- */

struct entry {
    size_t at, length; /* of the whole line, timestamp first, in the text of its pod */
    struct pod_text *pod;
    size_t sequence;
};

struct pod_text {
    char *name;
    struct mlt_text text;
    struct collection *all;
    const char *container;     /* of the pod */
    struct log_stream *stream; /* NULL: none was begun, or it is to be begun again */
    bool ended;                /* a log that is not there now will not come */
    bool not_yet;
    char why_not_yet[WORDS_MAX + 1]; /* in the API server's words */
};

struct collection {
    struct cli *cli;
    struct entry *entries;
    size_t count, capacity, bytes;
    struct pod_text *pods;
    int pods_count, waiting;
    bool cut;
};

static void collect_line(void *arg, const char *line, size_t length)
{
    struct pod_text *pod = arg;
    struct collection *all = pod->all;
    if (all->bytes + length > LOG_BYTES_MAX) {
        all->cut = true;
        return;
    }
    all->bytes += length;
    MLT_GROW(all->entries, all->count, all->capacity);
    all->entries[all->count] = (struct entry){
        .at = pod->text.length, .length = length, .pod = pod, .sequence = all->count};
    all->count++;
    mlt_text_add(&pod->text, line, length);
}

static void collect_end(void *arg, bool not_yet, const char *error)
{
    struct pod_text *pod = arg;
    if (error && !not_yet)
        (void)cli_fail(0, "%s: %s", pod->name, error);
    pod->not_yet = not_yet;
    (void)snprintf(pod->why_not_yet, sizeof pod->why_not_yet, "%.*s", WORDS_MAX,
                   not_yet && error ? error : "");
    pod->all->waiting--;
    if (pod->all->waiting == 0)
        uv_stop(&pod->all->cli->loop);
}

/* RFC 3339 times of one zone sort as text up to their fraction's digits, which the API server
 * writes in full. */
static int by_time(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const char *tx = x->pod->text.data + x->at, *ty = y->pod->text.data + y->at;
    size_t nx = strcspn(tx, " "), ny = strcspn(ty, " ");
    nx = nx < x->length ? nx : x->length;
    ny = ny < y->length ? ny : y->length;
    int order = memcmp(tx, ty, nx < ny ? nx : ny);
    return order ? order : x->sequence < y->sequence ? -1 : 1;
}

/* So that nobody takes a rank or an attempt that never was for a silent one. */
static void say_nothing_found(const struct options *o)
{
    char rank[32] = "any rank", attempt[48] = "";
    if (o->filter.rank != LOG_LINE_LAUNCHER)
        (void)snprintf(rank, sizeof rank, "rank %" PRId64, o->filter.rank);
    if (o->filter.attempt)
        (void)snprintf(attempt, sizeof attempt, " in attempt %" PRId64, o->filter.attempt);
    (void)cli_fail(0, "%s: no output of %s%s", o->name, rank, attempt);
}

static void print_collection(const struct options *o, struct collection *all)
{
    if (all->count)
        qsort(all->entries, all->count, sizeof *all->entries, by_time);
    size_t wanted = 0, skip = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < all->count && !ferror(stdout); i++) {
            struct entry *e = &all->entries[i];
            const char *line = e->pod->text.data + e->at, *space = memchr(line, ' ', e->length);
            size_t time_length = space ? (size_t)(space - line) : 0,
                   head = space ? time_length + 1 : 0;
            struct log_line parsed;
            log_line_parse(line + head, e->length - head, &parsed);
            if (!log_line_wanted(&parsed, &o->filter))
                continue;
            if (pass == 0)
                wanted++;
            else if (skip > 0)
                skip--;
            else
                print_line(o, e->pod->name, &parsed, line, o->timestamps ? time_length : 0);
        }
        skip = o->tail >= 0 && wanted > (size_t)o->tail ? wanted - (size_t)o->tail : 0;
    }
    if (wanted == 0 && all->waiting == 0)
        say_nothing_found(o);
}

/* So that nobody takes what was had for all: of a job that has run, a pod whose kubelet is late. */
static void say_what_is_missing(const struct collection *all)
{
    const struct pod_text *first = NULL;
    int count = 0;
    char others[48] = "";
    for (int i = 0; i < all->pods_count; i++) {
        const struct pod_text *pod = &all->pods[i];
        if (!pod->not_yet || pod->ended)
            continue;
        first = first ? first : pod;
        count++;
    }
    if (count > 1)
        (void)snprintf(others, sizeof others, " and of %d more pods", count - 1);
    if (first)
        (void)cli_fail(0, "the output of %s%s is not to be had yet: %s", first->name, others,
                       first->why_not_yet);
}

/* Asks for the logs that have not been had yet; true when some are still not to be had. */
static bool collect_round(struct collection *all)
{
    static const struct log_stream_ops ops = {.line = collect_line, .end = collect_end};
    static const struct log_stream_options options = {.timestamps = true, .tail_lines = -1};
    struct cli *c = all->cli;
    bool missing = false;
    for (int i = 0; i < all->pods_count; i++) {
        struct pod_text *pod = &all->pods[i];
        if (pod->stream)
            continue;
        all->waiting++;
        pod->stream =
            log_stream_new(c, c->namespace_, pod->name, pod->container, &options, &ops, pod);
    }
    if (all->waiting)
        (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < all->pods_count; i++) {
        struct pod_text *pod = &all->pods[i];
        if (!pod->not_yet || pod->ended)
            continue;
        log_stream_free(steal_ptr(&pod->stream));
        missing = true;
    }
    return missing;
}

static int collect(struct cli *c, const struct options *o, const cJSON *job, const cJSON *pods)
{
    struct collection all = {.cli = c};
    int rounds = json_integer(job, "status.attempt", 0) > 0 ? NOT_YET_ROUNDS : 1;
    all.pods = mlt_calloc((size_t)cJSON_GetArraySize(pods) + 1, sizeof *all.pods);
    const cJSON *pod;
    cJSON_ArrayForEach(pod, pods)
    {
        struct pod_text *text = &all.pods[all.pods_count++];
        text->name = mlt_strdup(json_string(pod, "metadata.name", ""));
        text->container = json_string(trainingjob_trainer(pod), "name", TRAININGJOB_TRAINER);
        text->ended = pod_has_ended(pod);
        text->all = &all;
        mlt_text_init(&text->text, LOG_BYTES_MAX);
    }
    while (collect_round(&all) && --rounds > 0)
        uv_sleep(NOT_YET_MS);
    print_collection(o, &all);
    if (rounds <= 0 && json_integer(job, "status.attempt", 0) > 0)
        say_what_is_missing(&all);
    for (int i = 0; i < all.pods_count; i++) {
        log_stream_free(all.pods[i].stream);
        free(all.pods[i].name);
        mlt_text_release(&all.pods[i].text);
    }
    free(all.pods);
    free(all.entries);
    return all.cut ? cli_fail(CLI_FAILED, "the logs are larger than %zu bytes and were cut",
                              LOG_BYTES_MAX)
                   : CLI_OK;
}

/* ---- following ---- */

struct following {
    const struct options *options;
    struct cli *cli;
    int code;
};

static void follow_line(void *arg, const char *pod, const struct log_line *line)
{
    struct following *f = arg;
    if (!log_line_wanted(line, &f->options->filter))
        return;
    print_line(f->options, pod, line, NULL, 0);
    if (fflush(stdout) != 0)
        uv_stop(&f->cli->loop); /* nobody reads on: main() says why if it has to be said */
}

static void follow_job_changed(void *arg, const cJSON *job)
{
    (void)arg;
    (void)job;
}

static void follow_trouble(void *arg, const char *words, bool is_over)
{
    struct following *f = arg;
    (void)cli_fail(0, "%s; %s", words, is_over ? "the cluster is down" : "trying again");
    if (is_over)
        f->code = CLI_FAILED;
}

static void follow_done(void *arg)
{
    struct following *f = arg;
    uv_stop(&f->cli->loop);
}

static int follow(struct cli *c, const struct options *o, const cJSON *job)
{
    static const struct follow_ops ops = {.line = follow_line,
                                          .job = follow_job_changed,
                                          .done = follow_done,
                                          .trouble = follow_trouble};
    struct following following = {.options = o, .cli = c, .code = CLI_OK};
    struct follow *f = follow_new(c, c->namespace_, o->name, json_string(job, "metadata.uid", ""),
                                  true, &ops, &following);
    (void)uv_run(&c->loop, UV_RUN_DEFAULT);
    follow_free(f);
    return following.code;
}

static int logs(struct cli *c, struct options *o)
{
    struct mlt_error err = {0};
    cleanup_free char *path = cli_job_path(c->namespace_, o->name, NULL, NULL);
    cJSON *job cleanup_json = NULL, *pods cleanup_json = NULL;
    if (cli_get(c, path, &job, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    int64_t attempt = json_integer(job, "status.attempt", 0);
    if (o->previous && attempt < 2)
        return cli_fail(CLI_FAILED, "%s is in its first attempt; there is no earlier one", o->name);
    if (o->previous)
        o->filter.attempt = attempt - 1;
    if (o->filter.attempt > attempt && !o->follow)
        return cli_fail(CLI_FAILED, "%s has no attempt %" PRId64 "; its newest is %" PRId64,
                        o->name, o->filter.attempt, attempt);
    if (o->follow)
        return follow(c, o, job);
    struct mlt_text pods_path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX),
                              query cleanup_text = MLT_TEXT_INIT(512);
    mlt_text_printf(&query, "labelSelector=mltrain.io%%2Fjob-uid%%3D%s",
                    json_string(job, "metadata.uid", ""));
    kube_path(&pods_path, KUBE_POD, c->namespace_, NULL, NULL, mlt_text_string(&query));
    if (cli_get(c, mlt_text_string(&pods_path), &pods, &err) < 0)
        return cli_fail(CLI_FAILED, "%s", err.text);
    const cJSON *items = json_member(pods, "items");
    if (cJSON_GetArraySize(items) == 0)
        return cli_fail(CLI_FAILED, "%s has no pods (phase %s)", o->name,
                        json_string(job, "status.phase", "Pending"));
    return collect(c, o, job, items);
}

int cli_logs(int argc, char **argv)
{
    static const struct argp_child children[] = {{.argp = &cli_target_argp, .header = "Cluster:"},
                                                 {0}};
    static const struct argp argp = {.options = table,
                                     .parser = parse,
                                     .children = children,
                                     .args_doc = "JOB",
                                     .doc = "Prints the ranks' output, in the order of time over "
                                            "all pods; standard error goes to standard error."};
    struct options o = {.filter = {.rank = LOG_LINE_LAUNCHER}, .tail = -1};
    if (argp_parse(&argp, argc, argv, 0, NULL, &o))
        return CLI_USAGE;
    const char *name;
    if (cli_job_name(o.name, &name) < 0)
        return CLI_USAGE;
    o.name = name;
    struct cli c;
    if (cli_connect(&c, &o.target) < 0)
        return CLI_FAILED;
    int code = logs(&c, &o);
    cli_disconnect(&c);
    return code;
}
