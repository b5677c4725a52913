/* Channels of a coordinator: which seat a channel belongs to, and whether its peer is still there.
 * Everything here is O(1) in the size of the gang: a hash table by channel, and a list of connected
 * seats by the time of their next check. */
#include "rendezvous/coordinator_internal.h"

#include <stdio.h>

/* ---- the table ---- (open addressing, linear probing, removal by shifting back: Knuth, TAOCP
 * 3, 6.4 R) */

static uint32_t home(const struct coordinator *c, uint64_t channel)
{
    return (uint32_t)(channel * UINT64_C(0x9e3779b97f4a7c15) >> 32) & c->channels_mask;
}

static uint32_t find_slot(const struct coordinator *c, uint64_t channel)
{
    uint32_t i = home(c, channel);
    while (c->channels[i].channel != 0 && c->channels[i].channel != channel)
        i = (i + 1) & c->channels_mask;
    return i;
}

struct seat *channel_seat(const struct coordinator *c, uint64_t channel)
{
    if (channel == 0)
        return NULL;
    const struct channel_slot *slot = &c->channels[find_slot(c, channel)];
    return slot->channel ? &c->seats[slot->seat] : NULL;
}

static void remove_slot(struct coordinator *c, uint64_t channel)
{
    uint32_t hole = find_slot(c, channel), i = hole;
    if (c->channels[hole].channel == 0)
        return;
    for (;;) {
        c->channels[hole].channel = 0;
        for (;;) {
            i = (i + 1) & c->channels_mask;
            if (c->channels[i].channel == 0)
                return;
            uint32_t distance = (i - home(c, c->channels[i].channel)) & c->channels_mask;
            if (distance >= ((i - hole) & c->channels_mask))
                break;
        }
        c->channels[hole] = c->channels[i];
        hole = i;
    }
}

/* ---- the list ---- */

static void unlist(struct coordinator *c, struct seat *s)
{
    if (s->before == SEAT_NONE)
        c->check_first = s->after;
    else
        c->seats[s->before].after = s->after;
    if (s->after == SEAT_NONE)
        c->check_last = s->before;
    else
        c->seats[s->after].before = s->before;
}

/* Every check is due the same time after now, so the end of the list is the right place. */
static void list_last(struct coordinator *c, struct seat *s, int64_t now_ms)
{
    uint32_t index = seat_index(c, s);
    s->check_ms = now_ms + COORDINATOR_CHECK_MS;
    s->before = c->check_last;
    s->after = SEAT_NONE;
    if (c->check_last == SEAT_NONE)
        c->check_first = index;
    else
        c->seats[c->check_last].after = index;
    c->check_last = index;
}

void channel_bind(struct coordinator *c, struct seat *s, uint64_t channel, int64_t now_ms)
{
    uint32_t slot = find_slot(c, channel);
    c->channels[slot] = (struct channel_slot){.channel = channel, .seat = seat_index(c, s)};
    s->channel = s->newest_channel = channel;
    s->unpinged = 0;
    s->repeated = false;
    c->connected++;
    list_last(c, s, now_ms);
    channel_heard(c, s, now_ms);
}

void channel_unbind(struct coordinator *c, struct seat *s)
{
    if (s->channel == 0)
        return;
    remove_slot(c, s->channel);
    unlist(c, s);
    s->channel = 0;
    c->connected--;
}

void channel_heard(struct coordinator *c, struct seat *s, int64_t now_ms)
{
    s->heard = true;
    s->heard_ms = now_ms;
    s->silent = 0;
    s->challenged = false;
    if (!s->suspect)
        return;
    output_member(c, COORDINATOR_CLEARED, s);
    s->suspect = false;
    c->suspects--;
    stall_restart_if_it_tells(c, s);
}

/* ---- refusals ---- */

/* Counts a refusal and says why; `reason` holds RENDEZVOUS_REASON_MAX bytes. */
static void count_refusal(struct coordinator *c, uint64_t channel, char *reason, const char *format,
                          va_list args) MLT_PRINTF(4, 0);
static void count_refusal(struct coordinator *c, uint64_t channel, char *reason, const char *format,
                          va_list args)
{
    (void)vsnprintf(reason, RENDEZVOUS_REASON_MAX, format, args);
    c->refusals++;
    output_words(c, COORDINATOR_REFUSED, channel, "%s", reason);
}

void channel_refuse(struct coordinator *c, uint64_t channel, bool final, const char *format, ...)
{
    char reason[RENDEZVOUS_REASON_MAX];
    va_list args;
    va_start(args, format);
    count_refusal(c, channel, reason, format, args);
    va_end(args);
    struct rendezvous_message refused = {.type = RENDEZVOUS_REFUSED,
                                         .attempt = c->attempt,
                                         .refused = {.reason = reason, .final = final}};
    output_send(c, channel, &refused);
    output_words(c, COORDINATOR_CLOSE, channel, "%s", reason);
}

void channel_dismiss(struct coordinator *c, struct seat *s, const char *words)
{
    struct rendezvous_message refused = {.type = RENDEZVOUS_REFUSED,
                                         .attempt = c->attempt,
                                         .refused = {.reason = words, .final = true}};
    output_send(c, s->channel, &refused);
    output_words(c, COORDINATOR_CLOSE, s->channel, "%s", words);
    output_member(c, COORDINATOR_MEMBER_ABSENT, s);
    channel_unbind(c, s);
}

void message_refuse(struct coordinator *c, uint64_t channel, const char *format, ...)
{
    char reason[RENDEZVOUS_REASON_MAX];
    va_list args;
    va_start(args, format);
    count_refusal(c, channel, reason, format, args);
    va_end(args);
}

/* ---- time ---- */

void coordinator_closed(struct coordinator *c, uint64_t channel, int64_t now_ms)
{
    c->now_ms = now_ms;
    struct seat *s = channel_seat(c, channel);
    if (!s)
        return;
    output_member(c, COORDINATOR_MEMBER_ABSENT, s);
    channel_unbind(c, s);
    stall_restart_if_it_tells(c, s);
}

void channel_ping(struct coordinator *c, const struct seat *s)
{
    struct rendezvous_message ping = {
        .type = RENDEZVOUS_PING, .attempt = c->attempt, .ping = {.nonce = (uint64_t)c->now_ms}};
    output_send(c, s->channel, &ping);
}

/* Counted in checks and not in time: when we were held up ourselves, its words wait to be read. A
 * launcher has to hear from us now and then, however much it says itself, and one with a fence at
 * every check. */
static void check_silent(struct coordinator *c, struct seat *s, int64_t now_ms)
{
    bool fenced = c->welcome.welcome.fence_ms > 0;
    s->silent = s->heard ? 0 : s->silent + 1;
    s->heard = false;
    if (s->silent >= COORDINATOR_CHECKS_MAX) {
        output_words(c, COORDINATOR_CLOSE, s->channel, "nothing was heard of %s %u for %d s",
                     s->role, s->slot, COORDINATOR_CHECKS_MAX * COORDINATOR_CHECK_MS / 1000);
        coordinator_closed(c, s->channel, now_ms);
        return;
    }
    bool doubtful = s->state == SEAT_RUNNING && s->seen && clock_is_doubtful(c, s);
    bool due = ++s->unpinged >= COORDINATOR_PING_CHECKS;
    if (s->silent == 1 || (s->silent == 0 && (fenced || doubtful || due))) {
        channel_ping(c, s);
        s->unpinged = 0;
    }
    if (s->silent == 2 && !s->suspect) {
        s->suspect = true;
        c->suspects++;
        output_member(c, COORDINATOR_SUSPECT, s);
    }
    unlist(c, s);
    list_last(c, s, now_ms);
}

void coordinator_timer(struct coordinator *c, int64_t now_ms)
{
    c->now_ms = now_ms;
    int64_t until_ms = now_ms + COORDINATOR_CHECK_EARLY_MS;
    while (c->check_first != SEAT_NONE && c->seats[c->check_first].check_ms <= until_ms)
        check_silent(c, &c->seats[c->check_first], now_ms);
    if (c->phase == PHASE_ADOPTING && now_ms >= c->adopt_until_ms)
        gang_diverge(c, "not every member came back in time after the change of leader");
    stall_check(c);
    gang_check_end(c);
    gang_check_ready(c);
}

int64_t coordinator_wake_ms(const struct coordinator *c)
{
    int64_t wake = c->check_first == SEAT_NONE ? INT64_MAX : c->seats[c->check_first].check_ms;
    bool waits = c->phase == PHASE_ADOPTING ||
                 (c->counts[SEAT_UNKNOWN] > 0 && c->now_ms < c->adopt_until_ms);
    if (waits && c->adopt_until_ms < wake)
        wake = c->adopt_until_ms;
    if (c->save.active && c->save.deadline_ms < wake)
        wake = c->save.deadline_ms;
    int64_t stall_ms = stall_wake_ms(c);
    return stall_ms < wake ? stall_ms : wake;
}
