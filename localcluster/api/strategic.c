/* Strategic merge patches: see strategic.h. */
#include "localcluster/api/strategic.h"

#include <errno.h>
#include <string.h>
#include "lib/base/cleanup.h"

#define ORDER "$setElementOrder/"
#define DELETE_PRIMITIVE "$deleteFromPrimitiveList/"

static int patch_object(const cJSON *schema, cJSON *tree, const cJSON *patch,
                        struct mlt_error *err);

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The schema of a member; NULL when it is not known (then everything is replaced). */
static const cJSON *member_of(const cJSON *schema, const char *name)
{
    const cJSON *property = json_member(json_member(schema, "properties"), name);
    if (property)
        return property;
    const cJSON *additional = json_member(schema, "additionalProperties");
    return cJSON_IsObject(additional) ? additional : NULL;
}

static void put(cJSON *object, const char *name, cJSON *value)
{
    if (json_member(object, name))
        cJSON_ReplaceItemInObjectCaseSensitive(object, name, value);
    else
        cJSON_AddItemToObject(object, name, value);
}

/* Values for an object that did not exist: directives say what to do to something that is not
 * there. */
static void strip_directives(cJSON *node)
{
    cJSON *next = NULL;
    for (cJSON *child = node->child; child; child = next) {
        next = child->next;
        bool directive =
            child->string && child->string[0] == '$' &&
            (has_prefix(child->string, ORDER) || has_prefix(child->string, DELETE_PRIMITIVE) ||
             strcmp(child->string, "$patch") == 0 || strcmp(child->string, "$retainKeys") == 0);
        const char *order = cJSON_IsArray(node) ? json_string(child, "$patch", "") : "";
        bool deleted = strcmp(order, "delete") == 0 ||
                       (strcmp(order, "replace") == 0 && cJSON_GetArraySize(child) == 1);
        bool null = cJSON_IsObject(node) && cJSON_IsNull(child);
        if (directive || deleted || null)
            cJSON_Delete(cJSON_DetachItemViaPointer(node, child));
        else
            strip_directives(child);
    }
}

static cJSON *plain_copy(const cJSON *patch)
{
    cJSON *copy = json_copy(patch);
    strip_directives(copy);
    return copy;
}

static cJSON *find_by_key(const cJSON *list, const char *key, const cJSON *value)
{
    cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *own = json_member(item, key);
        if (own && json_equal(own, value))
            return item;
    }
    return NULL;
}

static int patch_item(const cJSON *schema, cJSON *list, const char *key, const cJSON *patch,
                      struct mlt_error *err)
{
    const cJSON *value = json_member(patch, key);
    const char *directive = json_string(patch, "$patch", "");
    if (strcmp(directive, "replace") == 0 && cJSON_GetArraySize(patch) == 1)
        return 0; /* the whole list is replaced: patch_list() has seen to it */
    if (!value)
        return mlt_fail(err, EINVAL, "map: %s does not contain declared merge key: %s",
                        "item of a list", key);
    cJSON *own = find_by_key(list, key, value);
    if (strcmp(directive, "delete") == 0) {
        if (own)
            cJSON_Delete(cJSON_DetachItemViaPointer(list, own));
        return 0;
    }
    if (!own) {
        json_append(list, plain_copy(patch));
        return 0;
    }
    if (strcmp(directive, "replace") == 0) {
        cJSON_ReplaceItemViaPointer(list, own, plain_copy(patch));
        return 0;
    }
    return patch_object(schema, own, patch, err);
}

static bool replaces_list(const cJSON *patch)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, patch)
    {
        if (cJSON_IsObject(item) && cJSON_GetArraySize(item) == 1 &&
            strcmp(json_string(item, "$patch", ""), "replace") == 0)
            return true;
    }
    return false;
}

static bool has_value(const cJSON *list, const cJSON *value)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (json_equal(item, value))
            return true;
    }
    return false;
}

/* A list member: merged by key, united as a set, or replaced. */
static int patch_list(const cJSON *schema, cJSON *tree, const cJSON *patch, struct mlt_error *err)
{
    const char *name = patch->string;
    const char *strategy = json_string(schema, "x-kubernetes-patch-strategy", "");
    const char *key = json_string(schema, "x-kubernetes-patch-merge-key", NULL);
    cJSON *own = json_member(tree, name);
    if (!strstr(strategy, "merge") || !cJSON_IsArray(own) || replaces_list(patch)) {
        cJSON *copy = plain_copy(patch);
        put(tree, name, copy);
        return 0;
    }
    const cJSON *item, *items = json_member(schema, "items");
    cJSON_ArrayForEach(item, patch)
    {
        if (!key) {
            if (!has_value(own, item))
                json_append(own, json_copy(item));
            continue;
        }
        if (!cJSON_IsObject(item))
            return mlt_fail(err, EINVAL, "%s: an item is not an object", name);
        int rc = patch_item(items, own, key, item, err);
        if (rc < 0)
            return mlt_fail_in(err, "%s", name);
    }
    return 0;
}

/* $setElementOrder/NAME: the items named there in that order; what is not named keeps its
 * neighbours. */
static void set_order(const cJSON *schema, cJSON *tree, const cJSON *order)
{
    const char *name = order->string + strlen(ORDER);
    const char *key = json_string(member_of(schema, name), "x-kubernetes-patch-merge-key", NULL);
    cJSON *list = json_member(tree, name), *sorted = cJSON_CreateArray(), *found;
    if (!cJSON_IsArray(list)) {
        cJSON_Delete(sorted);
        return;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, order)
    {
        found = NULL;
        if (key) {
            const cJSON *value = json_member(item, key);
            found = value ? find_by_key(list, key, value) : NULL;
        } else {
            for (found = list->child; found && !json_equal(found, item);)
                found = found->next;
        }
        if (found)
            cJSON_AddItemToArray(sorted, cJSON_DetachItemViaPointer(list, found));
    }
    while (list->child) /* set by somebody else: at the end */
        cJSON_AddItemToArray(sorted, cJSON_DetachItemViaPointer(list, list->child));
    put(tree, name, sorted);
}

static void delete_primitives(cJSON *tree, const cJSON *directive)
{
    cJSON *list = json_member(tree, directive->string + strlen(DELETE_PRIMITIVE)), *next = NULL;
    for (cJSON *item = list ? list->child : NULL; item; item = next) {
        next = item->next;
        if (has_value(directive, item))
            cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
    }
}

static void retain_keys(cJSON *tree, const cJSON *keys)
{
    cJSON *next = NULL;
    for (cJSON *member = tree->child; member; member = next) {
        next = member->next;
        cleanup_json cJSON *name = cJSON_CreateString(member->string);
        if (!has_value(keys, name))
            cJSON_Delete(cJSON_DetachItemViaPointer(tree, member));
    }
}

static int patch_member(const cJSON *schema, cJSON *tree, const cJSON *patch, struct mlt_error *err)
{
    const char *name = patch->string;
    const cJSON *child = member_of(schema, name);
    cJSON *own = json_member(tree, name);
    if (cJSON_IsNull(patch)) {
        cJSON_DeleteItemFromObjectCaseSensitive(tree, name);
        return 0;
    }
    if (cJSON_IsArray(patch))
        return patch_list(child, tree, patch, err);
    if (cJSON_IsObject(patch) && cJSON_IsObject(own)) {
        int rc = patch_object(child, own, patch, err);
        return rc < 0 ? mlt_fail_in(err, "%s", name) : 0;
    }
    if (cJSON_IsObject(patch) && strcmp(json_string(patch, "$patch", ""), "delete") == 0) {
        cJSON_DeleteItemFromObjectCaseSensitive(tree, name);
        return 0;
    }
    put(tree, name, cJSON_IsObject(patch) ? plain_copy(patch) : json_copy(patch));
    return 0;
}

static int patch_object(const cJSON *schema, cJSON *tree, const cJSON *patch, struct mlt_error *err)
{
    const char *directive = json_string(patch, "$patch", "");
    const cJSON *member, *keys = json_member(patch, "$retainKeys");
    if (strcmp(directive, "replace") == 0 || strcmp(directive, "delete") == 0) {
        while (tree->child)
            cJSON_Delete(cJSON_DetachItemViaPointer(tree, tree->child));
        if (strcmp(directive, "delete") == 0)
            return 0;
    } else if (directive[0] && strcmp(directive, "merge") != 0) {
        return mlt_fail(err, EINVAL, "unknown directive $patch: %.64s", directive);
    }
    cJSON_ArrayForEach(member, patch)
    {
        if (has_prefix(member->string, DELETE_PRIMITIVE))
            delete_primitives(tree, member);
    }
    cJSON_ArrayForEach(member, patch)
    {
        if (member->string[0] == '$' &&
            (strcmp(member->string, "$patch") == 0 || strcmp(member->string, "$retainKeys") == 0 ||
             has_prefix(member->string, ORDER) || has_prefix(member->string, DELETE_PRIMITIVE)))
            continue;
        int rc = patch_member(schema, tree, member, err);
        if (rc < 0)
            return rc;
    }
    if (cJSON_IsArray(keys))
        retain_keys(tree, keys);
    cJSON_ArrayForEach(member, patch)
    {
        if (has_prefix(member->string, ORDER))
            set_order(schema, tree, member);
    }
    return 0;
}

int api_strategic_patch(const cJSON *schema, cJSON *tree, const cJSON *patch, struct mlt_error *err)
{
    if (!cJSON_IsObject(tree) || !cJSON_IsObject(patch))
        return mlt_fail(err, EINVAL, "a strategic merge patch is an object, as is what it changes");
    return patch_object(schema, tree, patch, err);
}
