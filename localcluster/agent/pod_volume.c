/* Volumes of a pod: empty folders, paths of the host, and folders of files made from API objects.
 */
#include "localcluster/agent/pod_volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/name.h"
#include "lib/json/json.h"

#define MODE_DEFAULT 0644
#define MODE_MAX 0777
#define WHERE_MAX 128

bool pod_path_climbs(const char *path)
{
    for (const char *at = path; *at;) {
        const char *end = strchrnul(at, '/');
        if (end - at == 2 && at[0] == '.' && at[1] == '.')
            return true;
        at = *end ? end + 1 : end;
    }
    return false;
}

static struct pod_file *add_file(struct pod_volume *v, size_t *capacity)
{
    MLT_GROW(v->files, v->file_count, *capacity);
    v->files[v->file_count] = (struct pod_file){.mode = -1};
    return &v->files[v->file_count++];
}

static int check_path(const char *path, const char *where, struct mlt_error *err)
{
    if (*path == '\0' || *path == '/' || pod_path_climbs(path))
        return mlt_fail(err, EINVAL, "%s: `%s` is not a relative path without ..", where, path);
    return 0;
}

static int read_mode(const cJSON *item, const char *where, int *ret, struct mlt_error *err)
{
    int64_t mode = -1;
    int rc = json_read_integer(item, where, "mode", 0, MODE_MAX, &mode, err);
    *ret = (int)mode;
    return rc < 0 ? rc : 0;
}

/* A configMap or secret source; `name` is the member that names the object. */
static int read_keys(const cJSON *source, const char *where, const char *name, enum pod_source kind,
                     struct pod_volume *v, size_t *capacity, struct mlt_error *err)
{
    const cJSON *items = NULL, *item;
    struct pod_value value = {.source = kind, .object = json_string(source, name, "")};
    value.optional = json_bool(source, "optional", false);
    if (!mlt_is_dns_subdomain(value.object))
        return mlt_fail(err, EINVAL, "%s.%s: `%s` is not a name", where, name, value.object);
    if (json_read_array(source, where, "items", POD_ITEMS_MAX, &items, err) < 0)
        return -EINVAL;
    if (json_size(items, "") == 0)
        add_file(v, capacity)->value = value;
    cJSON_ArrayForEach(item, items)
    {
        struct pod_file *file = add_file(v, capacity);
        file->value = value;
        file->value.text = json_string(item, "key", "");
        file->path = json_string(item, "path", "");
        if (check_path(file->path, where, err) < 0 || read_mode(item, where, &file->mode, err) < 0)
            return -EINVAL;
    }
    return 0;
}

static int read_downward(const cJSON *source, const char *where, struct pod_volume *v,
                         size_t *capacity, struct mlt_error *err)
{
    const cJSON *items = NULL, *item;
    if (json_read_array(source, where, "items", POD_ITEMS_MAX, &items, err) < 0)
        return -EINVAL;
    cJSON_ArrayForEach(item, items)
    {
        struct pod_file *file = add_file(v, capacity);
        const cJSON *field = json_member(item, "fieldRef");
        const cJSON *resource = json_member(item, "resourceFieldRef");
        file->path = json_string(item, "path", "");
        if (!field && !resource)
            return mlt_fail(err, EINVAL, "%s.items: expected fieldRef or resourceFieldRef", where);
        file->value.source = field ? POD_SOURCE_FIELD : POD_SOURCE_RESOURCE;
        file->value.text =
            field ? json_string(field, "fieldPath", "") : json_string(resource, "resource", "");
        file->value.object = json_string(resource, "containerName", NULL);
        file->value.divisor = json_string(resource, "divisor", NULL);
        if (check_path(file->path, where, err) < 0 || read_mode(item, where, &file->mode, err) < 0)
            return -EINVAL;
    }
    return 0;
}

static int read_projected(const cJSON *source, const char *where, struct pod_volume *v,
                          size_t *capacity, struct mlt_error *err)
{
    const cJSON *sources = NULL, *item;
    char here[WHERE_MAX];
    size_t index = 0;
    if (json_read_array(source, where, "sources", POD_ITEMS_MAX, &sources, err) < 0)
        return -EINVAL;
    cJSON_ArrayForEach(item, sources)
    {
        const cJSON *map = json_member(item, "configMap"), *secret = json_member(item, "secret");
        const cJSON *downward = json_member(item, "downwardAPI");
        (void)snprintf(here, sizeof here, "%.90s.sources[%zu]", where, index++);
        int rc;
        if (map || secret)
            rc = read_keys(map ? map : secret, here, "name",
                           map ? POD_SOURCE_CONFIGMAP : POD_SOURCE_SECRET, v, capacity, err);
        else if (downward)
            rc = read_downward(downward, here, v, capacity, err);
        else
            rc = mlt_fail(err, EINVAL,
                          "%s: this cluster's agent knows configMap, secret and downwardAPI here",
                          here);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_files(const cJSON *item, const char *where, struct pod_volume *v,
                      struct mlt_error *err)
{
    static const char *const kinds[] = {"configMap", "secret", "downwardAPI", "projected"};
    size_t capacity = 0;
    int64_t mode = MODE_DEFAULT;
    const cJSON *source = NULL;
    int kind = -1;
    for (int i = 0; i < 4 && !source; i++) {
        source = json_member(item, kinds[i]);
        kind = i;
    }
    if (!source)
        return mlt_fail(err, EINVAL,
                        "%s: this cluster's agent knows emptyDir, hostPath, configMap, secret, "
                        "downwardAPI and projected volumes",
                        where);
    v->kind = POD_VOLUME_FILES;
    if (json_read_integer(source, where, "defaultMode", 0, MODE_MAX, &mode, err) < 0)
        return -EINVAL;
    v->default_mode = (int)mode;
    switch (kind) {
    case 0:
        return read_keys(source, where, "name", POD_SOURCE_CONFIGMAP, v, &capacity, err);
    case 1:
        return read_keys(source, where, "secretName", POD_SOURCE_SECRET, v, &capacity, err);
    case 2:
        return read_downward(source, where, v, &capacity, err);
    default:
        return read_projected(source, where, v, &capacity, err);
    }
}

static int read_volume(const cJSON *item, const char *where, struct pod_volume *v,
                       struct mlt_error *err)
{
    const cJSON *empty = json_member(item, "emptyDir"), *host = json_member(item, "hostPath");
    v->name = json_string(item, "name", "");
    if (!mlt_is_dns_label(v->name, 63))
        return mlt_fail(err, EINVAL, "%s.name: `%s` is not a DNS label", where, v->name);
    if (empty) {
        v->kind = POD_VOLUME_EMPTY;
        v->memory = strcmp(json_string(empty, "medium", ""), "Memory") == 0;
        return 0;
    }
    if (!host)
        return read_files(item, where, v, err);
    v->kind = POD_VOLUME_HOST_PATH;
    v->host_path = json_string(host, "path", "");
    v->host_type = json_string(host, "type", "");
    if (v->host_path[0] != '/' || pod_path_climbs(v->host_path))
        return mlt_fail(err, EINVAL, "%s.hostPath.path: `%s` is not an absolute path without ..",
                        where, v->host_path);
    return 0;
}

static int check_mounts(const struct pod_spec *spec, struct mlt_error *err)
{
    for (size_t i = 0; i < spec->container_count; i++) {
        const struct pod_container *c = &spec->containers[i];
        for (size_t j = 0; j < c->mount_count; j++) {
            bool found = false;
            for (size_t k = 0; k < spec->volume_count; k++)
                found = found || strcmp(spec->volumes[k].name, c->mounts[j].volume) == 0;
            if (!found)
                return mlt_fail(err, EINVAL, "container %s: volumeMounts[%zu].name: no volume `%s`",
                                c->name, j, c->mounts[j].volume);
        }
    }
    return 0;
}

int pod_volumes_read(const cJSON *pod, struct pod_spec *spec, struct mlt_error *err)
{
    const cJSON *array = NULL, *item;
    char where[WHERE_MAX];
    if (json_read_array(pod, "spec", "volumes", POD_VOLUMES_MAX, &array, err) < 0)
        return -EINVAL;
    spec->volumes = mlt_calloc(json_size(array, "") + 1, sizeof *spec->volumes);
    cJSON_ArrayForEach(item, array)
    {
        (void)snprintf(where, sizeof where, "spec.volumes[%zu]", spec->volume_count);
        if (read_volume(item, where, &spec->volumes[spec->volume_count++], err) < 0)
            return -EINVAL;
    }
    return check_mounts(spec, err);
}
