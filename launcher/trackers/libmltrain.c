/* libmltrain's commit: the program itself says when a step is complete. See commit.h.
 *
 * Complete is a step whose record is whole, and whose files are there with the sizes that they had
 * then. The path is the one that was committed. A checkpoint that was deleted as a whole leaves its
 * record behind, which is nothing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/commit.h"
#include "lib/base/cleanup.h"

#define HEAD "mltrain-commit 1\n"

/* ---- reading ---- */

/* Takes "word REST\n" off the text: REST ends where *ret_end points to. */
static bool take_line(const char **at, const char *end, const char *word, const char **ret_rest,
                      const char **ret_end)
{
    size_t length = strlen(word);
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    if (!newline || (size_t)(newline - *at) <= length || memcmp(*at, word, length) != 0 ||
        (*at)[length] != ' ')
        return false;
    *ret_rest = *at + length + 1;
    *ret_end = newline;
    *at = newline + 1;
    return true;
}

static bool copy_path(char ret[TRACKER_PATH_MAX], const char *from, const char *end)
{
    size_t length = (size_t)(end - from);
    if (length == 0 || length >= TRACKER_PATH_MAX || memchr(from, '\0', length))
        return false;
    memcpy(ret, from, length);
    ret[length] = '\0';
    return true;
}

/* Digits that end at `end`, or at a space. */
static bool take_number(const char **at, const char *end, uint64_t *ret)
{
    int64_t value = 0;
    const char *digit = *at;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (*digit - '0');
    }
    bool found = digit > *at && (digit == end || *digit == ' ');
    *at = digit < end ? digit + 1 : digit;
    *ret = (uint64_t)value;
    return found;
}

bool commit_read(const char *text, size_t length, int64_t step, char ret_path[TRACKER_PATH_MAX],
                 bool (*each)(void *user, const char *path, uint64_t size), void *user)
{
    const char *at = text, *end = text + length, *rest, *stop;
    char path[TRACKER_PATH_MAX];
    uint64_t number, files = 0;
    if (length < strlen(HEAD) || memcmp(text, HEAD, strlen(HEAD)) != 0)
        return false;
    at += strlen(HEAD);
    if (!take_line(&at, end, "step", &rest, &stop) || !take_number(&rest, stop, &number) ||
        rest != stop || number != (uint64_t)step || !take_line(&at, end, "path", &rest, &stop) ||
        !copy_path(ret_path, rest, stop))
        return false;
    while (take_line(&at, end, "file", &rest, &stop)) {
        if (!take_number(&rest, stop, &number) || !copy_path(path, rest, stop) ||
            ++files > COMMIT_FILES_MAX || !each(user, path, number))
            return false;
    }
    return files && take_line(&at, end, "end", &rest, &stop) && take_number(&rest, stop, &number) &&
           rest == stop && number == files && at == end;
}

/* ---- the tracker ---- */

struct examination {
    int folder;
    struct tracker_result *result; /* whose path is known by now */
};

static bool check_file(void *user, const char *name, uint64_t size)
{
    const struct examination *e = user;
    char path[2 * TRACKER_PATH_MAX];
    struct stat st;
    bool is_single = strcmp(name, ".") == 0;
    (void)snprintf(path, sizeof path, "%s%s%s", e->result->path, is_single ? "" : "/",
                   is_single ? "" : name);
    if (fstatat(e->folder, path, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != size)
        return false;
    tracker_add_part(e->result, &st);
    return true;
}

static bool libmltrain_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    (void)look;
    if (strncmp(name, COMMIT_PREFIX, strlen(COMMIT_PREFIX)) != 0)
        return false;
    const char *rest = tracker_take_number(name + strlen(COMMIT_PREFIX), ret_step);
    return rest && !*rest;
}

static void libmltrain_examine(const struct tracker_look *look, const char *name,
                               struct tracker_result *ret)
{
    *ret = (struct tracker_result){.verdict = TRACKER_TORN};
    size_t length;
    int64_t step;
    struct examination e = {.folder = look->folder, .result = ret};
    struct stat st;
    cleanup_free char *text = tracker_read_file(look->folder, name, COMMIT_MAX, &length);
    if (text && libmltrain_match(look, name, &step) &&
        commit_read(text, length, step, ret->path, check_file, &e)) {
        ret->verdict = TRACKER_COMPLETE;
        ret->proves_itself = true;
    } else if (ret->path[0] && fstatat(look->folder, ret->path, &st, 0) < 0 && errno == ENOENT) {
        ret->verdict =
            TRACKER_NOTHING; /* somebody has deleted it; the record is all that is left */
    }
}

const struct tracker tracker_libmltrain = {.format = "libmltrain",
                                           .hidden = true,
                                           .match = libmltrain_match,
                                           .examine = libmltrain_examine};
