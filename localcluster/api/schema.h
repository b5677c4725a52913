/* Structural schemas (OpenAPI v3 as CRDs have it): unknown fields, defaults, validation. PURE, and
 * private to localcluster/api. Built-in kinds have schemas of the same form (kinds.h). CEL
 * (x-kubernetes-validations) is not evaluated. Source of the rules:
 * k8s.io/apiextensions-apiserver/pkg/apiserver/{schema,validation}. */
#ifndef LOCALCLUSTER_API_SCHEMA_H
#define LOCALCLUSTER_API_SCHEMA_H

#include "lib/json/json.h"
#include "localcluster/api/answer.h"

#define API_PATTERN_MATCH_LIMIT 100000 /* steps of one regular expression on one value */
#define API_UNKNOWN_MAX 32             /* unknown fields that are named */

/* What does not fit a schema. Released by api_fit_release(). */
struct api_fit {
    bool built_in; /* in: values of a wrong type are reported in the words of Go's decoder */
    const char *
        prefix; /* in: the path of the tree, when it is a part of an object; NULL for a whole one */
    cJSON *unknown; /* out: array of paths of unknown fields, or NULL */
    size_t unknown_count;
    char wrong[512]; /* out: the first wrong type, "" for none */
};
void api_fit_release(struct api_fit *fit);

/* Removes what the schema does not know from a whole object (apiVersion, kind and metadata are
 * known; the latter by `metadata`, a schema, when not NULL), and reports it. */
void api_schema_fit(const cJSON *schema, const cJSON *metadata, cJSON *tree, struct api_fit *fit);

/* Fills in defaults, and removes nulls that are not allowed, in place. */
void api_schema_default(const cJSON *schema, cJSON *tree);

/* Adds a cause for each value that breaks the schema. */
void api_schema_validate(const cJSON *schema, const cJSON *tree, struct api_causes *causes);

/* Adds a cause for each part of a schema that has not the form of one: `properties` that are a
 * list, keys that are no strings. `path` is the schema's own. What a store brings may be older than
 * this check, so the calls above take any tree, and pass over what has not the form. */
void api_schema_check(const cJSON *schema, const char *path, struct api_causes *causes);

/* Whether x-kubernetes-validations (CEL) stand anywhere in a schema. */
bool api_schema_has_cel(const cJSON *schema);

#endif
