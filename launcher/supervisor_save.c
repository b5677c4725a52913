/* The supervisor when ranks are to save before a stop, or to be looked at; and what libmltrain
 * tells.
 *
 * A rank that asks at or behind the proposed step waits for the answer until the proposal is
 * confirmed, replaced, or SUPERVISOR_HOLD_MS have passed. To a proposal that a rank has passed the
 * answer is SAVE_STEP with `passed`, and nothing is saved.
 *
 * This launcher may have been stopped for a while, and its ranks wait no longer than MLTRAIN_ASK_MS
 * for an answer: what counts is what they have said since, and when, not the order in which it is
 * read. A rank that may have gone on without its answer can be anywhere: nothing is agreed to
 * before it has asked again. A controller may have died in the middle: to the next one's proposal
 * the answer is what was agreed to before, so that one step is saved and not two. */
#include "launcher/supervisor_internal.h"

#include <assert.h>

static void mark(uint64_t *bits, uint32_t rank)
{
    bits[rank / 64] |= UINT64_C(1) << rank % 64;
}

void supervisor_forget_save(struct supervisor *s)
{
    s->save.step = RENDEZVOUS_NO_STEP;
    s->save.confirmed = s->save.signalled = s->save.answering = s->save.owed = false;
    s->save.caught = 0;
}

/* ---- answers ---- */

/* Answers the ranks that wait at a step from `first` up to, but not at, `end`. */
static void answer_waiting(struct supervisor *s, int64_t first, int64_t end, bool save)
{
    struct supervisor_effect *effect = NULL;
    for (uint32_t i = 0; i < s->ranks_count; i++) {
        struct supervisor_rank *rank = &s->ranks[i];
        if (!rank->waits || rank->waits_at < first || rank->waits_at >= end)
            continue;
        if (!effect)
            effect = supervisor_emit(s, SUPERVISOR_DO_ANSWER);
        effect->save = save;
        mark(effect->ranks, i);
        rank->waits = false;
        rank->asked = rank->waits_at;
    }
}

static bool somebody_waits(const struct supervisor *s)
{
    for (uint32_t i = 0; i < s->ranks_count; i++)
        if (s->ranks[i].waits)
            return true;
    return false;
}

static void answer(struct supervisor *s, uint32_t rank, int64_t step, bool save)
{
    struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_ANSWER);
    effect->save = save;
    mark(effect->ranks, rank);
    s->ranks[rank].asked = step;
}

/* ---- orders ---- */

/* Whether a rank may not ask at this step any more: it has, or it has reported that it was there,
 * and may have gone on from there without an answer. */
static bool has_passed(const struct supervisor *s, int64_t step)
{
    for (uint32_t i = 0; i < s->ranks_count; i++) {
        const struct supervisor_rank *rank = &s->ranks[i];
        bool is_there = !rank->waits && rank->step >= step;
        if (rank->alive && rank->asks && (rank->asked >= step || is_there))
            return true;
    }
    return false;
}

static int64_t highest_reached(const struct supervisor *s)
{
    int64_t highest = RENDEZVOUS_NO_STEP;
    for (uint32_t i = 0; i < s->ranks_count; i++) {
        const struct supervisor_rank *rank = &s->ranks[i];
        int64_t asked = rank->waits ? rank->waits_at : rank->asked;
        int64_t reached = rank->step > asked ? rank->step : asked;
        if (reached > highest)
            highest = reached;
    }
    return highest;
}

static void send_save_step(struct supervisor *s, int64_t proposed, bool passed)
{
    struct rendezvous_message message = {.type = RENDEZVOUS_SAVE_STEP, .attempt = s->attempt};
    message.save_step.proposed = proposed;
    message.save_step.passed = passed;
    message.save_step.reached = highest_reached(s);
    message.save_step.caught = s->save.caught;
    for (uint32_t i = 0; i < s->ranks_count; i++)
        message.save_step.asking += s->ranks[i].alive && s->ranks[i].asks;
    supervisor_send(s, &message);
    s->save.owed = false;
}

/* Whether a rank has gone on unheard: it asks again when it has read the answer that it did not
 * wait for, at a step that we do not know yet. */
static bool somebody_has_strayed(const struct supervisor *s)
{
    for (uint32_t i = 0; i < s->ranks_count; i++)
        if (s->ranks[i].alive && s->ranks[i].asks && s->ranks[i].strayed)
            return true;
    return false;
}

/* Answers the newest proposal, now or as soon as it is known who catches the signal and where the
 * ranks are. */
static void answer_order(struct supervisor *s)
{
    bool agrees = s->save.step != RENDEZVOUS_NO_STEP;
    s->save.owed = true;
    if (!s->save.answering && !(agrees && somebody_has_strayed(s)))
        send_save_step(s, s->save.proposed, !agrees);
}

void supervisor_answer_owed(struct supervisor *s)
{
    if (s->save.owed && s->state == SUPERVISOR_RUNNING)
        answer_order(s);
}

/* Not all members will save this step: who waits for it goes on. Said at once: the others must not
 * be told to save what these have gone past. */
static void give_up(struct supervisor *s)
{
    if (s->save.step == RENDEZVOUS_NO_STEP)
        return;
    s->save.step = RENDEZVOUS_NO_STEP;
    s->save.confirmed = false;
    answer_waiting(s, 0, INT64_MAX, false);
    if (!s->save.answering)
        send_save_step(s, s->save.proposed, true);
}

static void take_confirmed(struct supervisor *s, int64_t step, int64_t now_ms)
{
    if (s->save.step == step && somebody_waits(s) && now_ms >= s->save.hold_until_ms) {
        give_up(s); /* its time is over, though the timer has not said so yet */
        return;
    }
    if (s->save.step != step) { /* its ranks waited too long and went on */
        send_save_step(s, step, true);
        return;
    }
    s->save.confirmed = true;
    supervisor_timer(s, SUPERVISOR_TIMER_HOLD, -1);
    answer_waiting(s, step, INT64_MAX, true);
}

static void take_proposal(struct supervisor *s, int64_t step)
{
    /* Told again, or by a next controller, which does not know what was agreed to. */
    if (s->save.step != RENDEZVOUS_NO_STEP && step <= s->save.step) {
        answer_order(s);
        return;
    }
    bool passed = has_passed(s, step);
    s->save.confirmed = false;
    s->save.proposed = step;
    s->save.step = passed ? RENDEZVOUS_NO_STEP : step;
    answer_waiting(s, 0, passed ? INT64_MAX : step, false);
    answer_order(s);
}

void supervisor_save_ordered(struct supervisor *s, const struct supervisor_event *event)
{
    const struct rendezvous_checkpoint_now *order = &event->message->checkpoint_now;
    if (order->confirmed) {
        take_confirmed(s, order->step, event->now_ms);
        return;
    }
    /* Ranks that do not ask have nothing but the signal: once per attempt, for many programs take a
     * second one for impatience and drop what they save. */
    if (!s->save.signalled) {
        s->save.signalled = s->save.answering = true;
        struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_SIGNAL_CATCHING);
        effect->signal = (int)order->signal;
        s->sent_signal = (int)order->signal;
        for (uint32_t i = 0; i < s->ranks_count; i++)
            if (s->ranks[i].asks)
                mark(effect->ranks, i);
    }
    take_proposal(s, order->step);
}

void supervisor_caught(struct supervisor *s, const struct supervisor_event *event)
{
    s->save.caught = event->caught;
    if (event->caught)
        s->signalled = true; /* what these ranks exit with is no failure of theirs */
    else
        s->sent_signal = 0;
    if (!s->save.answering)
        return;
    s->save.answering = false;
    answer_order(s);
}

/* ---- libmltrain ---- */

void supervisor_reported(struct supervisor *s, const struct supervisor_event *event)
{
    assert(event->asked.rank < s->ranks_count);
    struct supervisor_rank *rank = &s->ranks[event->asked.rank];
    rank->step = event->asked.step;
    if (!rank->waits || rank->step <= rank->waits_at)
        return;
    rank->strayed = true; /* it has gone on without the answer */
    give_up(s);
}

void supervisor_asked(struct supervisor *s, const struct supervisor_event *event)
{
    int64_t step = event->asked.step;
    assert(event->asked.rank < s->ranks_count);
    struct supervisor_rank *rank = &s->ranks[event->asked.rank];
    bool is_new = !rank->asks;
    bool wanted =
        s->save.step != RENDEZVOUS_NO_STEP && step >= s->save.step && rank->asked < s->save.step;
    /* One that must still wait for the confirmation has less time than one that is answered now. */
    bool has_gone_on = event->asked.age_ms >= SUPERVISOR_PATIENCE_MS;
    int64_t in_time_ms = SUPERVISOR_PATIENCE_MS - (s->save.confirmed ? 0 : SUPERVISOR_HOLD_MS);
    bool may_have_passed =
        event->asked.age_ms >= in_time_ms || (rank->strayed && step > s->save.step);
    rank->asks = true;
    rank->strayed = has_gone_on;
    if (wanted && may_have_passed) {
        answer(s, event->asked.rank, step, false);
        give_up(s);
        return;
    }
    if (wanted && !s->save.confirmed) {
        if (!somebody_waits(s)) { /* the first that waits has no more patience than the others */
            s->save.hold_until_ms = event->now_ms + SUPERVISOR_HOLD_MS;
            supervisor_timer(s, SUPERVISOR_TIMER_HOLD, SUPERVISOR_HOLD_MS);
        }
        rank->waits = true;
        rank->waits_at = step;
    } else {
        answer(s, event->asked.rank, step, wanted);
    }
    if ((is_new && s->save.step != RENDEZVOUS_NO_STEP) || s->save.owed)
        answer_order(s); /* one more asks, or one is heard again */
}

/* The ranks are being stopped: what they save now nobody waits for. */
void supervisor_asked_late(struct supervisor *s, const struct supervisor_event *event)
{
    assert(event->asked.rank < s->ranks_count);
    answer(s, event->asked.rank, event->asked.step, false);
}

void supervisor_unasked(struct supervisor *s, const struct supervisor_event *event)
{
    assert(event->asked.rank < s->ranks_count);
    s->ranks[event->asked.rank].asks = s->ranks[event->asked.rank].waits = false;
    supervisor_answer_owed(s);
}

void supervisor_hold_over(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    if (somebody_waits(s))
        give_up(s);
}

/* ---- looking ---- */

void supervisor_examine(struct supervisor *s, const struct supervisor_event *event)
{
    (void)event;
    (void)supervisor_emit(s, SUPERVISOR_DO_LOOK);
}

void supervisor_examined(struct supervisor *s, const struct supervisor_event *event)
{
    struct rendezvous_message message = {
        .type = RENDEZVOUS_EVIDENCE, .attempt = s->attempt, .evidence = event->examined};
    supervisor_send(s, &message);
}
