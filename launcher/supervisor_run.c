/* The supervisor from START to the end of the ranks. */
#include "launcher/supervisor_internal.h"

#include <assert.h>
#include <string.h>

#include "launcher/exit_cause.h"

/* Of all RANK_EXITs of one step: one has a tail, the others are small. */
#define EXITS_BYTES_MAX (RENDEZVOUS_RANKS_PER_MEMBER_MAX * 128 + 2 * RENDEZVOUS_TAIL_MAX)

void supervisor_started(struct supervisor *s, const struct supervisor_event *event)
{
    const struct rendezvous_start *start = &s->start_message.start;
    const struct rendezvous_welcome *welcome = &s->welcome_message.welcome;
    s->attempt = event->message->attempt;
    s->started_ms = event->now_ms;
    s->signalled = s->killed = s->unkillable = s->stopped = s->fenced = false;
    s->sent_signal = 0;
    s->grace_until_ms = 0;
    s->step = RENDEZVOUS_NO_STEP;
    s->ranks_count = welcome->nproc;
    s->alive = welcome->nproc;
    bool torchrun = s->identity.once_per_pod && strcmp(welcome->framework, "pytorch") == 0;
    s->processes = torchrun || s->one_process ? 1 : welcome->nproc;
    assert(s->ranks_count <= s->ranks_capacity);
    for (uint32_t i = 0; i < s->ranks_count; i++)
        s->ranks[i] = (struct supervisor_rank){
            .alive = true, .step = RENDEZVOUS_NO_STEP, .asked = RENDEZVOUS_NO_STEP};
    supervisor_forget_save(s);
    exchange_begin(s->exchange, s->attempt, start->node_rank, start->nodes);
    s->state = SUPERVISOR_STARTING;
    supervisor_timer(s, SUPERVISOR_TIMER_JOIN, -1);
    supervisor_fence_begin(s);
    bool hosts = start->node_rank == 0;
    if (hosts && start->master_port != s->port)
        supervisor_log(s, "START names port %u, this launcher holds %u", start->master_port,
                       s->port);
    /* Ranks of `pytorch` bind over the held port (TCPStore sets SO_REUSEADDR); others would fail.
     */
    if (!hosts || strcmp(welcome->framework, "pytorch") != 0)
        (void)supervisor_emit(s, SUPERVISOR_DO_RELEASE_PORT);
    (void)supervisor_emit(s, SUPERVISOR_DO_SPAWN);
}

uint64_t supervisor_since_start_ms(const struct supervisor *s, int64_t now_ms)
{
    return s->attempt && now_ms > s->started_ms ? (uint64_t)(now_ms - s->started_ms) : 0;
}

static void send_started(struct supervisor *s, uint64_t start_to_exec_us)
{
    uint32_t pids[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    for (uint32_t i = 0; i < s->ranks_count; i++)
        pids[i] = s->ranks[i].pid;
    struct rendezvous_message started = {.type = RENDEZVOUS_STARTED,
                                         .attempt = s->attempt,
                                         .started = {.pids = pids,
                                                     .pids_count = s->ranks_count,
                                                     .start_to_exec_us = start_to_exec_us}};
    supervisor_send(s, &started);
}

/* One effect with a frame for each of these ranks. */
static void send_exits(struct supervisor *s, uint32_t first, uint32_t last)
{
    if (!s->connected)
        return;
    struct mlt_text frames = MLT_TEXT_INIT(EXITS_BYTES_MAX);
    for (uint32_t i = first; i <= last; i++) {
        struct rendezvous_message message = {.type = RENDEZVOUS_RANK_EXIT,
                                             .attempt = s->attempt,
                                             .rank_exit = {.exit = s->ranks[i].exit}};
        rendezvous_message_write(&frames, &message);
    }
    size_t length = frames.length;
    char *bytes = mlt_text_take(&frames);
    mlt_text_release(&frames);
    if (!bytes)
        return; /* memory is short; STOPPED or the next HELLO lists all exits */
    struct supervisor_effect *effect = supervisor_emit(s, SUPERVISOR_DO_SEND);
    effect->bytes = bytes;
    effect->length = length;
}

void supervisor_spawned(struct supervisor *s, const struct supervisor_event *event)
{
    for (uint32_t i = 0; i < s->ranks_count; i++) {
        uint32_t process = s->processes == 1 ? 0 : i;
        s->ranks[i].pid = process < event->spawned.count ? event->spawned.pids[process] : 0;
    }
    s->state = SUPERVISOR_RUNNING;
    send_started(s, event->spawned.start_to_exec_us);
}

/* Notes the end of ranks first to last, which ended together when one torchrun stands for all. */
static void note_exit(struct supervisor *s, const struct supervisor_event *event,
                      uint32_t *ret_first, uint32_t *ret_last)
{
    uint32_t first = event->rank_exited.process, last = first;
    assert(first < s->processes);
    if (s->processes == 1)
        last = s->ranks_count - 1;
    struct exit_facts facts = {.code = event->rank_exited.code,
                               .signal = event->rank_exited.signal,
                               .exec_errno = event->rank_exited.exec_errno,
                               .out_of_memory = event->rank_exited.out_of_memory,
                               .signalled = s->signalled || s->killed,
                               .killed = s->killed,
                               .pod_ends = s->terminating};
    enum rendezvous_cause cause = exit_cause(&facts);
    bool ours = cause == RENDEZVOUS_CAUSE_KILLED_BY_US;
    if (ours && s->fenced)
        cause = RENDEZVOUS_CAUSE_FENCED;
    bool failed = (facts.code || facts.signal || facts.exec_errno) && !ours;
    for (uint32_t i = first; i <= last; i++) {
        struct supervisor_rank *rank = &s->ranks[i];
        assert(rank->alive);
        rank->alive = false;
        s->alive--;
        rank->tail[0] = '\0';
        if (failed && i == first && event->rank_exited.tail) {
            size_t length = strnlen(event->rank_exited.tail, sizeof rank->tail - 1);
            memcpy(rank->tail, event->rank_exited.tail, length);
            rank->tail[length] = '\0';
        }
        rank->exit = (struct rendezvous_exit){.rank = s->start_message.start.rank_base + i,
                                              .local_rank = i,
                                              .code = facts.exec_errno ? facts.exec_errno
                                                      : facts.signal   ? 0
                                                                       : facts.code,
                                              .signal = facts.exec_errno ? 0 : facts.signal,
                                              .cause = cause,
                                              .after_ms = (uint64_t)(event->now_ms - s->started_ms),
                                              .tail = rank->tail};
    }
    *ret_first = first;
    *ret_last = last;
}

/* While STARTING, too: the owner reports ends before SPAWNED only when a kill is under way. */
void supervisor_exited_running(struct supervisor *s, const struct supervisor_event *event)
{
    /* The siblings are left alone until STOP: the first failure of the *gang* is found by the
     * controller, and without a channel they may well go on. */
    uint32_t first, last;
    note_exit(s, event, &first, &last);
    send_exits(s, first, last);
    if (s->abandoned && s->state == SUPERVISOR_RUNNING && s->alive == 0) {
        supervisor_kill(s);
        return;
    }
    supervisor_answer_owed(s); /* nobody waits for the next question of one that has ended */
}

void supervisor_exited_stopping(struct supervisor *s, const struct supervisor_event *event)
{
    supervisor_exited_running(s, event);
    if (s->alive == 0)
        supervisor_kill(s);
}

void supervisor_exited_killing(struct supervisor *s, const struct supervisor_event *event)
{
    uint32_t first, last;
    note_exit(s, event, &first, &last);
}

void supervisor_progressed(struct supervisor *s, const struct supervisor_event *event)
{
    s->step = event->progress.step;
    struct rendezvous_message message = {
        .type = RENDEZVOUS_PROGRESS, .attempt = s->attempt, .progress = event->progress};
    supervisor_send(s, &message);
}

/* Said in our log in any case; told to the controller when it is there and takes it. */
void supervisor_noticed(struct supervisor *s, const struct supervisor_event *event)
{
    supervisor_log(s, "%s", event->noticed.words);
    if (!s->welcome_message.type || !s->welcome_message.welcome.takes_notices)
        return;
    struct rendezvous_message message = {
        .type = RENDEZVOUS_NOTICE, .attempt = s->attempt, .notice = event->noticed};
    supervisor_send(s, &message);
}
