/* A gang in one process: see world.h. Here are the coordinator, its owner, and the faults. */
#include "world.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "launcher.h"

static const struct coordinator_loss deleted = {
    .infrastructure = true, .node = "node001", .words = "deleted"};

static uint64_t draw(struct world *w, uint64_t bound)
{
    return mlt_random_below(&w->random, bound);
}

/* ---- the owner ---- */

static void make_coordinator(struct world *w, bool adopt)
{
    struct coordinator_member members[WORLD_SLOTS_MAX];
    for (uint32_t i = 0; i < w->slots_count; i++)
        members[i] = (struct coordinator_member){.role = "worker", .slot = i, .nproc = w->nproc};
    struct coordinator_config config = {.job = "test/job",
                                        .lease_transitions = ++w->lease,
                                        .members = members,
                                        .members_count = w->slots_count,
                                        .attempt = w->status_attempt,
                                        .adopt = adopt,
                                        .rejoin_ms = 30000,
                                        .stop_grace_ms = 1000,
                                        .stop_signal = 15,
                                        .rank0_decides = w->rank0};
    w->c = coordinator_new(&config, w->now_ms);
    struct rendezvous_welcome welcome = {.framework = "plain"};
    bool set = coordinator_set_welcome(w->c, &welcome);
    assert(set);
}

static struct history *history_of(struct world *w, uint64_t attempt)
{
    if (attempt >= WORLD_ATTEMPTS_MAX) {
        violation(w, "attempts run away");
        attempt = 0;
    }
    return &w->history[attempt];
}

static void check_all_ready(struct world *w)
{
    for (uint32_t i = 0; i < w->slots_count; i++) {
        const struct pod *p = &w->slots[i].pod;
        if (p->alive && p->state != POD_READY)
            violation(w, "START went out though a live member was not ready");
        if (!p->alive)
            w->history[w->status_attempt].pod_lost = true; /* nobody knew */
    }
}

static void give_start(struct world *w)
{
    w->start_pending = false;
    if (!coordinator_start(w->c, w->status_attempt, RENDEZVOUS_NO_STEP, "", w->now_ms))
        return;
    w->starts++;
    w->started_attempt = w->status_attempt;
    check_all_ready(w);
}

static void note_ready(struct world *w, uint64_t attempt)
{
    /* It may be one that stands in the status, if its START never went out: then the next one is
     * used. */
    if (w->started_attempt)
        violation(w, "GANG_READY while an attempt is under way");
    w->status_attempt = attempt > w->status_attempt + 1 ? attempt : w->status_attempt + 1;
    (void)history_of(w, w->status_attempt);
    w->status_started = true;
    w->start_pending = true;
}

static void check_over(struct world *w, uint64_t attempt, const char *what)
{
    for (uint32_t i = 0; i < w->slots_count; i++)
        if (launcher_is_running(&w->slots[i].pod) && w->slots[i].pod.attempt == attempt) {
            /* Ranks that all ended but are not reaped yet are over. */
            const struct pod *p = &w->slots[i].pod;
            for (uint32_t n = 0; n < w->nproc; n++)
                if (!p->ended[n])
                    violation(w, what);
        }
}

static void note_verdict(struct world *w, const struct coordinator_verdict *v)
{
    struct history *h = history_of(w, v->attempt);
    if (++h->verdicts + h->completions > 1)
        violation(w, "an attempt ended twice");
    if (v->attempt != w->status_attempt)
        violation(w, "a verdict on an attempt that is not the status's");
    check_over(w, v->attempt, "a verdict fell while ranks of the attempt ran");
    if (v->rank >= 0 && h->ends[v->rank] != 2)
        violation(w, "the verdict names a rank that did not fail");
    if (!v->requested && !v->diverged && v->rank < 0 && !h->pod_lost)
        violation(w, "a verdict without a cause");
    if (v->requested && !h->requested)
        violation(w, "a stop that nobody requested");
    if (v->diverged && !h->disturbed)
        violation(w, "members diverged though the leader never changed");
    w->verdicts++;
    w->status_started = false;
    w->started_attempt = 0;
}

static void note_completed(struct world *w)
{
    uint64_t attempt = coordinator_attempt(w->c);
    struct history *h = history_of(w, attempt);
    if (++h->completions + h->verdicts > 1)
        violation(w, "an attempt ended twice");
    for (uint32_t i = 0; i < (w->rank0 ? 1 : w->slots_count * w->nproc); i++)
        if (h->ends[i] != 1)
            violation(w, "COMPLETED though a rank did not end well");
    w->completions++;
    w->completed = true;
}

static const char *const output_names[] = {
#define XX(name) [COORDINATOR_##name] = #name,
    COORDINATOR_OUTPUT_MAP(XX)
#undef XX
};

static void take(struct world *w, const struct coordinator_output *out)
{
    if (out->kind != COORDINATOR_SEND)
        trace(w, "%s %s%s\n", output_names[out->kind], out->words,
              out->kind == COORDINATOR_VERDICT ? out->verdict.words : "");
    struct channel_model *ch = channel_find(w, out->channel);
    switch (out->kind) {
    case COORDINATOR_SEND:
        if (ch && !ch->cut)
            queue_add(w, &ch->down, out->bytes, out->length);
        break;
    case COORDINATOR_CLOSE:
        if (ch && !ch->cut && w->slots[ch->slot].pod.channel == ch->id)
            launcher_cut(w, ch->slot);
        if (ch)
            channel_free(ch);
        break;
    case COORDINATOR_GANG_READY:
        note_ready(w, out->attempt);
        break;
    case COORDINATOR_VERDICT:
        note_verdict(w, &out->verdict);
        break;
    case COORDINATOR_COMPLETED:
        note_completed(w);
        break;
    case COORDINATOR_ADOPTED:
        w->adoptions++;
        w->started_attempt = out->attempt;
        break;
    case COORDINATOR_DIVERGED:
        w->divergences++;
        break;
    default:
        break;
    }
}

static void drain(struct world *w)
{
    struct coordinator_output out;
    coordinator_check(w->c);
    while (coordinator_next(w->c, &out))
        take(w, &out);
    coordinator_check(w->c);
}

/* ---- events ---- */

static void deliver_up(struct world *w, struct channel_model *ch)
{
    struct mlt_text *bytes = queue_first(&ch->up);
    if (!bytes) {
        if (ch->cut) {
            uint64_t id = ch->id;
            channel_free(ch);
            coordinator_closed(w->c, id, w->now_ms);
        }
        return;
    }
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, RENDEZVOUS_UP);
    bool whole = rendezvous_reader_feed(&reader, bytes->data, bytes->length, NULL) == 0 &&
                 rendezvous_reader_next(&reader, &frame, NULL) == 1;
    assert(whole);
    queue_drop(&ch->up);
    trace(w, "  %s attempt %llu of slot %u, channel %llu, reaches the coordinator\n",
          rendezvous_type_name(frame.type), (unsigned long long)frame.attempt, ch->slot,
          (unsigned long long)ch->id);
    coordinator_frame(w->c, ch->id, &frame, w->now_ms);
    rendezvous_reader_release(&reader);
}

static void tell_expected(struct world *w, uint32_t slot)
{
    struct slot_model *s = &w->slots[slot];
    if (s->expected || s->noticed)
        return;
    coordinator_expect_pod(w->c, "worker", slot, s->pod.uid);
    s->expected = true;
}

/* The owner's view of the pods moves on by one thing. */
static void owner_looks(struct world *w, uint32_t slot)
{
    struct slot_model *s = &w->slots[slot];
    if (s->pod.alive) {
        tell_expected(w, slot);
    } else if (!s->noticed) {
        s->noticed = true;
        if (w->status_started) /* a new leader cannot know that it had died before */
            w->history[w->status_attempt].pod_lost = true;
        trace(w, "the owner notices that %s has died\n", s->pod.uid);
        coordinator_pod_lost(w->c, "worker", slot, &deleted, w->now_ms);
    } else {
        launcher_new(w, slot);
    }
}

static void restart_coordinator(struct world *w)
{
    w->restarts++;
    trace(w, "the leader changes\n");
    coordinator_free(w->c);
    for (uint32_t i = 0; i < w->slots_count; i++)
        launcher_cut(w, i);
    for (unsigned i = 0; i < WORLD_CHANNELS_MAX; i++)
        channel_free(&w->channels[i]);
    for (uint64_t i = 0; i < WORLD_ATTEMPTS_MAX; i++)
        w->history[i].verdicts = w->history[i].completions = 0;
    w->history[w->status_attempt].disturbed = true;
    w->start_pending = false;
    w->started_attempt = 0;
    make_coordinator(w, w->status_started && w->status_attempt > 0);
    for (uint32_t i = 0; i < w->slots_count; i++) {
        w->slots[i].expected = false;
        if (w->slots[i].noticed)
            w->history[w->status_attempt].pod_lost = true;
        if (w->slots[i].noticed)
            coordinator_pod_lost(w->c, "worker", i, &deleted, w->now_ms);
        else
            tell_expected(w, i);
    }
}

static void request_stop(struct world *w)
{
    trace(w, "a stop is requested\n");
    if (coordinator_is_running(w->c))
        w->history[coordinator_attempt(w->c)].requested = true;
    coordinator_stop(w->c, (uint32_t)draw(w, 3) * 1000, "asked for", w->now_ms);
}

static void pass_time(struct world *w)
{
    w->now_ms += (int64_t)draw(w, 4000);
    if (w->now_ms >= coordinator_wake_ms(w->c))
        coordinator_timer(w->c, w->now_ms);
}

static void move_some_frame(struct world *w)
{
    struct channel_model *ch = &w->channels[draw(w, WORLD_CHANNELS_MAX)];
    for (unsigned i = 0; i < WORLD_CHANNELS_MAX && !ch->id; i++)
        ch = &w->channels[(size_t)(ch - w->channels + 1) % WORLD_CHANNELS_MAX];
    if (!ch->id)
        return;
    if (draw(w, 2) || ch->cut)
        deliver_up(w, ch);
    else
        launcher_receive(w, ch);
}

static void fault(struct world *w, uint32_t slot)
{
    switch (draw(w, 12)) {
    case 0:
        launcher_die(w, slot);
        break;
    case 1:
        restart_coordinator(w);
        break;
    case 2:
        request_stop(w);
        break;
    default:
        launcher_cut(w, slot);
    }
}

void world_step(struct world *w)
{
    uint32_t slot = (uint32_t)draw(w, w->slots_count);
    uint64_t what = draw(w, 100);
    if (what < 60)
        move_some_frame(w);
    else if (what < 72)
        launcher_work(w, slot);
    else if (what < 80)
        launcher_connect(w, slot);
    else if (what < 86)
        owner_looks(w, slot);
    else if (what < 90 && w->start_pending)
        give_start(w);
    else if (what < 94)
        pass_time(w);
    else if (!w->healing && draw(w, 4) == 0)
        fault(w, slot);
    drain(w);
}

bool world_heal(struct world *w)
{
    w->healing = true;
    for (int i = 0; i < 20000 && !w->completed && !w->violation; i++)
        world_step(w);
    return w->completed;
}

void world_init(struct world *w, uint64_t seed, enum world_bug bug)
{
    *w = (struct world){.seed = seed, .bug = bug, .now_ms = 1000};
    mlt_random_init(&w->random, seed);
    w->slots_count = (uint32_t)draw(w, WORLD_SLOTS_MAX) + 1;
    w->nproc = (uint32_t)draw(w, WORLD_NPROC_MAX) + 1;
    w->rank0 = draw(w, 4) == 0;
    for (uint32_t i = 0; i < w->slots_count; i++)
        launcher_new(w, i);
    make_coordinator(w, false);
    drain(w);
}

void world_release(struct world *w)
{
    for (unsigned i = 0; i < WORLD_CHANNELS_MAX; i++)
        channel_free(&w->channels[i]);
    coordinator_free(w->c);
}
