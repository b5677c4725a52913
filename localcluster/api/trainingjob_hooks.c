/* Admission of mltrain's own kinds: their CEL rules, evaluated by trainingjob/'s validator instead.
 */
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/answer.h"
#include "localcluster/api/resources.h"
#include "trainingjob/trainingjob.h"
#include "trainingjob/trainingqueue.h"

/* "spec.workers.replicas: must be ..." becomes a field and a detail. */
static void add(struct api_causes *causes, const struct mlt_error *err)
{
    const char *colon = strstr(err->text, ": ");
    bool path = colon && strcspn(err->text, " `\"") >= (size_t)(colon - err->text);
    cleanup_free char *field =
        path ? mlt_strndup(err->text, (size_t)(colon - err->text)) : mlt_strdup("spec");
    api_cause(causes, API_CAUSE_INVALID, field, "%s", path ? colon + 2 : err->text);
}

/* A job that was admitted once stays writable (its status above all) when the rules become
 * stricter. */
static bool same_spec(const cJSON *object, const cJSON *old)
{
    const cJSON *a = json_member(object, "spec"), *b = json_member(old, "spec");
    return a && b && json_equal(a, b);
}

static void validate_job(struct api_server *s, const cJSON *object, const cJSON *old,
                         struct api_causes *causes)
{
    struct mlt_error err = {0};
    (void)s;
    if (same_spec(object, old))
        return;
    if (trainingjob_validate(object, &err) < 0)
        add(causes, &err);
    else if (old && trainingjob_validate_update(old, object, &err) < 0)
        add(causes, &err);
}

static void validate_queue(struct api_server *s, const cJSON *object, const cJSON *old,
                           struct api_causes *causes)
{
    struct mlt_error err = {0};
    (void)s;
    if (!same_spec(object, old) && trainingqueue_validate(object, &err) < 0)
        add(causes, &err);
}

const struct api_kind_hooks api_trainingjob_hooks = {.validate = validate_job};
const struct api_kind_hooks api_trainingqueue_hooks = {.validate = validate_queue};
