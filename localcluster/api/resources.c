/* The table of built-in resources and the registry: see resources.h. */
#include "localcluster/api/resources.h"

#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

const struct api_kind_hooks api_no_hooks = {0};

/* group, version, plural, singular, kind, short names, categories, flags, hooks, type, bucket,
 * subresources. The order is the order in discovery, which kubectl uses to choose between equal
 * names. */
static const struct builtin {
    const char *group, *version, *plural, *singular, *kind, *short_names, *categories;
    unsigned flags;
    const struct api_kind_hooks *hooks;
    const char *type; /* in kinds_table.c; NULL: anything goes */
    const char *bucket;
    const char *subresources;
} builtins[] = {
    {"", "v1", "configmaps", "configmap", "ConfigMap", "cm", "", API_NAMESPACED | API_UNCONDITIONAL,
     &api_configmap_hooks, "ConfigMap", "configmaps", ""},
    {"", "v1", "endpoints", "endpoints", "Endpoints", "ep", "", API_NAMESPACED | API_UNCONDITIONAL,
     &api_no_hooks, "Endpoints", "endpoints", ""},
    {"", "v1", "events", "event", "Event", "ev", "", API_NAMESPACED | API_UNCONDITIONAL,
     &api_no_hooks, "Event", "events", ""},
    {"", "v1", "namespaces", "namespace", "Namespace", "ns", "",
     API_HAS_STATUS | API_UNCONDITIONAL | API_LABEL_NAMES, &api_namespace_hooks, "Namespace",
     "namespaces", "finalize"},
    {"", "v1", "nodes", "node", "Node", "no", "",
     API_HAS_STATUS | API_KEEP_STATUS | API_UNCONDITIONAL, &api_node_hooks, "Node", "nodes", ""},
    {"", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", "pvc",
     "", API_NAMESPACED | API_HAS_STATUS | API_UNCONDITIONAL, &api_no_hooks,
     "PersistentVolumeClaim", "persistentvolumeclaims", ""},
    {"", "v1", "persistentvolumes", "persistentvolume", "PersistentVolume", "pv", "",
     API_HAS_STATUS | API_UNCONDITIONAL, &api_no_hooks, "PersistentVolume", "persistentvolumes",
     ""},
    {"", "v1", "pods", "pod", "Pod", "po", "all",
     API_NAMESPACED | API_HAS_STATUS | API_GENERATION | API_UNCONDITIONAL, &api_pod_hooks, "Pod",
     "pods", "log,binding,eviction"},
    {"", "v1", "secrets", "secret", "Secret", "", "", API_NAMESPACED | API_UNCONDITIONAL,
     &api_secret_hooks, "Secret", "secrets", ""},
    {"", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", "sa", "",
     API_NAMESPACED | API_UNCONDITIONAL, &api_no_hooks, "ServiceAccount", "serviceaccounts", ""},
    {"", "v1", "services", "service", "Service", "svc", "all",
     API_NAMESPACED | API_HAS_STATUS | API_UNCONDITIONAL | API_LABEL_NAMES, &api_service_hooks,
     "Service", "services", ""},
    {"apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
     "CustomResourceDefinition", "crd,crds", "api-extensions",
     API_HAS_STATUS | API_GENERATION | API_UNCONDITIONAL, &api_crd_hooks, NULL,
     "customresourcedefinitions", ""},
    {"apps", "v1", "controllerrevisions", "controllerrevision", "ControllerRevision", "", "",
     API_NAMESPACED | API_UNCONDITIONAL, &api_no_hooks, "ControllerRevision", "controllerrevisions",
     ""},
    {"coordination.k8s.io", "v1", "leases", "lease", "Lease", "", "", API_NAMESPACED,
     &api_lease_hooks, "Lease", "leases", ""},
    {"discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice", "", "",
     API_NAMESPACED | API_GENERATION | API_UNCONDITIONAL, &api_no_hooks, "EndpointSlice",
     "endpointslices", ""},
    {"events.k8s.io", "v1", "events", "event", "Event", "ev", "",
     API_NAMESPACED | API_UNCONDITIONAL | API_EVENTS_VIEW, &api_no_hooks, "EventsEvent", "events",
     ""},
    {"scheduling.k8s.io", "v1", "priorityclasses", "priorityclass", "PriorityClass", "pc", "",
     API_GENERATION | API_UNCONDITIONAL, &api_priorityclass_hooks, "PriorityClass",
     "priorityclasses", ""},
};

struct api_bucket *api_bucket_get(struct api_server *s, const char *name)
{
    struct api_registry *g = &s->registry;
    for (size_t i = 0; i < g->bucket_count; i++)
        if (strcmp(g->buckets[i]->name, name) == 0)
            return g->buckets[i];
    struct api_bucket *b = mlt_calloc(1, sizeof *b);
    b->name = mlt_strdup(name);
    MLT_GROW(g->buckets, g->bucket_count, g->bucket_capacity);
    return g->buckets[g->bucket_count++] = b;
}

void api_resource_add(struct api_server *s, struct api_resource *r)
{
    struct api_registry *g = &s->registry;
    MLT_GROW(g->resources, g->count, g->capacity);
    g->resources[g->count++] = r;
    g->generation++;
}

void api_resources_register(struct api_server *s)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(builtins); i++) {
        const struct builtin *b = &builtins[i];
        struct api_resource *r = mlt_calloc(1, sizeof *r);
        *r = (struct api_resource){
            .flags = b->flags, .hooks = b->hooks, .subresources = b->subresources};
        r->group = mlt_strdup(b->group);
        r->version = mlt_strdup(b->version);
        r->plural = mlt_strdup(b->plural);
        r->singular = mlt_strdup(b->singular);
        r->kind = mlt_strdup(b->kind);
        r->list_kind = mlt_asprintf("%sList", b->kind);
        r->api_version =
            b->group[0] ? mlt_asprintf("%s/%s", b->group, b->version) : mlt_strdup(b->version);
        r->short_names = mlt_strdup(b->short_names);
        r->categories = mlt_strdup(b->categories);
        r->schema = b->type ? json_member(s->types, b->type) : NULL;
        r->bucket = api_bucket_get(s, b->bucket);
        r->storage = !(b->flags & API_EVENTS_VIEW);
        api_resource_add(s, r);
    }
}

static bool living(const struct api_resource *r)
{
    return !api_resource_is(r, API_REMOVED);
}

struct api_resource *api_resource_find(const struct api_server *s, const char *group,
                                       const char *version, const char *plural)
{
    for (size_t i = 0; i < s->registry.count; i++) {
        struct api_resource *r = s->registry.resources[i];
        if (living(r) && strcmp(r->plural, plural) == 0 && strcmp(r->group, group) == 0 &&
            strcmp(r->version, version) == 0)
            return r;
    }
    return NULL;
}

struct api_resource *api_resource_of_bucket(const struct api_server *s,
                                            const struct api_bucket *bucket)
{
    for (size_t i = 0; i < s->registry.count; i++) {
        struct api_resource *r = s->registry.resources[i];
        if (living(r) && r->storage && r->bucket == bucket)
            return r;
    }
    return NULL;
}

struct api_resource *api_resource_of_kind(const struct api_server *s, const char *api_version,
                                          const char *kind)
{
    for (size_t i = 0; i < s->registry.count; i++) {
        struct api_resource *r = s->registry.resources[i];
        if (living(r) && strcmp(r->kind, kind) == 0 && strcmp(r->api_version, api_version) == 0)
            return r;
    }
    return NULL;
}

static void free_resource(struct api_resource *r)
{
    free(r->group);
    free(r->version);
    free(r->plural);
    free(r->singular);
    free(r->kind);
    free(r->list_kind);
    free(r->api_version);
    free(r->short_names);
    free(r->categories);
    cJSON_Delete(r->definition);
    free(r);
}

void api_registry_release(struct api_registry *g)
{
    for (size_t i = 0; i < g->count; i++)
        free_resource(g->resources[i]);
    for (size_t i = 0; i < g->bucket_count; i++) {
        struct api_bucket *b = g->buckets[i];
        for (size_t j = 0; j < b->count; j++)
            api_object_drop(b->objects[j]);
        free(b->objects);
        free(b->name);
        free(b);
    }
    free(g->resources);
    free(g->buckets);
    *g = (struct api_registry){0};
}
