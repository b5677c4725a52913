/* Builds and changes trees: nodes, values at paths, copies, comparison. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/path.h"

char *json_text_alloc(size_t size)
{
    char *text = cJSON_malloc(size);
    if (!text)
        abort();
    return text;
}

cJSON *json_string_node(char *owned)
{
    cJSON *node = json_must(cJSON_CreateNull());
    node->type = cJSON_String;
    node->valuestring = owned;
    return node;
}

void json_put(cJSON *object, const char *name, cJSON *value)
{
    cJSON *old = json_member(object, name);
    size_t size = strlen(name) + 1;
    char *copy = json_text_alloc(size);
    memcpy(copy, name, size);
    cJSON_free(value->string);
    value->string = copy;
    if (old)
        (void)cJSON_ReplaceItemViaPointer(object, old, value);
    else
        (void)cJSON_AddItemToArray(object, value);
}

/* The object that holds the last step of `path`, made when it is missing, and that step's name. */
static cJSON *make_parent(cJSON *root, const char *path, char **ret_name)
{
    struct json_step step;
    cJSON *at = root;
    char *name = NULL;
    while (json_path_next(&path, &step)) {
        if (name) {
            cJSON *next = json_member(at, name);
            if (!cJSON_IsObject(next)) {
                next = json_must(cJSON_CreateObject());
                json_put(at, name, next);
            }
            at = next;
            free(name);
        }
        name = mlt_strndup(step.name, step.length);
    }
    *ret_name = name;
    return at;
}

void json_set(cJSON *root, const char *path, cJSON *value)
{
    cleanup_free char *name = NULL;
    cJSON *parent = make_parent(root, path, &name);
    if (!name || !cJSON_IsObject(parent))
        abort(); /* an empty path or a root that is no object: a mistake in the program */
    json_put(parent, name, json_must(value));
}

void json_set_string(cJSON *root, const char *path, const char *value)
{
    if (value)
        json_set(root, path, cJSON_CreateString(value));
}

void json_set_integer(cJSON *root, const char *path, int64_t value)
{
    json_set(root, path, json_new_integer(value));
}

void json_set_bool(cJSON *root, const char *path, bool value)
{
    json_set(root, path, cJSON_CreateBool(value));
}

void json_set_null(cJSON *root, const char *path)
{
    json_set(root, path, cJSON_CreateNull());
}

void json_unset(cJSON *root, const char *path)
{
    struct json_step step;
    cJSON *at = root, *parent = NULL;
    while (at && json_path_next(&path, &step)) {
        parent = at;
        at = json_member_n(at, step.name, step.length);
    }
    if (at && parent)
        cJSON_Delete(cJSON_DetachItemViaPointer(parent, at));
}

cJSON *json_set_object(cJSON *root, const char *path)
{
    cJSON *found = json_find(root, path);
    if (cJSON_IsObject(found))
        return found;
    cJSON *made = json_must(cJSON_CreateObject());
    json_set(root, path, made);
    return made;
}

cJSON *json_set_array(cJSON *root, const char *path)
{
    cJSON *found = json_find(root, path);
    if (cJSON_IsArray(found))
        return found;
    cJSON *made = json_must(cJSON_CreateArray());
    json_set(root, path, made);
    return made;
}

void json_append(cJSON *array, cJSON *value)
{
    (void)cJSON_AddItemToArray(array, json_must(value));
}

void json_append_string(cJSON *array, const char *value)
{
    json_append(array, cJSON_CreateString(value));
}

cJSON *json_copy(const cJSON *node)
{
    return node ? json_must(cJSON_Duplicate(node, true)) : NULL;
}

int json_depth(const cJSON *node)
{
    int deepest = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        int depth = json_depth(item);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + 1;
}

size_t json_cost(const cJSON *node)
{
    /* About what a value costs as text at least; a node's memory is some times that. */
    size_t cost = 8;
    if (node->string)
        cost += strlen(node->string);
    if (node->valuestring)
        cost += strlen(node->valuestring);
    const cJSON *item;
    cJSON_ArrayForEach(item, node) cost += json_cost(item);
    return cost;
}
