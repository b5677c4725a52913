/* Rights: the table, and which row a request falls under. See api_right.h. */
#include "controller/api_right.h"

#include <string.h>

#define PARTS_MAX 10

static const struct api_right rights[] = {
#define XX(scope_, group_, resource_, verb_, named_, why_) \
    {.scope = API_##scope_,                                \
     .group = (group_),                                    \
     .resource = (resource_),                              \
     .verb = (verb_),                                      \
     .named = (named_),                                    \
     .why = (why_)},
    API_RIGHT_MAP(XX)
#undef XX
};
#define RIGHTS_COUNT (sizeof rights / sizeof rights[0])

const struct api_right *api_right_at(size_t i)
{
    return i < RIGHTS_COUNT ? &rights[i] : NULL;
}

const char *api_scope_name(enum api_scope scope)
{
    switch (scope) {
    case API_ANYWHERE:
        return "cluster";
    case API_HERE:
        return "namespace";
    case API_NODE_LEASE:
        return API_NODE_LEASE_NAMESPACE;
    }
    return "";
}

/* A piece of the path; not terminated. */
struct part {
    const char *text;
    size_t length;
};

struct target {
    struct part group, namespace_, plural, name, subresource;
    bool is_watch;
};

static bool part_is(struct part p, const char *text)
{
    return p.length == strlen(text) && (!p.length || memcmp(p.text, text, p.length) == 0);
}

static size_t split(const char *path, struct part parts[PARTS_MAX])
{
    size_t count = 0;
    const char *end = path + strcspn(path, "?");
    while (path < end && count < PARTS_MAX) {
        path += *path == '/';
        size_t length = strcspn(path, "/?");
        parts[count++] = (struct part){path, length};
        path += length;
    }
    return count;
}

/* /api/v1/... or /apis/GROUP/VERSION/..., then [namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]. */
static struct target parse(const char *path)
{
    struct part parts[PARTS_MAX];
    struct target t = {.group = {"", 0}};
    size_t count = split(path, parts);
    bool is_core = count && part_is(parts[0], "api");
    size_t at = is_core ? 2 : 3;
    const char *query = strchr(path, '?');
    t.is_watch = query && (strstr(query, "?watch=") || strstr(query, "&watch="));
    if (count <= at)
        return t;
    if (!is_core)
        t.group = parts[1];
    if (count > at + 2 && part_is(parts[at], "namespaces")) {
        t.namespace_ = parts[at + 1];
        at += 2;
    }
    t.plural = parts[at];
    if (count > at + 1)
        t.name = parts[at + 1];
    if (count > at + 2)
        t.subresource = parts[at + 2];
    return t;
}

static const char *verb_of(const char *method, const struct target *t)
{
    static const struct {
        const char *method, *verb;
    } verbs[] = {{"POST", "create"}, {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(method, verbs[i].method) == 0)
            return verbs[i].verb;
    if (t->is_watch)
        return "watch";
    return t->name.length ? "get" : "list";
}

const char *api_verb(const char *method, const char *path)
{
    struct target t = parse(path);
    return verb_of(method, &t);
}

static bool resource_is(const struct target *t, const char *resource)
{
    size_t length = strcspn(resource, "/");
    if (t->plural.length != length || memcmp(t->plural.text, resource, length) != 0)
        return false;
    return part_is(t->subresource, resource[length] ? resource + length + 1 : "");
}

const struct api_right *api_right_find(const char *method, const char *path, const char *here)
{
    struct target t = parse(path);
    if (!t.plural.length)
        return NULL;
    for (size_t i = 0; i < RIGHTS_COUNT; i++) {
        const struct api_right *r = &rights[i];
        if (!part_is(t.group, r->group) || !resource_is(&t, r->resource) ||
            strcmp(verb_of(method, &t), r->verb) != 0)
            continue;
        if (r->scope == API_HERE && !part_is(t.namespace_, here))
            continue;
        if (r->scope == API_NODE_LEASE && !part_is(t.namespace_, API_NODE_LEASE_NAMESPACE))
            continue;
        return r;
    }
    return NULL;
}
