/* The table of resources, and the paths of requests. */
#include "lib/kube/resource.h"

#include <assert.h>
#include <string.h>

static const struct kube_resource_info resources[] = {
#define XX(name, group_, version_, plural_, kind_, namespaced_) \
    [KUBE_##name] = {.group = (group_),                         \
                     .version = (version_),                     \
                     .plural = (plural_),                       \
                     .kind = (kind_),                           \
                     .namespaced = (namespaced_)},
    KUBE_RESOURCE_MAP(XX)
#undef XX
};

/* The core group's API version has no slash in front, which a macro cannot decide: sizeof "" is 1.
 */
static const char *const api_versions[] = {
#define XX(name, group_, version_, plural_, kind_, namespaced_) \
    [KUBE_##name] = sizeof(group_) == 1 ? version_ : group_ "/" version_,
    KUBE_RESOURCE_MAP(XX)
#undef XX
};
_Static_assert(sizeof resources / sizeof resources[0] == KUBE_RESOURCE_COUNT, "a row is missing");

const struct kube_resource_info *kube_resource_info(enum kube_resource resource)
{
    assert((unsigned)resource < KUBE_RESOURCE_COUNT);
    return &resources[resource];
}

const char *kube_api_version(enum kube_resource resource)
{
    assert((unsigned)resource < KUBE_RESOURCE_COUNT);
    return api_versions[resource];
}

void kube_path(struct mlt_text *out, enum kube_resource resource, const char *namespace_,
               const char *name, const char *subresource, const char *query)
{
    const struct kube_resource_info *info = kube_resource_info(resource);
    mlt_text_printf(out, "/%s/%s", info->group[0] ? "apis" : "api", kube_api_version(resource));
    if (info->namespaced && namespace_ && namespace_[0]) {
        mlt_text_puts(out, "/namespaces/");
        kube_path_encode(out, namespace_);
    }
    mlt_text_printf(out, "/%s", info->plural);
    if (name) {
        mlt_text_putc(out, '/');
        kube_path_encode(out, name);
    }
    if (subresource)
        mlt_text_printf(out, "/%s", subresource);
    if (query && query[0])
        mlt_text_printf(out, "?%s", query);
}

/* RFC 3986's unreserved characters stay; everything else is encoded, also in a query value. */
void kube_path_encode(struct mlt_text *out, const char *text)
{
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    for (const char *c = text; *c; c++) {
        if (strchr(unreserved, *c))
            mlt_text_putc(out, *c);
        else
            mlt_text_printf(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
}
