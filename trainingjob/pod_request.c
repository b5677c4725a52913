/* What a pod asks of its node: see pod_request.h. */
#include "trainingjob/pod_request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define PATH_MAX_BYTES 256

/* ---- arithmetic; sums stop at the largest quantity instead of wrapping ---- */

static int64_t add(int64_t a, int64_t b)
{
    return a > INT64_MAX / 2 - b ? INT64_MAX / 2 : a + b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The place of an extended resource, made when it is new; NULL when there are too many. */
static struct pod_request_extended *find_extended(struct pod_request *r, const char *name)
{
    for (size_t i = 0; i < r->extended_count; i++) {
        if (strcmp(r->extended[i].name, name) == 0)
            return &r->extended[i];
    }
    if (r->extended_count >= POD_REQUEST_EXTENDED_MAX || strlen(name) >= POD_REQUEST_NAME_MAX)
        return NULL;
    struct pod_request_extended *made = &r->extended[r->extended_count++];
    *made = (struct pod_request_extended){0};
    memcpy(made->name, name, strlen(name) + 1);
    return made;
}

/* Combines two requests: their sum, or the larger of each resource. */
static int combine(struct pod_request *to, const struct pod_request *from,
                   int64_t (*how)(int64_t, int64_t), struct mlt_error *err)
{
    to->cpu_milli = how(to->cpu_milli, from->cpu_milli);
    to->memory = how(to->memory, from->memory);
    to->ephemeral_storage = how(to->ephemeral_storage, from->ephemeral_storage);
    for (size_t i = 0; i < from->extended_count; i++) {
        struct pod_request_extended *mine = find_extended(to, from->extended[i].name);
        if (!mine)
            return mlt_fail(err, EINVAL, "spec: more than %d extended resources",
                            POD_REQUEST_EXTENDED_MAX);
        mine->count = how(mine->count, from->extended[i].count);
    }
    return 0;
}

/* ---- reading ---- */

static int quantity_fail(struct mlt_error *err, const char *where, const char *name,
                         const struct mlt_error *inner)
{
    return mlt_fail(err, EINVAL, "%s[%.100s]: %.200s", where, name, inner->text);
}

static int read_quantity(const cJSON *item, const char *where, struct pod_request *r,
                         struct mlt_error *err)
{
    struct mlt_error inner = {0};
    char number[32];
    const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
    int64_t value;
    if (json_is_integer(item, &value)) {
        (void)snprintf(number, sizeof number, "%lld", (long long)value);
        text = number;
    }
    if (!text)
        return mlt_fail(err, EINVAL, "%s[%.100s]: expected a quantity such as \"500m\" or \"8Gi\"",
                        where, item->string);
    bool cpu = strcmp(item->string, "cpu") == 0;
    int rc = cpu ? mlt_quantity_parse_milli(text, &value, &inner)
                 : mlt_quantity_parse(text, &value, &inner);
    if (rc < 0)
        return quantity_fail(err, where, item->string, &inner);
    if (cpu) {
        r->cpu_milli = value;
    } else if (strcmp(item->string, "memory") == 0) {
        r->memory = value;
    } else if (strcmp(item->string, "ephemeral-storage") == 0) {
        r->ephemeral_storage = value;
    } else if (strchr(item->string, '/')) {
        int64_t milli = 0;
        if (mlt_quantity_parse_milli(text, &milli, NULL) < 0 || milli % 1000 != 0)
            return mlt_fail(err, EINVAL, "%s[%.100s]: `%.40s` must be a whole number", where,
                            item->string, text);
        struct pod_request_extended *extended = find_extended(r, item->string);
        if (!extended)
            return mlt_fail(err, EINVAL, "%s[%.100s]: more than %d extended resources", where,
                            item->string, POD_REQUEST_EXTENDED_MAX);
        extended->count = value;
    }
    return 0;
}

/* A ResourceList: limits, requests or overhead. */
static int read_list(const cJSON *list, const char *where, struct pod_request *r,
                     struct mlt_error *err)
{
    const cJSON *item;
    if (list && !cJSON_IsNull(list) && !cJSON_IsObject(list))
        return json_refuse(list, where, "an object", err);
    cJSON_ArrayForEach(item, list)
    {
        int rc = read_quantity(item, where, r, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int pod_request_container(const cJSON *container, const char *where,
                          struct pod_request *ret_request, struct mlt_error *err)
{
    struct pod_request r = {0};
    char path[PATH_MAX_BYTES];
    const char *dot = where[0] ? "." : "";
    /* The API server defaults requests to limits, so limits first and requests over them. */
    (void)snprintf(path, sizeof path, "%s%sresources.limits", where, dot);
    int rc = read_list(json_find(container, "resources.limits"), path, &r, err);
    if (rc < 0)
        return rc;
    (void)snprintf(path, sizeof path, "%s%sresources.requests", where, dot);
    rc = read_list(json_find(container, "resources.requests"), path, &r, err);
    if (rc == 0)
        *ret_request = r;
    return rc;
}

static int add_containers(const cJSON *pod, struct pod_request *sum, struct mlt_error *err)
{
    const cJSON *item;
    int index = 0;
    cJSON_ArrayForEach(item, json_find(pod, "spec.containers"))
    {
        struct pod_request one;
        char where[64];
        (void)snprintf(where, sizeof where, "spec.containers[%d]", index++);
        int rc = pod_request_container(item, where, &one, err);
        if (rc == 0)
            rc = combine(sum, &one, add, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Init containers run one after the other beside the sidecars (restartPolicy: Always) started
 * before them; sidecars stay, so they also add to the containers. */
static int add_init_containers(const cJSON *pod, struct pod_request *sum, struct mlt_error *err)
{
    struct pod_request sidecars = {0}, peak = {0};
    const cJSON *item;
    int index = 0;
    cJSON_ArrayForEach(item, json_find(pod, "spec.initContainers"))
    {
        struct pod_request one, now = sidecars;
        char where[64];
        (void)snprintf(where, sizeof where, "spec.initContainers[%d]", index++);
        int rc = pod_request_container(item, where, &one, err);
        if (rc == 0)
            rc = combine(&now, &one, add, err);
        if (rc == 0)
            rc = combine(&peak, &now, larger, err);
        if (rc < 0)
            return rc;
        if (strcmp(json_string(item, "restartPolicy", ""), "Always") == 0)
            sidecars = now;
    }
    int rc = combine(sum, &sidecars, add, err);
    return rc < 0 ? rc : combine(sum, &peak, larger, err);
}

/* Pod-level resources (Kubernetes 1.32) replace what the containers ask of cpu and memory. */
static int replace_by_pod_level(const cJSON *pod, struct pod_request *sum, struct mlt_error *err)
{
    struct pod_request level;
    int rc = pod_request_container(json_member(pod, "spec"), "spec", &level, err);
    if (rc < 0)
        return rc;
    if (level.cpu_milli > 0)
        sum->cpu_milli = level.cpu_milli;
    if (level.memory > 0)
        sum->memory = level.memory;
    return 0;
}

int pod_request_read(const cJSON *pod, struct pod_request *ret_request, struct mlt_error *err)
{
    struct pod_request sum = {0}, overhead = {0};
    int rc = add_containers(pod, &sum, err);
    if (rc == 0)
        rc = add_init_containers(pod, &sum, err);
    if (rc == 0)
        rc = replace_by_pod_level(pod, &sum, err);
    if (rc == 0)
        rc = read_list(json_find(pod, "spec.overhead"), "spec.overhead", &overhead, err);
    if (rc == 0)
        rc = combine(&sum, &overhead, add, err);
    if (rc == 0)
        *ret_request = sum;
    return rc;
}

/* ---- asking ---- */

int64_t pod_request_extended(const struct pod_request *request, const char *name)
{
    for (size_t i = 0; i < request->extended_count; i++) {
        if (strcmp(request->extended[i].name, name) == 0)
            return request->extended[i].count;
    }
    return 0;
}

bool pod_request_is_gpu(const char *resource)
{
    static const char *const names[] = {"nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu"};
    static const char mig[] = "nvidia.com/mig-";
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++) {
        if (strcmp(resource, names[i]) == 0)
            return true;
    }
    return strncmp(resource, mig, sizeof mig - 1) == 0;
}

int64_t pod_request_gpus(const struct pod_request *request)
{
    int64_t gpus = 0;
    for (size_t i = 0; i < request->extended_count; i++) {
        if (pod_request_is_gpu(request->extended[i].name))
            gpus = add(gpus, request->extended[i].count);
    }
    return gpus;
}
