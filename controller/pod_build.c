/* The pod of one member: see pod_build.h. */
#include "controller/pod_build.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

void pod_build_owner(cJSON *object, const struct trainingjob *tj)
{
    cJSON *owner = cJSON_CreateObject();
    json_set_string(owner, "apiVersion", TRAININGJOB_API_VERSION);
    json_set_string(owner, "kind", TRAININGJOB_KIND);
    json_set_string(owner, "name", tj->metadata.name);
    json_set_string(owner, "uid", tj->metadata.uid);
    json_set_bool(owner, "controller", true);
    json_set_bool(owner, "blockOwnerDeletion", true);
    json_append(json_set_array(object, "metadata.ownerReferences"), owner);
}

/* ---- how pods are bound ---- */

static bool has_host_port(const cJSON *spec)
{
    const cJSON *container, *port;
    cJSON_ArrayForEach(container, json_member(spec, "containers"))
    {
        cJSON_ArrayForEach(port, json_member(container, "ports"))
        {
            if (json_integer(port, "hostPort", 0) > 0)
                return true;
        }
    }
    return false;
}

/* Volumes whose place may not be decided yet. Whether a claim is bound is not known here; a claim
 * that is bound goes well with the scheduler too. */
static bool has_claim(const cJSON *spec)
{
    const cJSON *volume;
    cJSON_ArrayForEach(volume, json_member(spec, "volumes"))
    {
        if (json_member(volume, "persistentVolumeClaim") || json_member(volume, "ephemeral"))
            return true;
    }
    return false;
}

int pod_build_binding(const struct trainingjob *tj, const cJSON *effective)
{
    if (tj->spec.scheduling.binding != TRAININGJOB_BINDING_AUTO)
        return tj->spec.scheduling.binding;
    const cJSON *spec = json_member(effective ? effective : tj->spec.workers.template_, "spec");
    bool scheduler = json_size(spec, "resourceClaims") || has_claim(spec) ||
                     json_find(spec, "affinity.podAffinity") ||
                     json_find(spec, "affinity.podAntiAffinity") ||
                     json_size(spec, "topologySpreadConstraints") || has_host_port(spec);
    return scheduler ? TRAININGJOB_BINDING_AFFINITY : TRAININGJOB_BINDING_NODE;
}

static void drop_all(cJSON *object, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cJSON_DeleteItemFromObjectCaseSensitive(object, names[i]);
}

/* Of these only the kind counts: they go with their pod. */
static void empty_sources(cJSON *volume)
{
    static const char *const kinds[] = {"projected", "secret", "configMap", "downwardAPI", "image"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(kinds); i++)
        if (json_member(volume, kinds[i]))
            json_set(volume, kinds[i], cJSON_CreateObject());
}

cJSON *pod_build_planned(const cJSON *pod)
{
    static const char *const lists[] = {"initContainers", "containers"};
    static const char *const of_container[] = {"env",
                                               "envFrom",
                                               "command",
                                               "args",
                                               "lifecycle",
                                               "livenessProbe",
                                               "readinessProbe",
                                               "startupProbe",
                                               "image",
                                               "workingDir",
                                               "imagePullPolicy",
                                               "securityContext",
                                               "stdin",
                                               "tty",
                                               "stdinOnce",
                                               "terminationMessagePath",
                                               "terminationMessagePolicy"};
    static const char *const of_spec[] = {"dnsPolicy",
                                          "dnsConfig",
                                          "enableServiceLinks",
                                          "hostAliases",
                                          "hostname",
                                          "subdomain",
                                          "imagePullSecrets",
                                          "preemptionPolicy",
                                          "schedulerName",
                                          "priority",
                                          "serviceAccountName",
                                          "serviceAccount",
                                          "restartPolicy",
                                          "setHostnameAsFQDN",
                                          "securityContext",
                                          "priorityClassName",
                                          "automountServiceAccountToken",
                                          "terminationGracePeriodSeconds",
                                          "readinessGates"};
    cJSON *planned = cJSON_CreateObject(), *item;
    json_set(planned, "spec", json_copy(json_member(pod, "spec")));
    cJSON *spec = json_member(planned, "spec");
    drop_all(spec, of_spec, MLT_ARRAY_LENGTH(of_spec));
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(lists); i++)
        cJSON_ArrayForEach(item, json_member(spec, lists[i]))
            drop_all(item, of_container, MLT_ARRAY_LENGTH(of_container));
    cJSON_ArrayForEach(item, json_member(spec, "volumes")) empty_sources(item);
    return planned;
}

static void require_node(cJSON *term, const char *node)
{
    cJSON *field = cJSON_CreateObject();
    json_set_string(field, "key", "metadata.name");
    json_set_string(field, "operator", "In");
    json_append_string(json_set_array(field, "values"), node);
    json_append(json_set_array(term, "matchFields"), field);
}

/* Terms are alternatives: the node is required in every one of them. */
static void bind_by_affinity(cJSON *spec, const char *node)
{
    cJSON *terms =
        json_set_array(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                             "nodeSelectorTerms");
    cJSON *term;
    if (!terms->child)
        json_append(terms, cJSON_CreateObject());
    cJSON_ArrayForEach(term, terms)
    {
        require_node(term, node);
    }
}

/* ---- metadata ---- */

static void set_default(cJSON *pod, const char *path, const char *value)
{
    if (!json_find(pod, path))
        json_set_string(pod, path, value);
}

static void build_metadata(cJSON *pod, const struct pod_build *b, const char *name)
{
    const cJSON *given = json_member(b->role->template_, "metadata");
    json_set_string(pod, "metadata.name", name);
    json_set_string(pod, "metadata.namespace", b->tj->metadata.namespace_);
    if (json_member(given, "labels"))
        json_set(pod, "metadata.labels", json_copy(json_member(given, "labels")));
    if (json_member(given, "annotations"))
        json_set(pod, "metadata.annotations", json_copy(json_member(given, "annotations")));
    trainingjob_label_pod(pod, b->tj, b->role->name, b->index);
    /* Node autoscalers must not take a node away from under a gang. */
    set_default(pod, "metadata.annotations[cluster-autoscaler.kubernetes.io/safe-to-evict]",
                "false");
    set_default(pod, "metadata.annotations[karpenter.sh/do-not-disrupt]", "true");
    pod_build_owner(pod, b->tj);
}

/* ---- volumes ---- */

static void mount(cJSON *container, const char *volume, const char *path, bool read_only)
{
    cJSON *entry = cJSON_CreateObject();
    json_set_string(entry, "name", volume);
    json_set_string(entry, "mountPath", path);
    if (read_only)
        json_set_bool(entry, "readOnly", true);
    json_append(json_set_array(container, "volumeMounts"), entry);
}

static bool mounts_path(const cJSON *container, const char *path)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, json_member(container, "volumeMounts"))
    {
        if (strcmp(json_string(entry, "mountPath", ""), path) == 0)
            return true;
    }
    return false;
}

static cJSON *add_volume(cJSON *spec, const char *name)
{
    cJSON *volume = cJSON_CreateObject();
    json_set_string(volume, "name", name);
    json_append(json_set_array(spec, "volumes"), volume);
    return volume;
}

static void add_volumes(cJSON *spec, cJSON *trainer, const struct pod_build *b)
{
    char secret[TRAININGJOB_SECRET_NAME_MAX];
    (void)json_set_object(add_volume(spec, POD_BUILD_VOLUME), "emptyDir");
    mount(trainer, POD_BUILD_VOLUME, POD_BUILD_FOLDER, false);
    cJSON *key = add_volume(spec, POD_BUILD_KEY_VOLUME);
    trainingjob_secret_name(b->tj->metadata.name, b->tj->metadata.uid, secret);
    json_set_string(key, "secret.secretName", secret);
    json_set_integer(key, "secret.defaultMode", 0444);
    mount(trainer, POD_BUILD_KEY_VOLUME, POD_BUILD_KEY_FOLDER, true);
    /* Data loaders exchange tensors there; a container's own /dev/shm holds only 64 MiB. */
    if (!mounts_path(trainer, "/dev/shm")) {
        json_set_string(add_volume(spec, POD_BUILD_SHM_VOLUME), "emptyDir.medium", "Memory");
        mount(trainer, POD_BUILD_SHM_VOLUME, "/dev/shm", false);
    }
}

/* Within the folder that ranks and launcher write to, so that all paths are those of a copy. The
 * kubelet pulls the image as it would for a container: by default, unless it is there, with the
 * pod's pull secrets. */
static void add_image_volume(cJSON *spec, cJSON *trainer, const struct pod_build *b)
{
    json_set_string(add_volume(spec, DELIVERY_VOLUME), "image.reference", b->launcher_image);
    mount(trainer, DELIVERY_VOLUME, POD_BUILD_PROGRAMS, true);
}

/* ---- containers ---- */

static const char *const reserved[] = {
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "GROUP_WORLD_SIZE",
    "ROLE_RANK",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_MAX_RESTARTS",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_USE_AGENT_STORE",
    "TORCHELASTIC_ERROR_FILE",
};

/* MLTRAIN_NCCL_* are the job's words to libmltrain and the launcher, MLTRAIN_PMIX to its helper,
 * MLTRAIN_MPI_WORLD_CHECK to the launcher. */
static bool is_ours(const char *name)
{
    return strncmp(name, "MLTRAIN_", 8) == 0 && strncmp(name, "MLTRAIN_NCCL_", 13) != 0 &&
           strcmp(name, "MLTRAIN_PMIX") != 0 && strcmp(name, "MLTRAIN_MPI_WORLD_CHECK") != 0;
}

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return is_ours(name);
}

const char *pod_build_reserved(const cJSON *template_)
{
    const cJSON *entry;
    cJSON_ArrayForEach(entry, json_member(trainingjob_trainer(template_), "env"))
    {
        if (is_reserved(json_string(entry, "name", "")))
            return json_string(entry, "name", "");
    }
    return NULL;
}

static cJSON *env_entry(cJSON *env, const char *name)
{
    cJSON *entry = cJSON_CreateObject();
    json_set_string(entry, "name", name);
    json_append(env, entry);
    return entry;
}

static void env_value(cJSON *env, const char *name, const char *value)
{
    json_set_string(env_entry(env, name), "value", value);
}

static void env_field(cJSON *env, const char *name, const char *field)
{
    json_set_string(env_entry(env, name), "valueFrom.fieldRef.fieldPath", field);
}

/* A name that we set must not stand twice: the user's goes. */
static void drop_reserved(cJSON *env)
{
    cJSON *next;
    for (cJSON *entry = env->child; entry; entry = next) {
        next = entry->next;
        if (is_ours(json_string(entry, "name", "")))
            cJSON_Delete(cJSON_DetachItemViaPointer(env, entry));
    }
}

static void build_env(cJSON *trainer, const struct pod_build *b)
{
    cJSON *env = json_set_array(trainer, "env");
    cleanup_free char *slot = mlt_asprintf("%lld", (long long)b->index);
    drop_reserved(env);
    env_value(env, "MLTRAIN_CHANNEL", b->channel_address);
    env_value(env, "MLTRAIN_JOB", b->tj->metadata.name);
    env_value(env, "MLTRAIN_NAMESPACE", b->tj->metadata.namespace_);
    env_value(env, "MLTRAIN_JOB_UID", b->tj->metadata.uid);
    env_value(env, "MLTRAIN_ROLE", b->role->name);
    env_value(env, "MLTRAIN_SLOT", slot);
    env_field(env, "MLTRAIN_POD_UID", "metadata.uid");
    env_field(env, "MLTRAIN_POD_IP", "status.podIP");
    env_field(env, "MLTRAIN_NODE", "spec.nodeName");
    env_value(env, "MLTRAIN_KEY_FILE", POD_BUILD_KEY_FOLDER "/psk");
    env_value(env, "MLTRAIN_DIR", POD_BUILD_FOLDER);
}

/* The launcher goes before the user's command and is PID 1; the arguments stay. */
static int wrap_command(cJSON *trainer, struct mlt_error *err)
{
    const cJSON *given = json_member(trainer, "command");
    const cJSON *word;
    if (!cJSON_IsArray(given) || !given->child)
        return mlt_fail(err, EINVAL,
                        "spec.workers.template.spec.containers: container `%s` must have a command",
                        json_string(trainer, "name", ""));
    cJSON *command = cJSON_CreateArray();
    json_append_string(command, POD_BUILD_LAUNCHER);
    json_append_string(command, "run");
    json_append_string(command, "--");
    cJSON_ArrayForEach(word, given)
    {
        json_append(command, json_copy(word));
    }
    json_set(trainer, "command", command);
    return 0;
}

static void copy_resource(cJSON *to, const cJSON *from, const char *path)
{
    const cJSON *value = json_find(from, path);
    if (value)
        json_set(to, path, json_copy(value));
}

/* Runs before all others and copies the launcher into the shared folder. It asks for no more than
 * the trainer does, so that it never makes the pod larger, and passes the strictest pod security
 * level. */
static cJSON *init_container(const struct pod_build *b, const cJSON *trainer)
{
    cJSON *init = cJSON_CreateObject();
    json_set_string(init, "name", POD_BUILD_INIT);
    json_set_string(init, "image", b->launcher_image);
    cJSON *command = json_set_array(init, "command");
    json_append_string(command, b->launcher_command);
    json_append_string(command, "copy");
    json_append_string(command, POD_BUILD_PROGRAMS);
    copy_resource(init, trainer, "resources.requests.cpu");
    copy_resource(init, trainer, "resources.requests.memory");
    copy_resource(init, trainer, "resources.limits.cpu");
    copy_resource(init, trainer, "resources.limits.memory");
    copy_resource(init, trainer, "securityContext.runAsUser");
    copy_resource(init, trainer, "securityContext.runAsGroup");
    copy_resource(init, trainer, "securityContext.runAsNonRoot");
    copy_resource(init, trainer, "securityContext.seccompProfile");
    json_set_bool(init, "securityContext.allowPrivilegeEscalation", false);
    json_set_bool(init, "securityContext.readOnlyRootFilesystem", true);
    json_append_string(json_set_array(init, "securityContext.capabilities.drop"), "ALL");
    mount(init, POD_BUILD_VOLUME, POD_BUILD_FOLDER, false);
    return init;
}

static void put_first(cJSON *spec, cJSON *container)
{
    cJSON *list = json_set_array(spec, "initContainers");
    if (list->child)
        (void)cJSON_InsertItemInArray(list, 0, container);
    else
        json_append(list, container);
}

/* Each once: the list is a map by name. */
static void add_pull_secrets(cJSON *spec, const struct pod_build *b)
{
    for (uint32_t i = 0; i < b->pull_secrets_count; i++) {
        const cJSON *secret;
        bool is_there = false;
        cJSON_ArrayForEach(secret, json_member(spec, "imagePullSecrets"))
        {
            is_there |= strcmp(json_string(secret, "name", ""), b->pull_secrets[i]) == 0;
        }
        if (is_there)
            continue;
        cJSON *added = cJSON_CreateObject(), *list = json_set_array(spec, "imagePullSecrets");
        json_set_string(added, "name", b->pull_secrets[i]);
        json_append(list, added);
    }
}

static void build_spec(cJSON *spec, const struct pod_build *b, const char *hostname)
{
    int64_t grace = b->tj->spec.checkpoint.grace_period_seconds + POD_BUILD_GRACE_EXTRA_SECONDS;
    if (json_integer(spec, "terminationGracePeriodSeconds", 0) < grace)
        json_set_integer(spec, "terminationGracePeriodSeconds", grace);
    json_set_string(spec, "restartPolicy", "Never");
    json_set_string(spec, "priorityClassName", b->tj->spec.priority_class);
    add_pull_secrets(spec, b);
    if (!json_member(spec, "hostname"))
        json_set_string(spec, "hostname", hostname);
    if (!b->node)
        return;
    if (b->binding == TRAININGJOB_BINDING_AFFINITY)
        bind_by_affinity(spec, b->node);
    else
        json_set_string(spec, "nodeName", b->node);
}

int pod_build(const struct pod_build *b, cJSON **ret_pod, struct mlt_error *err)
{
    char name[TRAININGJOB_POD_NAME_MAX], hostname[TRAININGJOB_POD_NAME_MAX];
    const char *job = b->tj->metadata.name;
    int r = trainingjob_pod_name(job, b->role->name, b->index, b->creation, name, err);
    if (r < 0)
        return r;
    r = trainingjob_pod_name(job, b->role->name, b->index, 1, hostname, err);
    if (r < 0)
        return r;
    cleanup_json cJSON *pod = cJSON_CreateObject();
    json_set_string(pod, "apiVersion", "v1");
    json_set_string(pod, "kind", "Pod");
    build_metadata(pod, b, name);
    json_set(pod, "spec", json_copy(json_member(b->role->template_, "spec")));
    cJSON *spec = json_set_object(pod, "spec");
    /* trainingjob_trainer() looks, it does not change; the container it finds is part of our own
     * copy. */
    cJSON *trainer = (cJSON *)(uintptr_t)trainingjob_trainer(pod);
    if (!trainer)
        return mlt_fail(err, EINVAL, "spec.workers.template.spec.containers: must not be empty");
    r = wrap_command(trainer, err);
    if (r < 0)
        return r;
    bool copies = b->delivery == DELIVERY_INIT_CONTAINER;
    cJSON *init = copies ? init_container(b, trainer) : NULL;
    build_env(trainer, b);
    add_volumes(spec, trainer, b);
    if (copies)
        put_first(spec, init);
    else
        add_image_volume(spec, trainer, b);
    build_spec(spec, b, hostname);
    *ret_pod = steal_ptr(&pod);
    return 0;
}
