/* Reads a TrainingJob object into C data, with defaults for what is absent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "trainingjob/object.h"
#include "trainingjob/spec_fields.h"
#include "trainingjob/trainingjob.h"

int64_t trainingjob_time(const cJSON *object, const char *path)
{
    int64_t time_ms;
    const char *text = json_string(object, path, NULL);
    return text && mlt_time_parse(text, &time_ms, NULL) == 0 ? time_ms : 0;
}

cJSON *trainingjob_copy_object(const cJSON *object)
{
    cJSON *copy = cJSON_CreateObject();
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        /* Status is read into C data, managedFields are large and nobody here looks at them. */
        if (strcmp(item->string, "status") != 0 && strcmp(item->string, "metadata") != 0)
            (void)cJSON_AddItemToObject(copy, item->string, json_copy(item));
    }
    cJSON *metadata = json_set_object(copy, "metadata");
    cJSON_ArrayForEach(item, json_member(object, "metadata"))
    {
        if (item->string && strcmp(item->string, "managedFields") != 0)
            (void)cJSON_AddItemToObject(metadata, item->string, json_copy(item));
    }
    return copy;
}

int trainingjob_check_kind(const cJSON *object, const char *kind, struct mlt_error *err)
{
    const char *api_version = json_string(object, "apiVersion", TRAININGJOB_API_VERSION);
    const char *got = json_string(object, "kind", kind);
    if (!cJSON_IsObject(object))
        return mlt_fail(err, EINVAL, "expected a %s object", kind);
    if (strcmp(got, kind) != 0)
        return mlt_fail(err, EINVAL, "kind: expected %s, got `%.60s`", kind, got);
    if (strcmp(api_version, TRAININGJOB_API_VERSION) != 0)
        return mlt_fail(err, EINVAL, "apiVersion: expected %s, got `%.60s`",
                        TRAININGJOB_API_VERSION, api_version);
    return 0;
}

static const cJSON *object_at(const cJSON *object, const char *path)
{
    const cJSON *found = json_find(object, path);
    return cJSON_IsObject(found) ? found : NULL;
}

static void read_metadata(const cJSON *object, struct trainingjob_metadata *ret)
{
    const cJSON *finalizers = json_find(object, "metadata.finalizers");
    *ret = (struct trainingjob_metadata){
        .name = json_string(object, "metadata.name", ""),
        .namespace_ = json_string(object, "metadata.namespace", ""),
        .uid = json_string(object, "metadata.uid", ""),
        .resource_version = json_string(object, "metadata.resourceVersion", ""),
        .generation = json_integer(object, "metadata.generation", 0),
        .creation_ms = trainingjob_time(object, "metadata.creationTimestamp"),
        .deletion_ms = trainingjob_time(object, "metadata.deletionTimestamp"),
        .labels = object_at(object, "metadata.labels"),
        .annotations = object_at(object, "metadata.annotations"),
        .finalizers = cJSON_IsArray(finalizers) ? finalizers : NULL,
    };
}

int trainingjob_read_spec(const cJSON *object, struct trainingjob *ret_job, struct mlt_error *err)
{
    int rc = trainingjob_check_kind(object, TRAININGJOB_KIND, err);
    if (rc < 0)
        return rc;
    struct trainingjob job = {.object = trainingjob_copy_object(object)};
    const cJSON *spec = NULL;
    fields_init(&trainingjob_spec_fields, &job.spec);
    job.spec.workers.name = TRAININGJOB_ROLE_WORKER;
    job.spec.workers.restarts_gang = true;
    rc = json_read_object(job.object, "", "spec", &spec, err);
    if (rc == 0)
        rc = mlt_fail(err, EINVAL, "spec: is required");
    if (rc > 0)
        rc = fields_read(&trainingjob_spec_fields, spec, "spec", &job.spec, err);
    if (rc < 0) {
        trainingjob_release(&job);
        return rc;
    }
    read_metadata(job.object, &job.metadata);
    *ret_job = job;
    return 0;
}

int trainingjob_read(const cJSON *object, struct trainingjob *ret_job, struct mlt_error *err)
{
    int rc = trainingjob_read_spec(object, ret_job, err);
    if (rc < 0)
        return rc;
    ret_job->status = mlt_calloc(1, sizeof *ret_job->status);
    trainingjob_status_read(json_member(object, "status"), ret_job->status);
    return 0;
}

static void drop(cJSON *object, const char *name)
{
    cJSON_Delete(cJSON_DetachItemFromObjectCaseSensitive(object, name));
}

/* Numbers and truth values, which have been read, and what holds nothing else. */
static void drop_scalars(cJSON *tree)
{
    cJSON *next;
    for (cJSON *item = tree ? tree->child : NULL; item; item = next) {
        next = item->next;
        drop_scalars(item);
        if (!item->child && !cJSON_IsString(item))
            cJSON_Delete(cJSON_DetachItemViaPointer(tree, item));
    }
}

static void drop_annotations(cJSON *metadata)
{
    static const char ours[] = "mltrain.io/";
    cJSON *annotations = json_member(metadata, "annotations"), *next;
    for (cJSON *item = annotations ? annotations->child : NULL; item; item = next) {
        next = item->next;
        if (strncmp(item->string, ours, strlen(ours)) != 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(annotations, item));
    }
}

/* A name is 24 bytes, and 150 as a member of a tree. */
static void keep_names(struct trainingjob *job, cJSON *metadata)
{
    const char **const to[] = {&job->metadata.name, &job->metadata.namespace_, &job->metadata.uid};
    static const char *const members[] = {"name", "namespace", "uid"};
    size_t sizes[MLT_ARRAY_LENGTH(to)], length = 0, at = 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(to); i++)
        length += sizes[i] = strlen(*to[i]) + 1;
    char *names = mlt_calloc(1, length);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(to); i++) {
        memcpy(names + at, *to[i], sizes[i]);
        *to[i] = names + at;
        at += sizes[i];
        drop(metadata, members[i]);
    }
    free(job->names);
    job->names = names;
}

char *trainingjob_slim(struct trainingjob *job)
{
    cJSON *spec = json_member(job->object, "spec"),
          *metadata = json_member(job->object, "metadata");
    cleanup_json cJSON *template_ =
        cJSON_DetachItemFromObjectCaseSensitive(json_member(spec, "workers"), "template");
    job->spec.workers.template_ = NULL;
    job->metadata.resource_version = "";
    drop_annotations(metadata);
    drop(metadata, "resourceVersion");
    drop(metadata, "creationTimestamp");
    drop(metadata, "generation");
    drop(job->object, "apiVersion");
    drop(job->object, "kind");
    if (job->spec.roles_count == 0) { /* else their templates have numbers that nobody has read */
        drop(spec, "framework");
        drop_scalars(spec);
    }
    if (spec && !spec->child)
        drop(job->object, "spec");
    keep_names(job, metadata);
    if (metadata && !metadata->child)
        drop(job->object, "metadata");
    return template_ ? json_print(template_) : NULL;
}

void trainingjob_release(struct trainingjob *job)
{
    if (!job->object)
        return;
    fields_release(&trainingjob_spec_fields, &job->spec);
    if (job->status)
        trainingjob_status_release(job->status);
    free(job->status);
    cJSON_Delete(job->object);
    free(job->names);
    *job = (struct trainingjob){0};
}

void trainingjob_default(cJSON *object)
{
    fields_default(&trainingjob_spec_fields, json_member(object, "spec"));
}
