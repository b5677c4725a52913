/* Compares trees, and looks for names that stand twice. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/internal.h"

static bool equal_numbers(const cJSON *a, const cJSON *b)
{
    char text_a[JSON_NUMBER_TEXT_MAX], text_b[JSON_NUMBER_TEXT_MAX];
    if (cJSON_IsNumber(a) && cJSON_IsNumber(b))
        return a->valuedouble >= b->valuedouble && a->valuedouble <= b->valuedouble;
    const char *first = cJSON_IsRaw(a) ? a->valuestring : json_number_text(a, text_a);
    const char *second = cJSON_IsRaw(b) ? b->valuestring : json_number_text(b, text_b);
    return strcmp(first, second) == 0;
}

static bool equal_arrays(const cJSON *a, const cJSON *b)
{
    const cJSON *x = a->child, *y = b->child;
    while (x && y && json_equal(x, y)) {
        x = x->next;
        y = y->next;
    }
    return !x && !y;
}

static bool equal_objects(const cJSON *a, const cJSON *b)
{
    /* Objects mostly have the same order, so the other's next member is tried first. */
    const cJSON *expected = b->child;
    size_t count = 0;
    for (const cJSON *item = a->child; item; item = item->next, count++) {
        const cJSON *other = expected && strcmp(expected->string, item->string) == 0
                                 ? expected
                                 : json_member(b, item->string);
        if (!other || !json_equal(item, other))
            return false;
        expected = other->next;
    }
    return count == json_size(b, "");
}

static bool is_numeric(const cJSON *node)
{
    return cJSON_IsNumber(node) || cJSON_IsRaw(node);
}

bool json_equal(const cJSON *a, const cJSON *b)
{
    if (!a || !b)
        return !a && !b;
    if (is_numeric(a) && is_numeric(b))
        return equal_numbers(a, b);
    if ((a->type & 0xFF) != (b->type & 0xFF))
        return false;
    if (cJSON_IsString(a))
        return strcmp(a->valuestring, b->valuestring) == 0;
    if (cJSON_IsArray(a))
        return equal_arrays(a, b);
    if (cJSON_IsObject(a))
        return equal_objects(a, b);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *json_duplicate(const cJSON *object)
{
    size_t count = json_size(object, ""), i = 0;
    cleanup_free const char **names = mlt_calloc(count + 1, sizeof *names);
    for (const cJSON *item = object->child; item; item = item->next)
        names[i++] = item->string;
    qsort(names, count, sizeof *names, by_name);
    for (i = 1; i < count; i++) {
        if (strcmp(names[i - 1], names[i]) == 0)
            return names[i];
    }
    return NULL;
}
