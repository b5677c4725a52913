/* Trigger and verdict: the first failure stops the gang at once; what is to blame is said when
 * every member has stopped or is lost, because the true cause may arrive after its echoes (a node's
 * death is noticed long after its peers' exit 1). */
#include "rendezvous/coordinator_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- running ---- */

void seat_begin_running(struct coordinator *c, struct seat *s)
{
    seat_set_state(c, s, SEAT_RUNNING);
    s->seen = false;
    s->exited = s->zero = 0;
    memset(s->exited_bits, 0, sizeof s->exited_bits);
    s->agreed_step = RENDEZVOUS_NO_STEP;
    clock_forget(s);
    s->asking = s->caught = 0;
    c->alive_ranks += s->nproc;
}

void seat_end_running(struct coordinator *c, struct seat *s, enum seat_state state)
{
    assert(s->state == SEAT_RUNNING);
    c->alive_ranks -= s->nproc - s->exited;
    seat_set_state(c, s, state);
    if (c->counts[SEAT_RUNNING] == 0 && c->phase != PHASE_ADOPTING)
        exchange_forget(c);
    exchange_gone(c, s);
    if (c->exiting)
        seat_send_exit(c, s);
}

/* ---- stop ---- */

void seat_send_stop(struct coordinator *c, const struct seat *s, uint64_t attempt)
{
    bool ours =
        attempt == c->attempt && (c->phase == PHASE_STOPPING || c->phase == PHASE_COMPLETED);
    if (ours && c->save.active && s->takes_orders) {
        save_send(c, s);
        return;
    }
    struct rendezvous_message m = {.type = RENDEZVOUS_STOP, .attempt = attempt};
    m.stop.reason = ours ? text_of(c->order_reason) : "an attempt that is no longer the job's";
    m.stop.grace_ms = ours ? c->order_grace_ms : 0;
    m.stop.signal = ours ? c->order_signal : 0;
    /* The kubelet has told these ranks to save; that one of them had nothing to save and has ended
     * must not cut the others short. */
    if (ours && c->ending_saves && s->terminating) {
        m.stop.grace_ms = c->stop_grace_ms;
        m.stop.signal = c->stop_signal;
    }
    output_send(c, s->channel, &m);
}

void gang_send_stops(struct coordinator *c)
{
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].state == SEAT_RUNNING)
            seat_send_stop(c, &c->seats[i], c->attempt);
}

void gang_set_order(struct coordinator *c, uint32_t grace_ms, uint32_t signal, const char *reason)
{
    c->order_grace_ms = grace_ms;
    c->order_signal = signal;
    reason_set(c, &c->order_reason, reason);
}

void gang_stop(struct coordinator *c, uint32_t grace_ms, uint32_t signal, const char *reason)
{
    c->phase = PHASE_STOPPING;
    gang_set_order(c, grace_ms, signal, reason);
    gang_send_stops(c);
}

void coordinator_stop(struct coordinator *c, uint32_t grace_ms, const char *reason, int64_t now_ms)
{
    c->now_ms = now_ms;
    switch (c->phase) {
    case PHASE_GATHERING:
        return;
    case PHASE_ADOPTING:
    case PHASE_STARTED:
        c->requested = true;
        save_begin(c, grace_ms, reason, now_ms);
        break;
    case PHASE_STOPPING:
        if (c->worst == FAILURE_NONE)
            c->requested = true;
        if (c->ending_saves && grace_ms == 0) {
            c->ending_saves = false;
            gang_send_stops(c);
        }
        __attribute__((fallthrough));
    case PHASE_COMPLETED:
        if (c->save.active && now_ms + grace_ms < c->save.deadline_ms) {
            c->save.deadline_ms = now_ms + grace_ms;
            save_check(c);
            break;
        }
        if (grace_ms >= c->order_grace_ms)
            return;
        gang_set_order(c, grace_ms, c->stop_signal, reason);
        gang_send_stops(c);
        break;
    }
    gang_check_end(c);
}

/* ---- failures ---- */

static void take_failure(struct coordinator *c, struct failure *f)
{
    if (c->phase == PHASE_COMPLETED || c->phase == PHASE_GATHERING || c->requested)
        return;
    culprit_note(c, f);
    if (c->phase == PHASE_STOPPING)
        return;
    output_words(c, COORDINATOR_TRIGGER, 0, "%s", f->words);
    gang_stop(c, 0, 0, f->words);
}

void gang_take_hung(struct coordinator *c, const struct failure *f, uint32_t grace_ms,
                    uint32_t signal)
{
    culprit_note(c, f);
    output_words(c, COORDINATOR_TRIGGER, 0, "%s", f->words);
    gang_stop(c, grace_ms, signal, f->words);
}

static enum failure_class class_of(uint32_t cause)
{
    switch (cause) {
    case RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE:
        return FAILURE_SIGNAL;
    case RENDEZVOUS_CAUSE_OUT_OF_MEMORY:
        return FAILURE_OUT_OF_MEMORY;
    case RENDEZVOUS_CAUSE_LAUNCHER_LOST:
    case RENDEZVOUS_CAUSE_FENCED: /* out of reach, as a lost node is */
        return FAILURE_LOST;
    case RENDEZVOUS_CAUSE_KILLED_BY_US:
        return FAILURE_STOPPED_ALONE;
    default:
        return FAILURE_EXIT;
    }
}

static void copy_node(struct failure *f, const char *node)
{
    (void)snprintf(f->node, sizeof f->node, "%s", text_of(node));
}

/* A rank was stopped by its launcher though we asked nobody to stop: its pod is being ended, or the
 * leader before us asked. */
static void take_stopped_alone(struct coordinator *c, const struct seat *s, struct failure *f)
{
    bool adopting = c->phase == PHASE_ADOPTING;
    if (c->phase == PHASE_STOPPING)
        return; /* after our STOP: never the cause */
    if (s->terminating) {
        f->class = FAILURE_LOST;
        f->infrastructure = true;
        f->rank = -1;
        f->cause = RENDEZVOUS_CAUSE_LAUNCHER_LOST;
        failure_words(c, f, "its pod is being terminated");
    }
    /* Nobody led when it began. */
    if (adopting && s->terminating)
        culprit_note(c, f);
    if (adopting)
        gang_diverge(c, s->terminating
                            ? f->words
                            : "the attempt was being stopped before the change of leader");
    if (adopting)
        return;
    c->ending_saves |= s->terminating;
    take_failure(c, f);
}

static void take_failed_exit(struct coordinator *c, struct seat *s, const struct rendezvous_exit *e)
{
    struct failure f = {
        .class = class_of(e->cause),
        .infrastructure = e->cause == RENDEZVOUS_CAUSE_FENCED,
        .seat = seat_index(c, s),
        .rank = (int64_t)s->rank_base + e->local_rank,
        .code = e->code,
        .signal = e->signal,
        .cause = e->cause,
        .by_launcher = true,
        .after_ms = e->after_ms,
    };
    clock_ended(c, s, e->after_ms);
    copy_node(&f, s->node);
    (void)snprintf(f.tail, sizeof f.tail, "%s", text_of(e->tail));
    failure_words(c, &f, "its launcher lost it");
    if (f.class == FAILURE_STOPPED_ALONE)
        take_stopped_alone(c, s, &f);
    else
        take_failure(c, &f);
    if (e->code || e->signal) /* else it has saved and left, and the others may still save */
        save_note_failure(c, f.class == FAILURE_STOPPED_ALONE, f.words);
}

static void complete(struct coordinator *c)
{
    c->phase = PHASE_COMPLETED;
    c->save.active = false;
    (void)output_add(c, COORDINATOR_COMPLETED);
    gang_set_order(c, c->stop_grace_ms, c->stop_signal, "the job is complete");
    gang_send_stops(c);
}

/* By the success policy. An attempt that was given up for a change of leader may turn out to have
 * been complete: what was being stopped were the ranks that no longer mattered. */
static void gang_check_completed(struct coordinator *c)
{
    bool done = c->zero_exits == c->world_size || (c->rank0_decides && c->rank0_done);
    bool given_up =
        c->phase == PHASE_STOPPING && c->diverged && !c->requested && c->worst == FAILURE_NONE;
    /* The order to save has reached nobody: the ranks have ended because they were done. */
    bool unmoved = c->save.active && !c->save.told;
    if (done && (c->phase == PHASE_STARTED || given_up || unmoved))
        complete(c);
}

void seat_take_exit(struct coordinator *c, struct seat *s, const struct rendezvous_exit *e)
{
    if (e->local_rank >= s->nproc || e->rank != s->rank_base + e->local_rank) {
        message_refuse(c, s->channel, "%s %u told the end of rank %u, which is not its own",
                       s->role, s->slot, e->rank);
        return;
    }
    uint64_t bit = UINT64_C(1) << e->local_rank % 64;
    uint64_t *bits = &s->exited_bits[e->local_rank / 64];
    if (s->state != SEAT_RUNNING || *bits & bit)
        return; /* a repetition */
    *bits |= bit;
    s->exited++;
    c->alive_ranks--;
    if (e->cause != RENDEZVOUS_CAUSE_EXITED || e->code != 0 || e->signal != 0) {
        take_failed_exit(c, s, e);
        return;
    }
    s->zero++;
    c->zero_exits++;
    if (s->rank_base + e->local_rank == 0)
        c->rank0_done = true;
    gang_check_completed(c);
}

/* Ranks are gone whose end was never told. */
static void take_untold(struct coordinator *c, struct seat *s)
{
    struct failure f = {.class = FAILURE_STOPPED_ALONE,
                        .seat = seat_index(c, s),
                        .rank = -1,
                        .cause = RENDEZVOUS_CAUSE_LAUNCHER_LOST};
    copy_node(&f, s->node);
    failure_words(c, &f, "its ranks ended and it did not say how");
    take_stopped_alone(c, s, &f);
}

void seat_take_stopped(struct coordinator *c, struct seat *s)
{
    if (s->state != SEAT_RUNNING)
        return;
    if (s->exited < s->nproc)
        take_untold(c, s);
    if (s->state == SEAT_RUNNING)
        seat_end_running(c, s, SEAT_STOPPED);
}

/* ---- lost ---- */

static bool has_finished(const struct seat *s)
{
    return s->state == SEAT_RUNNING && s->zero == s->nproc;
}

void seat_take_terminating(struct coordinator *c, struct seat *s)
{
    if (c->phase != PHASE_STARTED || s->state != SEAT_RUNNING || !s->takes_orders ||
        has_finished(s))
        return;
    struct failure f = {.class = FAILURE_LOST,
                        .infrastructure = true,
                        .seat = seat_index(c, s),
                        .rank = -1,
                        .cause = RENDEZVOUS_CAUSE_LAUNCHER_LOST,
                        .after_ms = (uint64_t)(c->now_ms - c->started_ms)};
    copy_node(&f, s->node);
    failure_words(c, &f, "its pod is being terminated");
    culprit_note(c, &f);
    output_words(c, COORDINATOR_TRIGGER, 0, "%s", f.words);
    save_begin(c, c->stop_grace_ms, f.words, c->now_ms);
}

static void lose(struct coordinator *c, struct seat *s, struct failure *f, enum seat_state state)
{
    /* Of a member that has not come back we cannot know whether it ever ran; once the attempt is
     * given up for the change of leader, its loss explains nothing. */
    bool was_at_work = s->state == SEAT_RUNNING || (s->state == SEAT_UNKNOWN && !c->diverged);
    bool blameless = has_finished(s);
    if ((s->state == SEAT_RUNNING || s->state == SEAT_UNKNOWN) && !blameless)
        save_note_loss(c);
    if (s->state == SEAT_RUNNING)
        seat_end_running(c, s, state);
    else
        seat_set_state(c, s, state);
    if (was_at_work && !blameless)
        take_failure(c, f);
}

/* A failure that ends a whole member, with or without its pod. */
static struct failure loss_of(const struct coordinator *c, const struct seat *s, int64_t now_ms)
{
    struct failure f = {.class = FAILURE_LOST,
                        .seat = seat_index(c, s),
                        .rank = -1,
                        .cause = RENDEZVOUS_CAUSE_LAUNCHER_LOST,
                        .after_ms =
                            now_ms > c->started_ms ? (uint64_t)(now_ms - c->started_ms) : 0};
    copy_node(&f, s->node);
    return f;
}

void seat_take_lost(struct coordinator *c, struct seat *s, const struct coordinator_loss *loss,
                    int64_t now_ms)
{
    struct failure f = loss_of(c, s, now_ms);
    f.infrastructure = loss->infrastructure;
    f.code = loss->exit_code;
    if (loss->out_of_memory) {
        f.class = FAILURE_OUT_OF_MEMORY;
        f.cause = RENDEZVOUS_CAUSE_OUT_OF_MEMORY;
        f.infrastructure = false;
    }
    if (text_of(loss->node)[0])
        copy_node(&f, loss->node);
    failure_words(c, &f, text_of(loss->words));
    if (s->channel)
        channel_dismiss(c, s, f.words);
    if (s->pod_uid)
        (void)seat_set_string(c, &s->former_uid, s->pod_uid);
    (void)seat_set_string(c, &s->pod_uid, "");
    lose(c, s, &f, SEAT_LOST);
    s->terminating = false;
}

void seat_take_launcher_lost(struct coordinator *c, struct seat *s, int64_t now_ms)
{
    struct failure f = loss_of(c, s, now_ms);
    failure_words(c, &f, "its launcher was started again and its ranks are gone");
    lose(c, s, &f, SEAT_JOINED);
}

void seat_take_never_started(struct coordinator *c, struct seat *s, int64_t now_ms)
{
    struct failure f = loss_of(c, s, now_ms);
    f.infrastructure = true;
    failure_words(c, &f, "its pod is being terminated, and START had not reached it");
    lose(c, s, &f, SEAT_JOINED);
}

/* ---- the end of an attempt ---- */

static void give_verdict(struct coordinator *c)
{
    const struct failure *f = culprit_choose(c);
    /* Where a member never got the START, or got it in a pod that is no more, an exit of the others
     * may be the echo of that. */
    bool failed = f && (!c->incomplete || f->class >= FAILURE_OUT_OF_MEMORY);
    const struct seat *s = failed ? &c->seats[f->seat] : NULL;
    struct output *o = output_add(c, COORDINATOR_VERDICT);
    c->phase = PHASE_GATHERING;
    exchange_forget(c);
    c->save.active = false;
    c->ready_told = false;
    if (!o)
        return;
    struct coordinator_verdict *v = &o->out.verdict;
    *v = (struct coordinator_verdict){
        .attempt = c->attempt,
        .requested = c->requested,
        .diverged = (c->diverged || c->incomplete) && !failed && !c->requested,
        .infrastructure = failed && f->infrastructure,
        .rank = failed ? f->rank : -1,
    };
    (void)snprintf(v->words, sizeof v->words, "%s", failed ? f->words : text_of(c->order_reason));
    if (!failed)
        return;
    v->role = s->role;
    v->slot = s->slot;
    v->code = f->code;
    v->signal = f->signal;
    v->cause = f->cause;
    v->after_ms = f->after_ms;
    /* Node and tail outlive the coordinator's own copy. */
    o->bytes = strdup(f->tail);
    o->words = strdup(f->node);
    v->tail = o->bytes;
    v->node = o->words;
}

/* A member that has no pod cannot be at work, but in the first moments of a new leader its pod may
 * only not have been named yet. */
uint32_t gang_at_work(const struct coordinator *c)
{
    uint32_t count = c->counts[SEAT_RUNNING];
    if (count > 0 || c->counts[SEAT_UNKNOWN] == 0)
        return count;
    if (c->now_ms < c->adopt_until_ms)
        return c->counts[SEAT_UNKNOWN];
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].state == SEAT_UNKNOWN && c->seats[i].pod_uid)
            count++;
    return count;
}

void gang_check_end(struct coordinator *c)
{
    gang_check_completed(c); /* an attempt that was adopted may have ended well before */
    save_check(c);
    if (c->phase != PHASE_STOPPING || gang_at_work(c) > 0)
        return;
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].state == SEAT_UNKNOWN)
            seat_set_state(c, &c->seats[i], SEAT_AWAY);
    give_verdict(c);
    culprit_forget(c);
}

/* ---- exit ---- */

void seat_send_exit(struct coordinator *c, const struct seat *s)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_EXIT, .attempt = c->attempt};
    m.exit.code = c->exit_code;
    m.exit.reason = text_of(c->exit_reason);
    output_send(c, s->channel, &m);
}

void coordinator_exit(struct coordinator *c, int32_t code, const char *reason)
{
    if (c->exiting)
        return;
    c->exiting = true;
    c->exit_code = code < 0 || code > 255 ? 255 : code;
    reason_set(c, &c->exit_reason, reason);
    bool stopping = c->phase == PHASE_STOPPING || c->phase == PHASE_COMPLETED;
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (!stopping || c->seats[i].state != SEAT_RUNNING)
            seat_send_exit(c, &c->seats[i]);
}
