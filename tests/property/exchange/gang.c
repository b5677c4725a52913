/* The gang of gang.h: network, programs, and what must be true of each result. */
#include "gang.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define LONG_MS 1000000
#define HEAL_STEPS 20000

static int64_t between(struct gang *g, int64_t min, int64_t max)
{
    return mlt_random_between(&g->random, min, max);
}

static bool chance(struct gang *g, unsigned per_mille)
{
    return between(g, 0, 999) < (int64_t)per_mille;
}

static void violate(struct gang *g, const char *words)
{
    if (!g->violation)
        g->violation = words;
}

#define SAY(g, ...)                    \
    do {                               \
        if ((g)->trace)                \
            (void)printf(__VA_ARGS__); \
    } while (0)

/* ---- what is given ---- */

/* The same in every run of a seed, and different for each attempt, thread, member and round. */
static size_t blob(const struct gang *g, unsigned thread, uint32_t member, uint64_t round,
                   unsigned char *to)
{
    uint64_t hash =
        g->seed * 31 + g->attempt * 1000003 + thread * 7919 + member * 104729 + round * 15485863;
    hash = (hash ^ hash >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    size_t length = hash % 5 == 0 ? 0 : 1 + hash / 5 % 200;
    if (hash % 61 == 1)
        length = RENDEZVOUS_CONTRIBUTION_MAX + 1 + hash / 61 % 4000;
    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)(hash >> i % 8 * 8);
    return length;
}

static bool is_blob(const struct gang *g, unsigned thread, uint32_t member, uint64_t round,
                    const unsigned char *data, size_t length)
{
    static unsigned char expected[GANG_BLOB_MAX];
    return blob(g, thread, member, round, expected) == length &&
           (length == 0 || memcmp(expected, data, length) == 0);
}

/* ---- network ---- */

static void forget_frames(struct gang_frame **first, struct gang_frame ***last)
{
    while (*first) {
        struct gang_frame *next = (*first)->next;
        free(*first);
        *first = next;
    }
    *last = first;
}

static void queue(struct gang_frame ***last, const void *bytes, size_t length)
{
    struct gang_frame *f = mlt_calloc(1, sizeof *f + length);
    memcpy(f->bytes, bytes, length);
    f->length = length;
    **last = f;
    *last = &f->next;
}

static struct gang_frame *take(struct gang_frame **first, struct gang_frame ***last)
{
    struct gang_frame *f = *first;
    *first = f->next;
    if (!*first)
        *last = first;
    return f;
}

static void read_frame(const struct gang_frame *f, enum rendezvous_direction direction,
                       struct rendezvous_message *ret)
{
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_reader_init(&reader, direction);
    bool read = true;
    for (size_t at = 0; read && at < f->length; at += 32768)
        read = rendezvous_reader_feed(&reader, f->bytes + at,
                                      f->length - at < 32768 ? f->length - at : 32768, NULL) == 0;
    if (!read || rendezvous_reader_next(&reader, &frame, NULL) != 1 ||
        rendezvous_message_read(&frame, ret, NULL) < 0)
        abort();
    rendezvous_reader_release(&reader);
}

/* What the controller says. */
static void drain_controller(struct gang *g)
{
    struct collective_output out;
    while (collective_next(g->collective, &out))
        for (uint32_t i = 0; i < out.to_count; i++)
            if (g->members[out.to[i]].connected)
                queue(&g->members[out.to[i]].down_last, out.frame->data, out.frame->length);
    collective_check(g->collective);
    if (collective_failed(g->collective))
        violate(g, "the controller's side failed");
}

static void drain_member(struct gang *g, uint32_t member);

static void cut(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    if (!m->connected)
        return;
    SAY(g, "member %u is cut off\n", member);
    g->cuts++;
    m->connected = m->welcomed = false;
    forget_frames(&m->up, &m->up_last);
    forget_frames(&m->down, &m->down_last);
    exchange_closed(m->exchange);
}

static void join(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    if (m->connected)
        return;
    SAY(g, "member %u is back\n", member);
    m->connected = true;
    if (!m->ended) {
        collective_joined(g->collective, member);
        drain_controller(g);
    }
    m->welcomed = true;
    if (m->finished && g->bug == GANG_BUG_ENDS_TOO_EARLY)
        queue(&m->up_last, "", 0);
    exchange_welcomed(m->exchange, true, g->lease);
    drain_member(g, member);
    if (g->bug == GANG_BUG_NEVER_REPEATS)
        forget_frames(&m->up, &m->up_last);
    if (m->finished) /* HELLO has said so; that this is all is known by a PONG */
        queue(&m->up_last, "", 0);
}

/* ---- the controller ---- */

static void name_member(const void *arg, uint32_t node_rank, char *to, size_t size)
{
    (void)arg;
    (void)snprintf(to, size, "worker %u", node_rank);
}

static void new_collective(struct gang *g)
{
    collective_free(g->collective);
    g->collective = collective_new(&(struct collective_config){.attempt = g->attempt,
                                                               .members = g->members_count,
                                                               .budget = &g->budget,
                                                               .name = name_member});
    if (!g->collective)
        abort();
    for (uint32_t i = 0; i < g->members_count; i++)
        if (g->members[i].ended && g->bug != GANG_BUG_FORGETS_ENDS)
            collective_ended(g->collective, i, true);
}

static void change_leader(struct gang *g)
{
    SAY(g, "another controller leads\n");
    g->leaders++;
    for (uint32_t i = 0; i < g->members_count; i++)
        cut(g, i);
    g->lease++;
    new_collective(g);
}

static void begin_attempt(struct gang *g)
{
    g->attempts++;
    g->attempt++;
    SAY(g, "attempt %llu\n", (unsigned long long)g->attempt);
    memset(g->begun, 0, sizeof g->begun);
    memset(g->fine, 0, sizeof g->fine);
    memset(g->hasty, 0, sizeof g->hasty);
    for (uint32_t i = 0; i < g->members_count; i++)
        g->members[i].finished = g->members[i].ended = false;
    new_collective(g);
    for (uint32_t i = 0; i < g->members_count; i++) {
        struct gang_member *m = &g->members[i];
        memset(m->threads, 0, sizeof m->threads);
        m->asked_count = 0;
        exchange_begin(m->exchange, g->attempt, i, g->members_count);
    }
}

/* STOP, and everything is reaped; frames of the old attempt may still be under way. */
static void end_attempt(struct gang *g)
{
    for (uint32_t i = 0; i < g->members_count; i++) {
        exchange_end(g->members[i].exchange, "the attempt has ended");
        drain_member(g, i);
        for (unsigned t = 0; t < g->threads_count; t++)
            if (g->members[i].threads[t].waits)
                violate(g, "the end of an attempt left somebody waiting");
        if (g->bug != GANG_BUG_MIXES_ATTEMPTS)
            forget_frames(&g->members[i].up, &g->members[i].up_last);
        forget_frames(&g->members[i].down, &g->members[i].down_last);
    }
    begin_attempt(g);
}

static void member_ends(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    if (m->ended)
        return;
    SAY(g, "member %u ends\n", member);
    g->lost++;
    m->finished = m->ended = true;
    exchange_end(m->exchange, "its ranks have ended");
    drain_member(g, member);
    forget_frames(&m->up, &m->up_last);
    collective_ended(g->collective, member, true);
    drain_controller(g);
}

/* Its ranks end, in the middle of whatever they do; its launcher stays. */
static void member_finishes(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    if (m->finished)
        return;
    SAY(g, "the ranks of member %u end\n", member);
    g->lost++;
    m->finished = true;
    for (unsigned i = 0; i < g->threads_count; i++) {
        struct gang_thread *t = &m->threads[i];
        if (!t->waits)
            continue;
        if (t->phase == GANG_GATHER)
            g->hasty[i][t->round] = true; /* nobody sees whether it fails */
        exchange_cancel(m->exchange, (enum exchange_user)(i % EXCHANGE_USERS), t->tag);
        t->waits = false;
    }
    drain_member(g, member);
    if (m->connected)
        queue(&m->up_last, "", 0);
}

/* ---- programs ---- */

static void names(char *name, size_t size, unsigned thread, const char *what, uint64_t round,
                  uint32_t member)
{
    (void)snprintf(name, size, "%s-%u-%llu-%u", what, thread, (unsigned long long)round, member);
}

static uint32_t peer_of(const struct gang *g, unsigned thread, uint32_t member)
{
    do
        member = (member + 1) % g->members_count;
    while (!(g->part[thread] >> member & 1));
    return member;
}

static int begin_gather(struct gang *g, uint32_t member, unsigned thread,
                        struct exchange_request *request)
{
    static unsigned char data[GANG_BLOB_MAX];
    struct gang_thread *t = &g->members[member].threads[thread];
    uint32_t list[GANG_MEMBERS_MAX];
    size_t count = 0;
    char name[32];
    (void)snprintf(name, sizeof name, "gather-%u", thread);
    request->name = name;
    for (uint32_t i = 0; i < g->members_count; i++)
        if (g->part[thread] >> i & 1)
            list[count++] = i;
    if (count == g->members_count && thread == 0)
        count = 0;
    size_t length = blob(g, thread, member, t->round, data);
    int rc = exchange_gather(g->members[member].exchange, request, data, length, list, count,
                             g->now_ms, NULL);
    if (rc == 0)
        g->begun[thread][t->round] |= UINT32_C(1) << member;
    return rc;
}

static int begin(struct gang *g, uint32_t member, unsigned thread, struct exchange_request *request)
{
    static const unsigned char long_value[300] = "value";
    struct gang_member *m = &g->members[member];
    struct gang_thread *t = &m->threads[thread];
    char name[64];
    request->name = name;
    switch (t->phase) {
    case GANG_PUT:
        names(name, sizeof name, thread, "value", t->round, member);
        return exchange_put(m->exchange, request, long_value, 5 + t->round + g->attempt % 100,
                            g->now_ms, NULL);
    case GANG_GATHER:
        return begin_gather(g, member, thread, request);
    case GANG_GET:
        names(name, sizeof name, thread, "value", t->round, peer_of(g, thread, member));
        return exchange_get(m->exchange, request, g->now_ms, NULL);
    default:
        if (t->has_stayed) {
            (void)snprintf(name, sizeof name, "gather-%u", thread);
            return exchange_fetch(m->exchange, request, t->stayed_with, t->round, g->now_ms, NULL);
        }
        names(name, sizeof name, thread, "question", t->round, member);
        return exchange_fetch(m->exchange, request, (uint32_t)between(g, 0, g->members_count - 1),
                              EXCHANGE_QUESTION_SEQUENCE, g->now_ms, NULL);
    }
}

static void act(struct gang *g, uint32_t member, unsigned thread)
{
    struct gang_member *m = &g->members[member];
    struct gang_thread *t = &m->threads[thread];
    if (m->finished || t->waits || t->round >= GANG_ROUNDS || !(g->part[thread] >> member & 1))
        return;
    bool hasty = g->faults && chance(g, 10);
    struct exchange_request request = {
        .user = (enum exchange_user)(thread % EXCHANGE_USERS),
        .tag = ++g->tags,
        .time_ms = hasty ? between(g, 1, 50) : LONG_MS,
    };
    t->waits = true;
    t->tag = request.tag;
    t->expired = hasty;
    if (hasty && t->phase == GANG_GATHER)
        g->hasty[thread][t->round] = true;
    SAY(g, "member %u thread %u round %llu begins %d\n", member, thread,
        (unsigned long long)t->round, (int)t->phase);
    if (begin(g, member, thread, &request) < 0)
        violate(g, "what a program may do was refused");
    drain_member(g, member);
}

/* ---- results ---- */

static void check_entries(struct gang *g, struct gang_thread *t, unsigned thread, uint64_t round,
                          const struct exchange_output *out)
{
    static unsigned char data[GANG_BLOB_MAX];
    uint32_t at = 0;
    for (uint32_t i = 0; i < g->members_count; i++) {
        if (!(g->part[thread] >> i & 1))
            continue;
        size_t length = blob(g, thread, i, round, data);
        if (length == 0)
            continue;
        const struct exchange_entry *e = at < out->entries_count ? &out->entries[at++] : NULL;
        bool alone = g->part[thread] == UINT32_C(1) << i;
        bool stays = length > RENDEZVOUS_CONTRIBUTION_MAX && !alone;
        if (!e || e->node_rank != i || e->length != length || (e->data == NULL) != stays ||
            (!stays && memcmp(e->data, data, length) != 0))
            violate(g, "a gather's result is not what its members gave in this attempt");
        t->has_stayed |= stays;
        if (stays)
            t->stayed_with = i;
    }
    if (at != out->entries_count)
        violate(g, "a gather's result has more than its members gave");
    if (out->sequence != round)
        violate(g, "a gather's result has another sequence");
}

static void gathered(struct gang *g, uint32_t member, unsigned thread,
                     const struct exchange_output *out)
{
    uint64_t round = g->members[member].threads[thread].round;
    g->barriers++;
    g->fine[thread][round] |= UINT32_C(1) << member;
    if ((g->begun[thread][round] & g->part[thread]) != g->part[thread])
        violate(g, "a gather ended before all had come");
    check_entries(g, &g->members[member].threads[thread], thread, round, out);
}

/* One that takes part has ended: everything of it, or its ranks before they had come to this one,
 * or after they had gone on to the next one of this name, because its time was over for somebody.
 */
static bool has_lost(const struct gang *g, const struct gang_thread *t, unsigned thread)
{
    for (uint32_t i = 0; i < g->members_count; i++) {
        const struct gang_member *m = &g->members[i];
        const uint32_t *begun = g->begun[thread];
        bool gather = t->phase == GANG_GATHER && g->part[thread] >> i & 1;
        bool gone_on = t->round + 1 < GANG_ROUNDS && begun[t->round + 1] >> i & 1;
        if ((gather || t->phase == GANG_FETCH) && m->ended)
            return true;
        if (gather && m->finished && (!(begun[t->round] >> i & 1) || gone_on))
            return true;
    }
    return false;
}

/* Whether this failure has a reason. */
static void check_failure(struct gang *g, struct gang_thread *t, unsigned thread,
                          const struct exchange_output *out)
{
    bool hasty = t->expired || (t->phase == GANG_GATHER && g->hasty[thread][t->round]);
    if (out->outcome == EXCHANGE_ENDED) {
        g->ended++;
        return;
    }
    bool next_hasty = t->round + 1 < GANG_ROUNDS && g->hasty[thread][t->round + 1];
    bool lost = has_lost(g, t, thread);
    if (t->phase == GANG_GATHER)
        g->hasty[thread][t->round] = true; /* whoever comes later learns it from this member */
    if (out->outcome == EXCHANGE_TIMED_OUT && hasty)
        g->timeouts++;
    else if (out->outcome == EXCHANGE_OVER && t->phase == GANG_GATHER && (hasty || next_hasty))
        g->over++;
    else if (out->outcome == EXCHANGE_NOT_FOUND && t->phase == GANG_FETCH &&
             /* Its owner never had the result, or has failed in the next one since. */
             (!t->has_stayed || next_hasty || g->hasty[thread][t->round]))
        g->not_found++;
    else if (out->outcome != EXCHANGE_MEMBER_LOST || !lost)
        violate(g, "a failure without a reason");
}

static void go_on(struct gang_thread *t)
{
    t->waits = false;
    if (t->phase == GANG_FETCH)
        t->has_stayed = false;
    t->phase = (enum gang_phase)(t->phase + 1);
    if (t->phase == GANG_PHASES) {
        t->phase = GANG_PUT;
        t->round++;
    }
}

static void result(struct gang *g, uint32_t member, const struct exchange_output *out)
{
    struct gang_thread *t = NULL;
    unsigned thread = 0;
    for (unsigned i = 0; i < g->threads_count; i++)
        if (g->members[member].threads[i].waits && g->members[member].threads[i].tag == out->tag) {
            t = &g->members[member].threads[i];
            thread = i;
        }
    if (!t) {
        violate(g, "a result that nobody waits for");
        return;
    }
    g->results++;
    SAY(g, "member %u thread %u round %llu: %d %s\n", member, thread, (unsigned long long)t->round,
        (int)out->outcome, out->words);
    if (out->outcome != EXCHANGE_OK)
        check_failure(g, t, thread, out);
    else if (t->phase == GANG_GATHER)
        gathered(g, member, thread, out);
    else if (t->phase == GANG_GET && (++g->gets, out->length != 5 + t->round + g->attempt % 100 ||
                                                     memcmp(out->data, "value", 5) != 0))
        violate(g, "a value is not what was put in this attempt");
    else if (t->phase == GANG_FETCH && t->has_stayed &&
             (++g->fetched, !is_blob(g, thread, t->stayed_with, t->round, out->data, out->length)))
        violate(g, "what stayed is not what was given");
    else if (t->phase == GANG_FETCH && !t->has_stayed &&
             (++g->questions, !is_blob(g, 99, 0, 0, out->data, out->length)))
        violate(g, "an answer is not what was answered in this attempt");
    if (out->outcome == EXCHANGE_ENDED)
        t->waits = false;
    else
        go_on(t);
}

static void drain_member(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    struct exchange_output out;
    while (exchange_next(m->exchange, &out)) {
        switch (out.kind) {
        case EXCHANGE_DO_SEND:
            if (m->connected && !m->ended)
                queue(&m->up_last, out.data, out.length);
            break;
        case EXCHANGE_DO_TIMER:
            m->timer_ms = out.delay_ms < 0 ? INT64_MAX : g->now_ms + out.delay_ms;
            break;
        case EXCHANGE_DO_DONE:
            result(g, member, &out);
            break;
        case EXCHANGE_DO_QUESTION:
            if (m->asked_count < GANG_ASKED_MAX)
                m->asked[m->asked_count++] = out.question;
            break;
        }
    }
    exchange_check(m->exchange);
}

static void answer(struct gang *g, uint32_t member)
{
    static unsigned char data[GANG_BLOB_MAX];
    struct gang_member *m = &g->members[member];
    if (m->asked_count == 0)
        return;
    uint64_t question = m->asked[--m->asked_count];
    if (chance(g, 100))
        exchange_answer(m->exchange, question, EXCHANGE_NOT_FOUND, NULL, 0);
    else
        exchange_answer(m->exchange, question, EXCHANGE_OK, data, blob(g, 99, 0, 0, data));
    drain_member(g, member);
}

/* ---- life ---- */

void gang_init(struct gang *g, uint64_t seed, enum gang_bug bug)
{
    bool trace = g->trace;
    *g = (struct gang){.seed = seed, .bug = bug, .faults = true, .trace = trace, .lease = 1};
    mlt_random_init(&g->random, seed);
    g->budget.max = COLLECTIVE_BYTES_ALL_MAX;
    g->members_count = (uint32_t)between(g, 1, GANG_MEMBERS_MAX);
    g->threads_count = (unsigned)between(g, 1, GANG_THREADS_MAX);
    for (unsigned t = 0; t < g->threads_count; t++) {
        uint32_t all = (UINT32_C(1) << g->members_count) - 1;
        g->part[t] = t == 0 ? all : (uint32_t)between(g, 1, all);
    }
    for (uint32_t i = 0; i < g->members_count; i++) {
        struct gang_member *m = &g->members[i];
        m->exchange = exchange_new();
        m->up_last = &m->up;
        m->down_last = &m->down;
        m->timer_ms = INT64_MAX;
    }
    new_collective(g);
    for (uint32_t i = 0; i < g->members_count; i++)
        join(g, i);
    begin_attempt(g);
}

void gang_release(struct gang *g)
{
    for (uint32_t i = 0; i < g->members_count; i++) {
        forget_frames(&g->members[i].up, &g->members[i].up_last);
        forget_frames(&g->members[i].down, &g->members[i].down_last);
        exchange_free(g->members[i].exchange);
    }
    collective_free(g->collective);
    if (g->budget.used != 0)
        violate(g, "the budget is not given back");
}

static void deliver_up(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    struct rendezvous_message message;
    const char *why;
    if (!m->up)
        return;
    struct gang_frame *f = take(&m->up, &m->up_last);
    if (f->length == 0) {
        free(f);
        if (!m->ended && g->bug != GANG_BUG_FORGETS_ENDS)
            collective_ended(g->collective, member, false);
        drain_controller(g);
        return;
    }
    read_frame(f, RENDEZVOUS_UP, &message);
    bool ours = message.attempt == g->attempt || g->bug == GANG_BUG_MIXES_ATTEMPTS;
    bool left_out = g->bug == GANG_BUG_FORGETS_RESULTS && message.type == RENDEZVOUS_GATHER &&
                    message.gather.state == RENDEZVOUS_GATHER_DONE;
    if (!m->ended && ours && !left_out && !collective_take(g->collective, member, &message, &why))
        violate(g, why);
    drain_controller(g);
    rendezvous_message_release(&message);
    free(f);
}

static void deliver_down(struct gang *g, uint32_t member)
{
    struct gang_member *m = &g->members[member];
    struct rendezvous_message message;
    if (!m->down)
        return;
    struct gang_frame *f = take(&m->down, &m->down_last);
    read_frame(f, RENDEZVOUS_DOWN, &message);
    (void)exchange_message(m->exchange, &message);
    drain_member(g, member);
    if (message.type)
        rendezvous_message_release(&message);
    free(f);
}

static void time_passes(struct gang *g, int64_t ms)
{
    g->now_ms += ms;
    for (uint32_t i = 0; i < g->members_count; i++) {
        if (g->members[i].timer_ms > g->now_ms)
            continue;
        g->members[i].timer_ms = INT64_MAX;
        exchange_timer(g->members[i].exchange, g->now_ms);
        drain_member(g, i);
    }
}

void gang_step(struct gang *g)
{
    uint32_t member = (uint32_t)between(g, 0, g->members_count - 1);
    int64_t what = between(g, 0, 999);
    if (what < 300)
        deliver_up(g, member);
    else if (what < 600)
        deliver_down(g, member);
    else if (what < 880)
        act(g, member, (unsigned)between(g, 0, g->threads_count - 1));
    else if (what < 920)
        answer(g, member);
    else if (what < 960 || !g->faults)
        time_passes(g, between(g, 0, 3));
    else if (what < 975)
        cut(g, member);
    else if (what < 994)
        join(g, member);
    else if (what < 997)
        change_leader(g);
    else if (what < 998 && chance(g, 500))
        member_ends(g, member);
    else if (what < 998)
        member_finishes(g, member);
    else
        end_attempt(g);
}

static bool all_done(const struct gang *g)
{
    for (uint32_t i = 0; i < g->members_count; i++)
        for (unsigned t = 0; t < g->threads_count; t++)
            if (g->part[t] >> i & 1 && g->members[i].threads[t].round < GANG_ROUNDS)
                return false;
    return true;
}

typedef bool vain[GANG_MEMBERS_MAX][GANG_THREADS_MAX];

static bool has_put(const struct gang_thread *t, uint64_t round)
{
    return t->round > round || (t->round == round && (t->phase > GANG_PUT || t->waits));
}

/* Waits for what nobody will put, or for somebody who waits in vain. */
static bool waits_in_vain(const struct gang *g, uint32_t member, unsigned thread, vain known)
{
    const struct gang_thread *t = &g->members[member].threads[thread];
    if (!t->waits || g->members[member].finished)
        return false;
    if (t->phase == GANG_GET) {
        uint32_t peer = peer_of(g, thread, member);
        const struct gang_member *m = &g->members[peer];
        return m->ended ||
               ((m->finished || known[peer][thread]) && !has_put(&m->threads[thread], t->round));
    }
    for (uint32_t i = 0; t->phase == GANG_GATHER && i < g->members_count; i++)
        if ((g->part[thread] & ~g->begun[thread][t->round]) >> i & 1 && known[i][thread])
            return true;
    return false;
}

static void find_vain(const struct gang *g, vain ret)
{
    bool more = true;
    memset(ret, 0, sizeof(vain));
    while (more) {
        more = false;
        for (uint32_t i = 0; i < g->members_count; i++)
            for (unsigned n = 0; n < g->threads_count; n++)
                if (g->part[n] >> i & 1 && !ret[i][n] && waits_in_vain(g, i, n, ret))
                    more = ret[i][n] = true;
    }
}

/* Nothing more will happen in this attempt, and nobody waits who should not. */
static bool is_quiet(const struct gang *g)
{
    vain in_vain;
    find_vain(g, in_vain);
    for (uint32_t i = 0; i < g->members_count; i++)
        for (unsigned n = 0; n < g->threads_count; n++)
            if (g->part[n] >> i & 1 && !g->members[i].finished && !in_vain[i][n] &&
                g->members[i].threads[n].round < GANG_ROUNDS)
                return false;
    return true;
}

bool gang_settle(struct gang *g)
{
    g->faults = false;
    if (chance(g, 700)) {
        /* What some say to the next one is lost: the worst that can happen to it. */
        change_leader(g);
        for (uint32_t i = 0; i < g->members_count; i++) {
            join(g, i);
            if (chance(g, 500))
                cut(g, i);
        }
    }
    for (uint32_t i = 0; i < g->members_count; i++)
        join(g, i);
    for (int i = 0; i < HEAL_STEPS * (int)g->members_count && !g->violation; i++) {
        if (is_quiet(g))
            return true;
        gang_step(g);
    }
    return false;
}

bool gang_heal(struct gang *g)
{
    g->faults = false;
    end_attempt(g);
    for (uint32_t i = 0; i < g->members_count; i++)
        join(g, i);
    for (int i = 0; i < HEAL_STEPS * (int)g->members_count && !g->violation; i++) {
        gang_step(g);
        if (all_done(g))
            return true;
        /* Once more, so that what was said before it is there for the next one. */
        if (i == HEAL_STEPS / 20)
            change_leader(g);
        for (uint32_t j = 0; i >= HEAL_STEPS / 20 && j < g->members_count; j++)
            join(g, j);
    }
    return false;
}
