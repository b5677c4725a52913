/* What a pod template must have and must not have (design section 7). Kubernetes itself checks the
 * rest: one pod of it is created with dryRun before a gang is planned. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "trainingjob/fields.h"
#include "trainingjob/object.h"
#include "trainingjob/pod_request.h"
#include "trainingjob/trainingjob.h"

#define RESERVED \
    "mltrain" /* names of ours in a pod: mltrain, mltrain-..., and labels mltrain.io/... */

#define ARGUMENTS_MAX 1024 /* items of command and of args */
#define MOUNTS_MAX 64      /* of one container */

static bool is_reserved(const char *name)
{
    return strcmp(name, RESERVED) == 0 || strncmp(name, RESERVED "-", strlen(RESERVED) + 1) == 0;
}

/* Fields that would take the placement out of our hands. */
static int check_refused(const cJSON *spec, const char *where, struct mlt_error *err)
{
    static const char *const refused[] = {"nodeName", "schedulerName", "schedulingGates"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(refused); i++) {
        const cJSON *found = json_member(spec, refused[i]);
        if (found && !cJSON_IsNull(found))
            return fields_fail(err, where, refused[i],
                               "must not be set: mltrain places the pods itself");
    }
    const char *policy = NULL;
    int rc = json_read_string(spec, where, "restartPolicy", 253, &policy, err);
    if (rc > 0 && strcmp(policy, "Never") != 0)
        return fields_fail(err, where, "restartPolicy",
                           "must be Never or absent: mltrain restarts ranks itself");
    return rc < 0 ? rc : 0;
}

static int check_name(const cJSON *item, const char *where, const cJSON *list,
                      struct mlt_error *err)
{
    const char *name = NULL;
    int rc = json_read_string(item, where, "name", 253, &name, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return fields_fail(err, where, "name", "is required");
    if (!mlt_is_dns_label(name, 63))
        return fields_fail(
            err, where, "name",
            "expected a-z, 0-9 and -, at most 63 characters, letter or digit at both "
            "ends");
    if (is_reserved(name))
        return fields_fail(err, where, "name", "`mltrain` and `mltrain-...` are reserved");
    const cJSON *other;
    cJSON_ArrayForEach(other, list)
    {
        if (other == item)
            break;
        if (strcmp(json_string(other, "name", ""), name) == 0)
            return fields_fail(err, where, "name", "this name stands twice");
    }
    return 0;
}

/* A list of objects with unique names: containers, initContainers, volumes. */
static int check_named(const cJSON *spec, const char *where, const char *list_name,
                       const cJSON **ret_list, struct mlt_error *err)
{
    const cJSON *list = NULL, *item;
    size_t index = 0;
    int rc = json_read_array(spec, where, list_name, TRAININGJOB_CONTAINERS_MAX, &list, err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(item, list)
    {
        char path[FIELDS_PATH_MAX];
        fields_item_path(path, where, list_name, index++);
        rc = check_name(item, path, list, err);
        if (rc < 0)
            return rc;
    }
    *ret_list = list;
    return 0;
}

static int check_labels(const cJSON *template_, const char *where, struct mlt_error *err)
{
    const cJSON *metadata = NULL, *labels = NULL, *item;
    char path[FIELDS_PATH_MAX];
    int rc = json_read_object(template_, where, "metadata", &metadata, err);
    if (rc < 0)
        return rc;
    fields_path(path, where, "metadata");
    rc = json_read_object(metadata, path, "labels", &labels, err);
    cJSON_ArrayForEach(item, labels)
    {
        if (strncmp(item->string, RESERVED ".io/", strlen(RESERVED) + 4) == 0)
            return mlt_fail(err, EINVAL, "%s.labels[%.100s]: labels of mltrain.io are reserved",
                            path, item->string);
    }
    return rc < 0 ? rc : 0;
}

/* command and args are lists of strings. */
static int check_strings(const cJSON *container, const char *where, const char *name,
                         struct mlt_error *err)
{
    const cJSON *list = NULL, *item;
    char path[FIELDS_PATH_MAX];
    size_t index = 0;
    int rc = json_read_array(container, where, name, ARGUMENTS_MAX, &list, err);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item)) {
            fields_item_path(path, where, name, index);
            return json_refuse(item, path, "a string", err);
        }
        index++;
    }
    return rc < 0 ? rc : 0;
}

static int check_mounts(const cJSON *container, const char *where, struct mlt_error *err)
{
    const cJSON *mounts = NULL, *item;
    size_t index = 0;
    int rc = json_read_array(container, where, "volumeMounts", MOUNTS_MAX, &mounts, err);
    cJSON_ArrayForEach(item, mounts)
    {
        const char *at = json_string(item, "mountPath", "");
        if (strcmp(at, "/mltrain") == 0 || strcmp(at, "/mltrain-key") == 0)
            return mlt_fail(err, EINVAL, "%s.volumeMounts[%zu].mountPath: `%s` is reserved", where,
                            index, at);
        index++;
    }
    return rc < 0 ? rc : 0;
}

/* A list of containers, with what each of them must be. */
static int check_containers(const cJSON *spec, const char *where, const char *list_name,
                            const cJSON **ret_list, struct mlt_error *err)
{
    const cJSON *item;
    size_t index = 0;
    int rc = check_named(spec, where, list_name, ret_list, err);
    if (rc < 0)
        return rc;
    cJSON_ArrayForEach(item, *ret_list)
    {
        char path[FIELDS_PATH_MAX];
        fields_item_path(path, where, list_name, index++);
        rc = check_strings(item, path, "command", err);
        if (rc == 0)
            rc = check_strings(item, path, "args", err);
        if (rc == 0)
            rc = check_mounts(item, path, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_trainer(const cJSON *containers, const cJSON *trainer, const char *where,
                         struct mlt_error *err)
{
    char path[FIELDS_PATH_MAX];
    size_t index = 0;
    for (const cJSON *item = containers->child; item != trainer; item = item->next)
        index++;
    if (json_size(trainer, "command") > 0)
        return 0;
    fields_item_path(path, where, "containers", index);
    return fields_fail(err, path, "command",
                       "is required: mltrain starts it once per rank (the image's own entry point "
                       "is not known to it)");
}

int trainingjob_check_template(const cJSON *template_, const char *where, struct mlt_error *err)
{
    const cJSON *spec = NULL, *containers = NULL, *ignored = NULL;
    char path[FIELDS_PATH_MAX];
    struct pod_request request;
    struct mlt_error inner = {0};
    int rc = check_labels(template_, where, err);
    if (rc == 0)
        rc = json_read_object(template_, where, "spec", &spec, err);
    if (rc < 0)
        return rc;
    if (!spec)
        return fields_fail(err, where, "spec", "is required");
    fields_path(path, where, "spec");
    rc = check_refused(spec, path, err);
    if (rc == 0)
        rc = check_containers(spec, path, "containers", &containers, err);
    if (rc == 0 && json_size(containers, "") == 0)
        rc = fields_fail(err, path, "containers", "expected at least one container");
    if (rc == 0)
        rc = check_containers(spec, path, "initContainers", &ignored, err);
    if (rc == 0)
        rc = check_named(spec, path, "volumes", &ignored, err);
    if (rc == 0)
        rc = check_trainer(containers, trainingjob_trainer(template_), path, err);
    if (rc < 0)
        return rc;
    if (pod_request_read(template_, &request, &inner) < 0)
        return mlt_fail(err, EINVAL, "%s.%.400s", where, inner.text);
    return 0;
}
