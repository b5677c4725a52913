/* The processes of the controller: started, killed between any two effects, paused, awakened. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/sim.h"

#define CHANNEL "10.96.0.10:7070"
/* In every so many seeds (2, 6, 10 ...) gangs of a few pods are looked at as seldom as those of
 * thousands are in life. */
#define LARGE_EVERY 4
#define LARGE_GAP_US 20000

static const char *const host_names[SIM_HOSTS] = {"controller-0", "controller-1"};

/* An event with memory of its own, for a controller that is paused. */
struct sim_inbox {
    struct controller_event event;
    char *data, *error, *job_uid;
    struct rendezvous_frame frame;
    unsigned char *payload;
    struct sim_inbox *next;
};

static const char *name_of(const struct sim *s, const struct sim_host *host)
{
    return host_names[host - s->hosts];
}

struct sim_host *controller_find(struct sim *s, uint64_t id)
{
    for (int i = 0; id && i < SIM_HOSTS; i++)
        if (s->hosts[i].controller && s->hosts[i].id == id)
            return &s->hosts[i];
    return NULL;
}

/* ---- the inbox ---- */

static void inbox_free(struct sim_inbox *e)
{
    free(e->data);
    free(e->error);
    free(e->job_uid);
    free(e->payload);
    free(e);
}

static void inbox_clear(struct sim_host *host)
{
    while (host->inbox) {
        struct sim_inbox *e = host->inbox;
        host->inbox = e->next;
        inbox_free(e);
    }
    host->inbox_last = &host->inbox;
}

static void inbox_add(struct sim_host *host, const struct controller_event *event)
{
    struct sim_inbox *e = mlt_calloc(1, sizeof *e);
    e->event = *event;
    e->event.data = e->data = event->data ? mlt_strndup(event->data, event->length) : NULL;
    e->event.error = e->error = mlt_strdup(event->error);
    e->event.job_uid = e->job_uid = mlt_strdup(event->job_uid);
    if (event->frame) {
        e->frame = *event->frame;
        e->frame.payload = e->payload = mlt_memdup(event->frame->payload, e->frame.length + 1u);
        e->event.frame = &e->frame;
    }
    *host->inbox_last = e;
    host->inbox_last = &e->next;
}

/* ---- effects ---- */

static void timer_fires(struct sim *s, uint64_t id, void *data)
{
    const uint64_t *generation = data;
    struct sim_host *host = controller_find(s, id);
    if (!host || host->timer_generation != *generation)
        return;
    host->timer_ms = INT64_MAX;
    controller_tell(s, id, &(struct controller_event){.kind = CONTROLLER_TIMER});
}

static void set_timer(struct sim *s, struct sim_host *host, int64_t at_ms)
{
    host->timer_generation++;
    host->timer_ms = at_ms;
    sim_after(s, at_ms - s->now_ms, timer_fires, host->id,
              mlt_memdup(&host->timer_generation, sizeof host->timer_generation));
}

static void starts_again(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    if (!s->hosts[id].controller)
        controller_start(s, (int)id);
}

static void exited(struct sim *s, struct sim_host *host, const struct controller_effect *effect)
{
    int index = (int)(host - s->hosts);
    sim_say(s, name_of(s, host), "exits: %s", effect->text);
    controller_kill(s, index, NULL);
    sim_after(s, sim_between(s, 500, 5000), starts_again, (uint64_t)index, NULL);
}

static void carry_out(struct sim *s, struct sim_host *host, const struct controller_effect *effect)
{
    switch (effect->kind) {
    case CONTROLLER_EFFECT_REQUEST:
        oracle_request(s, host, effect);
        api_send(s, host->id, effect);
        break;
    case CONTROLLER_EFFECT_CANCEL:
        api_cancel(s, host->id, effect->id);
        break;
    case CONTROLLER_EFFECT_CHANNEL_SEND:
        connection_send_down(s, effect->id, effect->body, effect->length);
        break;
    case CONTROLLER_EFFECT_CHANNEL_CLOSE:
        connection_close_by_controller(s, effect->id);
        break;
    case CONTROLLER_EFFECT_TIMER_SET:
        set_timer(s, host, effect->at_ms);
        break;
    case CONTROLLER_EFFECT_TIMER_CLEAR:
        host->timer_generation++;
        host->timer_ms = INT64_MAX;
        break;
    case CONTROLLER_EFFECT_LOG:
        if (effect->level <= MLT_LOG_INFO)
            sim_say(s, name_of(s, host), "%s", effect->text);
        else if (s->trace)
            printf("%24s %s\n", "", effect->text);
        break;
    case CONTROLLER_EFFECT_EXITED:
        exited(s, host, effect);
        break;
    }
}

static bool is_of_consequence(const struct controller_effect *effect)
{
    return effect->kind == CONTROLLER_EFFECT_REQUEST || effect->kind == CONTROLLER_EFFECT_CANCEL ||
           effect->kind == CONTROLLER_EFFECT_CHANNEL_SEND ||
           effect->kind == CONTROLLER_EFFECT_CHANNEL_CLOSE;
}

/* The controller dies, and comes back. */
static void die(struct sim *s, struct sim_host *host, const char *why)
{
    int index = (int)(host - s->hosts);
    controller_kill(s, index, why);
    sim_after(s, s->story ? 300 : sim_between(s, 200, 8000), starts_again, (uint64_t)index, NULL);
}

static void take_inbox(struct sim *s, uint64_t id, void *data);

static void drain(struct sim *s, struct sim_host *host)
{
    struct controller_effect effect;
    uint64_t id = host->id;
    if (host->draining)
        return;
    host->draining = true;
    while (controller_find(s, id) && controller_next_effect(host->controller, &effect)) {
        bool counts = is_of_consequence(&effect);
        s->effects += counts;
        host->effects += counts;
        bool now = counts && s->effects == s->die_at;
        if ((now && !s->die_after) || (counts && sim_chance(s, s->rates.controller_dies))) {
            die(s, host, "is killed before an effect");
            return;
        }
        carry_out(s, host, &effect);
        if (now && controller_find(s, id)) {
            die(s, host, "is killed after an effect");
            return;
        }
    }
    if (!controller_find(s, id))
        return;
    host->draining = false;
    if (host->inbox)
        sim_after(s, 0, take_inbox, id, NULL);
}

/* ---- events ---- */

static void step(struct sim *s, struct sim_host *host, const struct controller_event *event)
{
    struct controller_event e = *event;
    e.now_ms = s->now_ms;
    e.wall_ms = sim_wall_ms(s) + host->wall_offset_ms;
    controller_step(host->controller, &e);
    controller_check(host->controller);
    drain(s, host);
}

void controller_tell(struct sim *s, uint64_t id, const struct controller_event *event)
{
    struct sim_host *host = controller_find(s, id);
    if (!host)
        return;
    if (host->paused || host->draining)
        inbox_add(host, event);
    else
        step(s, host, event);
}

static void take_inbox(struct sim *s, uint64_t id, void *data)
{
    (void)data;
    struct sim_host *host = controller_find(s, id);
    while (host && !host->paused && !host->draining && host->inbox) {
        struct sim_inbox *e = host->inbox;
        host->inbox = e->next;
        if (!host->inbox)
            host->inbox_last = &host->inbox;
        step(s, host, &e->event);
        inbox_free(e);
        host = controller_find(s, id);
    }
}

/* ---- processes ---- */

static void derive_key(void *arg, const char *job_uid, unsigned char key[CONTROLLER_KEY_SIZE])
{
    size_t length = strlen(job_uid);
    (void)arg;
    memset(key, 'k', CONTROLLER_KEY_SIZE);
    memcpy(key, job_uid, length < CONTROLLER_KEY_SIZE ? length : CONTROLLER_KEY_SIZE);
}

void controller_start(struct sim *s, int index)
{
    static const char *const gpus[] = {"nvidia.com/gpu"};
    struct sim_host *host = &s->hosts[index];
    struct controller_config config = {
        .identity = host->identity,
        .lease_namespace = "mltrain-system",
        .channel_address = CHANNEL,
        .delivery = s->seed % DELIVERY_COUNT,
        .launcher_image = "launcher:1",
        .launcher_command = "/mltrain-launcher",
        .version = "1",
        .gpu_resources = gpus,
        .gpu_resources_count = 1,
        .seed = mlt_random_next(&s->random),
        .look_gap_us = s->seed % LARGE_EVERY == 2 ? LARGE_GAP_US : 0,
        .derive_key = derive_key,
        .min_run_ms = s->min_run_ms,
        .reservations = s->reservations,
        .patience_ms = s->patience_ms,
        .time_slice_ms = s->time_slice_ms,
    };
    host->id = ++s->ids;
    host->paused = host->draining = false;
    host->timer_ms = INT64_MAX;
    host->timer_generation++;
    host->effects = 0;
    host->inbox_last = &host->inbox;
    host->controller = controller_new(&config);
    sim_say(s, name_of(s, host), "starts as %s", host->identity);
    controller_tell(s, host->id, &(struct controller_event){.kind = CONTROLLER_TIMER});
}

void controller_kill(struct sim *s, int index, const char *why)
{
    struct sim_host *host = &s->hosts[index];
    if (!host->controller)
        return;
    if (why)
        sim_say(s, name_of(s, host), "%s", why);
    uint64_t id = host->id;
    for (int i = 0; i < s->jobs_count; i++)
        oracle_disturb(s, &s->jobs[i], 2 * SIM_BACK_MS);
    controller_free(host->controller);
    host->controller = NULL;
    host->id = 0;
    host->paused = host->draining = false;
    inbox_clear(host);
    api_forget_controller(s, id);
    connection_controller_died(s, id);
}

void controller_pause(struct sim *s, int index)
{
    struct sim_host *host = &s->hosts[index];
    if (!host->controller || host->paused)
        return;
    sim_say(s, name_of(s, host), "is paused");
    for (int i = 0; i < s->jobs_count; i++)
        oracle_disturb(s, &s->jobs[i], 80000); /* as long as it lasts */
    host->paused = true;
}

void controller_wake(struct sim *s, int index)
{
    struct sim_host *host = &s->hosts[index];
    if (!host->controller || !host->paused)
        return;
    sim_say(s, name_of(s, host), "wakes up with old events");
    host->paused = false;
    take_inbox(s, host->id, NULL);
}

void controller_ask_to_stop(struct sim *s, int index)
{
    struct sim_host *host = &s->hosts[index];
    if (!host->controller)
        return;
    sim_say(s, name_of(s, host), "is asked to stop");
    controller_tell(s, host->id, &(struct controller_event){.kind = CONTROLLER_STOP});
}

/* The one that holds the lease; now and then, when faults happen, any that runs. */
struct sim_host *controller_for_launcher(struct sim *s)
{
    struct sim_host *any = NULL;
    cleanup_json cJSON *lease = NULL;
    int status = api_now(s, "GET",
                         "/apis/coordination.k8s.io/v1/namespaces/mltrain-system/leases/"
                         "mltrain-controller",
                         NULL, NULL, &lease);
    const char *holder = status == 200 ? json_string(lease, "spec.holderIdentity", "") : "";
    bool astray = sim_chance(s, 100);
    for (int i = 0; i < s->hosts_count; i++) {
        struct sim_host *host = &s->hosts[i];
        if (!host->controller)
            continue;
        if (!any || (strcmp(host->identity, holder) == 0) != astray)
            any = host;
    }
    return any;
}

void controllers_begin(struct sim *s)
{
    for (int i = 0; i < s->hosts_count; i++) {
        (void)snprintf(s->hosts[i].identity, sizeof s->hosts[i].identity, "%s_id", host_names[i]);
        controller_start(s, i);
    }
}
