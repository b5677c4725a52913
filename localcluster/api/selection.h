/* Which objects of a resource a list, a watch or a deletecollection is about. Private to
 * localcluster/api. */
#ifndef LOCALCLUSTER_API_SELECTION_H
#define LOCALCLUSTER_API_SELECTION_H

#include "lib/kube/selector.h"
#include "localcluster/api/call.h"

struct api_selection {
    char *namespace_;                      /* "" for all */
    char *name;                            /* NULL for all */
    struct kube_selector *labels, *fields; /* NULL for all */
};

/* From namespace, name, labelSelector and fieldSelector of a call; a refusal (400) for selectors
 * that cannot be read. Released by api_selection_release(), twice is fine. */
int api_selection_init(struct api_selection *s, struct api_call *c);
void api_selection_release(struct api_selection *s);

/* Whether an object (of the right bucket) belongs to it. */
bool api_selection_has(const struct api_selection *s, struct api_object *o);

/* The part of the bucket that can belong to it: indexes from *ret_first to *ret_end - 1. */
void api_selection_range(const struct api_selection *s, const struct api_bucket *b,
                         size_t *ret_first, size_t *ret_end);

#endif
