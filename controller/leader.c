/* Leadership: see leader.h. A controller that has led and leads no more ends at once: its memory is
 * not to be trusted, and a fresh start is the recovery. All channels are closed before, so that
 * launchers turn to the next leader. */
#include "controller/leader.h"

#include <stdio.h>
#include <string.h>
#include "controller/internal.h"

void leader_start(struct controller *c)
{
    struct kube_lease_config config = {
        .namespace_ = c->config.lease_namespace,
        .name = LEADER_LEASE_NAME,
        .identity = c->config.identity,
    };
    struct mlt_error err = {0};
    mlt_text_init(&c->leader.body, LEADER_ANSWER_MAX);
    if (kube_lease_new(&config, &c->random, &c->leader.lease, &err) < 0) {
        c->exited = true;
        effects_exited(&c->effects, false, err.text);
    }
}

void leader_release(struct leader *l)
{
    if (l->lease)
        kube_lease_free(l->lease);
    mlt_text_release(&l->body);
    *l = (struct leader){0};
}

bool leader_leads(const struct leader *l)
{
    return l->leads && !l->stopping;
}

uint64_t leader_transitions(const struct leader *l)
{
    return (uint64_t)kube_lease_transitions(l->lease);
}

static void ended(struct controller *c, bool lost, const char *words)
{
    channels_close_all(c);
    c->exited = true;
    effects_exited(&c->effects, lost, words);
}

void leader_end_process(struct controller *c, const char *words)
{
    ended(c, true, words);
}

bool leader_is_another(const struct controller *c)
{
    const struct leader *l = &c->leader;
    const char *holder = l->lease ? kube_lease_holder(l->lease) : "";
    return !leader_leads(l) && *holder && strcmp(holder, c->config.identity) != 0;
}

static void look(struct controller *c)
{
    struct leader *l = &c->leader;
    bool leads = kube_lease_leads(l->lease, c->now_ms);
    if (leads && !l->leads) {
        l->leads = l->has_led = true;
        controller_log(c, MLT_LOG_INFO, "leading identity=%s transitions=%llu", c->config.identity,
                       (unsigned long long)leader_transitions(l));
        view_leads(c);
        for (struct job *job = c->jobs; job; job = job->hh.next)
            job_touch(job);
    } else if (!leads && l->leads) {
        l->leads = false;
        if (!l->stopping)
            ended(c, true, "the lease was lost");
    }
    if (l->stopping && !c->exited && kube_lease_is_over(l->lease))
        ended(c, false, "stopped");
}

static void log_trouble(struct controller *c)
{
    struct leader *l = &c->leader;
    const char *trouble = kube_lease_trouble(l->lease);
    if (strcmp(trouble, l->trouble) == 0)
        return;
    (void)snprintf(l->trouble, sizeof l->trouble, "%s", trouble);
    if (*trouble)
        controller_log(c, MLT_LOG_WARNING, "lease trouble error=\"%s\"", trouble);
}

int64_t leader_pump(struct controller *c)
{
    struct leader *l = &c->leader;
    struct kube_lease_want want = {.wake_ms = INT64_MAX};
    if (!l->lease)
        return INT64_MAX;
    for (int i = 0; i < 2; i++) {
        kube_lease_poll(l->lease, c->now_ms, c->wall_ms * 1000, &want);
        if (want.cancel && l->request) {
            effects_cancel(&c->effects, l->request);
            l->request = 0;
        }
        if (want.send) {
            l->request = ++c->next_id;
            l->verb = api_verb(want.verb, want.path);
            l->status = 0;
            mlt_text_clear(&l->body);
            effects_request(&c->effects, l->request, want.verb, want.path, want.content_type,
                            want.body, false);
        }
        if (!want.send && !want.cancel)
            break;
    }
    log_trouble(c);
    look(c);
    return want.wake_ms;
}

bool leader_status(struct controller *c, uint64_t id, int status)
{
    if (!id || c->leader.request != id)
        return false;
    c->leader.status = status;
    return true;
}

bool leader_body(struct controller *c, uint64_t id, const char *data, size_t length)
{
    if (!id || c->leader.request != id)
        return false;
    mlt_text_add(&c->leader.body, data, length);
    return true;
}

bool leader_end(struct controller *c, uint64_t id, const char *error)
{
    struct leader *l = &c->leader;
    if (!id || l->request != id)
        return false;
    l->request = 0;
    metrics_request(&c->metrics, l->verb, error ? 0 : l->status);
    if (error)
        kube_lease_answer(l->lease, c->now_ms, 0, error, strlen(error));
    else
        kube_lease_answer(l->lease, c->now_ms, l->status, mlt_text_string(&l->body),
                          l->body.length);
    return true;
}

void leader_give_up(struct controller *c)
{
    struct leader *l = &c->leader;
    if (l->stopping || c->exited)
        return;
    l->stopping = true;
    channels_close_all(c);
    if (l->lease)
        kube_lease_give_up(l->lease);
}
