/* The time to save before a stop that was asked for. One step is proposed to all members; those
 * with libmltrain agree to it or say that they have passed it, and only what all agree to is
 * confirmed, because a save is often a collective that hangs where one rank takes no part. */
#include "rendezvous/coordinator_internal.h"

#include <string.h>

#define LEAD_MIN 2          /* steps between the highest one known and the one proposed */
#define LEAD_ROUNDS_MAX 20u /* the lead doubles with each round that came too late */
#define SAVED_GRACE_MS 5000 /* after the save, for ranks that end by themselves when signalled */

static bool takes_part(const struct seat *s)
{
    return s->state == SEAT_RUNNING && s->takes_orders;
}

/* ---- checkpoints ---- */

static bool holds(const struct steps *s, int64_t step)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->step[i] == step)
            return true;
    return false;
}

static void add(struct steps *s, int64_t step)
{
    if (s->count < RENDEZVOUS_CHECKPOINTS_MAX)
        s->step[s->count++] = step;
}

/* Those of `s` that `other` holds as well, or does not hold. */
static struct steps filter(const struct steps *s, const struct steps *other, bool held)
{
    struct steps ret = {.count = 0};
    for (uint32_t i = 0; i < s->count; i++)
        if (holds(other, s->step[i]) == held)
            add(&ret, s->step[i]);
    return ret;
}

void save_note_checkpoints(struct coordinator *c, const struct rendezvous_checkpoint *checkpoints,
                           uint32_t count)
{
    c->complete.count = 0;
    for (uint32_t i = 0; i < count; i++)
        add(&c->complete, checkpoints[i].step);
    /* What was complete and is not any more is being saved anew. */
    c->save.before = filter(&c->save.before, &c->complete, true);
}

void save_note_start(struct coordinator *c, int64_t resume_step)
{
    c->passed_over.count = 0;
    for (uint32_t i = 0; i < c->complete.count; i++)
        if (c->complete.step[i] > resume_step)
            add(&c->passed_over, c->complete.step[i]);
}

/* ---- the order ---- */

/* Until the ranks are stopped in any case. */
static uint32_t left_ms(const struct coordinator *c)
{
    int64_t left = c->save.deadline_ms - c->now_ms;
    return left > 0 ? (uint32_t)left : 0;
}

void save_send(struct coordinator *c, const struct seat *s)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_CHECKPOINT_NOW, .attempt = c->attempt};
    m.checkpoint_now.step = c->save.step;
    m.checkpoint_now.confirmed = c->save.confirmed && s->agreed_step == c->save.step;
    m.checkpoint_now.deadline_ms = left_ms(c);
    m.checkpoint_now.signal = c->stop_signal;
    m.checkpoint_now.reason = text_of(c->order_reason);
    output_send(c, s->channel, &m);
}

static void send_to_all(struct coordinator *c)
{
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (takes_part(&c->seats[i]))
            save_send(c, &c->seats[i]);
}

/* A later step than any that a rank has reached, as far as we know; what we know is old by the way
 * here, so the lead grows until it suffices. */
static void propose(struct coordinator *c, int64_t reached)
{
    unsigned rounds = c->save.rounds < LEAD_ROUNDS_MAX ? c->save.rounds : LEAD_ROUNDS_MAX;
    int64_t lead = (int64_t)LEAD_MIN << rounds;
    int64_t highest = reached > c->step ? reached : c->step;
    if (highest < 0)
        highest = 0;
    c->save.step = highest < INT64_MAX - lead ? highest + lead : INT64_MAX;
    c->save.confirmed = false;
    c->save.rounds++;
    for (uint32_t i = 0; i < c->seats_count; i++)
        c->seats[i].agreed_step = RENDEZVOUS_NO_STEP;
    send_to_all(c);
}

void save_begin(struct coordinator *c, uint32_t grace_ms, const char *reason, int64_t now_ms)
{
    bool somebody = false;
    for (uint32_t i = 0; i < c->seats_count; i++)
        somebody |= takes_part(&c->seats[i]) || c->seats[i].state == SEAT_UNKNOWN;
    if (grace_ms == 0 || !somebody) {
        gang_stop(c, grace_ms, c->stop_signal, reason);
        return;
    }
    c->phase = PHASE_STOPPING;
    c->examining = false;
    gang_set_order(c, grace_ms, c->stop_signal, reason);
    c->save.active = true;
    c->save.told = c->was_stopping;
    c->save.torn = false;
    c->save.rounds = 0;
    c->save.before = c->complete;
    const struct steps used = filter(&c->complete, &c->passed_over, false);
    c->save.newest_before = used.count ? used.step[0] : RENDEZVOUS_NO_STEP;
    c->save.deadline_ms = now_ms + grace_ms;
    propose(c, RENDEZVOUS_NO_STEP);
    /* Launchers of an earlier release know only STOP. */
    for (uint32_t i = 0; i < c->seats_count; i++)
        if (c->seats[i].state == SEAT_RUNNING && !c->seats[i].takes_orders)
            seat_send_stop(c, &c->seats[i], c->attempt);
}

/* ---- what the members say ---- */

struct answers {
    uint32_t missing; /* members that have not agreed */
    uint32_t asking, caught;
};

static struct answers count_answers(const struct coordinator *c)
{
    struct answers a = {0};
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        if (s->state == SEAT_UNKNOWN)
            a.missing++; /* it has not come back to this leader */
        if (!takes_part(s) || s->exited == s->nproc)
            continue;
        a.missing += s->agreed_step != c->save.step;
        a.asking += s->asking;
        a.caught += s->caught;
    }
    return a;
}

/* A leader before us had named this step, and members have agreed to it, or save it already; a
 * second one is not named. Maybe it is even complete, and that was written. */
static void take_up(struct coordinator *c, int64_t step)
{
    c->save.step = step;
    c->save.confirmed = false;
    const struct steps this_one = {.step = {step}, .count = 1};
    c->save.before = filter(&c->save.before, &this_one, false);
    if (c->save.newest_before == step)
        c->save.newest_before = step - 1;
    for (uint32_t i = 0; i < c->seats_count; i++)
        c->seats[i].agreed_step = RENDEZVOUS_NO_STEP;
    send_to_all(c);
}

void save_take_answer(struct coordinator *c, struct seat *s,
                      const struct rendezvous_save_step *answer)
{
    if (!c->save.active || !takes_part(s))
        return;
    s->asking = answer->asking;
    s->caught = answer->caught;
    c->save.told |= answer->caught > 0;
    if (answer->proposed > c->save.step && !answer->passed)
        take_up(c, answer->proposed);
    if (answer->proposed != c->save.step)
        return; /* of a proposal that has been replaced */
    if (answer->passed) {
        propose(c, answer->reached);
        return;
    }
    s->agreed_step = c->save.step;
    struct answers a = count_answers(c);
    if (a.missing > 0 || a.asking == 0 || c->save.torn)
        return;
    if (c->save.confirmed) {
        save_send(c, s); /* it has come back, or has ranks that ask by now */
        return;
    }
    /* What is complete before anybody is told to save is not what they save, though its step may be
     * the same: a member on a lost node that runs on without its gang writes to the folder, too. */
    if (!c->save.told)
        c->save.before = c->complete;
    c->save.confirmed = c->save.told = true;
    send_to_all(c);
    struct output *o = output_add(c, COORDINATOR_SAVE_ORDERED);
    if (o)
        o->out.step = c->save.step;
}

/* ---- the end ---- */

static void end(struct coordinator *c, uint32_t grace_ms, const char *words, int64_t saved)
{
    struct output *o = output_add(c, COORDINATOR_SAVE_ENDED);
    if (o) {
        o->out.step = saved;
        o->words = strdup(words); /* NULL: the fact matters more than its words */
    }
    c->save.active = false;
    c->order_grace_ms = grace_ms;
    gang_send_stops(c);
}

/* The checkpoint that is waited for: of ranks with libmltrain the agreed one, else any newer one.
 * Newer than what the job would have resumed from: one that was given up, and lies behind the steps
 * that are made now, may well have a higher number. RENDEZVOUS_NO_STEP: it is not complete. */
static int64_t find_saved(const struct coordinator *c, const struct answers *a)
{
    /* Who has not answered may have ranks that ask. */
    if (a->asking > 0 ? !c->save.confirmed : a->missing > 0)
        return RENDEZVOUS_NO_STEP;
    for (uint32_t i = 0; i < c->complete.count; i++) {
        int64_t step = c->complete.step[i];
        bool waited_for = a->asking > 0 ? step >= c->save.step : step > c->save.newest_before;
        if (waited_for && step >= c->saves_from && !holds(&c->save.before, step))
            return step;
    }
    return RENDEZVOUS_NO_STEP;
}

void save_note_failure(struct coordinator *c, bool by_us, const char *words)
{
    if (!c->save.active)
        return;
    /* Who was signalled ends as it likes, and a leader before us may have had them signalled.
     * Anybody else who fails takes no part in a save. */
    struct answers a = count_answers(c);
    if (a.caught == 0 && (!by_us || a.asking > 0))
        end(c, 0, words, RENDEZVOUS_NO_STEP);
}

/* The others are not told to save without it: they would wait for it, or what they write lacks its
 * part. Once all were told, it may have saved before. */
void save_note_loss(struct coordinator *c)
{
    if (c->save.active && !c->save.confirmed)
        c->save.torn = true;
}

void save_check(struct coordinator *c)
{
    if (!c->save.active || c->phase != PHASE_STOPPING)
        return;
    struct answers a = count_answers(c);
    uint32_t left = left_ms(c);
    bool able = a.asking > 0 || a.caught > 0 || c->has_checkpoints;
    /* What a leader before us has confirmed may be under way. */
    bool vain = c->save.torn && !c->was_stopping && a.asking > 0 && a.caught == 0;
    int64_t saved = find_saved(c, &a);
    if (saved != RENDEZVOUS_NO_STEP) {
        uint32_t grace = left < SAVED_GRACE_MS ? left : SAVED_GRACE_MS;
        end(c, a.caught > 0 ? grace : 0, "a newer checkpoint is complete", saved);
    } else if (left == 0) {
        end(c, 0, "the grace is over", RENDEZVOUS_NO_STEP);
    } else if (c->alive_ranks == 0 && c->counts[SEAT_UNKNOWN] == 0) {
        end(c, 0, "all ranks have ended", RENDEZVOUS_NO_STEP);
    } else if (a.missing == 0 && vain) {
        end(c, 0, "a member was lost before all had agreed to a step", RENDEZVOUS_NO_STEP);
    } else if (a.missing == 0 && !able) {
        end(c, 0, "no rank saves", RENDEZVOUS_NO_STEP);
    }
}
