/* JSON patches, RFC 6902, and their pointers, RFC 6901: all operations or none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/internal.h"

/* Where an operation points: the container and the last step; no container for the whole document.
 */
struct pointer {
    cJSON *parent;
    char *name; /* unescaped */
    int depth;  /* steps */
};

#define cleanup_pointer __attribute__((cleanup(pointer_release)))
static void pointer_release(struct pointer *pointer)
{
    free(pointer->name);
}

/* One step of a pointer, `~1` and `~0` undone; the step ends at the next `/`. */
static char *unescape(const char *step, size_t length)
{
    char *out = mlt_strndup(step, length);
    char *to = out;
    for (const char *from = out; *from; from++, to++) {
        *to = *from;
        if (from[0] == '~' && (from[1] == '0' || from[1] == '1'))
            *to = *++from == '0' ? '~' : '/';
    }
    *to = '\0';
    return out;
}

/* An index in RFC 6901's form: no sign, no leading zero; at most `max`. -1 otherwise. */
static int index_of(const char *text, int max)
{
    size_t length = strspn(text, "0123456789");
    if (length == 0 || length > 8 || text[length] != '\0' || (text[0] == '0' && length > 1))
        return -1;
    int index = 0;
    for (size_t i = 0; i < length; i++)
        index = index * 10 + (text[i] - '0');
    return index <= max ? index : -1;
}

static cJSON *child_of(cJSON *parent, const char *name)
{
    if (!cJSON_IsArray(parent))
        return json_member(parent, name);
    int index = index_of(name, cJSON_GetArraySize(parent));
    return index < 0 ? NULL : cJSON_GetArrayItem(parent, index);
}

static int pointer_read(cJSON *root, const char *text, struct pointer *ret, struct mlt_error *err)
{
    cleanup_pointer struct pointer p = {0};
    if (text[0] != '\0' && text[0] != '/')
        return mlt_fail(err, EINVAL, "`%.100s` is not a JSON pointer: expected `/` first", text);
    cJSON *at = root;
    for (const char *step = text; *step;) {
        if (p.name) {
            at = child_of(at, p.name);
            free(steal_ptr(&p.name));
        }
        if (!cJSON_IsObject(at) && !cJSON_IsArray(at))
            return mlt_fail(err, ENOENT, "there is no `%.100s`", text);
        size_t length = strcspn(step + 1, "/");
        p.name = unescape(step + 1, length);
        p.parent = at;
        p.depth++;
        step += 1 + length;
    }
    *ret = p;
    p.name = NULL;
    return 0;
}

static int pointer_get(cJSON *root, const char *text, cJSON **ret_node, struct mlt_error *err)
{
    cleanup_pointer struct pointer p = {0};
    int rc = pointer_read(root, text, &p, err);
    if (rc < 0)
        return rc;
    cJSON *node = p.name ? child_of(p.parent, p.name) : root;
    if (!node)
        return mlt_fail(err, ENOENT, "there is no `%.100s`", text);
    *ret_node = node;
    return 0;
}

/* Takes the value out of the tree; the whole document cannot be taken. */
static int pointer_take(cJSON *root, const char *text, cJSON **ret_node, struct mlt_error *err)
{
    cleanup_pointer struct pointer p = {0};
    int rc = pointer_read(root, text, &p, err);
    if (rc < 0)
        return rc;
    if (!p.name)
        return mlt_fail(err, EINVAL, "the whole document cannot be removed");
    cJSON *node = child_of(p.parent, p.name);
    if (!node)
        return mlt_fail(err, ENOENT, "there is no `%.100s`", text);
    *ret_node = cJSON_DetachItemViaPointer(p.parent, node);
    return 0;
}

/* By hand: cJSON_InsertItemInArray() of 1.7.16 and of Debian 12 refuses every item that is new. */
static void insert_before(cJSON *array, cJSON *next, cJSON *item)
{
    item->next = next;
    item->prev = next->prev; /* of the first item: the last one */
    next->prev = item;
    if (array->child == next)
        array->child = item;
    else
        item->prev->next = item;
}

static int insert(cJSON *array, const char *name, const char *text, cJSON **value,
                  struct mlt_error *err)
{
    int size = cJSON_GetArraySize(array);
    int index = strcmp(name, "-") == 0 ? size : index_of(name, size);
    if (index < 0)
        return mlt_fail(err, ENOENT, "`%.100s`: expected an index from 0 to %d or `-`", text, size);
    cJSON *item = steal_ptr(value);
    cJSON_free(steal_ptr(&item->string));
    if (index == size)
        (void)cJSON_AddItemToArray(array, item);
    else
        insert_before(array, cJSON_GetArrayItem(array, index), item);
    return 0;
}

static int op_add(cJSON **root, const char *text, cJSON **value, struct mlt_error *err)
{
    cleanup_pointer struct pointer p = {0};
    int rc = pointer_read(*root, text, &p, err);
    if (rc < 0)
        return rc;
    if (p.depth + json_depth(*value) > JSON_DEPTH_MAX)
        return mlt_fail(err, EINVAL, "`%.100s`: the result is nested too deeply", text);
    if (cJSON_IsArray(p.parent))
        return insert(p.parent, p.name, text, value, err);
    if (p.name) {
        json_put(p.parent, p.name, steal_ptr(value));
        return 0;
    }
    cJSON_Delete(*root);
    *root = steal_ptr(value);
    return 0;
}

static int op_replace(cJSON **root, const char *text, cJSON **value, struct mlt_error *err)
{
    cJSON *old;
    int rc = pointer_get(*root, text, &old, err);
    if (rc < 0)
        return rc;
    if (old == *root)
        return op_add(root, text, value, err);
    cleanup_pointer struct pointer p = {0};
    rc = pointer_read(*root, text, &p, err);
    if (rc < 0)
        return rc;
    if (p.depth + json_depth(*value) > JSON_DEPTH_MAX)
        return mlt_fail(err, EINVAL, "`%.100s`: the result is nested too deeply", text);
    if (cJSON_IsObject(p.parent)) {
        json_put(p.parent, p.name, steal_ptr(value));
        return 0;
    }
    cJSON_free(steal_ptr(&(*value)->string));
    (void)cJSON_ReplaceItemViaPointer(p.parent, old, steal_ptr(value));
    return 0;
}

/* `copied` bounds what copies may add: a few of them, each of the whole, would double the document.
 */
static int op_copy_or_move(cJSON **root, bool move, const char *from, const char *path,
                           size_t *copied, struct mlt_error *err)
{
    cleanup_json cJSON *value = NULL;
    cJSON *node;
    int rc = pointer_get(*root, from, &node, err);
    if (rc < 0)
        return rc;
    if (!move) {
        *copied += json_cost(node);
        if (*copied > JSON_SIZE_MAX)
            return mlt_fail(err, E2BIG, "`%.100s`: copies make the document too large", from);
        value = json_copy(node);
        return op_add(root, path, &value, err);
    }
    size_t length = strlen(from);
    if (strncmp(path, from, length) == 0 && path[length] == '/')
        return mlt_fail(err, EINVAL, "`%.100s` cannot be moved into itself", from);
    if (strcmp(path, from) == 0)
        return 0;
    rc = pointer_take(*root, from, &value, err);
    return rc < 0 ? rc : op_add(root, path, &value, err);
}

static int op_test(cJSON *root, const char *path, const cJSON *value, struct mlt_error *err)
{
    cJSON *node;
    int rc = pointer_get(root, path, &node, err);
    if (rc < 0)
        return rc;
    if (!json_equal(node, value))
        return mlt_fail(err, EBADMSG, "`%.100s` does not have the expected value", path);
    return 0;
}

static int apply(cJSON **root, const cJSON *operation, size_t *copied, struct mlt_error *err)
{
    const char *op = json_string(operation, "op", NULL);
    const char *path = json_string(operation, "path", NULL);
    const char *from = json_string(operation, "from", NULL);
    const cJSON *value = json_member(operation, "value");
    if (!op || !path)
        return mlt_fail(err, EINVAL, "expected an object with the strings `op` and `path`");
    bool move = strcmp(op, "move") == 0;
    if (strcmp(op, "remove") == 0) {
        cleanup_json cJSON *removed = NULL;
        return pointer_take(*root, path, &removed, err);
    }
    if (move || strcmp(op, "copy") == 0) {
        if (!from)
            return mlt_fail(err, EINVAL, "`%s` needs the string `from`", op);
        return op_copy_or_move(root, move, from, path, copied, err);
    }
    bool add = strcmp(op, "add") == 0, test = strcmp(op, "test") == 0;
    if (!add && !test && strcmp(op, "replace") != 0)
        return mlt_fail(err, EINVAL, "`%.20s` is not one of add, remove, replace, move, copy, test",
                        op);
    if (!value)
        return mlt_fail(err, EINVAL, "`%s` needs `value`", op);
    if (test)
        return op_test(*root, path, value, err);
    cleanup_json cJSON *copy = json_copy(value);
    return add ? op_add(root, path, &copy, err) : op_replace(root, path, &copy, err);
}

int json_patch(cJSON **target, const cJSON *operations, struct mlt_error *err)
{
    if (!cJSON_IsArray(operations))
        return mlt_fail(err, EINVAL, "a JSON patch is a list of operations");
    size_t count = json_size(operations, "");
    if (count > JSON_PATCH_OPERATIONS_MAX)
        return mlt_fail(err, E2BIG, "a JSON patch has at most %d operations, got %zu",
                        JSON_PATCH_OPERATIONS_MAX, count);
    cleanup_json cJSON *result = json_copy(*target);
    size_t copied = 0;
    int index = 0;
    const cJSON *operation;
    cJSON_ArrayForEach(operation, operations)
    {
        struct mlt_error inner = {0};
        int rc = apply(&result, operation, &copied, &inner);
        if (rc < 0) {
            (void)mlt_fail(err, -rc, "operation %d: %.400s", index, inner.text);
            return rc;
        }
        index++;
    }
    cJSON_Delete(*target);
    *target = steal_ptr(&result);
    return 0;
}
