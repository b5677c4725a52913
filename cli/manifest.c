/* Manifests: see manifest.h. */
#include "cli/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "trainingjob/trainingjob.h"

static int read_text(const char *file, struct mlt_text *text, struct mlt_error *err)
{
    FILE *in = strcmp(file, "-") == 0 ? stdin : fopen(file, "re");
    if (!in)
        return mlt_fail(err, errno, "%s: %s", file, strerror(errno));
    char buffer[16384];
    for (size_t length = 1; length > 0;) {
        length = fread(buffer, 1, sizeof buffer, in);
        mlt_text_add(text, buffer, length);
    }
    int failed = ferror(in) ? errno : 0;
    if (in != stdin)
        (void)fclose(in);
    if (failed)
        return mlt_fail(err, failed, "%s: %s", file, strerror(failed));
    if (text->failed)
        return mlt_fail(err, E2BIG, "%s: larger than %zu bytes", file, text->max);
    return 0;
}

static int check_document(const cJSON *document, struct mlt_error *err)
{
    if (!cJSON_IsObject(document))
        return mlt_fail(err, EINVAL, "expected an object with apiVersion, kind and metadata");
    static const char *const needed[] = {"apiVersion", "kind"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(needed); i++)
        if (!*json_string(document, needed[i], ""))
            return mlt_fail(err, EINVAL, "%s: missing", needed[i]);
    if (!*json_string(document, "metadata.name", "") &&
        !*json_string(document, "metadata.generateName", ""))
        return mlt_fail(err, EINVAL, "metadata.name: missing");
    return 0;
}

int manifest_read(const char *file, cJSON **ret_documents, struct mlt_error *err)
{
    struct mlt_text text cleanup_text = MLT_TEXT_INIT(JSON_SIZE_MAX);
    int rc = read_text(file, &text, err);
    if (rc < 0)
        return rc;
    cJSON *documents cleanup_json = NULL;
    rc = json_parse_yaml(mlt_text_string(&text), text.length, &documents, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s", file);
    int count = cJSON_GetArraySize(documents), number = 0;
    if (count == 0 || count > MANIFEST_DOCUMENTS_MAX)
        return mlt_fail(err, EINVAL, "%s: %d documents, expected 1 to %d", file, count,
                        MANIFEST_DOCUMENTS_MAX);
    const cJSON *document;
    cJSON_ArrayForEach(document, documents)
    {
        number++;
        if (check_document(document, err) < 0)
            return mlt_fail_in(err, "%s: document %d", file, number);
    }
    *ret_documents = steal_ptr(&documents);
    return 0;
}

static bool is_job(const cJSON *document)
{
    return strcmp(json_string(document, "kind", ""), TRAININGJOB_KIND) == 0;
}

int manifest_job(const cJSON *documents, cJSON **ret_job, struct mlt_error *err)
{
    cJSON *job = NULL, *document;
    cJSON_ArrayForEach(document, documents)
    {
        if (!is_job(document))
            continue;
        if (job)
            return mlt_fail(err, EINVAL, "more than one TrainingJob (%s and %s)",
                            json_string(job, "metadata.name", "?"),
                            json_string(document, "metadata.name", "?"));
        job = document;
    }
    if (!job)
        return mlt_fail(err, EINVAL, "no TrainingJob among the documents");
    int rc = trainingjob_validate(job, err);
    if (rc < 0)
        return mlt_fail_in(err, "TrainingJob %s", json_string(job, "metadata.name", "?"));
    *ret_job = job;
    return 0;
}

/* ---- from a command ---- */

/* Variables that would mislead a rank or that the pod has of its own. */
static bool is_passed_on(const char *variable)
{
    static const char *const own[] = {
        "HOSTNAME=", "PWD=",  "OLDPWD=",     "SHLVL=",        "_=",           "KUBECONFIG=",
        "TERM=",     "RANK=", "WORLD_SIZE=", "LOCAL_RANK=",   "MASTER_ADDR=", "MASTER_PORT=",
        "TMPDIR=",   "SSH_",  "MLTRAIN_",    "TORCHELASTIC_", "PET_",         "SLURM_",
        "OMPI_",     "PMI",   "DBUS_",       "XDG_",          "SUDO_"};
    if (strncmp(variable, "MLTRAIN_NCCL_", 13) == 0)
        return true; /* words to the launcher and libmltrain, and not of them */
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(own); i++)
        if (strncmp(variable, own[i], strlen(own[i])) == 0)
            return false;
    return strchr(variable, '=') != NULL;
}

/* A DNS label out of the script's or program's name: "train_gpt.py" -> "train-gpt". */
static char *name_of_command(const struct manifest_command *command)
{
    const char *word = command->argv[0];
    for (const char *const *arg = command->argv + 1; *arg; arg++)
        if (strstr(*arg, ".py") && (*arg)[0] != '-') {
            word = *arg;
            break;
        }
    const char *slash = strrchr(word, '/');
    char label[24] = "";
    size_t length = 0;
    for (const char *p = slash ? slash + 1 : word; *p && *p != '.' && length < sizeof label - 1;
         p++) {
        char c = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_good || (length > 0 && label[length - 1] != '-'))
            label[length++] = is_good ? c : '-';
    }
    while (length > 0 && label[length - 1] == '-')
        length--;
    label[length] = '\0';
    return mlt_asprintf("%s-%lu", length ? label : "run", command->unique % 100000);
}

/* A dollar sign is data here, not a reference to a variable: doubled, it passes through the
 * kubelet. $(RANK) and the like are then expanded by the launcher. */
static char *literal(const char *text)
{
    struct mlt_text value = MLT_TEXT_INIT(JSON_SIZE_MAX);
    for (const char *p = text; *p; p++)
        mlt_text_puts(&value, *p == '$' ? "$$" : (char[]){*p, '\0'});
    char *result = mlt_text_take(&value);
    return result ? result : mlt_strdup("");
}

static cJSON *container_of_command(const struct manifest_command *command)
{
    cJSON *container = cJSON_CreateObject();
    json_set_string(container, "name", TRAININGJOB_TRAINER);
    json_set_string(container, "image", "host");
    cJSON *argv = json_set_array(container, "command");
    for (const char *const *arg = command->argv; *arg; arg++) {
        cleanup_free char *word = literal(*arg);
        json_append_string(argv, word);
    }
    json_set_string(container, "workingDir", command->folder);
    cJSON *environment = json_set_array(container, "env");
    for (const char *const *variable = command->environment; *variable; variable++) {
        if (!is_passed_on(*variable))
            continue;
        const char *equals = strchr(*variable, '=');
        cJSON *entry = cJSON_CreateObject();
        cleanup_free char *name = mlt_strndup(*variable, (size_t)(equals - *variable)),
                          *value = literal(equals + 1);
        json_set_string(entry, "name", name);
        json_set_string(entry, "value", value);
        json_append(environment, entry);
    }
    if (command->gpus_per_pod > 0) {
        cleanup_free char *gpus = mlt_asprintf("%d", command->gpus_per_pod);
        json_set_string(container, "resources.limits[nvidia.com/gpu]", gpus);
    }
    return container;
}

static void add_host_folder(cJSON *pod, cJSON *container, const char *name, const char *path)
{
    cJSON *volume = cJSON_CreateObject(), *mount = cJSON_CreateObject();
    json_set_string(volume, "name", name);
    json_set_string(volume, "hostPath.path", path);
    json_set_string(volume, "hostPath.type", "DirectoryOrCreate");
    json_append(json_set_array(pod, "volumes"), volume);
    json_set_string(mount, "name", name);
    json_set_string(mount, "mountPath", path);
    json_append(json_set_array(container, "volumeMounts"), mount);
}

static bool is_inside(const char *path, const char *folder)
{
    size_t length = strlen(folder);
    if (strncmp(path, folder, length) != 0)
        return false;
    return path[length] == '\0' || path[length] == '/' || folder[length - 1] == '/';
}

cJSON *manifest_from_command(const struct manifest_command *command)
{
    cJSON *job = cJSON_CreateObject(), *container = container_of_command(command);
    cleanup_free char *name = command->name ? mlt_strdup(command->name) : name_of_command(command);
    json_set_string(job, "apiVersion", TRAININGJOB_API_VERSION);
    json_set_string(job, "kind", TRAININGJOB_KIND);
    json_set_string(job, "metadata.name", name);
    json_set_string(job, "spec.framework", command->framework);
    json_set_integer(job, "spec.nprocPerNode", command->nproc);
    json_set_integer(job, "spec.backoffLimit", command->max_restarts);
    json_set_integer(job, "spec.workers.replicas", command->nnodes);
    cJSON *pod = json_set_object(job, "spec.workers.template.spec");
    add_host_folder(pod, container, "working-directory", command->folder);
    if (command->checkpoint_path) {
        json_set_string(job, "spec.checkpoint.path", command->checkpoint_path);
        if (!is_inside(command->checkpoint_path, command->folder))
            add_host_folder(pod, container, "checkpoints", command->checkpoint_path);
    }
    json_append(json_set_array(pod, "containers"), container);
    cJSON *documents = cJSON_CreateArray();
    json_append(documents, job);
    return documents;
}

/* ---- to the cluster ---- */

/* Kinds beside TrainingJob that a manifest may hold, by their path; what is not in
 * KUBE_RESOURCE_MAP is refused. */
static int resource_of(const cJSON *document, enum kube_resource *ret, struct mlt_error *err)
{
    const char *kind = json_string(document, "kind", ""),
               *version = json_string(document, "apiVersion", "");
    for (int r = 0; r < KUBE_RESOURCE_COUNT; r++)
        if (strcmp(kube_resource_info((enum kube_resource)r)->kind, kind) == 0 &&
            strcmp(kube_api_version((enum kube_resource)r), version) == 0) {
            *ret = (enum kube_resource)r;
            return 0;
        }
    return mlt_fail(err, EINVAL, "%s %s: mltrain does not know how to create it; use kubectl apply",
                    version, kind);
}

static char *path_of(struct cli *c, const cJSON *document, enum kube_resource resource,
                     bool with_name)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    const char *namespace_ = json_string(document, "metadata.namespace", c->namespace_);
    kube_path(&path, resource, kube_resource_info(resource)->namespaced ? namespace_ : NULL,
              with_name ? json_string(document, "metadata.name", "") : NULL, NULL, NULL);
    char *text = mlt_text_take(&path);
    return text ? text : mlt_strdup("/");
}

static int apply_one(struct cli *c, const cJSON *document, cJSON **ret_created,
                     struct mlt_error *err)
{
    enum kube_resource resource;
    int rc = resource_of(document, &resource, err);
    if (rc < 0)
        return rc;
    cleanup_free char *collection = path_of(c, document, resource, false),
                      *path = path_of(c, document, resource, true);
    rc = cli_send(c, "POST", collection, NULL, document, ret_created, err);
    if (rc == -EEXIST && resource != KUBE_TRAININGJOB)
        rc = cli_send(c, "PATCH", path, "application/merge-patch+json", document, ret_created, err);
    return rc;
}

int manifest_apply(struct cli *c, const cJSON *documents, cJSON **ret_job, struct mlt_error *err)
{
    cJSON *job cleanup_json = NULL;
    for (int pass = 0; pass < 2; pass++) { /* jobs last: what they mount is there then */
        const cJSON *document;
        cJSON_ArrayForEach(document, documents)
        {
            if (is_job(document) != (pass == 1))
                continue;
            cJSON *created = NULL;
            int rc = apply_one(c, document, &created, err);
            if (rc < 0)
                return rc;
            if (pass == 1 && !job)
                job = created;
            else
                cJSON_Delete(created);
        }
    }
    if (ret_job)
        *ret_job = steal_ptr(&job);
    return 0;
}

void manifest_delete(struct cli *c, const cJSON *documents)
{
    for (int pass = 0; pass < 2; pass++) {
        const cJSON *document;
        cJSON_ArrayForEach(document, documents)
        {
            enum kube_resource resource;
            if (is_job(document) != (pass == 0) || resource_of(document, &resource, NULL) < 0)
                continue;
            cleanup_free char *path = path_of(c, document, resource, true);
            (void)!cli_send(c, "DELETE", path, NULL, NULL, NULL, NULL);
        }
    }
}
