/* The list of trackers, and what they share: see tracker.h. */
#include "launcher/trackers/tracker.h"

#include <string.h>

#include "lib/base/cleanup.h"

const struct tracker *tracker_find(const char *format)
{
    static const struct tracker *const all[] = {&tracker_auto, &tracker_dcp, &tracker_pattern};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(all); i++)
        if (strcmp(all[i]->format, format) == 0)
            return all[i];
    return NULL;
}

static void hash(uint64_t *value, uint64_t data)
{
    /* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
    for (int i = 0; i < 8; i++, data >>= 8)
        *value = (*value ^ (data & 0xff)) * UINT64_C(1099511628211);
}

void tracker_add_part(struct tracker_result *result, const struct stat *st)
{
    if (result->fingerprint == 0)
        result->fingerprint = UINT64_C(14695981039346656037);
    hash(&result->fingerprint, (uint64_t)st->st_ino);
    hash(&result->fingerprint, (uint64_t)st->st_size);
    hash(&result->fingerprint, (uint64_t)st->st_mtim.tv_sec);
    hash(&result->fingerprint, (uint64_t)st->st_mtim.tv_nsec);
    int64_t wall_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    if (wall_ms > result->wall_ms)
        result->wall_ms = wall_ms;
}

bool tracker_last_number(const char *name, int64_t *ret_step)
{
    size_t end = strlen(name);
    while (end && (name[end - 1] < '0' || name[end - 1] > '9'))
        end--;
    size_t start = end;
    while (start && name[start - 1] >= '0' && name[start - 1] <= '9')
        start--;
    if (start == end)
        return false;
    int64_t value = 0;
    for (size_t i = start; i < end; i++) {
        if (value > (INT64_MAX - 9) / 10)
            return false;
        value = value * 10 + (name[i] - '0');
    }
    *ret_step = value;
    return true;
}
