/* Checkpoints by the job's own pattern, as `ckpt-{step}.pt`: a file or a folder a step.
 *
 * torch.save writes zip files, whose end record proves that they are whole. Other files prove
 * nothing: they count once they have not changed for a while and nobody has them open for writing,
 * which the caller judges over several looks (TRACKER_SETTLING). */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

#define STEP "{step}"
#define PATH_SIZE 4096
#define FILES_MAX 65536 /* of one checkpoint folder; more and it counts as torn */
#define DEPTH_MAX 8     /* of folders within it */

/* ---- names ---- */

/* Digits at `name` as a step: the place after them, NULL when there are none or too many. */
static const char *take_step(const char *name, int64_t *step)
{
    int64_t value = 0;
    const char *digit = name;
    for (; isdigit((unsigned char)*digit); digit++) {
        if (value > (INT64_MAX - 9) / 10)
            return NULL;
        value = value * 10 + (*digit - '0');
    }
    *step = value;
    return digit == name ? NULL : digit;
}

/* Only the last star is ever widened: a later one can take up whatever an earlier one gives away,
 * and {step} takes all digits from wherever it starts. So the work is at most length x length. */
static bool match_all(const char *pattern, const char *name, int64_t *step)
{
    const char *star = NULL, *widened = NULL;
    for (;;) {
        bool fits = false;
        if (*pattern == '*') {
            star = ++pattern;
            widened = name;
            continue;
        }
        if (!*pattern && !*name)
            return true;
        if (strncmp(pattern, STEP, sizeof STEP - 1) == 0) {
            const char *after = take_step(name, step);
            fits = after != NULL;
            name = fits ? after : name;
            pattern += fits ? sizeof STEP - 1 : 0;
        } else if (*pattern && *name && (*pattern == '?' || *pattern == *name)) {
            fits = true;
            pattern++;
            name++;
        }
        if (fits)
            continue;
        if (!star || !*widened)
            return false;
        pattern = star;
        name = ++widened;
    }
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_temporary(const char *name)
{
    return ends_with(name, ".tmp") || ends_with(name, ".partial");
}

bool tracker_pattern_match(const char *pattern, const char *name, int64_t *ret_step)
{
    int64_t step = -1;
    if (is_temporary(name) || !match_all(pattern, name, &step) || step < 0)
        return false;
    *ret_step = step;
    return true;
}

static bool copy_part(char *to, size_t size, const char *from, size_t length)
{
    if (length >= size)
        return false;
    memcpy(to, from, length);
    to[length] = '\0';
    return true;
}

bool tracker_pattern_split(const char *pattern, char *before, char *component, char *after,
                           size_t size)
{
    const char *step = strstr(pattern, STEP);
    if (!step || strstr(step + 1, STEP))
        return false;
    int stars = 0;
    for (const char *c = pattern; *c; c++)
        stars += *c == '*';
    const char *start = step;
    while (start > pattern && start[-1] != '/')
        start--;
    const char *end = step + strcspn(step, "/");
    const char *rest = *end ? end + 1 : end;
    return stars <= TRACKER_PATTERN_STARS_MAX &&
           copy_part(before, size, pattern, start > pattern ? (size_t)(start - 1 - pattern) : 0) &&
           copy_part(component, size, start, (size_t)(end - start)) &&
           copy_part(after, size, rest, strlen(rest));
}

/* ---- zip ---- */

static uint64_t little_endian(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* The directory's end by the zip64 record, which a locator right before `end` points to. */
static bool zip64_is_whole(const unsigned char *tail, size_t end, uint64_t tail_offset)
{
    if (end < 20 || memcmp(tail + end - 20, "PK\6\7", 4) != 0)
        return false;
    uint64_t at = little_endian(tail + end - 20 + 8, 8);
    if (at < tail_offset || at - tail_offset > end - 20 || end - 20 - (at - tail_offset) < 56)
        return false;
    const unsigned char *record = tail + (at - tail_offset);
    if (memcmp(record, "PK\6\6", 4) != 0)
        return false;
    uint64_t size = little_endian(record + 40, 8), offset = little_endian(record + 48, 8);
    return size <= at && offset <= at - size;
}

bool tracker_zip_is_whole(const unsigned char *tail, size_t length, uint64_t size)
{
    if (length < 22 || size < length)
        return false;
    uint64_t tail_offset = size - length;
    for (size_t at = length - 22 + 1; at-- > 0;) {
        const unsigned char *end = tail + at;
        if (memcmp(end, "PK\5\6", 4) != 0 || at + 22 + little_endian(end + 20, 2) != length)
            continue;
        uint64_t directory = little_endian(end + 12, 4), offset = little_endian(end + 16, 4);
        uint64_t position = tail_offset + at;
        bool needs_64 = directory == UINT32_MAX || offset == UINT32_MAX ||
                        little_endian(end + 10, 2) == UINT16_MAX;
        if (needs_64 ? zip64_is_whole(tail, at, tail_offset)
                     : directory <= position && offset <= position - directory)
            return true;
    }
    return false;
}

/* ---- files ---- */

static enum tracker_verdict examine_file(int fd, const struct stat *st)
{
    unsigned char head[4];
    if (st->st_size == 0)
        return TRACKER_TORN;
    if (pread(fd, head, sizeof head, 0) != sizeof head || memcmp(head, "PK\3\4", 4) != 0)
        return TRACKER_SETTLING;
    size_t length = st->st_size < TRACKER_ZIP_TAIL ? (size_t)st->st_size : TRACKER_ZIP_TAIL;
    cleanup_free unsigned char *tail = malloc(length);
    if (!tail || pread(fd, tail, length, st->st_size - (off_t)length) != (ssize_t)length)
        return TRACKER_TORN;
    return tracker_zip_is_whole(tail, length, (uint64_t)st->st_size) ? TRACKER_COMPLETE
                                                                     : TRACKER_TORN;
}

/* Does some process that /proc shows have this file open for writing? */
static bool is_open_for_writing(const struct stat *file)
{
    DIR *proc = opendir("/proc");
    bool found = false;
    for (struct dirent *p = proc ? readdir(proc) : NULL; p && !found; p = readdir(proc)) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%.20s/fd", p->d_name);
        DIR *fds = isdigit((unsigned char)p->d_name[0]) ? opendir(path) : NULL;
        for (struct dirent *f = fds ? readdir(fds) : NULL; f && !found; f = readdir(fds)) {
            struct stat st, link;
            /* The link's own mode says how it was opened: proc(5), /proc/pid/fd. */
            found = fstatat(dirfd(fds), f->d_name, &st, 0) == 0 && st.st_ino == file->st_ino &&
                    st.st_dev == file->st_dev &&
                    fstatat(dirfd(fds), f->d_name, &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                    (link.st_mode & S_IWUSR);
        }
        if (fds)
            (void)closedir(fds);
    }
    if (proc)
        (void)closedir(proc);
    return found;
}

static void add_file(int fd, const struct stat *st, struct tracker_result *ret)
{
    enum tracker_verdict verdict = examine_file(fd, st);
    tracker_add_part(ret, st);
    if (verdict == TRACKER_SETTLING && !ret->writing)
        ret->writing = is_open_for_writing(st);
    if (verdict < ret->verdict)
        ret->verdict = verdict;
}

struct examination {
    struct tracker_result *result;
    size_t files;
};

static void add_folder(int parent, const char *name, int depth, struct examination *e);

static void add_entry(int folder, const char *name, int depth, struct examination *e)
{
    struct stat st;
    cleanup_close int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || ++e->files > FILES_MAX || depth > DEPTH_MAX) {
        e->result->verdict = TRACKER_TORN;
        return;
    }
    if (S_ISDIR(st.st_mode))
        add_folder(folder, name, depth, e);
    else if (S_ISREG(st.st_mode))
        add_file(fd, &st, e->result);
}

static void add_folder(int parent, const char *name, int depth, struct examination *e)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0)
            (void)close(fd);
        e->result->verdict = TRACKER_TORN;
        return;
    }
    for (struct dirent *entry = readdir(dir); entry && e->result->verdict != TRACKER_TORN;
         entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (is_temporary(entry->d_name))
            e->result->verdict = TRACKER_TORN; /* something is still being written */
        else
            add_entry(fd, entry->d_name, depth + 1, e);
    }
    (void)closedir(dir);
}

static bool pattern_match(const char *pattern, const char *name, int64_t *ret_step)
{
    char before[PATH_SIZE], component[PATH_SIZE], after[PATH_SIZE];
    return tracker_pattern_split(pattern, before, component, after, PATH_SIZE) &&
           tracker_pattern_match(component, name, ret_step);
}

static void pattern_examine(const char *pattern, int folder, const char *name,
                            struct tracker_result *ret)
{
    char before[PATH_SIZE], component[PATH_SIZE], after[PATH_SIZE], path[2 * PATH_SIZE];
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    if (!tracker_pattern_split(pattern, before, component, after, PATH_SIZE))
        return;
    int n = snprintf(path, sizeof path, "%s%s%s", name, after[0] ? "/" : "", after);
    ret->verdict = TRACKER_COMPLETE; /* until a part says otherwise */
    struct examination e = {.result = ret};
    if (n < 0 || n >= (int)sizeof path)
        ret->verdict = TRACKER_TORN;
    else
        add_entry(folder, path, 0, &e);
    if (ret->fingerprint == 0)
        ret->verdict = TRACKER_TORN; /* an empty folder */
}

const struct tracker tracker_pattern = {
    .format = "pattern", .match = pattern_match, .examine = pattern_examine};
