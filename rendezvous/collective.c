/* The exchange of one attempt: its life, its budget, and what goes out. See collective.h;
 * collective_gather.c and collective_value.c have the rules. */
#include "rendezvous/collective_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct collective *collective_new(const struct collective_config *config)
{
    struct collective *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->config = *config;
    c->words_count = (config->members + 63) / 64;
    c->ended = calloc(2 * c->words_count, sizeof *c->ended);
    if (!c->ended) {
        free(c);
        return NULL;
    }
    c->gone = c->ended + c->words_count;
    STAILQ_INIT(&c->sendings);
    return c;
}

static void free_sending(struct sending *s)
{
    if (!s)
        return;
    frame_bytes_unref(s->frame);
    free(s);
}

void collective_free(struct collective *c)
{
    if (!c)
        return;
    gather_release_all(c);
    value_release_all(c);
    while (!STAILQ_EMPTY(&c->sendings)) {
        struct sending *s = STAILQ_FIRST(&c->sendings);
        STAILQ_REMOVE_HEAD(&c->sendings, next);
        free_sending(s);
    }
    free_sending(c->given);
    assert(c->bytes == 0);
    free(c->ended);
    free(c);
}

/* ---- budget ---- */

bool collective_charge(struct collective *c, size_t bytes)
{
    struct collective_budget *all = c->config.budget;
    if (bytes > COLLECTIVE_BYTES_MAX - c->bytes || (all && bytes > all->max - all->used))
        return false;
    c->bytes += bytes;
    if (all)
        all->used += bytes;
    return true;
}

void collective_discharge(struct collective *c, size_t bytes)
{
    assert(bytes <= c->bytes);
    c->bytes -= bytes;
    if (c->config.budget)
        c->config.budget->used -= bytes;
}

size_t collective_bytes(const struct collective *c)
{
    return c->bytes;
}

/* ---- out ---- */

/* Takes over the reference. */
static void queue(struct collective *c, const uint64_t *set, uint32_t to, uint32_t to_count,
                  struct frame_bytes *frame)
{
    struct sending *s = frame ? malloc(sizeof *s + to_count * sizeof s->to[0]) : NULL;
    if (!s) {
        frame_bytes_unref(frame);
        c->failed = true;
        return;
    }
    s->frame = frame;
    s->to_count = to_count;
    if (set) {
        for (uint32_t i = 0, n = 0; n < to_count; i++)
            if (set_has(set, i))
                s->to[n++] = i;
    } else {
        s->to[0] = to;
    }
    STAILQ_INSERT_TAIL(&c->sendings, s, next);
}

void collective_send(struct collective *c, uint32_t to, const struct rendezvous_message *m)
{
    queue(c, NULL, to, 1, frame_bytes_new(m));
}

void collective_send_frame(struct collective *c, uint32_t to, struct frame_bytes *frame)
{
    queue(c, NULL, to, 1, frame_bytes_ref(frame));
}

void collective_send_all(struct collective *c, const uint64_t *set, struct frame_bytes *frame)
{
    uint32_t count = 0;
    for (size_t i = 0; i < c->words_count; i++)
        count += (uint32_t)__builtin_popcountll(set[i]);
    if (count > 0)
        queue(c, set, 0, count, frame_bytes_ref(frame));
}

bool collective_next(struct collective *c, struct collective_output *ret)
{
    free_sending(c->given);
    c->given = STAILQ_FIRST(&c->sendings);
    if (!c->given)
        return false;
    STAILQ_REMOVE_HEAD(&c->sendings, next);
    *ret = (struct collective_output){
        .to = c->given->to, .to_count = c->given->to_count, .frame = c->given->frame};
    return true;
}

const char *collective_clean(const char *name, char *to, size_t size)
{
    size_t i = 0;
    for (; name[i] && i + 1 < size; i++)
        to[i] = name[i] >= ' ' && name[i] <= '~' ? name[i] : '?';
    to[i] = '\0';
    return to;
}

/* ---- in ---- */

bool collective_take(struct collective *c, uint32_t node_rank, const struct rendezvous_message *m,
                     const char **ret_why)
{
    assert(node_rank < c->config.members);
    switch (m->type) {
    case RENDEZVOUS_GATHER:
        return gather_take(c, node_rank, &m->gather, ret_why);
    case RENDEZVOUS_PUT:
        return value_take_put(c, node_rank, &m->put, ret_why);
    case RENDEZVOUS_GET:
        return value_take_get(c, node_rank, &m->get, ret_why);
    case RENDEZVOUS_VALUE:
        return value_take_answer(c, node_rank, &m->value, ret_why);
    default:
        *ret_why = "no message of the exchange";
        return false;
    }
}

void collective_joined(struct collective *c, uint32_t node_rank)
{
    value_member_joined(c, node_rank);
}

void collective_ended(struct collective *c, uint32_t node_rank, bool gone)
{
    if (!set_has(c->ended, node_rank)) {
        set_add(c->ended, node_rank);
        c->ended_count++;
        gather_member_ended(c);
    }
    if (gone && !set_has(c->gone, node_rank)) {
        set_add(c->gone, node_rank);
        value_member_gone(c, node_rank);
    }
}

bool collective_failed(const struct collective *c)
{
    return c->failed;
}

void collective_check(const struct collective *c)
{
    assert(c->bytes <= COLLECTIVE_BYTES_MAX);
    assert(!c->config.budget || c->config.budget->used <= c->config.budget->max);
    assert(c->names.count <= COLLECTIVE_NAMES_MAX && c->values.count <= COLLECTIVE_VALUES_MAX);
    gather_check(c);
    value_check(c);
}
