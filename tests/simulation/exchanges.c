/* Programs that exchange: in every third seed the ranks of a gang meet by a gather, as MPI_Init
 * does, and then put, gather, get and ask each other again and again while they train. What they
 * are told is looked at: a result is what all members of this very attempt gave, and comes only
 * after all have come; nothing fails without a reason. That nothing is lost for ever is seen by the
 * jobs' ends: a gang that never meets never ends. In some, one member begins another gather when
 * the others have ended: it is told so at once, and ends only then. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "tests/simulation/sim.h"

#define THEME_EVERY 3
#define LONG_MS (12 * 3600 * 1000)
/* Gathers with a time that may be over, and how long that is at most. In every fourth history of
 * this theme most are, so that members come to be several rounds apart. */
#define HASTY_PER_MILLE 5
#define HASTY_MS 3000
#define VERY_HASTY_EVERY 12
#define VERY_HASTY_PER_MILLE 700
#define VERY_HASTY_MS 100
#define HUNG_MS 500
#define LOOK_MS 2000
#define DUE_LOOKS 15 /* some frames, one after another, each late by 6 s */
#define LATE_PER_MILLE 400
#define LATE_ROUND 1
#define LATE_MS 3000 /* at most: how much later it is than the others */
#define TEXT_MAX 96

enum phase { PHASE_MEET, PHASE_PUT, PHASE_GATHER, PHASE_GET, PHASE_ASK, PHASE_LATE, PHASES };

static const char is_ours[] =
    "what members exchange is what the members of the same attempt gave, and comes after all came";
static const char has_reason[] = "no exchange fails without a reason";
static const char answered[] = "what all have come to, or never will, is answered";

bool exchanges_are_the_theme(const struct sim *s)
{
    return !s->story && s->seed % THEME_EVERY == 1;
}

/* What a member gives in a round; "" in some. */
static void text_of(const struct sim_world *w, uint32_t slot, int64_t round, char *to)
{
    to[0] = '\0';
    if ((slot + (uint32_t)round) % 4 != 1)
        (void)snprintf(to, TEXT_MAX, "%s/%" PRIu64 "/%u/%" PRId64, w->job->name, w->attempt, slot,
                       round);
}

struct turn {
    uint64_t world;
    int64_t round;
    enum phase phase;
    int looks;            /* in a row at which an answer was due ... */
    uint64_t connections; /* ... over the same connections */
};

static uint64_t tag_of(const struct turn *t)
{
    return (uint64_t)t->round * PHASES + t->phase;
}

static uint32_t peer_of(const struct sim_launcher *l)
{
    return (l->slot + 1) % (uint32_t)l->job->replicas;
}

/* What is got in a round: what its peer has just put, or has put long ago. */
static int64_t got_in(int64_t round)
{
    return round % 2 ? 1 : round;
}

static int begin(struct sim *s, struct sim_launcher *l, const struct sim_world *w,
                 const struct turn *t, struct exchange_request *request)
{
    struct exchange *x = supervisor_exchange(l->supervisor);
    char name[64], text[TEXT_MAX];
    request->name = name;
    text_of(w, l->slot, t->round, text);
    (void)snprintf(name, sizeof name, "value-%" PRId64 "-%u",
                   t->phase == PHASE_GET ? got_in(t->round) : t->round,
                   t->phase == PHASE_GET ? peer_of(l) : l->slot);
    switch (t->phase) {
    case PHASE_PUT:
        return exchange_put(x, request, text, strlen(text), s->now_ms, NULL);
    case PHASE_GET:
        return exchange_get(x, request, s->now_ms, NULL);
    case PHASE_ASK:
        return exchange_fetch(x, request, peer_of(l), EXCHANGE_QUESTION_SEQUENCE, s->now_ms, NULL);
    default:
        request->name = t->phase == PHASE_MEET ? "meet" : t->phase == PHASE_LATE ? "late" : "round";
        return exchange_gather(x, request, text, strlen(text), NULL, 0, s->now_ms, NULL);
    }
}

/* All members of the world are there, their ranks run, and nobody takes a pod away. */
static bool is_whole(struct sim *s, const struct sim_world *w)
{
    int members = 0;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next) {
        if (l->world != w->number || l->left)
            continue;
        members++;
        for (uint32_t i = 0; i < l->nproc; i++)
            if (l->ranks[i].state == RANK_GONE)
                return false;
    }
    return members == w->job->replicas && !w->broken && !w->leaving &&
           w->shocks == w->job->facts.shocks;
}

/* All members have come to the round, and everybody is in reach. *ret_connections: a sum that
 * changes when one of them connects anew. */
static bool is_due(struct sim *s, const struct sim_world *w, const struct turn *t,
                   uint64_t *ret_connections)
{
    const struct sim_host *host = controller_for_launcher(s);
    bool due = host && !host->paused && is_whole(s, w);
    *ret_connections = 0;
    for (const struct sim_launcher *m = s->launchers; m && due; m = m->next) {
        if (m->world != w->number)
            continue;
        *ret_connections += m->connection;
        due = connection_stands(s, m->connection, host->id) && s->now_ms >= m->frozen_until_ms &&
              s->nodes[m->node].reachable && m->exchange_round >= t->round &&
              m->ranks[0].state == RANK_ALIVE;
    }
    return due;
}

/* All others have ended, and everybody is in reach. */
static bool is_late_due(struct sim *s, const struct sim_world *w, const struct sim_launcher *l,
                        uint64_t *ret_connections)
{
    const struct sim_host *host = controller_for_launcher(s);
    int members = 0;
    *ret_connections = 0;
    for (const struct sim_launcher *m = s->launchers; m; m = m->next) {
        if (m->world != w->number || m->left)
            continue;
        members++;
        *ret_connections += m->connection;
        if (!host || host->paused || !connection_stands(s, m->connection, host->id) ||
            s->now_ms < m->frozen_until_ms || !s->nodes[m->node].reachable)
            return false;
        for (uint32_t i = 0; i < m->nproc; i++)
            if ((m->ranks[i].state == RANK_GONE) == (m == l))
                return false;
    }
    return members == w->job->replicas;
}

bool exchanges_are_owed(struct sim *s, const struct sim_world *w)
{
    uint64_t connections;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next) {
        struct turn t = {.round = (int64_t)(l->exchange_tag / PHASES)};
        if (l->world == w->number && l->exchange_tag != UINT64_MAX &&
            is_due(s, w, &t, &connections))
            return true;
    }
    return false;
}

/* Looks now and then whether it has been answered. */
static void waits(struct sim *s, uint64_t id, void *data)
{
    struct turn *t = data;
    struct sim_launcher *l = launcher_find(s, id);
    const struct sim_world *w = world_find(s, t->world);
    if (!l || l->left || !w || l->world != t->world || l->exchange_tag != tag_of(t))
        return;
    uint64_t connections;
    bool due =
        t->phase == PHASE_LATE ? is_late_due(s, w, l, &connections) : is_due(s, w, t, &connections);
    due = due && connections == t->connections;
    t->looks = due ? t->looks + 1 : 0;
    t->connections = connections;
    if (t->looks > DUE_LOOKS)
        sim_violated(s, answered,
                     "%s: attempt %" PRIu64 ", round %" PRId64 ", phase %d: nothing "
                     "for %d s",
                     l->pod, w->attempt, t->round, (int)t->phase, DUE_LOOKS * LOOK_MS / 1000);
    sim_after(s, LOOK_MS, waits, id, mlt_memdup(t, sizeof *t));
}

static void note_hasty(struct sim_world *w, int64_t round)
{
    int64_t *place = &w->hasty_rounds[round % HASTY_ROUNDS_KEPT];
    if (*place < round)
        *place = round;
}

static bool was_hasty(const struct sim_world *w, int64_t round)
{
    return w->hasty_rounds[round % HASTY_ROUNDS_KEPT] == round;
}

static void may_be_hasty(struct sim *s, const struct sim_launcher *l, struct sim_world *w,
                         const struct turn *t, struct exchange_request *request)
{
    bool very = s->seed % VERY_HASTY_EVERY == 1;
    if (t->phase != PHASE_GATHER || !s->faults ||
        !sim_chance(s, very ? VERY_HASTY_PER_MILLE : HASTY_PER_MILLE))
        return;
    request->time_ms = sim_between(s, 1, very ? VERY_HASTY_MS : HASTY_MS);
    note_hasty(w, t->round);
    sim_say(s, l->pod, "has %" PRId64 " ms for round %" PRId64, request->time_ms, t->round);
}

static void acts(struct sim *s, uint64_t id, void *data)
{
    const struct turn *t = data;
    struct sim_launcher *l = launcher_find(s, id);
    struct sim_world *w = world_find(s, t->world);
    if (!l || l->left || !w || l->world != t->world || (l->late && t->phase != PHASE_LATE) ||
        launcher_sleeps(s, l, acts, id, t, sizeof *t))
        return;
    if (l->ranks[0].state == RANK_HUNG)
        sim_after(s, HUNG_MS, acts, id, mlt_memdup(t, sizeof *t));
    if (l->ranks[0].state != RANK_ALIVE)
        return;
    struct exchange_request request = {
        .user = EXCHANGE_USER_SDK, .tag = tag_of(t), .time_ms = LONG_MS};
    may_be_hasty(s, l, w, t, &request);
    int rc = begin(s, l, w, t, &request);
    /* The launcher may have begun to kill before its ranks know. */
    if (rc < 0 && supervisor_state(l->supervisor) < SUPERVISOR_KILLING)
        sim_violated(s, has_reason, "%s: what a program may do was refused: %d", l->pod, rc);
    if (rc == 0 && t->phase == PHASE_GATHER) {
        l->exchange_round = t->round;
        if (w->newest_round < t->round)
            w->newest_round = t->round;
    }
    if (rc == 0) {
        l->exchange_tag = tag_of(t);
        struct turn watched = *t;
        sim_after(s, LOOK_MS, waits, id, mlt_memdup(&watched, sizeof watched));
    }
    launcher_post(s, l, NULL);
}

static void go_on(struct sim *s, struct sim_launcher *l, int64_t round, enum phase phase,
                  int64_t delay_ms)
{
    struct turn t = {.world = l->world, .round = round, .phase = phase};
    sim_after(s, delay_ms, acts, l->id, mlt_memdup(&t, sizeof t));
}

void exchanges_meet(struct sim *s, struct sim_launcher *l)
{
    go_on(s, l, 0, PHASE_MEET, 0);
}

bool exchanges_end_late(struct sim *s, struct sim_launcher *l, bool is_last)
{
    if (!exchanges_are_the_theme(s) || !is_last || l->job->replicas < 2 ||
        sim_between(s, 0, 999) >= LATE_PER_MILLE)
        return false;
    l->late = true;
    sim_say(s, l->pod, "ends later than the others");
    go_on(s, l, LATE_ROUND, PHASE_LATE, sim_between(s, 1, LATE_MS));
    return true;
}

/* ---- what they are told ---- */

static void check_entries(struct sim *s, const struct sim_launcher *l, const struct sim_world *w,
                          int64_t round, const struct exchange_output *out)
{
    uint32_t at = 0;
    char text[TEXT_MAX];
    for (const struct sim_launcher *other = s->launchers; other; other = other->next)
        if (other->world == w->number && other->exchange_round < round)
            sim_violated(s, is_ours, "%s is through round %" PRId64 ", and %s has not come to it",
                         l->pod, round, other->pod);
    for (uint32_t slot = 0; slot < (uint32_t)w->job->replicas; slot++) {
        text_of(w, slot, round, text);
        if (!text[0])
            continue;
        const struct exchange_entry *e = at < out->entries_count ? &out->entries[at] : NULL;
        at++;
        if (!e || e->node_rank != slot || !e->data || e->length != strlen(text) ||
            memcmp(e->data, text, e->length) != 0)
            sim_violated(s, is_ours,
                         "%s: round %" PRId64 " of attempt %" PRIu64
                         ", member %u: `%s` expected, `%.*s` told",
                         l->pod, round, w->attempt, slot, text, e && e->data ? (int)e->length : 0,
                         e && e->data ? (const char *)e->data : "");
    }
    if (at != out->entries_count)
        sim_violated(s, is_ours, "%s: %u entries, %u expected", l->pod, out->entries_count, at);
}

static void check_value(struct sim *s, const struct sim_launcher *l, const struct sim_world *w,
                        int64_t round, const struct exchange_output *out)
{
    char text[TEXT_MAX];
    text_of(w, peer_of(l), round, text);
    if (out->length != strlen(text) ||
        (out->length > 0 && memcmp(out->data, text, out->length) != 0))
        sim_violated(s, is_ours, "%s: the value of member %u in round %" PRId64 " is not `%s`",
                     l->pod, peer_of(l), round, text);
}

/* Some have begun the next one. They got there because the time of one was over for somebody. */
static bool was_left_behind(const struct sim_world *w, int64_t round)
{
    return w->newest_round > round && (was_hasty(w, round) || was_hasty(w, round + 1));
}

/* Who comes late to a round whose time was over for another learns it then: the others may be some
 * rounds further, with little time for these, too. */
static void check_failure(struct sim *s, const struct sim_launcher *l, const struct sim_world *w,
                          enum phase phase, int64_t round, const struct exchange_output *out)
{
    bool gather = phase == PHASE_GATHER;
    bool hasty = gather && out->outcome == EXCHANGE_TIMED_OUT && was_hasty(w, round);
    bool over = gather && out->outcome == EXCHANGE_OVER && was_left_behind(w, round);
    bool lost = out->outcome == EXCHANGE_MEMBER_LOST && !is_whole(s, w);
    if (!hasty && !over && !lost)
        sim_violated(s, has_reason, "%s: attempt %" PRIu64 ", round %" PRId64 ", phase %d: %d %s",
                     l->pod, w->attempt, round, (int)phase, (int)out->outcome, out->words);
}

static void goes_well(struct sim *s, struct sim_launcher *l, struct sim_world *w, enum phase phase,
                      int64_t round, const struct exchange_output *out)
{
    switch (phase) {
    case PHASE_MEET:
        check_entries(s, l, w, round, out);
        ranks_have_met(s, l, w);
        if (!l->left && l->world == w->number)
            go_on(s, l, 1, PHASE_PUT, sim_between(s, 10, 1000));
        return;
    case PHASE_PUT:
        break;
    case PHASE_GATHER:
        check_entries(s, l, w, round, out);
        break;
    case PHASE_GET:
        check_value(s, l, w, got_in(round), out);
        break;
    case PHASE_ASK:
        check_value(s, l, w, round, out);
        break;
    case PHASE_LATE:
        sim_violated(s, is_ours, "%s: a gather that nobody else begins is done", l->pod);
        return;
    case PHASES:
        return;
    }
    if (phase == PHASE_ASK)
        go_on(s, l, round + 1, PHASE_PUT, sim_between(s, 100, 4000));
    else
        go_on(s, l, round, phase + 1, sim_between(s, 0, 100));
}

struct owed {
    uint64_t question, world;
    int64_t round;
};

static void answers(struct sim *s, uint64_t id, void *data)
{
    const struct owed *o = data;
    struct sim_launcher *l = launcher_find(s, id);
    const struct sim_world *w = world_find(s, o->world);
    char text[TEXT_MAX];
    if (!l || l->left || !w || launcher_sleeps(s, l, answers, id, o, sizeof *o))
        return;
    text_of(w, l->slot, o->round, text);
    exchange_answer(supervisor_exchange(l->supervisor), o->question, EXCHANGE_OK, text,
                    strlen(text));
    launcher_post(s, l, NULL);
}

void exchanges_told(struct sim *s, struct sim_launcher *l, const struct exchange_output *out)
{
    struct sim_world *w = world_find(s, l->world);
    if (out->kind == EXCHANGE_DO_QUESTION) {
        struct owed owed = {.question = out->question, .world = l->world};
        (void)sscanf(out->name, "value-%" SCNd64, &owed.round);
        sim_after(s, sim_between(s, 0, 60), answers, l->id, mlt_memdup(&owed, sizeof owed));
        return;
    }
    int64_t round = (int64_t)(out->tag / PHASES);
    enum phase phase = (enum phase)(out->tag % PHASES);
    if (l->exchange_tag == out->tag)
        l->exchange_tag = UINT64_MAX;
    if (out->outcome == EXCHANGE_ENDED || !w)
        return;
    if (out->outcome == EXCHANGE_OK) {
        goes_well(s, l, w, phase, round, out);
        return;
    }
    sim_say(s, l->pod, "exchange of round %" PRId64 " failed: %s", round, out->words);
    check_failure(s, l, w, phase, round, out);
    if (phase == PHASE_LATE)
        ranks_leave(s, l);
    else if (out->outcome == EXCHANGE_TIMED_OUT || out->outcome == EXCHANGE_OVER)
        go_on(s, l, round + 1, PHASE_PUT, sim_between(s, 100, 4000));
}
