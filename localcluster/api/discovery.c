/* What is served, told to clients: groups, versions, resources (aggregated or one by one), version,
 * health. See call.h. */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/call.h"
#include "localcluster/api/openapi.h"

/* The level of Kubernetes that clients may expect. */
#define KUBERNETES_MAJOR "1"
#define KUBERNETES_MINOR "34"
#define KUBERNETES_VERSION "v1.34.0+mltrain"

static const char *const all_verbs[] = {"create", "delete", "deletecollection", "get",
                                        "list",   "patch",  "update",           "watch"};
static const char *const part_verbs[] = {"get", "patch", "update"};

static void add_strings(cJSON *object, const char *name, const char *const *items, size_t count)
{
    cJSON *list = json_set_array(object, name);
    for (size_t i = 0; i < count; i++)
        json_append_string(list, items[i]);
}

/* "a,b" as a list; nothing for "". */
static void add_split(cJSON *object, const char *name, const char *text)
{
    if (!text[0])
        return;
    cJSON *list = json_set_array(object, name);
    while (*text) {
        size_t length = strcspn(text, ",");
        cleanup_free char *item = mlt_strndup(text, length);
        json_append_string(list, item);
        text += length + (text[length] ? 1 : 0);
    }
}

/* Calls f for each subresource of a resource. */
typedef void subresource_f(cJSON *out, const struct api_resource *r, const char *name,
                           const char *group, const char *version, const char *kind, bool create);

static void for_each_subresource(const struct api_resource *r, cJSON *out, subresource_f *f)
{
    if (api_resource_is(r, API_HAS_STATUS))
        f(out, r, "status", r->group, r->version, r->kind, false);
    if (api_resource_is(r, API_HAS_SCALE))
        f(out, r, "scale", "autoscaling", "v1", "Scale", false);
    if (strstr(r->subresources, "log"))
        f(out, r, "log", r->group, r->version, r->kind, false);
    if (strstr(r->subresources, "binding"))
        f(out, r, "binding", "", "v1", "Binding", true);
    if (strstr(r->subresources, "eviction"))
        f(out, r, "eviction", "policy", "v1", "Eviction", true);
    if (strstr(r->subresources, "finalize"))
        f(out, r, "finalize", r->group, r->version, r->kind, false);
}

static void add_sub_verbs(cJSON *out, const char *name, bool create)
{
    static const char *const get[] = {"get"}, *const post[] = {"create"}, *const put[] = {"update"};
    if (create)
        add_strings(out, "verbs", post, 1);
    else if (strcmp(name, "log") == 0)
        add_strings(out, "verbs", get, 1);
    else if (strcmp(name, "finalize") == 0)
        add_strings(out, "verbs", put, 1);
    else
        add_strings(out, "verbs", part_verbs, MLT_ARRAY_LENGTH(part_verbs));
}

/* ---- APIResourceList ---- */

static void add_listed_subresource(cJSON *out, const struct api_resource *r, const char *name,
                                   const char *group, const char *version, const char *kind,
                                   bool create)
{
    cJSON *item = cJSON_CreateObject();
    cleanup_free char *full = mlt_asprintf("%s/%s", r->plural, name);
    json_set_string(item, "name", full);
    json_set_string(item, "singularName", "");
    json_set_bool(item, "namespaced", api_resource_is(r, API_NAMESPACED));
    if (strcmp(group, r->group) != 0) {
        json_set_string(item, "group", group);
        json_set_string(item, "version", version);
    }
    json_set_string(item, "kind", kind);
    add_sub_verbs(item, name, create);
    json_append(out, item);
}

static cJSON *resource_list(struct api_call *c, const char *group, const char *version)
{
    cJSON *list = cJSON_CreateObject();
    cleanup_free char *group_version =
        group[0] ? mlt_asprintf("%s/%s", group, version) : mlt_strdup(version);
    json_set_string(list, "kind", "APIResourceList");
    json_set_string(list, "apiVersion", "v1");
    json_set_string(list, "groupVersion", group_version);
    cJSON *resources = json_set_array(list, "resources");
    size_t count = 0;
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r) || strcmp(r->group, group) != 0 || strcmp(r->version, version) != 0)
            continue;
        cJSON *item = cJSON_CreateObject();
        json_set_string(item, "name", r->plural);
        json_set_string(item, "singularName", r->singular);
        json_set_bool(item, "namespaced", api_resource_is(r, API_NAMESPACED));
        json_set_string(item, "kind", r->kind);
        add_strings(item, "verbs", all_verbs, MLT_ARRAY_LENGTH(all_verbs));
        add_split(item, "shortNames", r->short_names);
        add_split(item, "categories", r->categories);
        json_append(resources, item);
        for_each_subresource(r, resources, add_listed_subresource);
        count++;
    }
    if (count)
        return list;
    cJSON_Delete(list);
    return NULL;
}

/* ---- aggregated discovery ---- */

static cJSON *response_kind(const char *group, const char *version, const char *kind)
{
    cJSON *out = cJSON_CreateObject();
    json_set_string(out, "group", group);
    json_set_string(out, "version", version);
    json_set_string(out, "kind", kind);
    return out;
}

static void add_aggregated_subresource(cJSON *out, const struct api_resource *r, const char *name,
                                       const char *group, const char *version, const char *kind,
                                       bool create)
{
    (void)r;
    cJSON *item = cJSON_CreateObject();
    json_set_string(item, "subresource", name);
    json_set(item, "responseKind", response_kind(group, version, kind));
    add_sub_verbs(item, name, create);
    json_append(out, item);
}

static cJSON *aggregated_resource(const struct api_resource *r)
{
    cJSON *item = cJSON_CreateObject();
    json_set_string(item, "resource", r->plural);
    json_set(item, "responseKind", response_kind(r->group, r->version, r->kind));
    json_set_string(item, "scope", api_resource_is(r, API_NAMESPACED) ? "Namespaced" : "Cluster");
    json_set_string(item, "singularResource", r->singular);
    add_strings(item, "verbs", all_verbs, MLT_ARRAY_LENGTH(all_verbs));
    add_split(item, "shortNames", r->short_names);
    add_split(item, "categories", r->categories);
    cJSON *subresources = cJSON_CreateArray();
    for_each_subresource(r, subresources, add_aggregated_subresource);
    if (subresources->child)
        json_set(item, "subresources", subresources);
    else
        cJSON_Delete(subresources);
    return item;
}

/* The entry of a group in `groups`, made when it is not there. */
static cJSON *group_entry(cJSON *groups, const char *name)
{
    cJSON *entry;
    cJSON_ArrayForEach(entry, groups)
    {
        if (strcmp(json_string(entry, "metadata.name", ""), name) == 0)
            return entry;
    }
    entry = cJSON_CreateObject();
    json_set_string(entry, "metadata.name", name);
    json_set_null(entry, "metadata.creationTimestamp");
    (void)json_set_array(entry, "versions");
    json_append(groups, entry);
    return entry;
}

static cJSON *version_entry(cJSON *group, const char *version)
{
    cJSON *versions = json_member(group, "versions"), *entry;
    cJSON_ArrayForEach(entry, versions)
    {
        if (strcmp(json_string(entry, "version", ""), version) == 0)
            return entry;
    }
    entry = cJSON_CreateObject();
    json_set_string(entry, "version", version);
    (void)json_set_array(entry, "resources");
    json_set_string(entry, "freshness", "Current");
    json_append(versions, entry);
    return entry;
}

static cJSON *aggregated(struct api_call *c, bool core, const char *version)
{
    cJSON *list = cJSON_CreateObject();
    cleanup_free char *api_version = mlt_asprintf("apidiscovery.k8s.io/%s", version);
    json_set_string(list, "kind", "APIGroupDiscoveryList");
    json_set_string(list, "apiVersion", api_version);
    (void)json_set_object(list, "metadata");
    cJSON *groups = json_set_array(list, "items");
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r) || core != (r->group[0] == '\0'))
            continue;
        cJSON *entry = version_entry(group_entry(groups, r->group), r->version);
        json_append(json_member(entry, "resources"), aggregated_resource(r));
    }
    return list;
}

/* The newest form of aggregated discovery that the client accepts; NULL for none. */
static const char *aggregated_version(const char *accept)
{
    if (!accept || !strstr(accept, "as=APIGroupDiscoveryList"))
        return NULL;
    if (strstr(accept, "g=apidiscovery.k8s.io;v=v2;"))
        return "v2";
    return strstr(accept, "g=apidiscovery.k8s.io;v=v2beta1;") ? "v2beta1" : NULL;
}

static int answer_aggregated(struct api_call *c, bool core, const char *version)
{
    api_answer_tree(c->answer, 200, aggregated(c, core, version));
    c->answer->content_type =
        strcmp(version, "v2") == 0
            ? "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            : "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    return 0;
}

/* ---- APIVersions, APIGroupList, APIGroup ---- */

static int answer_api(struct api_call *c)
{
    const char *version = aggregated_version(c->request->accept);
    if (version)
        return answer_aggregated(c, true, version);
    cJSON *out = cJSON_CreateObject();
    json_set_string(out, "kind", "APIVersions");
    json_append_string(json_set_array(out, "versions"), "v1");
    (void)json_set_array(out, "serverAddressByClientCIDRs");
    api_answer_tree(c->answer, 200, out);
    return 0;
}

static cJSON *group_of(struct api_call *c, const char *name)
{
    cJSON *group = cJSON_CreateObject(), *versions = json_set_array(group, "versions");
    json_set_string(group, "name", name);
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        if (!api_is_served(r) || strcmp(r->group, name) != 0)
            continue;
        bool known = false;
        const cJSON *v;
        cJSON_ArrayForEach(v, versions)
        {
            known = known || strcmp(json_string(v, "version", ""), r->version) == 0;
        }
        if (known)
            continue;
        cJSON *version = cJSON_CreateObject();
        json_set_string(version, "groupVersion", r->api_version);
        json_set_string(version, "version", r->version);
        json_append(versions, version);
    }
    if (!versions->child) {
        cJSON_Delete(group);
        return NULL;
    }
    json_set(group, "preferredVersion", json_copy(versions->child));
    return group;
}

static int answer_apis(struct api_call *c)
{
    const char *version = aggregated_version(c->request->accept);
    if (version)
        return answer_aggregated(c, false, version);
    cJSON *out = cJSON_CreateObject(), *groups = json_set_array(out, "groups");
    json_set_string(out, "kind", "APIGroupList");
    json_set_string(out, "apiVersion", "v1");
    for (size_t i = 0; i < c->server->registry.count; i++) {
        const struct api_resource *r = c->server->registry.resources[i];
        bool known = !api_is_served(r) || !r->group[0];
        for (const cJSON *g = groups->child; g && !known; g = g->next)
            known = strcmp(json_string(g, "name", ""), r->group) == 0;
        if (!known)
            json_append(groups, group_of(c, r->group));
    }
    api_answer_tree(c->answer, 200, out);
    return 0;
}

static int answer_or_not_found(struct api_call *c, cJSON *tree)
{
    if (!tree)
        return api_refuse_not_found(c->answer, NULL, NULL);
    api_answer_tree(c->answer, 200, tree);
    return 0;
}

static int answer_group(struct api_call *c)
{
    cJSON *group = group_of(c, c->segments[1]);
    if (group) {
        json_set_string(group, "kind", "APIGroup");
        json_set_string(group, "apiVersion", "v1");
    }
    return answer_or_not_found(c, group);
}

/* ---- the rest ---- */

static int answer_version(struct api_call *c)
{
    cJSON *out = cJSON_CreateObject();
    json_set_string(out, "major", KUBERNETES_MAJOR);
    json_set_string(out, "minor", KUBERNETES_MINOR);
    json_set_string(out, "gitVersion", KUBERNETES_VERSION);
    json_set_string(out, "gitCommit", "mltrain " MLTRAIN_VERSION);
    json_set_string(out, "gitTreeState", "clean");
    json_set_string(out, "buildDate", "1970-01-01T00:00:00Z");
    json_set_string(out, "goVersion", "none");
    json_set_string(out, "compiler", "cc");
#if defined(__x86_64__)
    json_set_string(out, "platform", "linux/amd64");
#elif defined(__aarch64__)
    json_set_string(out, "platform", "linux/arm64");
#else
    json_set_string(out, "platform", "linux/unknown");
#endif
    api_answer_tree(c->answer, 200, out);
    return 0;
}

static int answer_health(struct api_call *c)
{
    api_answer_text(c->answer, 200, "ok", 2);
    c->answer->content_type = "text/plain; charset=utf-8";
    return 0;
}

static int answer_root(struct api_call *c)
{
    static const char *const paths[] = {"/api",        "/api/v1",     "/apis",
                                        "/healthz",    "/livez",      "/readyz",
                                        "/openapi/v2", "/openapi/v3", "/version"};
    cJSON *out = cJSON_CreateObject();
    add_strings(out, "paths", paths, MLT_ARRAY_LENGTH(paths));
    api_answer_tree(c->answer, 200, out);
    return 0;
}

static bool first_is(const struct api_call *c, const char *text)
{
    return strcmp(c->segments[0], text) == 0;
}

static int discover(struct api_call *c, bool *found)
{
    size_t n = c->segment_count;
    *found = true;
    if (n == 0)
        return answer_root(c);
    if (n == 1 && first_is(c, "version"))
        return answer_version(c);
    if (first_is(c, "healthz") || first_is(c, "livez") || first_is(c, "readyz"))
        return answer_health(c);
    if (n == 1 && first_is(c, "api"))
        return answer_api(c);
    if (n == 1 && first_is(c, "apis"))
        return answer_apis(c);
    if (n == 2 && first_is(c, "api"))
        return answer_or_not_found(c, resource_list(c, "", c->segments[1]));
    if (n == 2 && first_is(c, "apis"))
        return answer_group(c);
    if (n == 3 && first_is(c, "apis"))
        return answer_or_not_found(c, resource_list(c, c->segments[1], c->segments[2]));
    if (n == 2 && first_is(c, "openapi") && strcmp(c->segments[1], "v2") == 0)
        return api_openapi_v2(c);
    if (n >= 2 && first_is(c, "openapi") && strcmp(c->segments[1], "v3") == 0)
        return api_openapi_v3(c);
    *found = false;
    return 0;
}

int api_discovery(struct api_call *c, bool *ret_found)
{
    const char *method = c->request->method;
    int rc = discover(c, ret_found);
    if (*ret_found && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return api_refuse(c->answer, 405, "MethodNotAllowed",
                          "the server does not allow this method on the requested resource");
    return rc;
}
