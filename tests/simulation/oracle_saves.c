/* What must be true of a save before a stop: one step for all ranks, or none; and the grace. As in
 * oracle.c, each sentence is a function. Frames are read as they are sent and as they come; what a
 * rank was told is known from the rank. */
#include <inttypes.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "tests/simulation/sim.h"

#define LATE_MS 9000 /* until an order that ends ranks has reached them: a slow frame, a kill */
#define WAIT_ENDS_MS 9000 /* from a complete checkpoint to the STOP: a look, two slow frames */
/* Until a checkpoint that is complete is known: a look, a slow frame; and where only rest proves
 * it.
 */
#define FOUND_MS 8000
#define SETTLES_MS 4000
#define AHEAD 5         /* steps, at most, from the one that is reached to the one that is named */
#define LEAVING_MS 5000 /* for ranks that were signalled, after the save */

static bool any_alive(const struct sim_launcher *l)
{
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG)
            return true;
    return false;
}

static bool clocks_agree(const struct sim *s)
{
    for (int i = 0; i < s->hosts_count; i++)
        if (s->hosts[i].wall_offset_ms)
            return false;
    return true;
}

static bool asks(const struct sim_launcher *l)
{
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].asks)
            return true;
    return false;
}

/* What of it is known, of this attempt. */
static struct sim_orders *orders_of(struct sim_launcher *l)
{
    uint64_t attempt = supervisor_attempt(l->supervisor);
    if (l->orders.attempt != attempt)
        l->orders = (struct sim_orders){.attempt = attempt};
    return &l->orders;
}

void oracle_disturb(struct sim *s, struct sim_job *job, int64_t ms)
{
    job->facts.order_disturbed = true;
    if (job->facts.disturbed_until_ms < s->now_ms + ms)
        job->facts.disturbed_until_ms = s->now_ms + ms;
}

static bool is_disturbed(const struct sim *s, const struct sim_facts *f)
{
    return f->disturbed_until_ms > s->now_ms;
}

void oracle_stop_asked(struct sim *s, struct sim_job *job, const char *what)
{
    struct sim_facts *f = &job->facts;
    if (strcmp(what, "resume") == 0)
        return;
    if (f->stop_ms < 0) {
        f->stop_ms = s->now_ms;
        f->order_disturbed = is_disturbed(s, f);
    }
    f->stop_now |= strcmp(what, "now") == 0;
}

/* ---- proposals and answers ---- */

/* A member agrees to what its ranks can still do, or have done. */
static void check_agreement(struct sim *s, const struct sim_launcher *l, int64_t step)
{
    static const char sentence[] = "a member agrees to save a step only if none of its ranks has "
                                   "passed it";
    const struct sim_world *w = world_find(s, l->world);
    for (uint32_t i = 0; w && w->job->asks && i < l->nproc; i++) {
        const struct sim_rank *r = &l->ranks[i];
        if (r->state == RANK_ALIVE && r->passed_step >= step && r->saved_step < step)
            sim_violated(s, sentence,
                         "%s: step %" PRId64 ", but rank %u has gone on at step %" PRId64, l->pod,
                         step, l->rank_base + i, r->passed_step);
    }
}

void oracle_save_answer(struct sim *s, struct sim_launcher *l, const struct rendezvous_frame *frame)
{
    struct rendezvous_message m;
    if (frame->type != RENDEZVOUS_SAVE_STEP || rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    if (!m.save_step.passed) {
        check_agreement(s, l, m.save_step.proposed);
        orders_of(l)->agreed = m.save_step.proposed;
    }
    rendezvous_message_release(&m);
}

void oracle_save_answer_came(struct sim *s, const struct sim_launcher *l,
                             const struct rendezvous_frame *frame)
{
    struct sim_facts *f = &l->job->facts;
    struct rendezvous_message m;
    (void)s;
    if (frame->type != RENDEZVOUS_SAVE_STEP || rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    if (m.save_step.passed && m.attempt == f->order_attempt && m.save_step.reached > f->passed_step)
        f->passed_step = m.save_step.reached;
    rendezvous_message_release(&m);
}

/* ---- orders ---- */

static void check_agreed(struct sim *s, const struct sim_job *job, uint64_t attempt, int64_t step)
{
    static const char sentence[] = "a save is confirmed only when every member has agreed to it";
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->job == job && !l->left && l->world && any_alive(l) &&
            supervisor_attempt(l->supervisor) == attempt && s->nodes[l->node].reachable &&
            (l->orders.attempt != attempt || l->orders.agreed != step))
            sim_violated(s, sentence, "%s: step %" PRId64 " of attempt %" PRIu64 ", not %s",
                         job->name, step, attempt, l->pod);
}

static void check_ahead(struct sim *s, const struct sim_job *job, int64_t step)
{
    static const char sentence[] = "the step that is named lies behind none that a member has told";
    if (step <= job->facts.passed_step)
        sim_violated(s, sentence, "%s: step %" PRId64 ", a rank has passed step %" PRId64,
                     job->name, step, job->facts.passed_step);
}

static void check_grace_over(struct sim *s, uint64_t id, void *data)
{
    static const char sentence[] = "no rank lives on long after the grace";
    const uint64_t *attempt = data;
    struct sim_launcher *l = launcher_find(s, id);
    const struct sim_facts *f = l ? &l->job->facts : NULL;
    if (!l || l->left || !any_alive(l) || supervisor_attempt(l->supervisor) != *attempt ||
        f->order_attempt != *attempt || f->order_disturbed || l->unkillable ||
        !controller_find(s, f->order_by))
        return;
    const struct sim_world *w = world_find(s, l->world);
    if (w && w->shocks == f->shocks)
        sim_violated(s, sentence, "%s: the ranks of attempt %" PRIu64 " in %s, %" PRId64 " s after",
                     l->job->name, *attempt, l->pod, (s->now_ms - f->order_end_ms) / 1000);
}

/* The first order says how long the ranks have, later ones only that it is less now. */
static void check_time(struct sim *s, const struct sim_host *host, struct sim_launcher *l,
                       const struct rendezvous_message *m)
{
    static const char kept[] = "the ranks have the whole grace from the moment of the user's wish";
    static const char once[] = "an order that is told again gives no more time";
    struct sim_facts *f = &l->job->facts;
    int64_t end_ms = s->now_ms + m->checkpoint_now.deadline_ms;
    int64_t grace_ms = l->job->grace_s * 1000;
    if (end_ms > s->now_ms + grace_ms)
        sim_violated(s, once, "%s: %u ms, the grace is %" PRId64 " ms", l->job->name,
                     m->checkpoint_now.deadline_ms, grace_ms);
    if (f->order_attempt == m->attempt && f->order_by == host->id) {
        if (end_ms > f->order_end_ms)
            sim_violated(s, once, "%s: %" PRId64 " ms more", l->job->name,
                         end_ms - f->order_end_ms);
        return;
    }
    if (f->order_attempt != m->attempt) {
        f->order_attempt = m->attempt;
        if (f->stop_ms < 0)
            f->order_disturbed = is_disturbed(s, f);
        if (f->stop_ms >= 0 && !f->stop_now && !l->job->deadline_s && clocks_agree(s) &&
            end_ms < f->stop_ms + grace_ms)
            sim_violated(s, kept, "%s: until %" PRId64 " ms before its end", l->job->name,
                         f->stop_ms + grace_ms - end_ms);
    }
    f->order_by = host->id;
    f->order_ms = s->now_ms;
    f->order_end_ms = end_ms;
    f->passed_step = RENDEZVOUS_NO_STEP;
    for (const struct sim_launcher *o = s->launchers; o; o = o->next)
        if (o->job == l->job)
            sim_after(s, m->checkpoint_now.deadline_ms + LATE_MS, check_grace_over, o->id,
                      mlt_memdup(&m->attempt, sizeof m->attempt));
}

void oracle_save_frame(struct sim *s, const struct sim_host *host, struct sim_launcher *l,
                       const struct rendezvous_frame *frame)
{
    struct rendezvous_message m;
    if (frame->type != RENDEZVOUS_CHECKPOINT_NOW || rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    check_time(s, host, l, &m);
    if (m.checkpoint_now.confirmed)
        check_agreed(s, l->job, m.attempt, m.checkpoint_now.step);
    else
        check_ahead(s, l->job, m.checkpoint_now.step);
    rendezvous_message_release(&m);
}

void oracle_save_frame_came(struct sim *s, struct sim_launcher *l,
                            const struct rendezvous_frame *frame)
{
    struct rendezvous_message m;
    (void)s;
    if (frame->type != RENDEZVOUS_CHECKPOINT_NOW || rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    if (m.checkpoint_now.confirmed && m.attempt == supervisor_attempt(l->supervisor))
        orders_of(l)->confirmed = m.checkpoint_now.step;
    rendezvous_message_release(&m);
}

/* ---- ranks ---- */

void oracle_rank_answered(struct sim *s, const struct sim_launcher *l, const struct sim_rank *rank,
                          bool save)
{
    static const char sentence[] = "a rank is told to save at its first question at or behind the "
                                   "step that was confirmed, and not again";
    const struct sim_world *w = world_find(s, l->world);
    int64_t confirmed = l->orders.attempt == w->attempt ? l->orders.confirmed : 0;
    bool first = rank->passed_step < confirmed && rank->saved_step < confirmed;
    if (save && !(confirmed && w->step >= confirmed && first))
        sim_violated(s, sentence,
                     "%s: rank %u at step %" PRId64 ", confirmed was %" PRId64
                     ", it went on at %" PRId64,
                     l->pod, l->rank_base + (uint32_t)(rank - l->ranks), w->step, confirmed,
                     rank->passed_step);
}

/* Whoever has waited as long as ranks wait goes on, though the others may have heard the
 * confirmation: what they save stays torn. Only where something has held it up. */
void oracle_all_answered(struct sim *s, const struct sim_world *w)
{
    static const char sentence[] = "all ranks of an attempt save one and the same step, or none";
    if (w->told_to_save == 0 || w->told_to_save == w->asked)
        return;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        for (uint32_t i = 0; l->world == w->number && i < l->nproc; i++) {
            const struct sim_rank *r = &l->ranks[i];
            bool stopped = supervisor_state(l->supervisor) != SUPERVISOR_RUNNING;
            bool waited = r->waited_ms >= SUPERVISOR_HOLD_MS;
            bool excused = w->job->facts.order_disturbed || s->rates.channel_slow;
            bool slept = l->frozen_until_ms > r->asked_ms; /* it wakes with its time to hold over */
            if (r->saved_step != w->step && !stopped && !((waited || slept) && excused))
                sim_violated(s, sentence,
                             "%s: rank %u goes on at step %" PRId64 " after %" PRId64
                             " ms, %u others save",
                             l->pod, l->rank_base + i, w->step, r->waited_ms, w->told_to_save);
        }
}

/* ---- the end of the wait ---- */

static void check_wait_ends(struct sim *s, uint64_t id, void *data)
{
    static const char sentence[] = "the wait ends when the newer checkpoint is complete";
    const uint64_t *world = data;
    const struct sim_launcher *l = launcher_find(s, id);
    const struct sim_world *w = world_find(s, *world);
    if (!l || l->left || l->world != *world || !any_alive(l) || !w || l->unkillable)
        return;
    const struct sim_facts *f = &w->job->facts;
    if (f->order_attempt == w->attempt && !f->order_disturbed && w->shocks == f->shocks &&
        !w->hung && controller_find(s, f->order_by))
        sim_violated(s, sentence, "%s: step %" PRId64 " is saved, and ranks live in %s",
                     w->job->name, w->saved_step, l->pod);
}

void oracle_saved(struct sim *s, struct sim_world *w)
{
    static const char sentence[] = "what is saved for one stop is one checkpoint";
    bool ordered = w->saves_as_told || w->leaving;
    w->saved_ms = s->now_ms;
    w->saved_step = w->step;
    w->saves += w->saves_as_told;
    if (w->saves > 1)
        sim_violated(s, sentence, "%s: step %" PRId64 " is the %uth", w->job->name, w->step,
                     w->saves);
    if (!ordered || !w->job->proves)
        return;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->world == w->number)
            sim_after(s, WAIT_ENDS_MS + (w->saves_as_told ? 0 : LEAVING_MS), check_wait_ends, l->id,
                      mlt_memdup(&w->number, sizeof w->number));
}

/* The checkpoint that is waited for: of ranks that ask the one that was confirmed, of others any
 * that was not known before. */
static bool is_saved(const struct sim_launcher *l, const struct sim_world *w, int64_t since_ms)
{
    int64_t unknown_ms = w->job->proves ? FOUND_MS : FOUND_MS + SETTLES_MS;
    if (w->saved_ms == 0 || w->saved_ms + unknown_ms <= since_ms)
        return false;
    if (!asks(l))
        return true;
    return l->orders.attempt == w->attempt && l->orders.confirmed > 0 &&
           w->saved_step >= l->orders.confirmed;
}

/* Ranks that ask, or catch the signal, and were at work for a while when the stop was asked for. */
static void check_used(struct sim *s, const struct sim_world *w)
{
    static const char sentence[] = "where nothing disturbs it and the grace is long enough, a stop "
                                   "saves first";
    const struct sim_job *job = w->job;
    const struct sim_facts *f = &job->facts;
    int64_t steps_ms = AHEAD * job->pace_ms + job->save_ms; /* one of its own may be under way */
    int64_t needed_ms = job->save_ms + (job->asks ? steps_ms : job->leave_ms);
    bool able = (job->asks || job->on_signal == 1) && w->step > 0 &&
                f->stop_ms - w->met_ms >= 3 * job->pace_ms + job->save_ms;
    if (able && !f->order_disturbed && !s->rates.channel_slow && job->grace_s * 1000 >= needed_ms &&
        !(job->asks ? w->saves > 0 : w->leaving))
        sim_violated(s, sentence, "%s: killed at step %" PRId64 ", the grace was %d s", job->name,
                     w->step, job->grace_s);
}

void oracle_ranks_killed(struct sim *s, const struct sim_launcher *l)
{
    static const char sentence[] = "no rank that has time to save is killed before the grace is "
                                   "over or the newer checkpoint is complete";
    const struct sim_world *w = world_find(s, l->world);
    const struct sim_job *job = l->job;
    const struct sim_facts *f = &job->facts;
    if (!w || !any_alive(l) || !w->running || w->broken || w->done || w->hung || f->stop_ms < 0 ||
        f->stop_now || job->deadline_s || w->shocks != f->shocks ||
        f->failed_attempt >= w->attempt || !clocks_agree(s))
        return;
    int64_t end_ms = f->stop_ms + job->grace_s * 1000;
    if (s->now_ms < end_ms && !is_saved(l, w, f->stop_ms))
        sim_violated(s, sentence,
                     "%s: the ranks of attempt %" PRIu64 " in %s, %" PRId64 " ms early", job->name,
                     w->attempt, l->pod, end_ms - s->now_ms);
    check_used(s, w);
}
