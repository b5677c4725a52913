/* Starting one container: the API objects it refers to, volumes, environment, sandbox, and the
 * order to the shim. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_env.h"
#include "localcluster/agent/pod_folder.h"
#include "localcluster/agent/volumes.h"
#include "localcluster/agent/words.h"
#include "localcluster/shim/cgroup.h"

/* ---- ConfigMaps and Secrets ---- */

static void need(struct pod *p, const struct pod_value *value)
{
    if (value->source != POD_SOURCE_CONFIGMAP && value->source != POD_SOURCE_SECRET)
        return;
    for (size_t i = 0; i < p->object_count; i++) {
        if (p->objects[i].kind == value->source && strcmp(p->objects[i].name, value->object) == 0)
            return;
    }
    if (p->object_count == AGENT_OBJECTS_MAX)
        return; /* not fetched: it counts as absent, with the message for that */
    struct pod_object *o = &p->objects[p->object_count++];
    *o = (struct pod_object){.kind = value->source, .name = mlt_strdup(value->object), .pod = p};
}

static void need_all(struct pod *p)
{
    if (p->objects)
        return;
    p->objects = mlt_calloc(AGENT_OBJECTS_MAX, sizeof *p->objects);
    for (size_t i = 0; i < p->spec->container_count; i++) {
        for (size_t j = 0; j < p->spec->containers[i].env_count; j++)
            need(p, &p->spec->containers[i].env[j].value);
    }
    for (size_t i = 0; i < p->spec->volume_count; i++) {
        for (size_t j = 0; j < p->spec->volumes[i].file_count; j++)
            need(p, &p->spec->volumes[i].files[j].value);
    }
}

static void fetched(void *arg, int status, const char *body, size_t length)
{
    struct pod_object *o = arg;
    struct pod *p = o->pod;
    struct mlt_error err = {0};
    cJSON *object = NULL;
    o->request = NULL;
    o->fetched_ms = agent_now(p->agent).mono_ms;
    o->trouble[0] = '\0';
    if (status == 200 && json_parse(body, length, &object, &err) < 0)
        (void)snprintf(o->trouble, sizeof o->trouble, "%.190s", err.text);
    else if (status != 200 && status != 404)
        (void)snprintf(o->trouble, sizeof o->trouble, "status %d: %.150s", status, body);
    cJSON_Delete(o->object);
    o->object = object;
    if (--p->fetches == 0)
        pod_step(p);
}

bool pod_objects_ready(struct pod *p)
{
    int64_t now = agent_now(p->agent).mono_ms;
    need_all(p);
    for (size_t i = 0; i < p->object_count; i++) {
        struct pod_object *o = &p->objects[i];
        bool usable = o->object && now - o->fetched_ms < AGENT_OBJECT_FRESH_MS;
        bool just_tried = o->fetched_ms > 0 && now - o->fetched_ms < POD_CONFIG_RETRY_MS / 2;
        if (o->request || usable || just_tried)
            continue;
        struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
        kube_path(&path, o->kind == POD_SOURCE_SECRET ? KUBE_SECRET : KUBE_CONFIGMAP,
                  p->spec->namespace_, o->name, NULL, NULL);
        p->fetches++;
        o->request = api_send(p->agent, "GET", mlt_text_string(&path), NULL, NULL, fetched, o);
        mlt_text_release(&path);
    }
    return p->fetches == 0;
}

void pod_objects_release(struct pod *p)
{
    for (size_t i = 0; i < p->object_count; i++) {
        api_cancel(p->objects[i].request);
        cJSON_Delete(p->objects[i].object);
        free(p->objects[i].name);
    }
    free(p->objects);
    p->objects = NULL;
    p->object_count = 0;
    p->fetches = 0;
}

static const cJSON *find_object(void *arg, enum pod_source kind, const char *name)
{
    const struct pod *p = arg;
    for (size_t i = 0; i < p->object_count; i++) {
        if (p->objects[i].kind == kind && strcmp(p->objects[i].name, name) == 0)
            return p->objects[i].object;
    }
    return NULL;
}

static const char *objects_trouble(const struct pod *p)
{
    for (size_t i = 0; i < p->object_count; i++) {
        if (p->objects[i].trouble[0] != '\0')
            return p->objects[i].trouble;
    }
    return NULL;
}

/* ---- the start ---- */

static void hold(struct pod *p, size_t i, const char *reason, const char *message)
{
    pod_known_hold(&p->known, i, reason, message, agent_now(p->agent).mono_ms);
    events_record(p->agent, p->spec, "Warning", "Failed", "Error: container %s: %s",
                  p->spec->containers[i].name, message);
    pod_save(p);
}

static void cannot_run(struct pod *p, size_t i, const char *message)
{
    struct pod_now now = agent_now(p->agent);
    pod_known_cannot_run(&p->known, i, message, now.wall_ms, now.mono_ms);
    events_record(p->agent, p->spec, "Warning", "Failed", "Error: container %s: %s",
                  p->spec->containers[i].name, message);
    pod_save(p);
}

/* Everything about a start that is made before it is sent. */
struct preparation {
    struct pod_env_list env;
    struct words options, command;
    char log[PATH_MAX];
};

static void preparation_release(struct preparation *r)
{
    pod_env_release(&r->env);
    words_release(&r->options);
    words_release(&r->command);
}

/* What depends on other API objects: the container waits and is tried again. */
static int prepare_config(struct pod *p, size_t i, struct preparation *r, struct mlt_error *err)
{
    struct pod_facts facts = {.pod_ip = p->known.address,
                              .host_ip = AGENT_HOST_IP,
                              .node_cpu_milli = p->agent->allocatable.cpu_milli,
                              .node_memory = p->agent->allocatable.memory,
                              .find = find_object,
                              .arg = p};
    struct sandbox_pod sandbox = {p->spec, &p->known, p->folder};
    const char *trouble = objects_trouble(p);
    if (trouble)
        return mlt_fail(err, EAGAIN, "%s", trouble);
    if (!p->volumes_made) {
        int rc = volumes_make(p->spec, p->folder, &facts, err);
        if (rc < 0)
            return rc;
        p->volumes_made = true;
    }
    sandbox_environment(&p->agent->host, &sandbox, i, &r->env);
    int rc = pod_env_build(p->spec, &p->spec->containers[i], &facts, &r->env, err);
    return rc < 0 ? rc : sandbox_user_prefix(&p->agent->host, &sandbox, i, &r->command, err);
}

/* What depends on this machine and on the pod alone: trying again would not help. */
static int prepare_sandbox(struct pod *p, size_t i, struct preparation *r, struct mlt_error *err)
{
    struct sandbox_pod sandbox = {p->spec, &p->known, p->folder};
    const struct pod_container *c = &p->spec->containers[i];
    char **words = NULL;
    if (p->agent->host.bwrap[0] == '\0')
        return mlt_fail(err, ENOENT,
                        "bubblewrap (bwrap) is not installed on this machine: apt-get "
                        "install bubblewrap");
    (void)snprintf(r->log, sizeof r->log, "%.3000s/logs/%s_%s_%s/%s", p->agent->node_dir,
                   p->spec->namespace_, p->spec->name, p->spec->uid, c->name);
    int rc = folder_make(r->log, 0750, err);
    if (rc == 0)
        rc = sandbox_prepare(&sandbox, i, err);
    if (rc == 0)
        rc = sandbox_options(&p->agent->host, &sandbox, i, &r->env, &r->options, err);
    if (rc == 0)
        rc = pod_command(c, &r->env, &words, err);
    if (rc == 0)
        words_add_all(&r->command, (const char *const *)words);
    pod_words_free(words);
    return rc;
}

/* `kubectl logs --previous` shows one run before this one; older logs, and the /tmp of the last
 * run, go. */
static void forget_earlier_runs(const struct pod *p, size_t i, const char *log_folder)
{
    char path[PATH_MAX + 64];
    int64_t restart = p->known.containers[i].restarts;
    if (restart < 1)
        return;
    (void)snprintf(path, sizeof path, "%s/%" PRId64 ".log", log_folder, restart - 2);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%.3700s/tmp/%s-%" PRId64, p->folder,
                   p->spec->containers[i].name, restart - 1);
    folder_remove(path);
}

static void send_start(struct pod *p, size_t i, struct preparation *r)
{
    const struct pod_container *c = &p->spec->containers[i];
    const struct pod_resource *memory = pod_resource_find(c, "memory");
    /* Entering a cgroup waits for the kernel's other processors, some 20 ms: only where it is asked
     * for. */
    int64_t limit = memory && memory->limit > 0 ? memory->limit : 0;
    char log[PATH_MAX + 32], cgroup[SHIM_CGROUP_NAME_MAX];
    pod_save(p); /* before it is sent: an agent that dies here asks again for the same run */
    forget_earlier_runs(p, i, r->log);
    (void)snprintf(log, sizeof log, "%s/%" PRId64 ".log", r->log, p->known.containers[i].restarts);
    shim_cgroup_name(p->spec->uid, c->name, p->known.containers[i].restarts, cgroup);
    struct shim_start start = {
        .container = (char *)(uintptr_t)c->name,
        .restart = p->known.containers[i].restarts,
        .program = p->agent->host.bwrap,
        .options = r->options.list,
        .command = r->command.list,
        .log = log,
        .cgroup = limit > 0 ? cgroup : NULL,
        .memory = limit,
    };
    shim_channel_send(p->shim, shim_start_to_json(&start));
}

void pod_start_container(struct pod *p, size_t index)
{
    struct mlt_error err = {0};
    struct preparation r = {0};
    pod_known_starting(&p->known,
                       index); /* counts the run, whose number names its log and its /tmp */
    if (prepare_config(p, index, &r, &err) < 0)
        hold(p, index, "CreateContainerConfigError", err.text);
    else if (prepare_sandbox(p, index, &r, &err) < 0)
        cannot_run(p, index, err.text);
    else
        send_start(p, index, &r);
    preparation_release(&r);
}
