/* The launchers and the network of the property test's world: see launcher.h. */
#include "launcher.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void violation(struct world *w, const char *text)
{
    if (!w->violation)
        w->violation = text;
}

void trace(const struct world *w, const char *format, ...)
{
    if (!w->trace)
        return;
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
}

static bool chance(struct world *w, uint64_t percent)
{
    return mlt_random_below(&w->random, 100) < percent;
}

/* ---- the network ---- */

struct channel_model *channel_find(struct world *w, uint64_t id)
{
    for (unsigned i = 0; id && i < WORLD_CHANNELS_MAX; i++)
        if (w->channels[i].id == id)
            return &w->channels[i];
    return NULL;
}

struct mlt_text *queue_first(struct frame_queue *q)
{
    return q->count ? &q->frames[q->first] : NULL;
}

void queue_drop(struct frame_queue *q)
{
    mlt_text_release(&q->frames[q->first]);
    q->first = (q->first + 1) % WORLD_QUEUE_MAX;
    q->count--;
}

void queue_add(struct world *w, struct frame_queue *q, const void *data, size_t length)
{
    if (q->count >= WORLD_QUEUE_MAX - 1) {
        violation(w, "a queue of the test is full: somebody sends without end");
        return;
    }
    struct mlt_text *frame = &q->frames[(q->first + q->count++) % WORLD_QUEUE_MAX];
    mlt_text_init(frame, RENDEZVOUS_PAYLOAD_MAX);
    mlt_text_add(frame, data, length);
}

void channel_free(struct channel_model *ch)
{
    while (ch->up.count)
        queue_drop(&ch->up);
    while (ch->down.count)
        queue_drop(&ch->down);
    ch->id = 0;
}

static void say(struct world *w, struct pod *p, const struct rendezvous_message *m)
{
    struct channel_model *ch = channel_find(w, p->channel);
    if (!ch || ch->cut)
        return; /* lost; the next HELLO says it */
    struct mlt_text bytes = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&bytes, m);
    assert(!bytes.failed);
    queue_add(w, &ch->up, bytes.data, bytes.length);
    if (m->type != RENDEZVOUS_HELLO && !w->healing && chance(w, 5))
        queue_add(w, &ch->up, bytes.data, bytes.length);
    mlt_text_release(&bytes);
}

/* ---- what a launcher says ---- */

bool launcher_is_running(const struct pod *p)
{
    return p->alive && (p->state == POD_RUNNING || p->state == POD_STOPPING);
}

static uint32_t list_exits(const struct world *w, const struct pod *p,
                           struct rendezvous_exit *exits)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->nproc && p->attempt && w->bug != WORLD_BUG_LOST_EXITS; i++)
        if (p->ended[i])
            exits[count++] = p->exits[i];
    return count;
}

static void say_hello(struct world *w, uint32_t slot)
{
    struct pod *p = &w->slots[slot].pod;
    struct rendezvous_exit exits[WORLD_NPROC_MAX];
    static const uint32_t states[] = {[POD_IDLE] = RENDEZVOUS_STATE_IDLE,
                                      [POD_PREPARING] = RENDEZVOUS_STATE_IDLE,
                                      [POD_READY] = RENDEZVOUS_STATE_READY,
                                      [POD_RUNNING] = RENDEZVOUS_STATE_RUNNING,
                                      [POD_STOPPING] = RENDEZVOUS_STATE_STOPPING};
    struct rendezvous_message m = {.type = RENDEZVOUS_HELLO, .attempt = p->attempt};
    m.hello = (struct rendezvous_hello){.lease_transitions = p->member.lease_transitions,
                                        .pod_uid = p->uid,
                                        .role = "worker",
                                        .node = "node001",
                                        .address = "127.0.0.1",
                                        .slot = slot,
                                        .state = states[p->state],
                                        .start_digest = p->member.started_digest,
                                        .start_attempt = p->member.started_attempt,
                                        .exits = exits,
                                        .exits_count = list_exits(w, p, exits),
                                        .step = RENDEZVOUS_NO_STEP};
    if (p->state == POD_PREPARING && p->attempt)
        m.hello.state = RENDEZVOUS_STATE_STOPPED;
    if (p->state == POD_READY)
        m.attempt = p->member.ready_attempt;
    say(w, p, &m);
}

static void say_ready(struct world *w, struct pod *p)
{
    uint64_t attempt = p->member.started_attempt + 1;
    if (attempt < p->welcome_next)
        attempt = p->welcome_next;
    p->member.ready_attempt = attempt;
    p->state = POD_READY;
    struct rendezvous_message m = {
        .type = RENDEZVOUS_READY, .attempt = attempt, .ready = {.port = 5000}};
    say(w, p, &m);
}

static void say_stopped(struct world *w, struct pod *p)
{
    struct rendezvous_exit exits[WORLD_NPROC_MAX];
    struct rendezvous_message m = {.type = RENDEZVOUS_STOPPED, .attempt = p->attempt};
    m.stopped.exits = exits;
    m.stopped.exits_count = list_exits(w, p, exits);
    say(w, p, &m);
}

/* ---- what a launcher does ---- */

void launcher_new(struct world *w, uint32_t slot)
{
    struct slot_model *s = &w->slots[slot];
    s->generation++;
    s->pod = (struct pod){.alive = true};
    (void)snprintf(s->pod.uid, sizeof s->pod.uid, "pod-%u-%u", slot, s->generation);
    member_init(&s->pod.member, s->generation);
    s->noticed = s->expected = false;
}

void launcher_connect(struct world *w, uint32_t slot)
{
    struct slot_model *s = &w->slots[slot];
    if (!s->pod.alive || s->pod.channel)
        return;
    for (unsigned i = 0; i < WORLD_CHANNELS_MAX; i++) {
        struct channel_model *ch = &w->channels[i];
        if (ch->id)
            continue;
        *ch = (struct channel_model){
            .id = ++w->next_channel, .slot = slot, .generation = s->generation};
        s->pod.channel = ch->id;
        say_hello(w, slot);
        return;
    }
}

/* What was on its way down is lost; of what was on its way up, some still arrives. */
void launcher_cut(struct world *w, uint32_t slot)
{
    struct pod *p = &w->slots[slot].pod;
    struct channel_model *ch = channel_find(w, p->channel);
    trace(w, "%s is cut off\n", p->uid);
    p->channel = 0;
    if (!ch)
        return;
    ch->cut = true;
    while (ch->down.count)
        queue_drop(&ch->down);
    uint64_t arrives = mlt_random_below(&w->random, ch->up.count + 1);
    while (ch->up.count > arrives) { /* the last ones are lost */
        mlt_text_release(&ch->up.frames[(ch->up.first + ch->up.count - 1) % WORLD_QUEUE_MAX]);
        ch->up.count--;
    }
}

void launcher_die(struct world *w, uint32_t slot)
{
    struct pod *p = &w->slots[slot].pod;
    if (!p->alive)
        return;
    trace(w, "%s dies\n", p->uid);
    if (w->status_started) /* a new leader cannot know whether it had started */
        w->history[w->status_attempt].pod_lost = true;
    launcher_cut(w, slot);
    p->alive = false;
}

static void end_rank(struct world *w, struct pod *p, uint32_t local, uint32_t cause, int32_t code,
                     int32_t signal)
{
    p->ended[local] = true;
    p->exits[local] = (struct rendezvous_exit){.rank = p->rank_base + local,
                                               .local_rank = local,
                                               .code = code,
                                               .signal = signal,
                                               .cause = cause,
                                               .after_ms = mlt_random_below(&w->random, 1000),
                                               .tail = ""};
    int end = cause == RENDEZVOUS_CAUSE_KILLED_BY_US ? 3 : code || signal ? 2 : 1;
    w->history[p->attempt].ends[p->rank_base + local] = end;
    trace(w, "%s: rank %u ends: %s\n", p->uid, p->rank_base + local, rendezvous_cause_words(cause));
    struct rendezvous_message m = {.type = RENDEZVOUS_RANK_EXIT, .attempt = p->attempt};
    m.rank_exit.exit = p->exits[local];
    say(w, p, &m);
}

static void end_some_rank(struct world *w, struct pod *p, uint32_t local)
{
    uint64_t draw = mlt_random_below(&w->random, 100);
    if (w->healing || draw < 50)
        end_rank(w, p, local, RENDEZVOUS_CAUSE_EXITED, 0, 0);
    else if (draw < 70)
        end_rank(w, p, local, RENDEZVOUS_CAUSE_EXITED, 1, 0);
    else if (draw < 90)
        end_rank(w, p, local, RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE, 0, 9);
    else
        end_rank(w, p, local, RENDEZVOUS_CAUSE_OUT_OF_MEMORY, 0, 9);
}

static void run_on(struct world *w, struct pod *p)
{
    if (p->state == POD_RUNNING && !w->healing && chance(w, 92))
        return; /* they train */
    for (uint32_t i = 0; i < w->nproc; i++) {
        if (p->ended[i])
            continue;
        if (p->state == POD_STOPPING)
            end_rank(w, p, i, RENDEZVOUS_CAUSE_KILLED_BY_US, 0, 9);
        else
            end_some_rank(w, p, i);
        return;
    }
    say_stopped(w, p);
    p->state = POD_PREPARING;
}

void launcher_work(struct world *w, uint32_t slot)
{
    struct pod *p = &w->slots[slot].pod;
    if (!p->alive)
        return;
    if (p->state == POD_PREPARING)
        say_ready(w, p);
    else if (launcher_is_running(p))
        run_on(w, p);
}

static void obey_start(struct world *w, uint32_t slot, const struct rendezvous_message *m)
{
    struct pod *p = &w->slots[slot].pod;
    struct history *h = &w->history[m->attempt];
    uint64_t digest = rendezvous_start_digest(m->attempt, &m->start);
    if (launcher_is_running(p))
        violation(w, "a launcher obeyed a START while its ranks ran");
    if (h->started[slot])
        violation(w, "a place in an attempt was started twice");
    if (h->digest && h->digest != digest)
        violation(w, "two different STARTs of one attempt were obeyed");
    for (uint32_t i = 0; i < w->slots_count; i++)
        if (launcher_is_running(&w->slots[i].pod) && w->slots[i].pod.attempt != m->attempt)
            violation(w, "a START was obeyed while ranks of another attempt ran");
    if (m->start.rank_base != slot * w->nproc)
        violation(w, "a rank moved");
    h->started[slot] = true;
    h->digest = digest;
    p->attempt = m->attempt;
    p->rank_base = m->start.rank_base;
    p->state = POD_RUNNING;
    memset(p->ended, 0, sizeof p->ended);
    struct rendezvous_message started = {
        .type = RENDEZVOUS_STARTED, .attempt = p->attempt, .started = {.start_to_exec_us = 100}};
    say(w, p, &started);
}

static void obey_stop(struct world *w, struct pod *p)
{
    if (!launcher_is_running(p)) {
        say_stopped(w, p); /* the first one was lost */
        return;
    }
    if (w->bug == WORLD_BUG_READY_TOO_EARLY) {
        struct rendezvous_message stopped = {.type = RENDEZVOUS_STOPPED, .attempt = p->attempt};
        say(w, p, &stopped);
        return;
    }
    p->state = POD_STOPPING;
}

static void obey(struct world *w, uint32_t slot, const struct rendezvous_message *m)
{
    struct pod *p = &w->slots[slot].pod;
    switch (m->type) {
    case RENDEZVOUS_WELCOME:
        p->welcome_next = m->welcome.next_attempt;
        if (p->state == POD_IDLE)
            p->state = POD_PREPARING;
        else if (p->state == POD_READY && p->member.ready_attempt < p->welcome_next)
            say_ready(w, p);
        break;
    case RENDEZVOUS_START:
        obey_start(w, slot, m);
        break;
    case RENDEZVOUS_STOP:
        obey_stop(w, p);
        break;
    case RENDEZVOUS_REFUSED:
        launcher_cut(w, slot);
        break;
    default:
        break;
    }
}

void launcher_receive(struct world *w, struct channel_model *ch)
{
    struct mlt_text *bytes = queue_first(&ch->down);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    struct rendezvous_message m;
    if (!bytes)
        return;
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    bool whole = rendezvous_reader_feed(&reader, bytes->data, bytes->length, NULL) == 0 &&
                 rendezvous_reader_next(&reader, &frame, NULL) == 1 &&
                 rendezvous_message_read(&frame, &m, NULL) == 0;
    assert(whole);
    rendezvous_reader_release(&reader);
    if (w->healing || !chance(w, 10)) /* else it comes once more */
        queue_drop(&ch->down);
    uint32_t slot = ch->slot;
    enum member_decision decision = member_consider(&w->slots[slot].pod.member, &m, NULL);
    if (m.type == RENDEZVOUS_START && w->bug == WORLD_BUG_NO_FENCE)
        decision = MEMBER_OBEY;
    trace(w, "  %s <- %s attempt %llu%s\n", w->slots[slot].pod.uid,
          rendezvous_type_name((uint8_t)m.type), (unsigned long long)m.attempt,
          decision == MEMBER_OBEY ? "" : " (not obeyed)");
    if (decision == MEMBER_OBEY)
        obey(w, slot, &m);
    else if (decision == MEMBER_REFUSE)
        w->refusals++;
    rendezvous_message_release(&m);
}
