/* A small JSONPath: see jsonpath.h. */
#include "localcluster/api/jsonpath.h"

#include <stdlib.h>
#include <string.h>
#include "lib/json/json.h"

/* Reads a name up to an unescaped . or [; returns where it ends. */
static const char *read_name(const char *p, char *name)
{
    size_t length = 0;
    while (*p && *p != '.' && *p != '[' && length + 1 < API_JSONPATH_MAX) {
        if (*p == '\\' && p[1])
            p++;
        name[length++] = *p++;
    }
    name[length] = '\0';
    return p;
}

/* [?(@.name=="value")]: the first item whose member has that value. */
static const cJSON *filter(const cJSON *node, const char *expression, size_t length)
{
    char text[API_JSONPATH_MAX], name[API_JSONPATH_MAX];
    if (length >= sizeof text)
        return NULL;
    memcpy(text, expression, length);
    text[length] = '\0';
    char *equals = strstr(text, "==");
    if (strncmp(text, "?(@.", 4) != 0 || !equals)
        return NULL;
    *equals = '\0';
    char *value = equals + 2 + strspn(equals + 2, " ");
    char quote = *value;
    char *end = quote == '"' || quote == '\'' ? strchr(value + 1, quote) : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    (void)read_name(text + 4, name);
    name[strcspn(name, " ")] = '\0';
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        if (strcmp(json_string(json_member(item, name), "", ""), value + 1) == 0)
            return item;
    }
    return NULL;
}

/* What stands in brackets; returns the node, NULL for none. */
static const cJSON *bracket(const cJSON *node, const char *text, size_t length)
{
    if (length > 1 && text[0] == '?')
        return filter(node, text, length);
    if (length > 2 && (text[0] == '\'' || text[0] == '"')) {
        char name[API_JSONPATH_MAX];
        if (length - 2 >= sizeof name)
            return NULL;
        memcpy(name, text + 1, length - 2);
        name[length - 2] = '\0';
        return json_member(node, name);
    }
    if (length == 1 && text[0] == '*')
        return node->child;
    char *end = NULL;
    long index = strtol(text, &end, 10);
    if (end != text + length || !cJSON_IsArray(node))
        return NULL;
    int count = cJSON_GetArraySize(node);
    index += index < 0 ? count : 0;
    return index >= 0 && index < count ? cJSON_GetArrayItem(node, (int)index) : NULL;
}

const cJSON *api_jsonpath(const cJSON *tree, const char *path)
{
    const cJSON *node = tree;
    char name[API_JSONPATH_MAX];
    if (*path == '$')
        path++;
    while (*path && node) {
        if (*path == '[') {
            const char *end = path[1] == '?' ? strstr(path, ")]") : strchr(path, ']');
            if (!end)
                return NULL;
            end += *end == ')' ? 1 : 0;
            node = bracket(node, path + 1, (size_t)(end - path - 1));
            path = end + 1;
        } else {
            path = read_name(*path == '.' ? path + 1 : path, name);
            if (name[0])
                node = json_member(node, name);
        }
    }
    return node;
}

bool api_jsonpath_plain(const char *path, char *out)
{
    char name[API_JSONPATH_MAX];
    size_t length = 0;
    while (*path) {
        if (*path != '.')
            return false;
        path = read_name(path + 1, name);
        size_t size = strlen(name);
        if (!size || strpbrk(name, ".[") || length + size + 2 >= API_JSONPATH_MAX)
            return false;
        if (length)
            out[length++] = '.';
        memcpy(out + length, name, size + 1);
        length += size;
    }
    return length > 0;
}
