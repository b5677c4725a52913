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
    uint32_t formats = tracker_formats(spec->format, spec->pattern);
    bool is_auto = strcmp(spec->format, "auto") == 0;
    if (!formats)
        return mlt_fail(err, EINVAL,
                        "checkpoint format `%.32s`: auto, libmltrain, dcp, deepspeed, megatron, "
                        "huggingface, lightning or pattern expected",
                        spec->format);
    if (spec->path[0] != '/')
        return mlt_fail(err, EINVAL, "checkpoint path `%.64s`: an absolute path expected",
                        spec->path);
    if ((formats & 1u << TRACKER_PATTERN) &&
        !tracker_pattern_split(spec->pattern, before, component, after, PATH_MAX))
        return mlt_fail(err, EINVAL,
                        "checkpoint pattern `%.64s`: one {step} and at most %d stars expected",
                        spec->pattern, TRACKER_PATTERN_STARS_MAX);
    if (is_auto && strchr(spec->pattern, '/'))
        return mlt_fail(err, EINVAL,
                        "checkpoint pattern `%.64s`: no `/` expected with format auto, which looks "
                        "for folders of other formats beside it",
                        spec->pattern);
    return 0;
}

/* ---- looking ---- */

struct candidate {
    int64_t step;
    char name[CHECKPOINT_SCAN_NAME_MAX]; /* under the folder that is looked at */
};

/* What a tracker file says. */
enum pointer_state { POINTER_MISSING, POINTER_EMPTY, POINTER_NAME, POINTER_STEP };

struct pointer {
    enum pointer_state state;
    int64_t step;
    char text[TRACKER_POINTER_MAX + 1];
    bool seen, complete; /* some checkpoint of this format; one that is whole, but needs it */
    bool torn;           /* the one that it names is */
};

struct scan {
    struct tracker_look look;
    uint32_t formats; /* bits 1 << enum tracker_format */
    struct candidate *list;
    size_t count, capacity, looked;
    struct pointer pointers[TRACKER_FORMATS];
    int error;
};

static int newest_first(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->step != y->step)
        return x->step < y->step ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int add_candidate(struct scan *s, int64_t step, const char *name)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 64;
        struct candidate *list = realloc(s->list, capacity * sizeof *list);
        if (!list)
            return -ENOMEM;
        s->list = list;
        s->capacity = capacity;
    }
    struct candidate *next = &s->list[s->count++];
    next->step = step;
    (void)snprintf(next->name, sizeof next->name, "%s", name);
    return 0;
}

static bool format_matches(const struct scan *s, unsigned format, const char *name, int depth,
                           int64_t *ret_step)
{
    const struct tracker *tracker = tracker_at(format);
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
    return (s->formats & 1u << format) && tracker->hidden == (last[0] == '.') &&
           (depth == 0 || tracker->descend) && tracker->match(&s->look, name, ret_step);
}

/* The step of an entry: the pattern's word counts before that of any format. */
static bool find_step(const struct scan *s, const char *name, int depth, int64_t *ret_step)
{
    if (format_matches(s, TRACKER_PATTERN, name, depth, ret_step))
        return true;
    for (unsigned i = 0; i < TRACKER_FORMATS; i++)
        if (format_matches(s, i, name, depth, ret_step))
            return true;
    return false;
}

static bool may_descend(const struct scan *s, const char *name, int depth)
{
    for (unsigned i = 0; i < TRACKER_FORMATS; i++)
        if ((s->formats & 1u << i) && tracker_at(i)->descend && tracker_at(i)->descend(name, depth))
            return true;
    return false;
}

static int list_folder(struct scan *s, const char *prefix, int depth)
{
    int fd = openat(s->look.folder, depth ? prefix : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return -error;
    }
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        int64_t step;
        char name[CHECKPOINT_SCAN_NAME_MAX];
        if (++s->looked > CHECKPOINT_SCAN_ENTRIES_MAX)
            break;
        int n = snprintf(name, sizeof name, "%s%s%s", prefix, depth ? "/" : "", entry->d_name);
        if (n < 0 || n >= (int)sizeof name || tracker_is_set_aside(name) ||
            strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (find_step(s, name, depth, &step))
            rc = add_candidate(s, step, name);
        else if (may_descend(s, name, depth))
            (void)list_folder(s, name, depth + 1); /* what is no folder, or not ours, has none */
    }
    (void)closedir(dir);
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

/* ---- tracker files ---- */

static void read_pointers(struct scan *s)
{
    for (unsigned i = 0; i < TRACKER_FORMATS; i++) {
        struct pointer *p = &s->pointers[i];
        const char *name = tracker_at(i)->pointer;
        size_t length;
        struct stat st;
        if (!(s->formats & 1u << i) || !name || fstatat(s->look.folder, name, &st, 0) < 0)
            continue;
        cleanup_free char *text =
            tracker_read_file(s->look.folder, name, TRACKER_POINTER_MAX, &length);
        p->state = POINTER_EMPTY;
        if (!text || !tracker_pointer_read(text, length, p->text))
            p->text[0] = '\0';
        else if (tracker_last_number(p->text, &p->step) || strcmp(p->text, "release") == 0)
            p->state = POINTER_STEP; /* Megatron's `release` comes before all iterations */
        else
            p->state = POINTER_NAME; /* a tag without a number */
    }
}

/* Saved to its end, as far as the tracker file can tell? Without one that can be read, a step was
 * when a later one was begun. */
static void ask_pointer(struct pointer *p, int64_t step, struct tracker_result *result)
{
    bool is_newest = !p->seen, is_whole = result->verdict == TRACKER_COMPLETE;
    p->seen = true;
    p->complete = p->complete || (is_whole && !result->proves_itself);
    if (p->state == POINTER_STEP && step == p->step)
        p->torn = !is_whole;
    bool is_saved = p->state == POINTER_STEP ? step <= p->step : !is_newest;
    if (p->state == POINTER_MISSING && result->proves_itself)
        is_saved = true;
    if (is_whole && !is_saved)
        result->verdict = TRACKER_TORN;
}

/* Does the entry that a tracker file names exist? */
static bool is_there(const struct scan *s, unsigned format, const char *text)
{
    char name[TRACKER_POINTER_MAX + 16];
    int64_t step = 0;
    struct stat st;
    if (format == TRACKER_MEGATRON && tracker_last_number(text, &step))
        (void)snprintf(name, sizeof name, "iter_%07lld", (long long)step);
    else
        (void)snprintf(name, sizeof name, "%s", text);
    return fstatat(s->look.folder, name, &st, 0) == 0;
}

static void tell_pointer(const struct scan *s, struct checkpoint_pointer *ret)
{
    for (unsigned i = 0; i < TRACKER_FORMATS; i++) {
        const struct pointer *p = &s->pointers[i];
        bool is_the_format = s->formats == 1u << i && p->state >= POINTER_NAME;
        if (!p->seen && !is_the_format)
            continue; /* nobody uses this format here */
        ret->format = (int32_t)i;
        memcpy(ret->text, p->text, sizeof ret->text);
        if (p->state == POINTER_MISSING && p->complete)
            ret->trouble = CHECKPOINT_POINTER_MISSING;
        else if (p->state == POINTER_EMPTY)
            ret->trouble = CHECKPOINT_POINTER_EMPTY;
        else if (p->state == POINTER_STEP && p->torn)
            ret->trouble = CHECKPOINT_POINTER_TORN;
        else if (p->state >= POINTER_NAME && !is_there(s, i, p->text))
            ret->trouble = CHECKPOINT_POINTER_NOWHERE;
        if (ret->trouble)
            return;
    }
}

/* ---- examining ---- */

static unsigned examine(struct scan *s, const struct candidate *c, struct tracker_result *result)
{
    int depth = strchr(c->name, '/') != NULL;
    for (unsigned i = 0; i < TRACKER_FORMATS; i++) {
        int64_t step;
        if (!format_matches(s, i, c->name, depth, &step))
            continue;
        tracker_at(i)->examine(&s->look, c->name, result);
        if (result->verdict == TRACKER_NOTHING)
            continue;
        if (tracker_at(i)->pointer)
            ask_pointer(&s->pointers[i], c->step, result);
        return i;
    }
    result->verdict = TRACKER_NOTHING;
    return TRACKER_FORMATS;
}

/* Appends a result when its whole name fits. */
static size_t add_found(struct checkpoint_found *found, size_t count, const char *before,
                        const char *after, const struct candidate *c, unsigned format,
                        const struct tracker_result *result)
{
    struct checkpoint_found *f = &found[count];
    memset(f, 0, sizeof *f); /* goes through a pipe: no bytes of chance */
    int n = snprintf(f->name, sizeof f->name, "%s%s%s", before, before[0] ? "/" : "", c->name);
    if (n < 0 || n >= (int)sizeof f->name)
        return count;
    f->entry = n;
    int m = snprintf(f->name + n, sizeof f->name - (size_t)n, "%s%s", after[0] ? "/" : "", after);
    if (m < 0 || m >= (int)sizeof f->name - n)
        return count;
    f->step = c->step;
    f->wall_ms = result->wall_ms;
    f->changed_ms = result->changed_ms;
    f->fingerprint = result->fingerprint;
    f->identity = result->identity;
    f->bytes = result->bytes;
    f->parts = result->parts;
    f->verdict = (int32_t)result->verdict;
    f->writing = result->writing;
    f->format = (int32_t)format;
    (void)snprintf(f->path, sizeof f->path, "%s", result->path);
    return count + 1;
}

/* A folder by a pattern has fewer files than the one before it: they may still be on their way, so
 * that what it proves by itself is not enough. */
static void doubt_smaller_folders(struct checkpoint_found *found, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count && found[i].verdict == TRACKER_COMPLETE &&
                               found[i].format == TRACKER_PATTERN;
             j++)
            if (found[j].verdict == TRACKER_COMPLETE && found[j].format == TRACKER_PATTERN) {
                if (found[j].parts > found[i].parts)
                    found[i].verdict = TRACKER_SETTLING;
                break;
            }
}

/* The file server's time: when a file that is made now was changed. 0 when it cannot be made. */
static int64_t ask_time(const struct checkpoint_scan_spec *spec, int32_t *ret_error)
{
    char path[PATH_MAX];
    struct stat st;
    int64_t time_ms = 0;
    int n = snprintf(path, sizeof path, "%s/" CHECKPOINT_MARKER_PREFIX "%s", spec->path,
                     spec->marker ? spec->marker : "");
    if (!spec->marker || n < 0 || n >= (int)sizeof path)
        return 0;
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd >= 0 && futimens(fd, NULL) == 0 && fstat(fd, &st) == 0)
        time_ms = (int64_t)st.st_ctim.tv_sec * 1000 + st.st_ctim.tv_nsec / 1000000;
    else
        *ret_error = errno;
    if (fd >= 0)
        (void)unlink(path);
    return time_ms;
}

static size_t examine_all(struct scan *s, const char *before, const char *after,
                          struct checkpoint_found *found)
{
    size_t count = 0, complete = 0;
    for (size_t i = 0; i < s->count && count < CHECKPOINT_SCAN_FOUND_MAX; i++) {
        struct tracker_result result;
        unsigned format = examine(s, &s->list[i], &result);
        if (result.verdict == TRACKER_NOTHING)
            continue;
        /* However many were cut, the newest complete ones are found behind them. */
        if (result.verdict == TRACKER_TORN &&
            CHECKPOINT_SCAN_FOUND_MAX - count <= RENDEZVOUS_CHECKPOINTS_MAX)
            continue;
        count = add_found(found, count, before, after, &s->list[i], format, &result);
        complete += result.verdict == TRACKER_COMPLETE;
        if (complete == RENDEZVOUS_CHECKPOINTS_MAX)
            break;
    }
    doubt_smaller_folders(found, count);
    return count;
}

int checkpoint_scan_look(const struct checkpoint_scan_spec *spec, struct checkpoint_answer *ret,
                         size_t *ret_count)
{
    char before[PATH_MAX], after[PATH_MAX];
    struct scan s = {.formats = tracker_formats(spec->format, spec->pattern)};
    if (!s.formats)
        return -EINVAL;
    cleanup_close int folder = open_folder(spec, before, after);
    if (folder < 0)
        return folder;
    struct tracker_writers writers = {0};
    s.look = (struct tracker_look){
        .pattern = spec->pattern, .folder = folder, .ranks = spec->ranks, .writers = &writers};
    size_t count = 0;
    int rc = list_folder(&s, "", 0);
    if (rc == 0) {
        if (s.count)
            qsort(s.list, s.count, sizeof *s.list, newest_first);
        read_pointers(&s);
        count = examine_all(&s, before, after, ret->found);
        tell_pointer(&s, &ret->pointer);
    }
    free(s.list);
    tracker_writers_release(&writers);
    for (size_t i = 0; i < count && !ret->marker_ms && !ret->marker_error; i++)
        if (ret->found[i].verdict == TRACKER_SETTLING)
            ret->marker_ms = ask_time(spec, &ret->marker_error);
    if (rc == 0)
        *ret_count = count;
    return rc;
}

/* ---- the child ---- */

static _Noreturn void be_child(const struct checkpoint_scan_spec *spec,
                               const struct checkpoint_repair *repair, int out, pid_t parent)
{
    struct checkpoint_answer answer = {0}; /* goes through a pipe: no bytes of chance */
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
    int error = 0;
    if (repair)
        answer.repaired = checkpoint_repair_do(spec, repair, &error);
    answer.repair_error = error;
    answer.error = -checkpoint_scan_look(spec, &answer, &count);
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

int checkpoint_scan_start(const struct checkpoint_scan_spec *spec,
                          const struct checkpoint_repair *repair, pid_t *ret_pid, int *ret_fd,
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
        be_child(spec, repair, ends[1], parent);
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
