/* Ends every pod of a node while no agent runs (`mltrain cluster down`): SIGTERM to all, SIGKILL
 * after a grace, then the shims leave. What the pods ended with is kept, and that it was us. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/log.h"
#include "lib/json/json.h"
#include "localcluster/agent/internal.h"
#include "localcluster/agent/pod_folder.h"

#define STOP_GRACE_MS 10000
#define STOP_GIVE_UP_MS 5000 /* after SIGKILL: a process in an uninterruptible state */

struct stopper;

struct stopped_pod {
    struct stopper *stopper;
    struct stopped_pod *next;
    struct shim_channel *shim;
    struct pod_known known;
    char folder[PATH_MAX];
    bool left;
};

struct stopper {
    uv_loop_t loop;
    uv_timer_t timer;
    struct stopped_pod *pods;
    size_t running;
    bool killed;
};

static void save(const struct stopped_pod *p)
{
    struct mlt_error err;
    if (pod_known_save(p->folder, &p->known, &err) < 0)
        mlt_log(MLT_LOG_ERROR, "pod=%s/%s: %s", p->known.namespace_, p->known.name, err.text);
}

static void left(struct stopped_pod *p)
{
    char memory[128];
    if (p->left)
        return;
    p->left = true;
    shim_channel_close(p->shim);
    p->shim = NULL;
    p->known.sandbox = false;
    pod_memory_folder(p->known.uid, memory, sizeof memory);
    folder_remove(memory);
    save(p);
    if (--p->stopper->running == 0)
        (void)uv_timer_stop(&p->stopper->timer);
}

static cJSON *leave_message(void)
{
    cJSON *message = cJSON_CreateObject();
    json_set_string(message, "do", "leave");
    return message;
}

static void on_message(void *arg, const cJSON *message)
{
    struct stopped_pod *p = arg;
    struct shim_report report;
    if (shim_report_from_json(message, &report, NULL) == 0)
        (void)pod_known_report(&p->known, &report, 0);
    if (!pod_known_running(&p->known)) /* the shim answers by ending */
        shim_channel_send(p->shim, leave_message());
}

static void on_ended(void *arg, const char *why)
{
    (void)why;
    left(arg);
}

static const struct shim_channel_ops ops = {.message = on_message, .ended = on_ended};

static void time_is_over(uv_timer_t *timer)
{
    struct stopper *s = timer->data;
    if (s->killed) {
        for (struct stopped_pod *p = s->pods; p; p = p->next)
            left(p);
        return;
    }
    s->killed = true;
    for (struct stopped_pod *p = s->pods; p; p = p->next) {
        if (!p->left)
            shim_channel_send(p->shim, leave_message()); /* which kills first */
    }
    (void)uv_timer_start(&s->timer, time_is_over, STOP_GIVE_UP_MS, 0);
}

/* The next agent reports a pod that is never restarted as failed with these words, whatever its
 * exit codes were: a pod that saved its work and exited with 0 has not done all of it. Other pods
 * start again with the cluster. */
static void mark(struct stopped_pod *p)
{
    char path[PATH_MAX];
    cleanup_json cJSON *object = NULL;
    (void)snprintf(path, sizeof path, "%.4000s/object.json", p->folder);
    if (file_read_json(path, &object, NULL) < 0 ||
        strcmp(json_string(object, "spec.restartPolicy", "Always"), "Never") != 0)
        return;
    p->known.failing = true;
    p->known.term_sent = true;
    (void)snprintf(p->known.reason, sizeof p->known.reason, "Terminated");
    (void)snprintf(p->known.message, sizeof p->known.message,
                   "Pod was terminated because the cluster was stopped");
    save(p);
}

static void take_on(struct stopper *s, const char *folder)
{
    struct mlt_error err;
    struct stopped_pod *p = mlt_calloc(1, sizeof *p);
    p->stopper = s;
    (void)snprintf(p->folder, sizeof p->folder, "%s", folder);
    int fd = pod_known_load(folder, &p->known, &err) == 0 && !p->known.finished
                 ? shim_connect(folder, &err)
                 : -1;
    if (fd < 0 || shim_channel_open(&s->loop, fd, &ops, p, &p->shim, &err) < 0) {
        free(p);
        return;
    }
    mark(p);
    p->next = s->pods;
    s->pods = p;
    s->running++;
}

static void take_all(struct stopper *s, const char *node_dir)
{
    char pods[PATH_MAX], folder[PATH_MAX];
    (void)snprintf(pods, sizeof pods, "%.3900s/pods", node_dir);
    DIR *dir = opendir(pods);
    const struct dirent *entry;
    for (entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        (void)snprintf(folder, sizeof folder, "%.3800s/%.255s", pods, entry->d_name);
        if (entry->d_name[0] != '.')
            take_on(s, folder);
    }
    if (dir)
        (void)closedir(dir);
}

int stop_pods(const char *node_dir)
{
    struct stopper s = {0};
    if (uv_loop_init(&s.loop) < 0)
        return 1;
    (void)uv_timer_init(&s.loop, &s.timer);
    s.timer.data = &s;
    take_all(&s, node_dir);
    mlt_log(MLT_LOG_INFO, "stopping pods=%zu", s.running);
    for (struct stopped_pod *p = s.pods; p; p = p->next)
        shim_channel_send(p->shim, shim_signal_to_json(NULL, SIGTERM));
    if (s.running > 0)
        (void)uv_timer_start(&s.timer, time_is_over, STOP_GRACE_MS, 0);
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&s.timer, NULL);
    (void)uv_run(&s.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&s.loop);
    while (s.pods) {
        struct stopped_pod *next = s.pods->next;
        free(s.pods);
        s.pods = next;
    }
    return 0;
}
