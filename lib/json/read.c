/* Reads members with a check and a message that a user understands: path, expectation, what came.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/internal.h"

#define GOT_MAX 60    /* bytes that describe a wrong value */
#define PLACE_MAX 300 /* bytes of a path in a message */

struct place {
    char path[PLACE_MAX];
};

/* where.name, or where[name] for names that would break the path. */
static struct place place_of(const char *where, const char *name)
{
    struct place place;
    bool bracket = name[strcspn(name, ".[]/")] != '\0';
    const char *before = bracket ? "[" : (where[0] ? "." : "");
    (void)snprintf(place.path, sizeof place.path, "%s%s%s%s", where, before, name,
                   bracket ? "]" : "");
    return place;
}

static const char *describe(const cJSON *node, char *got)
{
    if (cJSON_IsObject(node))
        return "an object";
    if (cJSON_IsArray(node))
        return "a list";
    if (cJSON_IsNull(node))
        return "null";
    cleanup_free char *text = json_print(node);
    size_t length = strlen(text);
    if (length < GOT_MAX)
        memcpy(got, text, length + 1);
    else
        (void)snprintf(got, GOT_MAX, "%.50s...", text);
    return got;
}

int json_refuse(const cJSON *got, const char *path, const char *expected, struct mlt_error *err)
{
    char text[GOT_MAX];
    return mlt_fail(err, EINVAL, "%s: expected %s, got %s", path, expected, describe(got, text));
}

static int fail_expected(const char *where, const char *name, const cJSON *got,
                         struct mlt_error *err, const char *expected)
{
    return json_refuse(got, place_of(where, name).path, expected, err);
}

/* 1 and the member, 0 when absent or null, -EINVAL when `object` is something else. */
static int member(const cJSON *object, const char *where, const char *name, const cJSON **ret,
                  struct mlt_error *err)
{
    char text[GOT_MAX];
    if (!object)
        return 0;
    if (!cJSON_IsObject(object))
        return mlt_fail(err, EINVAL, "%s: expected an object, got %s",
                        where[0] ? where : "document", describe(object, text));
    const cJSON *found = json_member(object, name);
    if (!found || cJSON_IsNull(found))
        return 0;
    *ret = found;
    return 1;
}

int json_read_string(const cJSON *object, const char *where, const char *name, size_t max_length,
                     const char **ret, struct mlt_error *err)
{
    const cJSON *found = NULL;
    int rc = member(object, where, name, &found, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsString(found))
        return fail_expected(where, name, found, err, "a string");
    size_t length = strlen(found->valuestring);
    if (length > max_length)
        return mlt_fail(err, EINVAL, "%s: expected at most %zu characters, got %zu",
                        place_of(where, name).path, max_length, length);
    *ret = found->valuestring;
    return 1;
}

int json_read_integer(const cJSON *object, const char *where, const char *name, int64_t min,
                      int64_t max, int64_t *ret, struct mlt_error *err)
{
    const cJSON *found = NULL;
    int64_t value;
    int rc = member(object, where, name, &found, err);
    if (rc <= 0)
        return rc;
    if (!json_is_integer(found, &value) || value < min || value > max) {
        char expected[80];
        (void)snprintf(expected, sizeof expected, "a whole number from %lld to %lld",
                       (long long)min, (long long)max);
        return fail_expected(where, name, found, err, expected);
    }
    *ret = value;
    return 1;
}

int json_read_bool(const cJSON *object, const char *where, const char *name, bool *ret,
                   struct mlt_error *err)
{
    const cJSON *found = NULL;
    int rc = member(object, where, name, &found, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsBool(found))
        return fail_expected(where, name, found, err, "true or false");
    *ret = cJSON_IsTrue(found);
    return 1;
}

int json_read_object(const cJSON *object, const char *where, const char *name, const cJSON **ret,
                     struct mlt_error *err)
{
    const cJSON *found = NULL;
    int rc = member(object, where, name, &found, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsObject(found))
        return fail_expected(where, name, found, err, "an object");
    *ret = found;
    return 1;
}

int json_read_array(const cJSON *object, const char *where, const char *name, size_t max_items,
                    const cJSON **ret, struct mlt_error *err)
{
    const cJSON *found = NULL;
    int rc = member(object, where, name, &found, err);
    if (rc <= 0)
        return rc;
    if (!cJSON_IsArray(found))
        return fail_expected(where, name, found, err, "a list");
    size_t count = json_size(found, "");
    if (count > max_items)
        return mlt_fail(err, EINVAL, "%s: expected at most %zu items, got %zu",
                        place_of(where, name).path, max_items, count);
    *ret = found;
    return 1;
}

int json_refuse_unknown(const cJSON *object, const char *where, const char *const *known,
                        size_t count, struct mlt_error *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        size_t i = 0;
        while (i < count && strcmp(known[i], item->string) != 0)
            i++;
        if (i == count)
            return mlt_fail(err, EINVAL, "%s: unknown field", place_of(where, item->string).path);
    }
    return 0;
}
