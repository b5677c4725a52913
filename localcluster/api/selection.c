/* Selections: see selection.h. */
#include "localcluster/api/selection.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

int api_selection_init(struct api_selection *s, struct api_call *c)
{
    struct mlt_error err = {0};
    *s = (struct api_selection){.namespace_ = mlt_strdup(c->namespace_),
                                .name = mlt_strdup(c->name)};
    const char *labels = api_query(c, "labelSelector"), *fields = api_query(c, "fieldSelector");
    int rc = 0;
    if (labels && labels[0])
        rc = kube_selector_parse(labels, &s->labels, &err);
    if (rc == 0 && fields && fields[0])
        rc = kube_field_selector_parse(fields, &s->fields, &err);
    if (rc == 0)
        return 0;
    api_selection_release(s);
    return api_refuse(c->answer, 400, "BadRequest", "unable to parse the selector: %s", err.text);
}

void api_selection_release(struct api_selection *s)
{
    free(s->namespace_);
    free(s->name);
    kube_selector_free(s->labels);
    kube_selector_free(s->fields);
    *s = (struct api_selection){0};
}

bool api_selection_has(const struct api_selection *s, struct api_object *o)
{
    if (s->namespace_[0] && strcmp(s->namespace_, o->namespace_) != 0)
        return false;
    if (s->name && strcmp(s->name, o->name) != 0)
        return false;
    if (s->labels &&
        !kube_selector_matches(s->labels, json_find(api_object_tree(o), "metadata.labels")))
        return false;
    return !s->fields || kube_field_selector_matches(s->fields, api_object_tree(o));
}

void api_selection_range(const struct api_selection *s, const struct api_bucket *b,
                         size_t *ret_first, size_t *ret_end)
{
    *ret_first = 0;
    *ret_end = b->count;
    if (!s->namespace_[0])
        return;
    *ret_first = api_bucket_position(b, s->namespace_, "");
    size_t end = *ret_first;
    while (end < b->count && strcmp(b->objects[end]->namespace_, s->namespace_) == 0)
        end++;
    *ret_end = end;
}
