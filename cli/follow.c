/* Follows a job: see follow.h. A log that ends early (the API server went away) is opened again
 * from its beginning, and the lines that were seen are skipped: nothing is lost and nothing comes
 * twice. */
#include "cli/follow.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cluster_dir.h"
#include "cli/job_text.h"
#include "cli/log_stream.h"
#include "cli/reflect.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "trainingjob/trainingjob.h"

#define RETRY_MS 200
#define LOOK_MS 500

struct pod_log {
    struct follow *owner;
    struct pod_log *next;
    char *uid, *name, *container;
    struct log_stream *stream;
    bool started;  /* the container runs or has run */
    bool ended;    /* the container is over, or the pod is gone */
    bool complete; /* all lines were seen */
    size_t seen, skip;
    uv_timer_t retry;
};

struct follow {
    struct cli *cli;
    char *namespace_, *name, *uid;
    const struct follow_ops *ops;
    void *arg;
    struct reflect *jobs, *pods;
    struct pod_log *logs;
    cJSON *job;
    bool with_logs, listed, pods_listed, over, done;
    uv_timer_t drain;
    uv_timer_t look;          /* at whether the API server still answers */
    int64_t trouble_since_ms; /* 0: it does */
    bool trouble_told;
};

static void look_for_end(struct follow *f);

/* Something came: while it does, the logs of a finished job are waited for. */
static void hear(struct follow *f)
{
    if (f->over && !f->done && uv_is_active((uv_handle_t *)&f->drain))
        (void)uv_timer_again(&f->drain);
}

/* ---- logs ---- */

static void open_log(struct pod_log *log);

static void log_line(void *arg, const char *line, size_t length)
{
    struct pod_log *log = arg;
    if (log->skip > 0) {
        log->skip--;
        return;
    }
    log->seen++;
    hear(log->owner);
    struct log_line parsed;
    log_line_parse(line, length, &parsed);
    log->owner->ops->line(log->owner->arg, log->name, &parsed);
}

static void retry_log(uv_timer_t *timer)
{
    open_log(timer->data);
}

static void log_ended(void *arg, bool not_yet, const char *error)
{
    struct pod_log *log = arg;
    log_stream_free(log->stream);
    log->stream = NULL;
    if (!not_yet && !error && log->ended)
        log->complete = true;
    else if (error && log->ended && log->owner->over)
        log->complete = true; /* the pod went away with its log */
    else
        (void)uv_timer_start(&log->retry, retry_log, RETRY_MS, 0);
    look_for_end(log->owner);
}

static void open_log(struct pod_log *log)
{
    static const struct log_stream_ops ops = {.line = log_line, .end = log_ended};
    static const struct log_stream_options options = {.follow = true, .tail_lines = -1};
    if (log->stream || log->complete || !log->started)
        return;
    log->skip = log->seen;
    log->stream = log_stream_new(log->owner->cli, log->owner->namespace_, log->name, log->container,
                                 &options, &ops, log);
}

static struct pod_log *find_log(struct follow *f, const char *uid)
{
    for (struct pod_log *log = f->logs; log; log = log->next)
        if (strcmp(log->uid, uid) == 0)
            return log;
    return NULL;
}

static struct pod_log *add_log(struct follow *f, const cJSON *pod)
{
    const cJSON *trainer =
        trainingjob_trainer(pod); /* a pod has its spec where a template has one */
    struct pod_log *log = mlt_calloc(1, sizeof *log);
    log->owner = f;
    log->uid = mlt_strdup(json_string(pod, "metadata.uid", ""));
    log->name = mlt_strdup(json_string(pod, "metadata.name", ""));
    log->container = mlt_strdup(json_string(trainer, "name", TRAININGJOB_TRAINER));
    (void)uv_timer_init(&f->cli->loop, &log->retry);
    log->retry.data = log;
    log->next = f->logs;
    f->logs = log;
    return log;
}

static void pod_changed(void *arg, const cJSON *pod)
{
    struct follow *f = arg;
    if (strcmp(json_string(pod, "metadata.labels[mltrain.io/job-uid]", ""), f->uid) != 0)
        return;
    struct pod_log *log = find_log(f, json_string(pod, "metadata.uid", ""));
    if (!log)
        log = add_log(f, pod);
    const cJSON *status;
    cJSON_ArrayForEach(status, json_find(pod, "status.containerStatuses"))
    {
        if (strcmp(json_string(status, "name", ""), log->container) != 0)
            continue;
        log->ended = json_find(status, "state.terminated") != NULL;
        log->started = log->started || log->ended || json_find(status, "state.running");
    }
    bool pod_over = pod_has_ended(pod);
    if (pod_over && !log->started)
        log->complete = true; /* rejected: it never ran */
    log->ended = log->ended || pod_over;
    open_log(log);
    hear(f);
    look_for_end(f);
}

static void pod_deleted(void *arg, const cJSON *pod)
{
    struct follow *f = arg;
    struct pod_log *log = find_log(f, json_string(pod, "metadata.uid", ""));
    if (!log)
        return;
    log->ended = true;
    if (!log->stream)
        log->complete = true;
    look_for_end(f);
}

/* ---- the job ---- */

static void drained(uv_timer_t *timer)
{
    struct follow *f = timer->data;
    if (f->done)
        return;
    f->done = true;
    (void)uv_timer_stop(timer);
    f->ops->done(f->arg);
}

static void look_for_end(struct follow *f)
{
    if (!f->over || f->done)
        return;
    if (f->with_logs && !f->pods_listed)
        return;
    /* Its ranks were started: each pod has a log, whatever its kubelet has told by now. */
    bool has_run = json_integer(f->job, "status.attempt", 0) > 0;
    for (struct pod_log *log = f->logs; log; log = log->next)
        if (!log->complete && (log->started || has_run))
            return;
    if (uv_is_active((uv_handle_t *)&f->drain))
        (void)uv_timer_start(&f->drain, drained, 0,
                             0); /* from the loop, not from within a callback of others */
}

static void look_for_trouble(uv_timer_t *timer)
{
    struct follow *f = timer->data;
    int64_t now = (int64_t)uv_now(timer->loop);
    const char *trouble = reflect_trouble(f->jobs);
    if (!trouble[0] || f->done) {
        f->trouble_since_ms = 0;
        f->trouble_told = false;
        return;
    }
    if (!f->trouble_since_ms)
        f->trouble_since_ms = now;
    if (now - f->trouble_since_ms >= FOLLOW_GIVE_UP_MS && f->cli->cluster_dir &&
        !cluster_is_up(f->cli->cluster_dir)) {
        f->ops->trouble(f->arg, trouble, true);
        drained(&f->drain);
    } else if (now - f->trouble_since_ms >= FOLLOW_TROUBLE_MS && !f->trouble_told) {
        f->trouble_told = true;
        f->ops->trouble(f->arg, trouble, false);
    }
}

static void job_over(struct follow *f)
{
    if (f->over)
        return;
    f->over = true;
    (void)uv_timer_start(&f->drain, drained, FOLLOW_SILENCE_MS, FOLLOW_SILENCE_MS);
    look_for_end(f);
}

static void job_changed(void *arg, const cJSON *job)
{
    struct follow *f = arg;
    if (strcmp(json_string(job, "metadata.uid", ""), f->uid) != 0)
        return;
    f->listed = true;
    cJSON_Delete(f->job);
    f->job = json_copy(job);
    f->ops->job(f->arg, f->job);
    if (job_is_finished(f->job))
        job_over(f);
}

static void job_deleted(void *arg, const cJSON *job)
{
    struct follow *f = arg;
    if (job && strcmp(json_string(job, "metadata.uid", ""), f->uid) != 0)
        return;
    f->ops->job(f->arg, NULL);
    job_over(f);
}

static void list_begin(void *arg)
{
    struct follow *f = arg;
    f->listed = false;
}

static void list_done(void *arg)
{
    struct follow *f = arg;
    if (!f->listed && !f->over)
        job_deleted(f, NULL);
}

static void ignore(void *arg)
{
    (void)arg;
}

static void pods_done(void *arg)
{
    struct follow *f = arg;
    f->pods_listed = true;
    look_for_end(f);
}

struct follow *follow_new(struct cli *c, const char *namespace_, const char *name, const char *uid,
                          bool with_logs, const struct follow_ops *ops, void *arg)
{
    static const struct kube_reflector_ops job_ops = {.list_begin = list_begin,
                                                      .listed = job_changed,
                                                      .list_done = list_done,
                                                      .changed = job_changed,
                                                      .deleted = job_deleted};
    static const struct kube_reflector_ops pod_ops = {.list_begin = ignore,
                                                      .listed = pod_changed,
                                                      .list_done = pods_done,
                                                      .changed = pod_changed,
                                                      .deleted = pod_deleted};
    struct follow *f = mlt_calloc(1, sizeof *f);
    *f = (struct follow){.cli = c, .ops = ops, .arg = arg, .with_logs = with_logs};
    f->namespace_ = mlt_strdup(namespace_);
    f->name = mlt_strdup(name);
    f->uid = mlt_strdup(uid);
    (void)uv_timer_init(&c->loop, &f->drain);
    (void)uv_timer_init(&c->loop, &f->look);
    f->drain.data = f->look.data = f;
    (void)uv_timer_start(&f->look, look_for_trouble, LOOK_MS, LOOK_MS);
    struct mlt_text path cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX),
                         selector cleanup_text = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, KUBE_TRAININGJOB, namespace_, NULL, NULL, NULL);
    mlt_text_printf(&selector, "fieldSelector=metadata.name%%3D%s", name);
    f->jobs = reflect_new(c, mlt_text_string(&path), mlt_text_string(&selector), &job_ops, f);
    if (!with_logs)
        return f;
    mlt_text_clear(&path);
    mlt_text_clear(&selector);
    kube_path(&path, KUBE_POD, namespace_, NULL, NULL, NULL);
    mlt_text_printf(&selector, "labelSelector=mltrain.io%%2Fjob-uid%%3D%s", uid);
    f->pods = reflect_new(c, mlt_text_string(&path), mlt_text_string(&selector), &pod_ops, f);
    return f;
}

const cJSON *follow_job(const struct follow *f)
{
    return f->job;
}

static void free_log(uv_handle_t *handle)
{
    struct pod_log *log = handle->data;
    free(log->uid);
    free(log->name);
    free(log->container);
    free(log);
}

static void free_follow(uv_handle_t *handle)
{
    struct follow *f = handle->data;
    free(f->namespace_);
    free(f->name);
    free(f->uid);
    cJSON_Delete(f->job);
    free(f);
}

void follow_free(struct follow *f)
{
    if (!f)
        return;
    reflect_free(f->jobs);
    reflect_free(f->pods);
    for (struct pod_log *log = f->logs; log;) {
        struct pod_log *next = log->next;
        log_stream_free(log->stream);
        log->stream = NULL;
        uv_close((uv_handle_t *)&log->retry, free_log);
        log = next;
    }
    uv_close((uv_handle_t *)&f->look, NULL);
    uv_close((uv_handle_t *)&f->drain, free_follow);
}
