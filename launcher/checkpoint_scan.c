/* Looks at the checkpoint folder: see checkpoint_scan.h. */
#include "launcher/checkpoint_scan.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

int checkpoint_scan_check(const struct checkpoint_scan_spec *spec, struct mlt_error *err)
{
    char before[PATH_MAX], component[PATH_MAX], after[PATH_MAX];
    if (!tracker_find(spec->format))
        return mlt_fail(err, EINVAL, "checkpoint format `%.32s`: auto, dcp or pattern expected",
                        spec->format);
    if (spec->path[0] != '/')
        return mlt_fail(err, EINVAL, "checkpoint path `%.64s`: an absolute path expected",
                        spec->path);
    bool is_auto = strcmp(spec->format, "auto") == 0;
    bool has_pattern = strcmp(spec->format, "pattern") == 0 || (is_auto && spec->pattern[0]);
    if (has_pattern && !tracker_pattern_split(spec->pattern, before, component, after, PATH_MAX))
        return mlt_fail(err, EINVAL,
                        "checkpoint pattern `%.64s`: one {step} and at most %d stars expected",
                        spec->pattern, TRACKER_PATTERN_STARS_MAX);
    if (is_auto && strchr(spec->pattern, '/'))
        return mlt_fail(err, EINVAL,
                        "checkpoint pattern `%.64s`: no `/` expected with format auto, which looks "
                        "for folders of dcp beside it",
                        spec->pattern);
    return 0;
}

/* ---- looking ---- */

struct candidate {
    int64_t step;
    char name[CHECKPOINT_SCAN_NAME_MAX];
};

struct candidates {
    struct candidate *list;
    size_t count, capacity;
};

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int add_candidate(struct candidates *c, int64_t step, const char *name)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 64;
        struct candidate *list = realloc(c->list, capacity * sizeof *list);
        if (!list)
            return -ENOMEM;
        c->list = list;
        c->capacity = capacity;
    }
    struct candidate *next = &c->list[c->count++];
    next->step = step;
    (void)snprintf(next->name, sizeof next->name, "%s", name);
    return 0;
}

static int list_candidates(const struct tracker *tracker, const char *pattern, int folder,
                           struct candidates *ret)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        int error = errno;
        if (copy >= 0)
            (void)close(copy);
        return -error;
    }
    int rc = 0;
    size_t looked = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        int64_t step;
        if (++looked > CHECKPOINT_SCAN_ENTRIES_MAX)
            break;
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < CHECKPOINT_SCAN_NAME_MAX &&
            tracker->match(pattern, entry->d_name, &step))
            rc = add_candidate(ret, step, entry->d_name);
    }
    (void)closedir(dir);
    if (rc == 0 && ret->count)
        qsort(ret->list, ret->count, sizeof *ret->list, newest_first);
    return rc;
}

/* The folder that holds the entries, and what stands before and after each name in reports. */
static int open_folder(const struct checkpoint_scan_spec *spec, char *before, char *after)
{
    char path[2 * PATH_MAX], component[PATH_MAX];
    before[0] = after[0] = '\0';
    if (strcmp(spec->format, "pattern") == 0 &&
        !tracker_pattern_split(spec->pattern, before, component, after, PATH_MAX))
        return -EINVAL;
    int n = snprintf(path, sizeof path, "%s/%s", spec->path, before);
    if (n < 0 || n >= (int)sizeof path)
        return -ENAMETOOLONG;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Appends a result when its whole name fits. */
static size_t add_found(struct checkpoint_found *found, size_t count, const char *before,
                        const char *after, const struct candidate *c,
                        const struct tracker_result *result)
{
    struct checkpoint_found *f = &found[count];
    memset(f, 0, sizeof *f); /* goes through a pipe: no bytes of chance */
    int n = snprintf(f->name, sizeof f->name, "%s%s%s%s%s", before, before[0] ? "/" : "", c->name,
                     after[0] ? "/" : "", after);
    if (n < 0 || n >= (int)sizeof f->name)
        return count;
    f->step = c->step;
    f->wall_ms = result->wall_ms;
    f->fingerprint = result->fingerprint;
    f->verdict = (int32_t)result->verdict;
    f->writing = result->writing;
    return count + 1;
}

int checkpoint_scan_look(const struct checkpoint_scan_spec *spec, struct checkpoint_found *found,
                         size_t max, size_t *ret_count)
{
    const struct tracker *tracker = tracker_find(spec->format);
    if (!tracker)
        return -EINVAL;
    char before[PATH_MAX], after[PATH_MAX];
    struct candidates c = {0};
    cleanup_close int folder = open_folder(spec, before, after);
    if (folder < 0)
        return folder;
    size_t count = 0, complete = 0;
    int rc = list_candidates(tracker, spec->pattern, folder, &c);
    for (size_t i = 0; rc == 0 && i < c.count && count < max; i++) {
        struct tracker_result result;
        tracker->examine(spec->pattern, folder, c.list[i].name, &result);
        if (result.verdict == TRACKER_NOTHING)
            continue;
        /* However many were cut, the newest complete ones are found behind them. */
        if (result.verdict == TRACKER_TORN && max - count <= RENDEZVOUS_CHECKPOINTS_MAX)
            continue;
        count = add_found(found, count, before, after, &c.list[i], &result);
        complete += result.verdict == TRACKER_COMPLETE;
        if (complete == RENDEZVOUS_CHECKPOINTS_MAX)
            break;
    }
    free(c.list);
    if (rc == 0)
        *ret_count = count;
    return rc;
}

/* ---- the child ---- */

static _Noreturn void be_child(const struct checkpoint_scan_spec *spec, int out, pid_t parent)
{
    struct checkpoint_answer answer;
    size_t count = 0;
    sigset_t none;
    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(1);
    /* A child that hangs must not hold the ranks' pipes or the channel. */
    if (dup2(out, STDIN_FILENO) < 0)
        _exit(1);
    (void)syscall(SYS_close_range, 1u, ~0u, 0);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction plain = {.sa_handler = SIG_DFL};
        (void)sigaction(signal, &plain, NULL);
    }
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    answer.error = -checkpoint_scan_look(spec, answer.found, CHECKPOINT_SCAN_FOUND_MAX, &count);
    const char *at = (const char *)&answer;
    for (size_t left = offsetof(struct checkpoint_answer, found) + count * sizeof *answer.found;
         left;) {
        ssize_t n = write(STDIN_FILENO, at, left);
        if (n < 0)
            _exit(1);
        at += n;
        left -= (size_t)n;
    }
    _exit(0);
}

int checkpoint_scan_start(const struct checkpoint_scan_spec *spec, pid_t *ret_pid, int *ret_fd,
                          struct mlt_error *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return mlt_fail(err, errno, "pipe for the checkpoint scan: %s", strerror(errno));
    _Static_assert(sizeof(struct checkpoint_answer) < 65536,
                   "the child's whole answer fits into the pipe, so that its write never waits");
    sigset_t all, mask;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &mask);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        be_child(spec, ends[1], parent);
    int error = errno;
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    (void)close(ends[1]);
    if (pid < 0) {
        (void)close(ends[0]);
        return mlt_fail(err, error, "fork for the checkpoint scan: %s", strerror(error));
    }
    *ret_pid = pid;
    *ret_fd = ends[0];
    return 0;
}

/* ---- judging ---- */

/* The place of a step in the memory; the oldest step makes room for a new one. */
static size_t recall(struct checkpoint_memory *m, int64_t step, bool *ret_known)
{
    size_t oldest = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->entry[i].step == step) {
            *ret_known = true;
            return i;
        }
        if (m->entry[i].step < m->entry[oldest].step)
            oldest = i;
    }
    *ret_known = false;
    return m->count < CHECKPOINT_SCAN_MEMORY ? m->count++ : oldest;
}

/* A checkpoint whose parts are all there, but prove nothing by themselves. */
static bool has_settled(struct checkpoint_memory *m, const struct checkpoint_found *f,
                        enum checkpoint_writers writers, int64_t now_ms, int64_t wall_ms)
{
    bool known;
    size_t at = recall(m, f->step, &known);
    if (!known || m->entry[at].fingerprint != f->fingerprint) {
        /* New, or changed since: an old file at first sight was settled before we came. */
        m->entry[at].step = f->step;
        m->entry[at].since_ms = now_ms;
        m->entry[at].fingerprint = f->fingerprint;
        m->entry[at].suspect = false;
        m->entry[at].settled =
            !known && !f->writing && wall_ms - f->wall_ms >= CHECKPOINT_SCAN_OLD_MS;
    } else if (!m->entry[at].settled && !m->entry[at].suspect && !f->writing &&
               !m->entry[at].writing &&
               now_ms - m->entry[at].since_ms >= CHECKPOINT_SCAN_SETTLE_MS) {
        m->entry[at].settled = true;
    }
    /* A writer that was killed has closed its file by dying, if it had not before: nobody can tell
     * any more. One that left with code 0 has said that it was done. */
    if (writers == CHECKPOINT_WRITERS_LEFT && !m->entry[at].suspect)
        m->entry[at].settled = true;
    if (writers == CHECKPOINT_WRITERS_KILLED && !m->entry[at].settled)
        m->entry[at].suspect = true;
    if (f->writing)
        m->entry[at].settled = false;
    m->entry[at].writing = f->writing;
    return m->entry[at].settled;
}

void checkpoint_scan_judge(struct checkpoint_memory *memory,
                           const struct checkpoint_scan_spec *spec,
                           const struct checkpoint_found *found, size_t count,
                           enum checkpoint_writers writers, int64_t now_ms, int64_t wall_ms,
                           struct checkpoint_report *ret)
{
    uint32_t complete = 0;
    ret->report = (struct rendezvous_checkpoint_report){.checkpoints = ret->checkpoints,
                                                        .torn_step = RENDEZVOUS_NO_STEP};
    for (size_t i = 0; i < count && complete < RENDEZVOUS_CHECKPOINTS_MAX; i++) {
        const struct checkpoint_found *f = &found[i];
        bool is_complete =
            f->verdict == TRACKER_COMPLETE ||
            (f->verdict == TRACKER_SETTLING && has_settled(memory, f, writers, now_ms, wall_ms));
        if (!is_complete) {
            if (complete == 0 && ret->report.torn_step == RENDEZVOUS_NO_STEP)
                ret->report.torn_step = f->step;
            continue;
        }
        int n = snprintf(ret->paths[complete], PATH_MAX, "%s%s%s", spec->path,
                         spec->path[strlen(spec->path) - 1] == '/' ? "" : "/", f->name);
        if (n < 0 || n >= PATH_MAX)
            continue;
        ret->checkpoints[complete] = (struct rendezvous_checkpoint){
            .step = f->step, .path = ret->paths[complete], .wall_ms = f->wall_ms};
        complete++;
    }
    /* A step may lie there twice, as a folder and as a file: one of them is enough. */
    if (complete && ret->report.torn_step <= ret->checkpoints[0].step)
        ret->report.torn_step = RENDEZVOUS_NO_STEP;
    ret->report.checkpoints_count = complete;
}
