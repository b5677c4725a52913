/* See durable.h. PURE. */
#include "controller/durable.h"

#include <stdio.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

#define ADVICE "mount a volume that stays, such as a PersistentVolumeClaim, at checkpoint.path"

/* Kinds of volumes that Kubernetes makes for one pod and removes with it (core/v1 VolumeSource). */
static const char *const passing[] = {
    "emptyDir", "ephemeral", "configMap", "secret", "projected", "downwardAPI", "image", "gitRepo",
};

/* Drivers whose inline volumes only show a bucket or a share that is there before and after the
 * pod: their documentation of inline volumes asks for its name. Of any other driver an inline
 * volume is the pod's own (Kubernetes: "CSI ephemeral volumes"). */
static const char *const sharing_drivers[] = {
    "gcsfuse.csi.storage.gke.io", "nfs.csi.k8s.io",     "smb.csi.k8s.io",
    "file.csi.azure.com",         "blob.csi.azure.com",
};

static size_t length_of(const char *path)
{
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    return length;
}

static bool is_under(const char *path, const char *mount, size_t length)
{
    return strncmp(path, mount, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The innermost mount that the path lies in. */
static const cJSON *mount_of(const cJSON *trainer, const char *path)
{
    const cJSON *mount, *best = NULL;
    size_t longest = 0;
    cJSON_ArrayForEach(mount, json_member(trainer, "volumeMounts"))
    {
        const char *at = json_string(mount, "mountPath", "");
        size_t length = length_of(at);
        if (*at != '/' || !is_under(path, at, length) || (best && length < longest))
            continue;
        best = mount;
        longest = length;
    }
    return best;
}

static bool is_sharing(const char *driver)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(sharing_drivers); i++)
        if (strcmp(driver, sharing_drivers[i]) == 0)
            return true;
    return false;
}

/* The kind of a volume that goes with its pod; NULL: it stays. */
static const char *passing_kind(const cJSON *volume)
{
    const cJSON *csi = json_member(volume, "csi");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(passing); i++)
        if (json_member(volume, passing[i]))
            return passing[i];
    return csi && !is_sharing(json_string(csi, "driver", "")) ? "inline csi" : NULL;
}

static const cJSON *volume_named(const cJSON *pod, const char *name)
{
    const cJSON *volume;
    cJSON_ArrayForEach(volume, json_find(pod, "spec.volumes"))
    {
        if (strcmp(json_string(volume, "name", ""), name) == 0)
            return volume;
    }
    return NULL;
}

bool durable_path(const cJSON *pod, const char *path, char words[DURABLE_WORDS_MAX])
{
    const cJSON *mount = mount_of(trainingjob_trainer(pod), path);
    if (!mount) {
        (void)snprintf(words, DURABLE_WORDS_MAX,
                       "no volume is mounted at checkpoint.path %.300s: checkpoints are lost when "
                       "the pod's container is; " ADVICE,
                       path);
        return false;
    }
    const char *name = json_string(mount, "name", "");
    const char *kind = passing_kind(volume_named(pod, name));
    if (kind)
        (void)snprintf(words, DURABLE_WORDS_MAX,
                       "checkpoint.path %.300s lies in volume %.63s (%s, mounted at %.300s), which "
                       "goes with its pod and all checkpoints in it; " ADVICE,
                       path, name, kind, json_string(mount, "mountPath", ""));
    return !kind;
}
