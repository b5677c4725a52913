/* Finds members and descendants by name and path. */
#include "lib/json/path.h"

#include <string.h>

cJSON *json_member_n(const cJSON *object, const char *name, size_t length)
{
    if (!cJSON_IsObject(object))
        return NULL;
    for (cJSON *item = object->child; item; item = item->next) {
        if (strncmp(item->string, name, length) == 0 && item->string[length] == '\0')
            return item;
    }
    return NULL;
}

cJSON *json_member(const cJSON *object, const char *name)
{
    return json_member_n(object, name, strlen(name));
}

bool json_path_next(const char **path, struct json_step *step)
{
    const char *p = *path;
    if (*p == '\0')
        return false;
    if (*p == '[') {
        size_t length = strcspn(p + 1, "]");
        *step = (struct json_step){.name = p + 1, .length = length, .bracket = true};
        p += 1 + length;
        if (*p == ']')
            p++;
    } else {
        step->name = p;
        step->length = strcspn(p, ".[");
        step->bracket = false;
        p += step->length;
    }
    if (*p == '.')
        p++;
    *path = p;
    return true;
}

/* The item of an array; a step that is no number finds nothing. */
static cJSON *array_item(const cJSON *array, const struct json_step *step)
{
    int index = 0;
    if (step->length == 0 || step->length > 8)
        return NULL;
    for (size_t i = 0; i < step->length; i++) {
        if (step->name[i] < '0' || step->name[i] > '9')
            return NULL;
        index = index * 10 + (step->name[i] - '0');
    }
    return cJSON_GetArrayItem(array, index);
}

cJSON *json_find(const cJSON *node, const char *path)
{
    struct json_step step;
    const cJSON *at = node;
    while (at && json_path_next(&path, &step))
        at = cJSON_IsArray(at) ? array_item(at, &step) : json_member_n(at, step.name, step.length);
    /* The tree belongs to the caller, who decides whether it may be changed. */
    union {
        const cJSON *in;
        cJSON *out;
    } found = {.in = at};
    return found.out;
}

const char *json_string(const cJSON *node, const char *path, const char *fallback)
{
    const cJSON *found = json_find(node, path);
    return cJSON_IsString(found) ? found->valuestring : fallback;
}

int64_t json_integer(const cJSON *node, const char *path, int64_t fallback)
{
    int64_t value = fallback;
    return json_is_integer(json_find(node, path), &value) ? value : fallback;
}

double json_number(const cJSON *node, const char *path, double fallback)
{
    const cJSON *found = json_find(node, path);
    if (cJSON_IsRaw(found))
        return strtod(found->valuestring, NULL); /* digits only, so the locale does not matter */
    return cJSON_IsNumber(found) ? found->valuedouble : fallback;
}

bool json_bool(const cJSON *node, const char *path, bool fallback)
{
    const cJSON *found = json_find(node, path);
    return cJSON_IsBool(found) ? (bool)cJSON_IsTrue(found) : fallback;
}

size_t json_size(const cJSON *node, const char *path)
{
    const cJSON *found = json_find(node, path);
    if (!cJSON_IsObject(found) && !cJSON_IsArray(found))
        return 0;
    return (size_t)cJSON_GetArraySize(found);
}
