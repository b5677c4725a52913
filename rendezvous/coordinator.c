/* One job's coordinator: its life, its seats, its facts, and a look at it. See coordinator.h and,
 * for the parts, coordinator_internal.h. */
#include "rendezvous/coordinator_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/collective.h"

/* ---- seats ---- */

void seat_set_state(struct coordinator *c, struct seat *s, enum seat_state state)
{
    c->counts[s->state]--;
    c->counts[state]++;
    bool is_lost = s->state == SEAT_UNKNOWN && state != SEAT_RUNNING;
    s->state = state;
    if (is_lost) /* its place in the attempt that is to be adopted */
        exchange_gone(c, s);
}

bool seat_set_string(struct coordinator *c, char **to, const char *text)
{
    if (strcmp(text_of(*to), text) == 0)
        return true;
    char *copy = NULL;
    if (text[0]) {
        copy = strdup(text);
        if (!copy) {
            c->failed = true;
            return false;
        }
    }
    free(*to);
    *to = copy;
    return true;
}

void seat_forget_evidence(struct seat *s)
{
    if (!s->evidence)
        return;
    rendezvous_message_release(s->evidence);
    free(s->evidence);
    s->evidence = NULL;
}

void reason_set(struct coordinator *c, char **to, const char *text)
{
    char *copy = strndup(text, RENDEZVOUS_REASON_MAX - 1);
    c->failed |= !copy;
    free(*to);
    *to = copy;
}

static int compare_seats(const void *a, const void *b)
{
    const struct seat *x = a, *y = b;
    if (x->role_order != y->role_order)
        return x->role_order < y->role_order ? -1 : 1;
    int roles = strcmp(x->role, y->role);
    if (roles != 0)
        return roles;
    return x->slot < y->slot ? -1 : x->slot > y->slot;
}

struct seat *seat_find(const struct coordinator *c, const char *role, uint32_t slot)
{
    /* Roles are few and stand together: hop from role to role, then look for the slot by halves. */
    uint32_t first = 0;
    while (first < c->seats_count && strcmp(c->seats[first].role, role) != 0)
        first = c->seats[first].role_end;
    if (first >= c->seats_count)
        return NULL;
    uint32_t low = first, high = c->seats[first].role_end;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->seats[middle].slot < slot)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < c->seats[first].role_end && c->seats[low].slot == slot;
    return found ? &c->seats[low] : NULL;
}

/* Ranks, from the sorted order and nothing else. */
static void number_ranks(struct coordinator *c)
{
    for (uint32_t first = 0; first < c->seats_count;) {
        uint32_t end = first, role_world = 0;
        while (end < c->seats_count && strcmp(c->seats[end].role, c->seats[first].role) == 0) {
            c->seats[end].rank_base = c->world_size;
            c->seats[end].role_rank_base = role_world;
            c->world_size += c->seats[end].nproc;
            role_world += c->seats[end].nproc;
            end++;
        }
        for (uint32_t i = first; i < end; i++) {
            c->seats[i].role_world_size = role_world;
            c->seats[i].role_end = end;
        }
        first = end;
    }
}

static bool make_seats(struct coordinator *c, const struct coordinator_config *config)
{
    c->seats = calloc(config->members_count, sizeof *c->seats);
    if (!c->seats)
        return false;
    c->seats_count = config->members_count;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct coordinator_member *m = &config->members[i];
        assert(m->nproc >= 1 && m->nproc <= RENDEZVOUS_RANKS_PER_MEMBER_MAX);
        c->seats[i] = (struct seat){.role = strdup(m->role),
                                    .role_order = m->role_order,
                                    .slot = m->slot,
                                    .nproc = m->nproc,
                                    .heard_ms = INT64_MIN,
                                    .state = config->adopt ? SEAT_UNKNOWN : SEAT_AWAY};
        clock_forget(&c->seats[i]);
        if (!c->seats[i].role)
            return false;
    }
    qsort(c->seats, c->seats_count, sizeof *c->seats, compare_seats);
    c->counts[config->adopt ? SEAT_UNKNOWN : SEAT_AWAY] = c->seats_count;
    number_ranks(c);
    return true;
}

static bool make_channels(struct coordinator *c)
{
    uint32_t size = 4;
    while (size < c->seats_count * 2)
        size *= 2;
    c->channels = calloc(size, sizeof *c->channels);
    c->channels_mask = size - 1;
    c->check_first = c->check_last = SEAT_NONE;
    return c->channels != NULL;
}

/* ---- life ---- */

struct coordinator *coordinator_new(const struct coordinator_config *config, int64_t now_ms)
{
    assert(config->members_count >= 1 && config->members_count <= COORDINATOR_MEMBERS_MAX);
    struct coordinator *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->job = strdup(config->job);
    if (!c->job || !make_seats(c, config) || !make_channels(c)) {
        coordinator_free(c);
        return NULL;
    }
    c->lease_transitions = config->lease_transitions;
    c->adopt_until_ms = now_ms + config->rejoin_ms;
    c->stop_grace_ms = config->stop_grace_ms;
    c->stop_signal = config->stop_signal;
    c->rank0_decides = config->rank0_decides;
    c->was_stopping = config->was_stopping;
    c->has_checkpoints = config->has_checkpoints;
    c->stall_ms = config->stall_ms;
    c->startup_ms = config->startup_ms;
    c->step_ms = now_ms;
    c->saves_from = config->saves_from;
    c->exchange_budget = config->exchange_budget;
    if (config->newest_checkpoint > 0)
        c->complete.step[c->complete.count++] = config->newest_checkpoint;
    c->attempt = config->attempt;
    c->next_attempt = config->attempt + 1;
    c->phase = config->adopt ? PHASE_ADOPTING : PHASE_GATHERING;
    c->adopted = config->adopt;
    c->now_ms = c->started_ms = now_ms; /* the best guess for an attempt that is adopted */
    c->step = RENDEZVOUS_NO_STEP;
    c->progress_seat = SEAT_NONE;
    return c;
}

void coordinator_free(struct coordinator *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        struct seat *s = &c->seats[i];
        free(s->role);
        free(s->pod_uid);
        free(s->former_uid);
        free(s->node);
        free(s->address);
        free(s->failure);
        seat_forget_evidence(s);
    }
    while (c->outputs) {
        struct output *next = c->outputs->next;
        output_free(c->outputs);
        c->outputs = next;
    }
    output_free(c->given);
    exchange_forget(c);
    rendezvous_message_release(&c->welcome);
    free(c->seats);
    free(c->channels);
    free(c->start_address);
    free(c->start_path);
    free(c->order_reason);
    free(c->exit_reason);
    free(c->job);
    free(c);
}

/* Copied by writing it and reading it back: the codec knows every string in it. */
bool coordinator_set_welcome(struct coordinator *c, const struct rendezvous_welcome *welcome)
{
    struct rendezvous_message m = {.type = RENDEZVOUS_WELCOME, .welcome = *welcome};
    m.welcome.nproc = 1; /* filled in for each member; zero would not pass */
    struct mlt_text frame_text = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
    struct rendezvous_reader reader;
    struct rendezvous_frame frame;
    rendezvous_message_write(&frame_text, &m);
    rendezvous_reader_init(&reader, RENDEZVOUS_DOWN);
    struct rendezvous_message copy;
    bool copied = !frame_text.failed &&
                  rendezvous_reader_feed(&reader, frame_text.data, frame_text.length, NULL) == 0 &&
                  rendezvous_reader_next(&reader, &frame, NULL) == 1 &&
                  rendezvous_message_read(&frame, &copy, NULL) == 0;
    if (copied) {
        rendezvous_message_release(&c->welcome);
        c->welcome = copy;
    }
    rendezvous_reader_release(&reader);
    mlt_text_release(&frame_text);
    return copied;
}

/* ---- facts ---- */

void coordinator_expect_pod(struct coordinator *c, const char *role, uint32_t slot,
                            const char *pod_uid)
{
    struct seat *s = seat_find(c, role, slot);
    if (!s || strcmp(text_of(s->pod_uid), pod_uid) == 0)
        return;
    const struct coordinator_loss replaced = {.infrastructure = true,
                                              .words = "another pod has taken its place"};
    if (s->pod_uid)
        seat_take_lost(c, s, &replaced, c->now_ms);
    (void)seat_set_string(c, &s->pod_uid, pod_uid);
    if (strcmp(text_of(s->former_uid), pod_uid) == 0) /* it was missing in a list, and is back */
        (void)seat_set_string(c, &s->former_uid, "");
    if (s->state == SEAT_LOST)
        seat_set_state(c, s, SEAT_AWAY);
    gang_check_end(c);
    gang_check_ready(c);
}

void coordinator_former_pod(struct coordinator *c, const char *role, uint32_t slot,
                            const char *pod_uid)
{
    struct seat *s = seat_find(c, role, slot);
    if (s && strcmp(text_of(s->pod_uid), pod_uid) != 0)
        (void)seat_set_string(c, &s->former_uid, pod_uid);
}

void coordinator_pod_lost(struct coordinator *c, const char *role, uint32_t slot,
                          const struct coordinator_loss *loss, int64_t now_ms)
{
    struct seat *s = seat_find(c, role, slot);
    if (!s || s->state == SEAT_LOST)
        return;
    c->now_ms = now_ms;
    seat_take_lost(c, s, loss, now_ms);
    gang_check_end(c);
    gang_check_ready(c);
}

/* ---- looking ---- */

int64_t coordinator_heard_ms(const struct coordinator *c, const char *role, uint32_t slot)
{
    const struct seat *s = seat_find(c, role, slot);
    return s ? s->heard_ms : INT64_MIN;
}

uint64_t coordinator_attempt(const struct coordinator *c)
{
    return c->attempt;
}

uint32_t coordinator_ready_count(const struct coordinator *c)
{
    return c->counts[SEAT_READY] + c->counts[SEAT_RUNNING];
}

uint32_t coordinator_running_ranks(const struct coordinator *c)
{
    return c->alive_ranks;
}

uint64_t coordinator_refusals(const struct coordinator *c)
{
    return c->refusals;
}

bool coordinator_is_running(const struct coordinator *c)
{
    if (c->phase == PHASE_COMPLETED)
        return gang_at_work(c) > 0;
    return c->phase != PHASE_GATHERING;
}

bool coordinator_failed(const struct coordinator *c)
{
    return c->failed;
}

/* ---- invariants ---- */

static void check_seat(const struct coordinator *c, const struct seat *s)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < EXITED_WORDS; i++)
        bits += (uint32_t)__builtin_popcountll(s->exited_bits[i]);
    assert(bits == s->exited && s->exited <= s->nproc && s->zero <= s->exited);
    if (s->channel) {
        assert(channel_seat(c, s->channel) == s);
        assert(s->pod_uid);
    }
    if (s->state == SEAT_READY)
        assert(s->pod_uid && !s->terminating && s->ready_attempt <= c->next_attempt);
    if (s->state == SEAT_RUNNING)
        assert(c->phase != PHASE_GATHERING);
    if (s->state == SEAT_UNKNOWN)
        assert(c->phase != PHASE_GATHERING && c->phase != PHASE_STARTED);
}

void coordinator_check(const struct coordinator *c)
{
    uint32_t counts[SEAT_STATES] = {0}, connected = 0, alive = 0, listed = 0, zero = 0;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        check_seat(c, s);
        counts[s->state]++;
        connected += s->channel != 0;
        zero += s->zero;
        if (s->state == SEAT_RUNNING)
            alive += s->nproc - s->exited;
    }
    assert(memcmp(counts, c->counts, sizeof counts) == 0);
    assert(connected == c->connected && alive == c->alive_ranks);
    if (c->phase == PHASE_STARTED)
        assert(zero == c->zero_exits);
    int64_t last = INT64_MIN;
    for (uint32_t i = c->check_first; i != SEAT_NONE; i = c->seats[i].after, listed++) {
        assert(c->seats[i].channel != 0 && c->seats[i].check_ms >= last);
        last = c->seats[i].check_ms;
    }
    assert(listed == c->connected);
    assert(c->next_attempt > c->attempt);
    if (c->collective)
        collective_check(c->collective);
    if (c->ready_told)
        assert(c->phase == PHASE_GATHERING);
    if (c->phase == PHASE_STARTED)
        assert(c->worst == FAILURE_NONE && !c->requested && !c->diverged && c->digest != 0);
}
