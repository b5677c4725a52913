/* What may change in a TrainingJob, and when. The CRD has the same as transition rules at its root.
 */
#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "trainingjob/fields.h"
#include "trainingjob/trainingjob.h"

/* Mutable at any time; replicas has a rule of its own. */
static const char *const always[] = {"suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished"};

static enum trainingjob_phase phase_of(const cJSON *object)
{
    struct trainingjob_status status;
    trainingjob_status_read(json_member(object, "status"), &status);
    enum trainingjob_phase phase = status.phase;
    trainingjob_status_release(&status);
    return phase;
}

/* Extends *path to the deepest object below which the two differ; false when they are equal. */
static bool find_difference(const cJSON *a, const cJSON *b, char path[FIELDS_PATH_MAX])
{
    if (json_equal(a, b))
        return false;
    if (!cJSON_IsObject(a) || !cJSON_IsObject(b))
        return true;
    const cJSON *first = NULL, *item;
    cJSON_ArrayForEach(item, a)
    {
        if (!json_equal(item, json_member(b, item->string))) {
            first = item;
            break;
        }
    }
    for (item = b->child; !first && item; item = item->next) {
        if (!json_member(a, item->string))
            first = item;
    }
    char inner[FIELDS_PATH_MAX];
    fields_path(inner, path, first->string);
    memcpy(path, inner, sizeof inner);
    return find_difference(json_member(a, first->string), json_member(b, first->string), path);
}

static bool is_elastic(const cJSON *spec)
{
    int64_t replicas = json_integer(spec, "workers.replicas", 1);
    int64_t min = json_integer(spec, "workers.minReplicas", 0);
    int64_t max = json_integer(spec, "workers.maxReplicas", 0);
    return min > 0 && replicas >= min && replicas <= max;
}

/* The spec without what may change. */
static cJSON *frozen_part(const cJSON *object, bool elastic)
{
    cleanup_json cJSON *copy = json_copy(object);
    trainingjob_default(copy);
    cJSON *spec = json_member(copy, "spec");
    if (!cJSON_IsObject(spec))
        return cJSON_CreateObject();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(always); i++)
        json_unset(spec, always[i]);
    if (elastic)
        json_unset(spec, "workers.replicas");
    return cJSON_DetachItemViaPointer(copy, spec);
}

int trainingjob_validate_update(const cJSON *old_object, const cJSON *new_object,
                                struct mlt_error *err)
{
    enum trainingjob_phase phase = phase_of(old_object);
    bool finished = phase == TRAININGJOB_PHASE_SUCCEEDED || phase == TRAININGJOB_PHASE_FAILED;
    if (phase == TRAININGJOB_PHASE_NONE || phase == TRAININGJOB_PHASE_QUEUED ||
        phase == TRAININGJOB_PHASE_SUSPENDED)
        return 0;
    bool elastic = !finished && is_elastic(json_member(new_object, "spec"));
    cleanup_json cJSON *before = frozen_part(old_object, elastic);
    cleanup_json cJSON *after = frozen_part(new_object, elastic);
    char path[FIELDS_PATH_MAX] = "spec";
    if (!find_difference(before, after, path))
        return 0;
    if (finished)
        return mlt_fail(err, EINVAL, "%s: cannot change, the job has finished: create a new job",
                        path);
    return mlt_fail(err, EINVAL, "%s: cannot change while the job is %s: suspend the job first",
                    path, trainingjob_phase_name(phase));
}
