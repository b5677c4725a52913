/* Reads the parts of a Pod that the agent acts on; names the parts that it does not. */
#include "localcluster/agent/pod_spec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/clock_text.h"
#include "lib/base/name.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "localcluster/agent/pod_ignored.h"
#include "localcluster/agent/pod_volume.h"

#define GRACE_DEFAULT_SECONDS 30
#define GRACE_MAX_SECONDS (INT64_C(10) * 365 * 24 * 3600)
#define WHERE_MAX 128
#define PATH_LENGTH_MAX 4096
#define VALUE_LENGTH_MAX (1024 * 1024)

static int read_words(const cJSON *object, const char *where, const char *name, const char ***ret,
                      struct mlt_error *err)
{
    const cJSON *array = NULL, *item;
    int rc = json_read_array(object, where, name, POD_WORDS_MAX, &array, err);
    if (rc <= 0 || json_size(array, "") == 0)
        return rc < 0 ? rc : 0;
    const char **words = mlt_calloc(json_size(array, "") + 1, sizeof *words);
    size_t count = 0;
    cJSON_ArrayForEach(item, array)
    {
        if (!cJSON_IsString(item)) {
            free(words);
            return mlt_fail(err, EINVAL, "%s.%s[%zu]: expected a string", where, name, count);
        }
        words[count++] = item->valuestring;
    }
    *ret = words;
    return 0;
}

/* ---- environment ---- */

static int read_env_source(const cJSON *from, const char *where, struct pod_value *v,
                           struct mlt_error *err)
{
    const cJSON *field = json_member(from, "fieldRef"), *key = json_member(from, "configMapKeyRef");
    const cJSON *secret = json_member(from, "secretKeyRef");
    const cJSON *resource = json_member(from, "resourceFieldRef");
    if (field) {
        v->source = POD_SOURCE_FIELD;
        v->text = json_string(field, "fieldPath", "");
    } else if (resource) {
        v->source = POD_SOURCE_RESOURCE;
        v->text = json_string(resource, "resource", "");
        v->object = json_string(resource, "containerName", NULL);
        v->divisor = json_string(resource, "divisor", NULL);
    } else if (key || secret) {
        v->source = key ? POD_SOURCE_CONFIGMAP : POD_SOURCE_SECRET;
        v->text = json_string(key ? key : secret, "key", "");
        v->object = json_string(key ? key : secret, "name", "");
        v->optional = json_bool(key ? key : secret, "optional", false);
    } else {
        return mlt_fail(err, EINVAL,
                        "%s.valueFrom: expected fieldRef, resourceFieldRef, configMapKeyRef or "
                        "secretKeyRef",
                        where);
    }
    return 0;
}

static int read_env_from(const cJSON *item, const char *where, struct pod_env *ret,
                         struct mlt_error *err)
{
    const cJSON *map = json_member(item, "configMapRef"), *secret = json_member(item, "secretRef");
    if (!map && !secret)
        return mlt_fail(err, EINVAL, "%s: expected configMapRef or secretRef", where);
    ret->prefix = json_string(item, "prefix", "");
    ret->value.source = map ? POD_SOURCE_CONFIGMAP : POD_SOURCE_SECRET;
    ret->value.object = json_string(map ? map : secret, "name", "");
    ret->value.optional = json_bool(map ? map : secret, "optional", false);
    return 0;
}

static int read_env_item(const cJSON *item, const char *where, struct pod_env *ret,
                         struct mlt_error *err)
{
    const cJSON *from = NULL;
    ret->value.text = "";
    if (json_read_string(item, where, "name", 4096, &ret->name, err) < 0 ||
        json_read_string(item, where, "value", VALUE_LENGTH_MAX, &ret->value.text, err) < 0 ||
        json_read_object(item, where, "valueFrom", &from, err) < 0)
        return -EINVAL;
    if (!ret->name || *ret->name == '\0' || strchr(ret->name, '='))
        return mlt_fail(err, EINVAL, "%s.name: `%s` is not the name of a variable", where,
                        ret->name ? ret->name : "");
    return from ? read_env_source(from, where, &ret->value, err) : 0;
}

static int read_env(const cJSON *object, const char *where, struct pod_container *c,
                    struct mlt_error *err)
{
    const cJSON *from = NULL, *env = NULL, *item;
    char here[WHERE_MAX];
    if (json_read_array(object, where, "envFrom", POD_ENV_MAX, &from, err) < 0 ||
        json_read_array(object, where, "env", POD_ENV_MAX, &env, err) < 0)
        return -EINVAL;
    c->env = mlt_calloc(json_size(from, "") + json_size(env, "") + 1, sizeof *c->env);
    size_t index = 0;
    cJSON_ArrayForEach(item, from)
    {
        (void)snprintf(here, sizeof here, "%.90s.envFrom[%zu]", where, index++);
        if (read_env_from(item, here, &c->env[c->env_count++], err) < 0)
            return -EINVAL;
    }
    index = 0;
    cJSON_ArrayForEach(item, env)
    {
        (void)snprintf(here, sizeof here, "%.90s.env[%zu]", where, index++);
        if (read_env_item(item, here, &c->env[c->env_count++], err) < 0)
            return -EINVAL;
    }
    return 0;
}

/* ---- resources ---- */

static struct pod_resource *resource_slot(struct pod_container *c, const char *name)
{
    for (size_t i = 0; i < c->resource_count; i++) {
        if (strcmp(c->resources[i].name, name) == 0)
            return &c->resources[i];
    }
    if (c->resource_count == POD_RESOURCES_MAX)
        return NULL;
    struct pod_resource *r = &c->resources[c->resource_count++];
    *r = (struct pod_resource){.name = name, .request = -1, .limit = -1};
    return r;
}

static int read_quantity(const cJSON *item, const char *name, int64_t *ret, struct mlt_error *err)
{
    char number[32];
    const char *text = cJSON_IsString(item) ? item->valuestring : number;
    if (cJSON_IsNumber(item))
        (void)snprintf(number, sizeof number, "%.17g", item->valuedouble);
    else if (!cJSON_IsString(item))
        return mlt_fail(err, EINVAL, "expected a quantity");
    return strcmp(name, "cpu") == 0 ? mlt_quantity_parse_milli(text, ret, err)
                                    : mlt_quantity_parse(text, ret, err);
}

static int read_resources(const cJSON *object, const char *where, struct pod_container *c,
                          struct mlt_error *err)
{
    static const char *const kinds[] = {"requests", "limits"};
    for (int kind = 0; kind < 2; kind++) {
        const cJSON *item,
            *list = json_find(object, kind ? "resources.limits" : "resources.requests");
        cJSON_ArrayForEach(item, list)
        {
            struct pod_resource *r = resource_slot(c, item->string);
            int64_t value;
            if (!r)
                return mlt_fail(err, EINVAL, "%s.resources: at most %d resources", where,
                                POD_RESOURCES_MAX);
            if (read_quantity(item, item->string, &value, err) < 0)
                return mlt_fail_in(err, "%s.resources.%s[%s]", where, kinds[kind], item->string);
            *(kind ? &r->limit : &r->request) = value;
        }
    }
    for (size_t i = 0; i < c->resource_count; i++) {
        if (c->resources[i].request < 0)
            c->resources[i].request = c->resources[i].limit;
    }
    return 0;
}

const struct pod_resource *pod_resource_find(const struct pod_container *c, const char *name)
{
    for (size_t i = 0; i < c->resource_count; i++) {
        if (strcmp(c->resources[i].name, name) == 0)
            return &c->resources[i];
    }
    return NULL;
}

int64_t pod_request(const struct pod_spec *spec, const char *resource)
{
    int64_t sum = 0, peak = 0, sidecars = 0;
    for (size_t i = 0; i < spec->container_count; i++) {
        const struct pod_container *c = &spec->containers[i];
        const struct pod_resource *r = pod_resource_find(c, resource);
        int64_t need = r && r->request > 0 ? r->request : 0;
        if (!c->init)
            sum += need;
        else if (c->restart_always)
            sidecars += need;
        if (c->init && sidecars + (c->restart_always ? 0 : need) > peak)
            peak = sidecars + (c->restart_always ? 0 : need);
    }
    sum += sidecars;
    return sum > peak ? sum : peak;
}

void pod_resource_names(const struct pod_spec *spec, const char **names, size_t max,
                        size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < spec->container_count; i++) {
        const struct pod_container *c = &spec->containers[i];
        for (size_t j = 0; j < c->resource_count && count < max; j++) {
            bool known = false;
            for (size_t k = 0; k < count; k++)
                known = known || strcmp(names[k], c->resources[j].name) == 0;
            if (!known)
                names[count++] = c->resources[j].name;
        }
    }
    *ret_count = count;
}

const char *pod_qos_class(const struct pod_spec *spec)
{
    static const char *const counted[] = {"cpu", "memory"};
    bool any = false, guaranteed = true;
    for (size_t i = 0; i < spec->container_count; i++) {
        for (int k = 0; k < 2; k++) {
            const struct pod_resource *r = pod_resource_find(&spec->containers[i], counted[k]);
            any = any || (r && r->request > 0);
            guaranteed = guaranteed && r && r->limit > 0 && r->limit == r->request;
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/* ---- containers ---- */

static int read_mounts(const cJSON *object, const char *where, struct pod_container *c,
                       struct mlt_error *err)
{
    const cJSON *array = NULL, *item;
    if (json_read_array(object, where, "volumeMounts", POD_MOUNTS_MAX, &array, err) < 0)
        return -EINVAL;
    c->mounts = mlt_calloc(json_size(array, "") + 1, sizeof *c->mounts);
    cJSON_ArrayForEach(item, array)
    {
        struct pod_mount *m = &c->mounts[c->mount_count];
        m->volume = json_string(item, "name", "");
        m->path = json_string(item, "mountPath", "");
        m->sub_path = json_string(item, "subPath", "");
        m->read_only = json_bool(item, "readOnly", false);
        bool bad = m->path[0] != '/' || pod_path_climbs(m->path) || m->path[1] == '\0';
        if (bad || m->sub_path[0] == '/' || pod_path_climbs(m->sub_path))
            return mlt_fail(err, EINVAL, "%s.volumeMounts[%zu]: `%s` is not %s", where,
                            c->mount_count, bad ? m->path : m->sub_path,
                            bad ? "an absolute path below /" : "a relative path without ..");
        c->mount_count++;
    }
    return 0;
}

static int read_security(const cJSON *pod, const cJSON *object, struct pod_container *c,
                         struct mlt_error *err)
{
    const cJSON *own = json_member(object, "securityContext");
    const cJSON *common = json_member(pod, "securityContext");
    const char *where = "securityContext";
    c->run_as_user = c->run_as_group = -1;
    if (json_read_integer(common, where, "runAsUser", 0, UINT32_MAX - 1, &c->run_as_user, err) <
            0 ||
        json_read_integer(own, where, "runAsUser", 0, UINT32_MAX - 1, &c->run_as_user, err) < 0 ||
        json_read_integer(common, where, "runAsGroup", 0, UINT32_MAX - 1, &c->run_as_group, err) <
            0 ||
        json_read_integer(own, where, "runAsGroup", 0, UINT32_MAX - 1, &c->run_as_group, err) < 0 ||
        json_read_bool(common, where, "runAsNonRoot", &c->run_as_non_root, err) < 0 ||
        json_read_bool(own, where, "runAsNonRoot", &c->run_as_non_root, err) < 0)
        return -EINVAL;
    return 0;
}

static int read_container(const cJSON *pod, const cJSON *object, const char *where, bool init,
                          struct pod_container *c, struct mlt_error *err)
{
    c->init = init;
    c->name = json_string(object, "name", "");
    c->image = json_string(object, "image", "");
    c->working_dir = json_string(object, "workingDir", "");
    c->restart_always = init && strcmp(json_string(object, "restartPolicy", ""), "Always") == 0;
    if (!mlt_is_dns_label(c->name, 63))
        return mlt_fail(err, EINVAL, "%s.name: `%s` is not a DNS label", where, c->name);
    if (c->working_dir[0] != '\0' && c->working_dir[0] != '/')
        return mlt_fail(err, EINVAL, "%s.workingDir: `%s` is not an absolute path", where,
                        c->working_dir);
    if (read_words(object, where, "command", &c->command, err) < 0 ||
        read_words(object, where, "args", &c->args, err) < 0 ||
        read_env(object, where, c, err) < 0 || read_mounts(object, where, c, err) < 0 ||
        read_resources(object, where, c, err) < 0 || read_security(pod, object, c, err) < 0)
        return -EINVAL;
    return 0;
}

static int read_containers(const cJSON *pod, struct pod_spec *spec, struct mlt_error *err)
{
    const cJSON *init = NULL, *app = NULL, *item;
    char where[WHERE_MAX];
    if (json_read_array(pod, "spec", "initContainers", POD_CONTAINERS_MAX / 2, &init, err) < 0 ||
        json_read_array(pod, "spec", "containers", POD_CONTAINERS_MAX / 2, &app, err) < 0)
        return -EINVAL;
    spec->containers =
        mlt_calloc(json_size(init, "") + json_size(app, "") + 1, sizeof *spec->containers);
    for (int pass = 0; pass < 2; pass++) {
        size_t index = 0;
        const cJSON *list = pass == 0 ? init : app;
        cJSON_ArrayForEach(item, list)
        {
            (void)snprintf(where, sizeof where, "spec.%s[%zu]",
                           pass ? "containers" : "initContainers", index++);
            struct pod_container *c = &spec->containers[spec->container_count++];
            if (read_container(pod, item, where, pass == 0, c, err) < 0)
                return -EINVAL;
        }
        if (pass == 0)
            spec->init_count = spec->container_count;
    }
    if (spec->container_count == spec->init_count)
        return mlt_fail(err, EINVAL, "spec.containers: a pod has at least one container");
    return 0;
}

/* ---- the pod ---- */

static int read_policy(const cJSON *pod, struct pod_spec *spec, struct mlt_error *err)
{
    const char *restart = json_string(pod, "restartPolicy", "Always");
    if (strcmp(restart, "Always") == 0)
        spec->restart = POD_RESTART_ALWAYS;
    else if (strcmp(restart, "OnFailure") == 0)
        spec->restart = POD_RESTART_ON_FAILURE;
    else if (strcmp(restart, "Never") == 0)
        spec->restart = POD_RESTART_NEVER;
    else
        return mlt_fail(err, EINVAL, "spec.restartPolicy: `%s` is not Always, OnFailure or Never",
                        restart);
    spec->grace_seconds = GRACE_DEFAULT_SECONDS;
    spec->fs_group = -1;
    if (json_read_integer(pod, "spec", "terminationGracePeriodSeconds", 0, GRACE_MAX_SECONDS,
                          &spec->grace_seconds, err) < 0 ||
        json_read_integer(pod, "spec", "activeDeadlineSeconds", 1, GRACE_MAX_SECONDS,
                          &spec->active_deadline_seconds, err) < 0 ||
        json_read_integer(json_member(pod, "securityContext"), "spec.securityContext", "fsGroup", 0,
                          UINT32_MAX - 1, &spec->fs_group, err) < 0)
        return -EINVAL;
    return 0;
}

/* The kernel's limit is 64 bytes; the kubelet cuts at 63 and then drops what may not stand at the
 * end. */
static void read_hostname(const char *name, struct pod_spec *spec)
{
    (void)snprintf(spec->hostname, sizeof spec->hostname, "%s", name);
    for (size_t n = strlen(spec->hostname); n > 0 && strchr("-.", spec->hostname[n - 1]); n--)
        spec->hostname[n - 1] = '\0';
}

static void read_metadata(const cJSON *object, struct pod_spec *spec)
{
    spec->name = json_string(object, "metadata.name", "");
    spec->namespace_ = json_string(object, "metadata.namespace", "default");
    spec->uid = json_string(object, "metadata.uid", "");
    spec->resource_version = json_string(object, "metadata.resourceVersion", "");
    spec->owner_uid = json_string(object, "metadata.ownerReferences[0].uid", "");
    spec->node = json_string(object, "spec.nodeName", "");
    read_hostname(json_string(object, "spec.hostname", spec->name), spec);
    spec->service_account = json_string(object, "spec.serviceAccountName", "default");
    spec->deleting = json_find(object, "metadata.deletionTimestamp") != NULL;
    spec->deletion_grace_seconds =
        json_integer(object, "metadata.deletionGracePeriodSeconds", GRACE_DEFAULT_SECONDS);
    if (mlt_time_parse(json_string(object, "metadata.creationTimestamp", ""), &spec->created_ms,
                       NULL) < 0)
        spec->created_ms = 0;
}

/* Names and UIDs become names of files, so they are checked whatever the server may have checked.
 */
static int check_names(const struct pod_spec *spec, struct mlt_error *err)
{
    if (!mlt_is_dns_subdomain(spec->name))
        return mlt_fail(err, EINVAL, "metadata.name: `%s` is not a DNS subdomain", spec->name);
    if (!mlt_is_dns_label(spec->namespace_, 63))
        return mlt_fail(err, EINVAL, "metadata.namespace: `%s` is not a DNS label",
                        spec->namespace_);
    if (!mlt_is_dns_label(spec->uid, POD_UID_MAX - 1))
        return mlt_fail(err, EINVAL, "metadata.uid: `%s` is not a UID", spec->uid);
    return 0;
}

int pod_spec_read(cJSON *object, struct pod_spec **ret, struct mlt_error *err)
{
    const cJSON *pod = json_member(object, "spec");
    struct pod_spec *spec = mlt_calloc(1, sizeof *spec);
    read_metadata(object, spec);
    if (check_names(spec, err) < 0 || read_policy(pod, spec, err) < 0 ||
        read_containers(pod, spec, err) < 0 || pod_volumes_read(pod, spec, err) < 0) {
        pod_spec_free(spec);
        return -EINVAL;
    }
    pod_ignored_fields(pod, spec->ignored, sizeof spec->ignored);
    spec->object = object;
    *ret = spec;
    return 0;
}

void pod_spec_free(struct pod_spec *spec)
{
    if (!spec)
        return;
    for (size_t i = 0; i < spec->container_count; i++) {
        struct pod_container *c = &spec->containers[i];
        free(c->command);
        free(c->args);
        free(c->env);
        free(c->mounts);
    }
    free(spec->containers);
    for (size_t i = 0; i < spec->volume_count; i++)
        free(spec->volumes[i].files);
    free(spec->volumes);
    cJSON_Delete(spec->object);
    free(spec);
}
