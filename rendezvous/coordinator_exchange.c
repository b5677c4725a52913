/* The exchange between members while an attempt runs: lets their messages into its collective, and
 * sends what comes out to the seats' channels. The collective stands from the first message of an
 * attempt to its end; a job that never exchanges anything has a NULL pointer. */
#include "rendezvous/coordinator_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "rendezvous/collective.h"

static void name_member(const void *arg, uint32_t node_rank, char *to, size_t size)
{
    const struct coordinator *c = arg;
    const struct seat *s = &c->seats[node_rank];
    (void)snprintf(to, size, "%s %" PRIu32, s->role, s->slot);
}

/* Members that are away ask again when they are back; those of an earlier release would close the
 * channel for it. */
static void send_on(struct coordinator *c)
{
    struct collective_output out;
    while (collective_next(c->collective, &out)) {
        uint64_t *channels = malloc(out.to_count * sizeof *channels);
        uint32_t count = 0;
        for (uint32_t i = 0; channels && i < out.to_count; i++) {
            const struct seat *s = &c->seats[out.to[i]];
            if (s->channel && s->takes_exchange)
                channels[count++] = s->channel;
        }
        c->failed |= !channels;
        output_send_all(c, channels, count, out.frame);
    }
    c->failed |= collective_failed(c->collective);
}

static bool is_gone(const struct seat *s)
{
    return s->state != SEAT_RUNNING && s->state != SEAT_UNKNOWN;
}

static bool has_ended(const struct seat *s)
{
    return s->state == SEAT_RUNNING && s->exited == s->nproc;
}

static void ended(struct coordinator *c, const struct seat *s, bool gone)
{
    if (!c->collective)
        return;
    collective_ended(c->collective, seat_index(c, s), gone);
    send_on(c);
}

/* What it had come to it may have said to the leader before us only, or on a channel that has
 * broken, and is about to say again: with our WELCOME, so before it answers a PING. */
void exchange_check_ended(struct coordinator *c, const struct seat *s)
{
    if (!c->collective || !has_ended(s))
        return;
    if (s->repeated)
        ended(c, s, false);
    else
        channel_ping(c, s);
}

static bool need_collective(struct coordinator *c)
{
    if (c->collective)
        return true;
    c->collective = collective_new(&(struct collective_config){.attempt = c->attempt,
                                                               .members = c->seats_count,
                                                               .adopted = c->adopted,
                                                               .budget = c->exchange_budget,
                                                               .name = name_member,
                                                               .arg = c});
    c->failed |= !c->collective;
    if (!c->collective)
        return false;
    for (uint32_t i = 0; i < c->seats_count; i++) {
        const struct seat *s = &c->seats[i];
        if (is_gone(s))
            collective_ended(c->collective, i, true);
        else
            exchange_check_ended(c, s);
    }
    return true;
}

void exchange_take(struct coordinator *c, struct seat *s, const struct rendezvous_message *m)
{
    const char *why = "no rank runs there";
    bool taken = s->state == SEAT_RUNNING;
    if (taken && !need_collective(c))
        return;
    if (taken) {
        taken = collective_take(c->collective, seat_index(c, s), m, &why);
        send_on(c);
    }
    if (!taken)
        message_refuse(c, s->channel, "%s of %s %" PRIu32 ": %s",
                       rendezvous_type_name((uint8_t)m->type), s->role, s->slot, why);
}

void exchange_joined(struct coordinator *c, const struct seat *s)
{
    if (c->collective) {
        collective_joined(c->collective, seat_index(c, s));
        send_on(c);
    }
    exchange_check_ended(c, s);
}

void exchange_ponged(struct coordinator *c, struct seat *s)
{
    if (s->repeated)
        return;
    s->repeated = true;
    if (has_ended(s))
        ended(c, s, false);
}

void exchange_gone(struct coordinator *c, const struct seat *s)
{
    ended(c, s, true);
}

void exchange_forget(struct coordinator *c)
{
    collective_free(c->collective);
    c->collective = NULL;
}
