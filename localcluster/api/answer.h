/* Answers and refusals: Status objects in the API server's words. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_ANSWER_H
#define LOCALCLUSTER_API_ANSWER_H

#include "lib/json/json.h"
#include "localcluster/api/request.h"

struct api_resource;

#define API_CAUSES_MAX 64 /* further errors of one object are counted only */

/* Kubernetes' field errors. X(ENUM, reason of the cause, words). Source: apimachinery
 * field/errors.go. */
#define API_CAUSE_MAP(XX)                                          \
    XX(REQUIRED, "FieldValueRequired", "Required value")           \
    XX(INVALID, "FieldValueInvalid", "Invalid value")              \
    XX(TYPE, "FieldValueTypeInvalid", "Invalid value")             \
    XX(UNSUPPORTED, "FieldValueNotSupported", "Unsupported value") \
    XX(DUPLICATE, "FieldValueDuplicate", "Duplicate value")        \
    XX(FORBIDDEN, "FieldValueForbidden", "Forbidden")              \
    XX(TOO_LONG, "FieldValueTooLong", "Too long")                  \
    XX(TOO_MANY, "FieldValueTooMany", "Too many")                  \
    XX(NOT_FOUND, "FieldValueNotFound", "Not found")

enum api_cause_type {
#define XX(name, reason, words) API_CAUSE_##name,
    API_CAUSE_MAP(XX)
#undef XX
};

/* A list of field errors, filled by validators. */
struct api_causes {
    cJSON *list; /* array of {reason, message, field} */
    size_t count;
};

#define cleanup_causes __attribute__((cleanup(api_causes_release)))
void api_causes_release(struct api_causes *c);

/* Adds one; `detail` is what follows "Required value" and its kin, with ": " in between when not
 * empty. */
void api_cause(struct api_causes *c, enum api_cause_type type, const char *field,
               const char *format, ...) MLT_PRINTF(4, 5);

/* Adds `Invalid value: VALUE: detail`; the value is printed as Go prints JSON. */
void api_cause_value(struct api_causes *c, enum api_cause_type type, const char *field,
                     const cJSON *value, const char *format, ...) MLT_PRINTF(5, 6);

/* Makes the answer a Failure Status; returns -EINVAL so that a refusal is one line. */
int api_refuse(struct api_answer *a, int code, const char *reason, const char *format, ...)
    MLT_PRINTF(4, 5);

/* The usual ones, with details. `r` may be NULL. */
int api_refuse_not_found(struct api_answer *a, const struct api_resource *r, const char *name);
int api_refuse_exists(struct api_answer *a, const struct api_resource *r, const char *name);
int api_refuse_conflict(struct api_answer *a, const struct api_resource *r, const char *name,
                        const char *why);
int api_refuse_invalid(struct api_answer *a, const struct api_resource *r, const char *name,
                       struct api_causes *causes);
int api_refuse_forbidden(struct api_answer *a, const struct api_resource *r, const char *name,
                         const char *why);
int api_refuse_store(struct api_answer *a, const struct mlt_error *err);

/* Adds a Warning header (RFC 7234, code 299); more than API_WARNINGS_MAX are dropped. */
void api_warn(struct api_answer *a, const char *format, ...) MLT_PRINTF(2, 3);

/* Makes the answer a JSON body. api_answer_tree prints and frees the tree. */
void api_answer_text(struct api_answer *a, int status, const char *text, size_t length);
void api_answer_tree(struct api_answer *a, int status, cJSON *tree);

#endif
