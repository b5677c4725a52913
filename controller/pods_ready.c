/* While a gang waits for its pods, its status tells what it waits for: the condition PodsReady is
 * False, with the first pod that cannot start, or that only takes its time. A gang whose pods come
 * at once never gets the condition, and costs no write. */
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/cleanup.h"

/* Nothing is wrong, but it takes long: images are pulled, volumes attached. */
#define SLOW_MS 15000
/* The container runs, and its launcher has not been heard: the channel cannot be reached. */
#define UNREACHED_MS 60000

struct waiting {
    uint32_t count;             /* members that are not ready */
    const struct member *first; /* in trouble, or the first that is not ready */
    bool in_trouble, unreached;
};

static bool is_unreached(const struct job *job, const struct member *m)
{
    return m->pod && m->pod->running_since_ms && !m->joined_once &&
           m->pod->running_since_ms + UNREACHED_MS <= job->controller->now_ms;
}

static struct waiting look(const struct job *job)
{
    struct waiting w = {0};
    for (uint32_t i = 0; i < job->members_count; i++) {
        const struct member *m = &job->members[i];
        bool in_trouble =
            m->creating_words || (m->pod && m->pod->trouble && !view_pod_ended(m->pod));
        bool unreached = is_unreached(job, m);
        if (m->joined)
            continue;
        w.count++;
        if (w.first && (w.in_trouble || w.unreached || !(in_trouble || unreached)))
            continue;
        w.first = m;
        w.in_trouble = in_trouble;
        w.unreached = unreached;
    }
    return w;
}

/* Writes the reason; the sentence is in `words`. */
static const char *explain(const struct job *job, const struct waiting *w, char *words, size_t size)
{
    const struct member *m = w->first;
    const char *node = m->node ? m->node : "no node";
    int n = snprintf(words, size, "%u of %u pods are not ready; %s %u on %s: ", w->count,
                     job->members_count, m->role, m->slot, node);
    size_t length = n > 0 && (size_t)n < size ? (size_t)n : 0;
    if (m->creating_words) {
        (void)snprintf(words + length, size - length, "it cannot be created: %s",
                       m->creating_words);
        return "FailedCreate"; /* as a ReplicaSet says it */
    }
    if (w->in_trouble) {
        (void)snprintf(words + length, size - length, "%s", m->pod->trouble->words);
        return m->pod->trouble->reason;
    }
    if (w->unreached) {
        (void)snprintf(words + length, size - length,
                       "its container runs, but its launcher has not reached the controller at "
                       "%.200s (TCP): look for a NetworkPolicy that keeps the pod from it, and "
                       "read the pod's log",
                       job->controller->config.channel_address);
        return "ChannelUnreachable";
    }
    /* A kubelet tells of a volume that it does not know in the pod's events alone. */
    bool may_wait_for_volume = m->pod && !m->pod->running_since_ms &&
                               delivery_of_pod(job, m->node) == DELIVERY_IMAGE_VOLUME;
    (void)snprintf(
        words + length, size - length, "%s%s",
        m->pod ? "it has not started yet" : "it is not created yet",
        may_wait_for_volume
            ? " (if its events say `no volume plugin matched`, its kubelet does not know "
              "image volumes: --launcher-delivery initContainer does without)"
            : "");
    return "PodsStarting";
}

static void set_ready(struct job *job)
{
    const struct trainingjob_condition *c =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_PODS_READY);
    if (c && strcmp(c->status, "True") != 0 &&
        trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_PODS_READY, true, "AllReady",
                                  "all pods have joined", job->controller->wall_ms))
        job_lazy(job, JOB_READY_WRITE_MS);
}

static bool waits_for_pods(const struct job *job)
{
    enum trainingjob_phase phase = job->draft.phase;
    return job->waiting_since_ms && job->members_count &&
           (phase == TRAININGJOB_PHASE_ADMITTED || phase == TRAININGJOB_PHASE_STARTING ||
            phase == TRAININGJOB_PHASE_RESTARTING);
}

void pods_ready_note(struct job *job)
{
    struct controller *c = job->controller;
    char words[TRAININGJOB_MESSAGE_MAX];
    if (!waits_for_pods(job)) {
        if (job->draft.phase == TRAININGJOB_PHASE_RUNNING && !job->waiting_since_ms)
            set_ready(job);
        return;
    }
    struct waiting w = look(job);
    bool slow = job->waiting_since_ms + SLOW_MS <= c->now_ms;
    if (!w.count)
        return;
    if (!slow)
        job_wake_at(job, job->waiting_since_ms + SLOW_MS);
    if (!w.in_trouble && !slow)
        return;
    if (!w.unreached && w.first->pod && w.first->pod->running_since_ms && !w.first->joined_once)
        job_wake_at(job, w.first->pod->running_since_ms + UNREACHED_MS);
    const char *reason = explain(job, &w, words, sizeof words);
    const struct trainingjob_condition *old =
        trainingjob_find_condition(&job->draft, TRAININGJOB_CONDITION_PODS_READY);
    bool is_news = !old || strcmp(old->status, "False") != 0 || strcmp(old->reason, reason) != 0;
    if (!trainingjob_set_condition(&job->draft, TRAININGJOB_CONDITION_PODS_READY, false, reason,
                                   words, c->wall_ms))
        return;
    if (is_news && (w.in_trouble || w.unreached))
        event_record(job, true, "PodsNotReady", "%s", words);
    job_lazy(job, JOB_PHASE_WRITE_MS);
}
