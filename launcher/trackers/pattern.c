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

/* ---- names ---- */

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
            const char *after = tracker_take_number(name, step);
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

bool tracker_pattern_match(const char *pattern, const char *name, int64_t *ret_step)
{
    int64_t step = -1;
    if (tracker_is_temporary(name) || !match_all(pattern, name, &step) || step < 0)
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

/* ---- files ---- */

struct examination {
    const struct tracker_look *look;
    struct tracker_result *result;
    int depth;
};

static bool add_entry(void *user, int folder, const char *name);

static void add_folder(struct examination *e, int parent, const char *name)
{
    cleanup_close int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || ++e->depth > TRACKER_DEPTH_MAX || tracker_each_name(folder, add_entry, e) < 0)
        e->result->verdict = TRACKER_TORN;
    e->depth--;
}

static bool add_entry(void *user, int folder, const char *name)
{
    struct examination *e = user;
    struct stat st;
    if (tracker_is_temporary(name) || fstatat(folder, name, &st, 0) < 0) {
        e->result->verdict = TRACKER_TORN; /* something is still being written */
    } else if (S_ISDIR(st.st_mode)) {
        add_folder(e, folder, name);
    } else if (S_ISREG(st.st_mode)) {
        enum tracker_verdict verdict = tracker_add_file(e->look, folder, name, e->result);
        if (verdict < e->result->verdict)
            e->result->verdict = verdict;
    }
    return e->result->verdict != TRACKER_TORN;
}

static bool pattern_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    char before[PATH_SIZE], component[PATH_SIZE], after[PATH_SIZE];
    return tracker_pattern_split(look->pattern, before, component, after, PATH_SIZE) &&
           tracker_pattern_match(component, name, ret_step);
}

static void pattern_examine(const struct tracker_look *look, const char *name,
                            struct tracker_result *ret)
{
    char before[PATH_SIZE], component[PATH_SIZE], after[PATH_SIZE], path[2 * PATH_SIZE];
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    if (!tracker_pattern_split(look->pattern, before, component, after, PATH_SIZE))
        return;
    int n = snprintf(path, sizeof path, "%s%s%s", name, after[0] ? "/" : "", after);
    ret->verdict = TRACKER_COMPLETE; /* until a part says otherwise */
    struct examination e = {.look = look, .result = ret};
    if (n < 0 || n >= (int)sizeof path)
        ret->verdict = TRACKER_TORN;
    else
        (void)add_entry(&e, look->folder, path);
    if (ret->parts == 0)
        ret->verdict = TRACKER_TORN; /* an empty folder */
}

const struct tracker tracker_pattern = {
    .format = "pattern", .match = pattern_match, .examine = pattern_examine};
