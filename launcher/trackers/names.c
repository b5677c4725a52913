/* Names of checkpoints and of their parts: the pure half of tracker.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/trackers/tracker.h"

const char *tracker_take_number(const char *text, int64_t *ret)
{
    int64_t value = 0;
    const char *digit = text;
    for (; isdigit((unsigned char)*digit); digit++) {
        if (value > (INT64_MAX - 9) / 10)
            return NULL;
        value = value * 10 + (*digit - '0');
    }
    *ret = value;
    return digit == text ? NULL : digit;
}

bool tracker_last_number(const char *name, int64_t *ret_step)
{
    size_t end = strlen(name);
    while (end && !isdigit((unsigned char)name[end - 1]))
        end--;
    size_t start = end;
    while (start && isdigit((unsigned char)name[start - 1]))
        start--;
    return start < end && tracker_take_number(name + start, ret_step);
}

bool tracker_ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

bool tracker_is_temporary(const char *name)
{
    return tracker_ends_with(name, ".tmp") || tracker_ends_with(name, ".partial");
}

bool tracker_is_set_aside(const char *name)
{
    int64_t attempt;
    const char *end = strstr(name, ".torn-");
    for (const char *next = end; next; next = strstr(end + 1, ".torn-"))
        end = next;
    const char *rest = end ? tracker_take_number(end + strlen(".torn-"), &attempt) : NULL;
    return rest && !*rest;
}

bool tracker_fit(const char *form, const char *name, int64_t numbers[TRACKER_FORM_NUMBERS])
{
    unsigned count = 0;
    for (; *form; form++) {
        if (*form != '#') {
            if (*name++ != *form)
                return false;
            continue;
        }
        if (count == TRACKER_FORM_NUMBERS)
            return false;
        name = tracker_take_number(name, &numbers[count]);
        if (!name || numbers[count] >= TRACKER_RANKS_MAX)
            return false;
        count++;
    }
    return !*name;
}

/* ---- worlds ---- */

void tracker_ranks_add(struct tracker_ranks *r, const int64_t *numbers, unsigned dimensions)
{
    if (r->dimensions && r->dimensions != dimensions) {
        r->failed = true; /* two forms of names at once: no world */
        return;
    }
    r->dimensions = dimensions;
    if (r->count == r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 64;
        int64_t *seen = realloc(r->seen, capacity * dimensions * sizeof *seen);
        if (!seen) {
            r->failed = true;
            return;
        }
        r->seen = seen;
        r->capacity = capacity;
    }
    memcpy(r->seen + r->count++ * dimensions, numbers, dimensions * sizeof *numbers);
}

/* Is each tuple there that the sizes allow? `expected` of them, one for each bit. */
static bool all_differ(const struct tracker_ranks *r, const int64_t *sizes, size_t expected)
{
    uint8_t *seen = calloc(expected, 1);
    bool differ = seen != NULL;
    for (size_t i = 0; i < r->count && differ; i++) {
        size_t place = 0;
        for (unsigned d = 0; d < r->dimensions; d++)
            place = place * (size_t)sizes[d] + (size_t)r->seen[i * r->dimensions + d];
        differ = !seen[place];
        seen[place] = 1;
    }
    free(seen);
    return differ;
}

bool tracker_ranks_are_whole(const struct tracker_ranks *r,
                             const int64_t sizes[TRACKER_FORM_NUMBERS])
{
    uint64_t expected = 1;
    int64_t full[TRACKER_FORM_NUMBERS];
    if (r->failed || r->count == 0)
        return false;
    for (unsigned d = 0; d < r->dimensions; d++) {
        int64_t largest = 0;
        for (size_t i = 0; i < r->count; i++)
            if (r->seen[i * r->dimensions + d] > largest)
                largest = r->seen[i * r->dimensions + d];
        full[d] = sizes[d] > 0 ? sizes[d] : largest + 1;
        if (largest >= full[d] || __builtin_mul_overflow(expected, (uint64_t)full[d], &expected) ||
            expected > r->count)
            return false;
    }
    return r->count == expected && all_differ(r, full, r->count);
}

void tracker_ranks_release(struct tracker_ranks *r)
{
    free(r->seen);
    *r = (struct tracker_ranks){0};
}

/* ---- tracker files ---- */

bool tracker_pointer_read(const char *text, size_t length, char ret[TRACKER_POINTER_MAX + 1])
{
    while (length && isspace((unsigned char)*text)) {
        text++;
        length--;
    }
    while (length && isspace((unsigned char)text[length - 1]))
        length--;
    if (length == 0 || length > TRACKER_POINTER_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == '/' || text[i] == 127)
            return false;
    memcpy(ret, text, length);
    ret[length] = '\0';
    return true;
}
