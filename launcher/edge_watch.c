/* What the edge watches while ranks run: steps in their output, and the checkpoint folder. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/edge_internal.h"

static void begin_scan(struct edge *e);
static void start_tick(struct edge *e);

/* ---- progress ---- */

void edge_watch_line(struct edge *e, const char *text, size_t length)
{
    int64_t before_us = (int64_t)(uv_hrtime() / 1000);
    if (!e->progress || !progress_has_time(e->progress, before_us))
        return;
    progress_line(e->progress, text, length);
    progress_took(e->progress, (int64_t)(uv_hrtime() / 1000) - before_us);
}

static void report_progress(struct edge *e, bool at_once)
{
    struct supervisor_event event = {.kind = SUPERVISOR_ON_PROGRESSED};
    if (!e->progress)
        return;
    if (progress_report(e->progress, edge_now_ms(e), at_once, &event.progress))
        edge_post(e, &event);
    if (progress_gave_up(e->progress))
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "ProgressPatternGivenUp",
                    "progress.pattern takes too long for %d lines of output: it is given up",
                    PROGRESS_LIMIT_HITS_MAX);
    if (progress_is_slow(e->progress))
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "ProgressPatternSlow",
                    "progress.pattern takes long: not every line of output is searched, and steps "
                    "may be reported late");
}

void edge_watch_flush(struct edge *e)
{
    report_progress(e, true);
}

static void set_pattern(struct edge *e, const struct rendezvous_welcome *welcome)
{
    struct mlt_error err = {0};
    if (e->progress_pattern && strcmp(e->progress_pattern, welcome->progress_pattern) == 0)
        return;
    progress_free(e->progress);
    e->progress = NULL;
    free(e->progress_pattern);
    e->progress_pattern = strdup(welcome->progress_pattern);
    if (progress_new(welcome->progress_pattern, welcome->total_steps, &e->progress, &err) == 0)
        return;
    if (progress_new("", welcome->total_steps, &e->progress, NULL) < 0)
        edge_log(e, "no memory to count steps");
    if (edge_speaks_for_all(e))
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "InvalidProgressPattern",
                    "%s: no progress is reported", err.text);
    else
        edge_log(e, "%s: no progress is reported", err.text);
}

/* ---- checkpoints ---- */

static struct checkpoint_scan_spec spec_of(const struct edge *e)
{
    const struct rendezvous_welcome *w = supervisor_welcome(e->supervisor);
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    return (struct checkpoint_scan_spec){.path = w->checkpoint_path,
                                         .format = w->checkpoint_format,
                                         .pattern = w->checkpoint_pattern,
                                         .marker = e->config->pod_uid,
                                         .ranks = start ? start->world_size : 0};
}

void edge_watch(struct edge *e)
{
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    struct mlt_error err = {0};
    set_pattern(e, welcome);
    e->scan_valid = false;
    if (!welcome->watch_checkpoints || !welcome->checkpoint_path[0])
        return;
    struct checkpoint_scan_spec spec = spec_of(e);
    e->scan_valid = checkpoint_scan_check(&spec, &err) == 0;
    if (e->scan_valid || (e->scan_told && strcmp(e->scan_told, err.text) == 0))
        return;
    free(e->scan_told);
    e->scan_told = strdup(err.text); /* each WELCOME says the same */
    edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "CheckpointFormat", "%s: no checkpoint is reported",
                err.text);
}

/* Each trouble with the folder is told when it begins, not at every look. */
static void note_folder(struct edge *e, int64_t error)
{
    const char *path = supervisor_welcome(e->supervisor)->checkpoint_path;
    if (error == e->scan_error)
        return;
    e->scan_error = error;
    if (error == ENOENT) /* many programs make it themselves when they save first */
        edge_notice(e, RENDEZVOUS_SEVERITY_NORMAL, "CheckpointFolder",
                    "checkpoint.path `%s` does not exist in this pod yet: the job has to make it, "
                    "or a volume "
                    "is missing",
                    path);
    else if (error == ETIMEDOUT)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "CheckpointFolder",
                    "checkpoint.path `%s` does not answer: the last known checkpoints stand", path);
    else if (error)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "CheckpointFolder",
                    "checkpoint.path `%s` cannot be read: %s: the last known checkpoints stand",
                    path, strerror((int)error));
}

static void say_scanned(struct edge *e, const struct rendezvous_checkpoint_report *report,
                        bool fresh)
{
    struct supervisor_event event = {.kind = SUPERVISOR_ON_SCANNED,
                                     .scanned = {.report = report, .fresh = fresh}};
    if (fresh) {
        e->fresh_wanted = false;
        (void)uv_timer_stop(&e->ready_limit);
    }
    edge_post(e, &event);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_scan(struct edge *e)
{
    edge_poll_free(&e->scan_poll);
    if (e->scan_fd >= 0)
        (void)close(e->scan_fd);
    e->scan_fd = -1;
}

/* What the folder made the look find out for the first time. */
static void note_answer(struct edge *e)
{
    static const char *const troubles[] = {
#define XX(name, words) [CHECKPOINT_POINTER_##name] = words,
        CHECKPOINT_POINTER_MAP(XX)
#undef XX
    };
    const struct checkpoint_answer *a = &e->scan_answer;
    const struct rendezvous_welcome *w = supervisor_welcome(e->supervisor);
    if (a->marker_error && !e->told_marker) {
        e->told_marker = true;
        edge_notice(e, RENDEZVOUS_SEVERITY_NORMAL, "CheckpointMarker",
                    "checkpoint.path `%s`: no file can be made there (%s): whether plain files "
                    "have come to rest is seen by this node's clock",
                    w->checkpoint_path, strerror(a->marker_error));
    }
    /* While ranks run, a tracker file may be just being written. */
    if (!e->scan_is_fresh || (a->pointer.trouble == e->told_pointer.trouble &&
                              strcmp(a->pointer.text, e->told_pointer.text) == 0))
        return;
    e->told_pointer = a->pointer;
    if (a->pointer.trouble)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "CheckpointTracker",
                    "checkpoint.path `%s`: the file `%s` %s%s%s%s: the newest complete checkpoint "
                    "counts, not this file",
                    w->checkpoint_path, tracker_at((enum tracker_format)a->pointer.format)->pointer,
                    troubles[a->pointer.trouble], a->pointer.text[0] ? ": `" : "", a->pointer.text,
                    a->pointer.text[0] ? "`" : "");
}

static void note_format(struct edge *e)
{
    const struct rendezvous_welcome *w = supervisor_welcome(e->supervisor);
    int32_t format = e->checkpoint_report.format;
    if (format < 0 || strcmp(w->checkpoint_format, "auto") != 0 || (e->told_formats & 1u << format))
        return;
    e->told_formats |= 1u << format;
    edge_notice(e, RENDEZVOUS_SEVERITY_NORMAL, "CheckpointFormat",
                "checkpoint.format auto: `%s` is taken for a checkpoint of format %s",
                e->checkpoint_report.checkpoints[0].path,
                tracker_at((enum tracker_format)format)->format);
}

/* As READY says it. */
static uint64_t next_attempt(const struct edge *e)
{
    uint64_t attempt = supervisor_attempt(e->supervisor) + 1;
    uint64_t least = supervisor_welcome(e->supervisor)->next_attempt;
    return attempt < least ? least : attempt;
}

/* Before the first attempt of all nobody of ours has been killed. */
static enum checkpoint_writers writers_of(const struct edge *e)
{
    if (!e->scan_is_fresh || next_attempt(e) == 1)
        return CHECKPOINT_WRITERS_ALIVE;
    return e->ranks_left ? CHECKPOINT_WRITERS_LEFT : CHECKPOINT_WRITERS_KILLED;
}

/* ---- repair ---- */

/* The look that has ended had changes to make: what has become of them? */
static void note_repair(struct edge *e)
{
    const struct checkpoint_repair *r = &e->repair;
    if (!e->scan_repairs)
        return;
    e->scan_repairs = false;
    if (e->scan_answer.repair_error) {
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "CheckpointRepair",
                    "checkpoint.repair: %u changes made, then: %s", e->scan_answer.repaired,
                    strerror(e->scan_answer.repair_error));
        return;
    }
    for (uint32_t i = 0; i < r->torn_count; i++)
        edge_notice(e, RENDEZVOUS_SEVERITY_NORMAL, "CheckpointRepaired",
                    "`%s` was torn: it is called `%s.torn-%llu` now", r->torn[i], r->torn[i],
                    (unsigned long long)r->attempt);
    if (r->set_pointer)
        edge_notice(e, RENDEZVOUS_SEVERITY_NORMAL, "CheckpointRepaired",
                    "the file `%s` %s%s%s; what it was is kept as `%s.torn-%llu`",
                    tracker_at((enum tracker_format)r->format)->pointer,
                    r->text[0] ? "says `" : "is out of the way", r->text, r->text[0] ? "` now" : "",
                    tracker_at((enum tracker_format)r->format)->pointer,
                    (unsigned long long)r->attempt);
}

/* Before a start, when the job asks for it: changes what is torn, and looks once more. */
static bool begin_repair(struct edge *e)
{
    if (!supervisor_welcome(e->supervisor)->checkpoint_repair || !e->scan_is_fresh ||
        edge_ranks_may_run(e) || e->scan_answer.repair_error ||
        e->repairs == CHECKPOINT_REPAIR_ROUNDS ||
        !checkpoint_repair_is_needed(&e->checkpoint_report.repair))
        return false;
    e->repair = e->checkpoint_report.repair;
    e->repair.attempt = next_attempt(e);
    e->repairs++;
    e->repair_wanted = true;
    begin_scan(e); /* or when the child has been reaped */
    return true;
}

/* The child has said all. Its zombie is reaped by SIGCHLD, and then the next look may begin. */
static void finish_scan(struct edge *e)
{
    const size_t head = offsetof(struct checkpoint_answer, found);
    const size_t record = sizeof e->scan_answer.found[0];
    (void)uv_timer_stop(&e->scan_limit);
    close_scan(e);
    if (e->scan_bytes < head || (e->scan_bytes - head) % record)
        return; /* somebody has killed it: the next look tells */
    note_folder(e, e->scan_answer.error);
    note_repair(e);
    if (e->scan_answer.error) {
        if (e->scan_is_fresh)
            say_scanned(e, NULL, true);
        return;
    }
    size_t count = (e->scan_bytes - head) / record;
    struct checkpoint_scan_spec spec = spec_of(e);
    checkpoint_scan_judge(&e->checkpoint_memory, &spec, &e->scan_answer, count, writers_of(e),
                          edge_now_ms(e), wall_ms(), &e->checkpoint_report);
    note_answer(e);
    note_format(e);
    if (!begin_repair(e))
        say_scanned(e, &e->checkpoint_report.report, e->scan_is_fresh);
}

static void scan_readable(uv_poll_t *poll, int status, int events)
{
    struct edge *e = poll->data;
    (void)status;
    (void)events;
    char *to = (char *)&e->scan_answer;
    for (;;) {
        size_t room = sizeof e->scan_answer - e->scan_bytes;
        ssize_t n = room ? read(e->scan_fd, to + e->scan_bytes, room) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            break;
        e->scan_bytes += (size_t)n;
    }
    finish_scan(e);
}

static void scan_too_long(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    note_folder(e, ETIMEDOUT);
    close_scan(e);
    if (e->scan_pid)
        (void)kill(e->scan_pid, SIGKILL);
}

static void begin_scan(struct edge *e)
{
    struct mlt_error err = {0};
    if (e->scan_pid || e->scan_fd >= 0 || !e->scan_valid || e->leaving)
        return;
    struct checkpoint_scan_spec spec = spec_of(e);
    e->scan_wanted = false;
    e->scan_bytes = 0;
    e->scan_is_fresh = e->fresh_wanted;
    e->scan_repairs = e->repair_wanted && e->fresh_wanted;
    e->repair_wanted = false;
    if (checkpoint_scan_start(&spec, e->scan_repairs ? &e->repair : NULL, &e->scan_pid, &e->scan_fd,
                              &err) < 0) {
        edge_log(e, "%s", err.text);
        return;
    }
    e->scan_poll = edge_poll_new(e, e->scan_fd, e);
    if (!e->scan_poll) {
        close_scan(e);
        return;
    }
    (void)uv_poll_start(e->scan_poll, UV_READABLE, scan_readable);
    (void)uv_timer_start(&e->scan_limit, scan_too_long, CHECKPOINT_SCAN_LIMIT_MS, 0);
}

bool edge_watch_reaped(struct edge *e, pid_t pid)
{
    if (pid != e->scan_pid)
        return false;
    e->scan_pid = 0;
    if (e->fresh_wanted || e->scan_wanted)
        begin_scan(e);
    return true;
}

void edge_scan_soon(struct edge *e)
{
    e->scan_wanted = true;
    begin_scan(e);
}

static void fresh_too_long(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    note_folder(e, ETIMEDOUT);
    if (e->scan_repairs && e->scan_pid)
        (void)kill(e->scan_pid, SIGKILL); /* nothing is changed once ranks run */
    e->repair_wanted = false;
    say_scanned(e, NULL, true);
}

void edge_scan_fresh(struct edge *e, bool ranks_left)
{
    e->ranks_left = ranks_left;
    if (!e->scan_valid) {
        say_scanned(e, NULL, true);
        return;
    }
    e->fresh_wanted = true;
    e->repairs = 0;
    uv_update_time(&e->loop);
    (void)uv_timer_start(&e->ready_limit, fresh_too_long, CHECKPOINT_SCAN_READY_MS, 0);
    begin_scan(e);
    start_tick(e);
}

/* ---- the tick ---- */

bool edge_ranks_may_run(const struct edge *e)
{
    enum supervisor_state state = supervisor_state(e->supervisor);
    return state >= SUPERVISOR_STARTING && state <= SUPERVISOR_KILLING;
}

/* START may come minutes after READY, and what is damaged meanwhile must not be resumed from. */
static bool must_look_on(const struct edge *e)
{
    return e->scan_valid && supervisor_state(e->supervisor) <= SUPERVISOR_READY;
}

static void ticked(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    bool run = edge_ranks_may_run(e);
    if (!run && !must_look_on(e)) {
        (void)uv_timer_stop(timer); /* an idle launcher sleeps */
        return;
    }
    if (run)
        report_progress(e, false);
    begin_scan(e);
}

static void start_tick(struct edge *e)
{
    uv_update_time(&e->loop);
    (void)uv_timer_start(&e->tick, ticked, EDGE_TICK_MS, EDGE_TICK_MS);
}

void edge_watch_start(struct edge *e)
{
    if (e->progress)
        progress_restart(e->progress);
    if (supervisor_welcome(e->supervisor)->progress_pattern[0] || e->scan_valid)
        start_tick(e);
}

void edge_watch_told(struct edge *e, int64_t step, int64_t total)
{
    if (!e->progress)
        return;
    progress_told(e->progress, step, total);
    report_progress(e, false);
    if (!uv_is_active((const uv_handle_t *)&e->tick))
        start_tick(e);
}

void edge_watch_stop(struct edge *e)
{
    (void)uv_timer_stop(&e->tick);
    (void)uv_timer_stop(&e->scan_limit);
    (void)uv_timer_stop(&e->ready_limit);
    close_scan(e);
    if (e->scan_pid)
        (void)kill(e->scan_pid, SIGKILL);
}

void edge_watch_init(struct edge *e)
{
    uv_timer_t *const timers[] = {&e->tick, &e->scan_limit, &e->ready_limit};
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        (void)uv_timer_init(&e->loop, timers[i]);
        timers[i]->data = e;
    }
}
