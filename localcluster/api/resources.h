/* The resources that are served: a built-in table, and what CustomResourceDefinitions add. Private
 * to localcluster/api. */
#ifndef LOCALCLUSTER_API_RESOURCES_H
#define LOCALCLUSTER_API_RESOURCES_H

#include "localcluster/api/server.h"

#define API_CUSTOM_RESOURCES_MAX 1000 /* versions of CRDs served */

struct api_resource;
struct api_causes;
struct api_answer;

/* What one kind does beside being stored; every member may be NULL. */
struct api_kind_hooks {
    /* Fills in defaults; called for what a client sent, before validation. */
    void (*set_defaults)(struct api_server *s, cJSON *object);
    /* Last touches before validation of a new object (admission); a refusal is written into the
     * answer. */
    int (*prepare_create)(struct api_server *s, cJSON *object, struct api_answer *a);
    /* The same for an update through the main resource. `old` is the stored object. */
    void (*prepare_update)(struct api_server *s, cJSON *object, const cJSON *old);
    /* `old` is NULL for a new object. */
    void (*validate)(struct api_server *s, const cJSON *object, const cJSON *old,
                     struct api_causes *causes);
};

enum api_resource_flag {
    API_NAMESPACED = 1,
    API_HAS_STATUS = 2,  /* has a status subresource; the main resource ignores status then */
    API_KEEP_STATUS = 4, /* a new object may bring its status (nodes) */
    API_HAS_SCALE = 8,
    API_GENERATION = 16,     /* metadata.generation counts changes of the specification */
    API_CUSTOM = 32,         /* from a CRD */
    API_REMOVED = 64,        /* its CRD is gone; kept for watches under way */
    API_EVENTS_VIEW = 128,   /* events.k8s.io/v1: the same objects as core/v1 events, other names */
    API_UNCONDITIONAL = 256, /* an update without resourceVersion is allowed */
    API_LABEL_NAMES = 512,   /* names are DNS labels, not subdomains */
};

struct api_resource {
    char *group, *version, *plural, *singular, *kind, *list_kind;
    char *api_version; /* "v1", "mltrain.io/v1alpha1" */
    char *short_names; /* "po", "tj,tjob"; "" for none */
    char *categories;  /* "all"; "" for none */
    unsigned flags;    /* enum api_resource_flag */
    struct api_bucket *bucket;
    const struct api_kind_hooks *hooks; /* never NULL */
    const cJSON *schema;                /* OpenAPI v3; NULL: anything goes */
    const char *subresources;           /* further ones for discovery: "log,binding"; static */
    /* Of a CRD's version; owned by definition. */
    cJSON *definition;    /* copy of the CRD version (and its own schema), or NULL */
    const cJSON *columns; /* additionalPrinterColumns, or NULL */
    const cJSON *scale;   /* subresources.scale, or NULL */
    bool storage;         /* objects are stored with this apiVersion */
    bool has_cel;         /* the schema has x-kubernetes-validations */
};

static inline bool api_resource_is(const struct api_resource *r, unsigned flag)
{
    return (r->flags & flag) != 0;
}

/* Registers the built-in table; s->types must be set. */
void api_resources_register(struct api_server *s);

/* By group, version and plural; NULL. */
struct api_resource *api_resource_find(const struct api_server *s, const char *group,
                                       const char *version, const char *plural);

/* The main resource of a bucket (its stored version); NULL. */
struct api_resource *api_resource_of_bucket(const struct api_server *s,
                                            const struct api_bucket *bucket);

/* By apiVersion and kind, for owner references; NULL. */
struct api_resource *api_resource_of_kind(const struct api_server *s, const char *api_version,
                                          const char *kind);

/* A bucket by name, made when it does not exist. */
struct api_bucket *api_bucket_get(struct api_server *s, const char *name);

/* Adds a resource, owned by the registry afterwards. */
void api_resource_add(struct api_server *s, struct api_resource *r);
void api_registry_release(struct api_registry *g);

/* ---- CustomResourceDefinitions (crd.c) ---- */

extern const struct api_kind_hooks api_crd_hooks;

/* Brings the registry in line with a stored CRD, or with its absence (`crd` NULL). */
void api_crd_register(struct api_server *s, const char *name, const cJSON *crd);

/* ---- hooks of built-in kinds ---- */

extern const struct api_kind_hooks api_no_hooks, api_pod_hooks, api_namespace_hooks,
    api_secret_hooks, api_configmap_hooks, api_node_hooks, api_lease_hooks, api_priorityclass_hooks,
    api_service_hooks, api_trainingjob_hooks, api_trainingqueue_hooks;

#endif
