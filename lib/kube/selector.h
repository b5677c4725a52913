/* Label and field selectors. Pure. Grammar: k8s.io/apimachinery/pkg/labels/selector.go. */
#ifndef KUBE_SELECTOR_H
#define KUBE_SELECTOR_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include "lib/base/error.h"

struct kube_selector;

/* "a=b,c!=d,e in (f,g),h notin (i),j,!k"; "" selects all. -EINVAL. */
int kube_selector_parse(const char *text, struct kube_selector **ret,
                        struct mlt_error *err) MLT_MUST_USE;

/* A LabelSelector object {matchLabels, matchExpressions} (also with Gt and Lt, as node affinity
 * has). -EINVAL. */
int kube_selector_from_object(const cJSON *object, struct kube_selector **ret,
                              struct mlt_error *err) MLT_MUST_USE;
void kube_selector_free(struct kube_selector *s);

/* `labels` is an object of strings, or NULL. */
bool kube_selector_matches(const struct kube_selector *s, const cJSON *labels);

/* A field selector ("spec.nodeName=a,metadata.name!=b") looks at the object's string fields by
 * path. */
int kube_field_selector_parse(const char *text, struct kube_selector **ret,
                              struct mlt_error *err) MLT_MUST_USE;
bool kube_field_selector_matches(const struct kube_selector *s, const cJSON *object);

#endif
