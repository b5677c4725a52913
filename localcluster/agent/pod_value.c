/* Resolves references as the kubelet does (pkg/kubelet/kubelet_pods.go, pkg/fieldpath,
 * pkg/api/v1/resource/helpers.go) and with its messages, which users know. */
#include "localcluster/agent/pod_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "lib/kube/base64.h"

/* ---- fields ---- */

/* "metadata.labels['a/b']" -> the value of that key. */
static int subscript(const struct pod_spec *spec, const char *path, const char *map,
                     struct mlt_text *out, struct mlt_error *err)
{
    size_t length = strlen(path), prefix = strlen("metadata.") + strlen(map) + 2;
    if (length < prefix + 2 || strcmp(path + length - 2, "']") != 0)
        return mlt_fail(err, EINVAL, "unsupported fieldPath: %s", path);
    cleanup_free char *key = mlt_strndup(path + prefix, length - prefix - 2);
    const cJSON *values = json_member(json_member(spec->object, "metadata"), map);
    mlt_text_puts(out, json_string(json_member(values, key), "", ""));
    return 0;
}

/* All labels or annotations, one per line, as the downward API writes them. */
static void all_of(const struct pod_spec *spec, const char *map, struct mlt_text *out)
{
    const cJSON *item, *values = json_member(json_member(spec->object, "metadata"), map);
    bool first = true;
    cJSON_ArrayForEach(item, values)
    {
        if (!cJSON_IsString(item))
            continue;
        cleanup_free char *quoted = json_print(item);
        mlt_text_printf(out, "%s%s=", first ? "" : "\n", item->string);
        mlt_text_puts(out, quoted);
        first = false;
    }
}

static int field(const struct pod_spec *spec, const char *path, const struct pod_facts *facts,
                 struct mlt_text *out, struct mlt_error *err)
{
    const struct {
        const char *path, *value;
    } known[] = {
        {"metadata.name", spec->name},
        {"metadata.namespace", spec->namespace_},
        {"metadata.uid", spec->uid},
        {"spec.nodeName", spec->node},
        {"spec.serviceAccountName", spec->service_account},
        {"status.podIP", facts->pod_ip},
        {"status.podIPs", facts->pod_ip},
        {"status.hostIP", facts->host_ip},
        {"status.hostIPs", facts->host_ip},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(known); i++) {
        if (strcmp(known[i].path, path) == 0) {
            mlt_text_puts(out, known[i].value);
            return 0;
        }
    }
    if (strncmp(path, "metadata.labels['", 17) == 0)
        return subscript(spec, path, "labels", out, err);
    if (strncmp(path, "metadata.annotations['", 22) == 0)
        return subscript(spec, path, "annotations", out, err);
    if (strcmp(path, "metadata.labels") == 0 || strcmp(path, "metadata.annotations") == 0) {
        all_of(spec, path + strlen("metadata."), out);
        return 0;
    }
    return mlt_fail(err, EINVAL, "unsupported fieldPath: %s", path);
}

/* ---- resources ---- */

static const struct pod_container *container_named(const struct pod_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->container_count; i++) {
        if (strcmp(spec->containers[i].name, name) == 0)
            return &spec->containers[i];
    }
    return NULL;
}

static int resource(const struct pod_spec *spec, const struct pod_container *c,
                    const struct pod_value *value, const struct pod_facts *facts,
                    struct mlt_text *out, struct mlt_error *err)
{
    if (value->object)
        c = container_named(spec, value->object);
    bool limit = strncmp(value->text, "limits.", 7) == 0;
    if (!c || (!limit && strncmp(value->text, "requests.", 9) != 0))
        return mlt_fail(err, EINVAL, "unsupported resourceFieldRef: %s of container %s",
                        value->text, value->object ? value->object : "?");
    const char *name = value->text + (limit ? 7 : 9);
    const struct pod_resource *r = pod_resource_find(c, name);
    bool cpu = strcmp(name, "cpu") == 0;
    int64_t amount = r ? (limit ? r->limit : r->request) : -1;
    if (amount < 0 && limit)
        amount = cpu ? facts->node_cpu_milli : strcmp(name, "memory") == 0 ? facts->node_memory : 0;
    if (amount < 0)
        amount = 0;
    int64_t divisor = 1000; /* thousandths of the base unit, like the amount */
    if (value->divisor && mlt_quantity_parse_milli(value->divisor, &divisor, err) < 0)
        return mlt_fail_in(err, "resourceFieldRef.divisor");
    if (divisor == 0)
        divisor = 1000;
    __int128 milli = (__int128)amount * (cpu ? 1 : 1000);
    mlt_text_printf(out, "%" PRId64, (int64_t)((milli + divisor - 1) / divisor));
    return 0;
}

/* ---- ConfigMaps and Secrets ---- */

static int absent(const struct pod_value *value, struct mlt_error *err, const char *text)
{
    return value->optional ? -ENOENT : mlt_fail(err, EINVAL, "%s", text);
}

static int find_object(const struct pod_spec *spec, const struct pod_value *value,
                       const struct pod_facts *facts, const cJSON **ret, struct mlt_error *err)
{
    char text[512];
    const cJSON *object =
        facts->find ? facts->find(facts->arg, value->source, value->object) : NULL;
    (void)spec;
    if (!object) {
        (void)snprintf(text, sizeof text, "%s \"%s\" not found",
                       value->source == POD_SOURCE_SECRET ? "secret" : "configmap", value->object);
        return absent(value, err, text);
    }
    *ret = object;
    return 0;
}

/* The decoded bytes of one key: Secret.data and ConfigMap.binaryData are base64. The caller frees.
 */
static int decode(const cJSON *item, bool base64, char **ret, size_t *ret_length,
                  struct mlt_error *err)
{
    if (!cJSON_IsString(item))
        return mlt_fail(err, EINVAL, "key %s: expected a string", item->string);
    if (base64)
        return kube_base64_decode(item->valuestring, ret, ret_length, err);
    *ret = mlt_strdup(item->valuestring);
    *ret_length = strlen(*ret);
    return 0;
}

static int keyed(const struct pod_spec *spec, const struct pod_value *value,
                 const struct pod_facts *facts, struct mlt_text *out, struct mlt_error *err)
{
    const cJSON *object = NULL;
    int rc = find_object(spec, value, facts, &object, err);
    if (rc < 0)
        return rc;
    bool secret = value->source == POD_SOURCE_SECRET;
    const cJSON *item = json_member(json_member(object, "data"), value->text);
    const cJSON *binary =
        secret || item ? NULL : json_member(json_member(object, "binaryData"), value->text);
    if (!item && !binary) {
        char text[512];
        (void)snprintf(text, sizeof text, "couldn't find key %s in %s %s/%s", value->text,
                       secret ? "Secret" : "ConfigMap", spec->namespace_, value->object);
        return absent(value, err, text);
    }
    cleanup_free char *data = NULL;
    size_t length = 0;
    rc = decode(item ? item : binary, secret || binary, &data, &length, err);
    if (rc == 0)
        mlt_text_add(out, data, length);
    return rc;
}

int pod_value_each_key(const struct pod_spec *spec, const struct pod_value *value,
                       const struct pod_facts *facts, pod_key_f *each, void *arg,
                       struct mlt_error *err)
{
    static const char *const members[] = {"data", "binaryData"};
    const cJSON *object = NULL;
    int rc = find_object(spec, value, facts, &object, err);
    for (int i = 0; rc == 0 && i < 2; i++) {
        const cJSON *item;
        cJSON_ArrayForEach(item, json_member(object, members[i]))
        {
            cleanup_free char *data = NULL;
            size_t length = 0;
            rc = decode(item, i == 1 || value->source == POD_SOURCE_SECRET, &data, &length, err);
            if (rc == 0)
                rc = each(arg, item->string, data, length, err);
            if (rc != 0)
                return rc;
        }
    }
    return rc;
}

int pod_value_resolve(const struct pod_spec *spec, const struct pod_container *c,
                      const struct pod_value *value, const struct pod_facts *facts,
                      struct mlt_text *out, struct mlt_error *err)
{
    switch (value->source) {
    case POD_SOURCE_VALUE:
        mlt_text_puts(out, value->text);
        return 0;
    case POD_SOURCE_FIELD:
        return field(spec, value->text, facts, out, err);
    case POD_SOURCE_RESOURCE:
        return resource(spec, c, value, facts, out, err);
    case POD_SOURCE_CONFIGMAP:
    case POD_SOURCE_SECRET:
        return keyed(spec, value, facts, out, err);
    }
    return mlt_fail(err, EINVAL, "unknown kind of value");
}
