/* This member's part in gathers: begun, said, said again, and kept until everybody has the result.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange_internal.h"

/* ---- memory ---- */

static bool stays(const struct part *p)
{
    return p->length > RENDEZVOUS_CONTRIBUTION_MAX;
}

static size_t *account(struct exchange *x, const struct part *p)
{
    return stays(p) ? &x->staying_bytes : &x->sent_bytes;
}

static void part_free(struct exchange *x, struct part *p)
{
    if (!p)
        return;
    if (p->name->last == p) {
        TAILQ_REMOVE(&x->kept, p, kept);
        p->name->last = NULL;
    } else {
        p->name->open = NULL;
    }
    *account(x, p) -= p->length;
    exchange_request_release(&p->request);
    free(p->members);
    free(p->data);
    free(p);
}

/* The bits of those that take part; NULL with *ret_length 0: all. */
static int make_members(const struct exchange *x, const uint32_t *members, size_t count,
                        unsigned char **ret, uint32_t *ret_length, struct mlt_error *err)
{
    bool has_us = false;
    *ret = NULL;
    *ret_length = 0;
    if (count == 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (members[i] >= x->nodes || (i > 0 && members[i] <= members[i - 1]))
            return mlt_fail(err, EINVAL, "node ranks from 0 to %u expected, in ascending order",
                            x->nodes - 1);
        has_us |= members[i] == x->node_rank;
    }
    if (!has_us)
        return mlt_fail(err, EINVAL, "node rank %u, which asks for it, does not take part",
                        x->node_rank);
    uint32_t length = members[count - 1] / 8 + 1;
    unsigned char *bits = calloc(length, 1);
    if (!bits)
        return mlt_fail(err, ENOMEM, "no memory for a gather");
    for (size_t i = 0; i < count; i++)
        bits[members[i] / 8] |= (unsigned char)(1u << members[i] % 8);
    *ret = bits;
    *ret_length = length;
    return 0;
}

/* The oldest of those that are done make way. A member that still lacks such a result would miss
 * it after a change of leader only. */
static bool make_room(struct exchange *x, const struct part *p)
{
    size_t max = stays(p) ? EXCHANGE_STAYING_BYTES_MAX : EXCHANGE_KEPT_BYTES_MAX;
    struct part *old = TAILQ_FIRST(&x->kept);
    while (old && *account(x, p) + p->length > max) {
        struct part *next = TAILQ_NEXT(old, kept);
        if (old->length > 0 && stays(old) == stays(p))
            part_free(x, old);
        old = next;
    }
    return *account(x, p) + p->length <= max;
}

static struct gather_name *find(const struct exchange *x, const char *name)
{
    struct chain_node *node = chain_find(&x->names, chain_hash(name));
    while (node && strcmp(((struct gather_name *)node)->name, name) != 0)
        node = chain_more(node);
    return (struct gather_name *)node;
}

static struct gather_name *find_or_make(struct exchange *x, const char *name)
{
    struct gather_name *n = find(x, name);
    if (n)
        return n;
    n = calloc(1, sizeof *n + strlen(name) + 1);
    if (!n)
        return NULL;
    memcpy(n->name, name, strlen(name));
    if (!chain_add(&x->names, &n->node, chain_hash(name))) {
        free(n);
        return NULL;
    }
    return n;
}

const struct part *exchange_part_find(const struct exchange *x, const char *name, uint64_t sequence)
{
    const struct gather_name *n = find(x, name);
    if (n && n->open && n->open->sequence == sequence)
        return n->open;
    if (n && n->last && n->last->sequence == sequence && n->last->state == RENDEZVOUS_GATHER_DONE)
        return n->last;
    return NULL;
}

/* ---- out ---- */

static void say(struct exchange *x, const struct part *p)
{
    struct rendezvous_gather gather = {.name = p->name->name,
                                       .sequence = p->sequence,
                                       .state = (uint8_t)p->state,
                                       .members = p->members,
                                       .members_length = p->members_length};
    if (p->request.last_word)
        gather.state = RENDEZVOUS_GATHER_GIVEN_UP;
    if (stays(p)) {
        gather.stays = p->length;
    } else {
        gather.data = p->data;
        gather.data_length = p->length;
    }
    exchange_send(x, &(struct rendezvous_message){
                         .type = RENDEZVOUS_GATHER, .attempt = x->attempt, .gather = gather});
}

/* Others may lack its result, and the controller cannot give it by itself: it has failed, or
 * another one gave it. DONE has no answer, so nothing tells that this one has heard it. */
static bool is_wanted(const struct exchange *x, const struct part *last)
{
    return last->state == RENDEZVOUS_GATHER_GIVEN_UP ||
           last->lease_transitions != x->lease_transitions;
}

/* The last one of a name first: of two sequences the controller should hear the lower one first. */
void exchange_parts_repeat(struct exchange *x)
{
    for (struct chain_node *node = chain_each(&x->names, NULL); node;
         node = chain_each(&x->names, node)) {
        const struct gather_name *n = (struct gather_name *)node;
        if (n->last && is_wanted(x, n->last))
            say(x, n->last);
        if (n->open)
            say(x, n->open);
    }
}

/* ---- the end of one ---- */

/* From open to last; the one before that is over for everybody. One that failed has nothing to
 * give, but is remembered, so that others learn of it. */
static void keep(struct exchange *x, struct part *p, bool done)
{
    struct gather_name *n = p->name;
    part_free(x, n->last);
    n->open = NULL;
    n->last = p;
    p->state = done ? RENDEZVOUS_GATHER_DONE : RENDEZVOUS_GATHER_GIVEN_UP;
    p->lease_transitions = x->lease_transitions;
    p->request.last_word = false;
    if (!done) {
        *account(x, p) -= p->length;
        p->length = 0;
        free(p->data);
        p->data = NULL;
    }
    TAILQ_INSERT_TAIL(&x->kept, p, kept);
}

/* Takes over the content of `m`, unless there is none. */
static bool fill_in(struct pending_output *o, struct rendezvous_message *m)
{
    struct rendezvous_gathered *g = &m->gathered;
    if (g->entries_count == 0)
        return true;
    o->entries = calloc(g->entries_count, sizeof *o->entries);
    if (!o->entries)
        return false;
    for (uint32_t i = 0; i < g->entries_count; i++) {
        bool is_here = g->entries[i].stays == 0;
        o->entries[i] = (struct exchange_entry){.node_rank = g->entries[i].node_rank,
                                                .data = is_here ? g->entries[i].data : NULL,
                                                .length = is_here ? g->entries[i].data_length
                                                                  : g->entries[i].stays};
    }
    o->out.entries = o->entries;
    o->out.entries_count = g->entries_count;
    o->held = *m; /* what the entries point into */
    *m = (struct rendezvous_message){0};
    return true;
}

bool exchange_parts_take(struct exchange *x, struct rendezvous_message *m)
{
    const struct gather_name *n = find(x, m->gathered.name);
    struct part *p = n ? n->open : NULL;
    if (!p || p->sequence != m->gathered.sequence)
        return false;
    enum exchange_outcome outcome = (enum exchange_outcome)m->gathered.outcome;
    bool done =
        outcome == EXCHANGE_OK || outcome == EXCHANGE_TOO_LARGE || outcome == EXCHANGE_NO_ROOM;
    if (p->request.done)
        p->request.done->out.sequence = p->sequence;
    if (outcome != EXCHANGE_OK)
        exchange_request_done(x, &p->request, outcome, m->gathered.words);
    else if (p->request.done && !fill_in(p->request.done, m))
        exchange_request_done(x, &p->request, EXCHANGE_NO_ROOM,
                              "the launcher has no memory for the result");
    else
        exchange_request_done(x, &p->request, EXCHANGE_OK, "");
    keep(x, p, done);
    return true;
}

void exchange_parts_timer(struct exchange *x)
{
    for (struct chain_node *node = chain_each(&x->names, NULL); node;
         node = chain_each(&x->names, node)) {
        struct part *p = ((struct gather_name *)node)->open;
        int expired = p ? exchange_request_expired(x, &p->request) : 0;
        if (expired == 1)
            say(x, p);
        if (expired != 2)
            continue;
        exchange_request_done(x, &p->request, EXCHANGE_TIMED_OUT,
                              x->connected ? "the time is over, and the controller says nothing"
                                           : "the time is over, and there is no channel to the "
                                             "controller");
        keep(x, p, false);
    }
}

bool exchange_parts_cancel(struct exchange *x, enum exchange_user user, uint64_t tag)
{
    for (struct chain_node *node = chain_each(&x->names, NULL); node;
         node = chain_each(&x->names, node)) {
        struct part *p = ((struct gather_name *)node)->open;
        if (!p || !exchange_request_is(&p->request, user, tag))
            continue;
        exchange_request_release(&p->request);
        return true;
    }
    return false;
}

void exchange_parts_end(struct exchange *x, enum exchange_outcome outcome, const char *words)
{
    for (struct chain_node *node = chain_each(&x->names, NULL); node;
         node = chain_each(&x->names, node)) {
        struct part *p = ((struct gather_name *)node)->open;
        if (!p)
            continue;
        exchange_request_done(x, &p->request, outcome, words);
        part_free(x, p);
    }
}

void exchange_parts_forget(struct exchange *x)
{
    struct chain_node *node = chain_each(&x->names, NULL);
    while (node) {
        struct gather_name *n = (struct gather_name *)node;
        node = chain_each(&x->names, node);
        part_free(x, n->open);
        part_free(x, n->last);
        free(n);
    }
    chain_release(&x->names);
}

/* ---- beginning ---- */

/* Nobody else takes part: it is complete. */
static int finish_alone(struct exchange *x, struct part *p, struct mlt_error *err)
{
    struct pending_output *o = p->request.done;
    if (p->length > 0) {
        o->entries = calloc(1, sizeof *o->entries);
        if (!o->entries)
            return mlt_fail(err, ENOMEM, "no memory for a gather");
        *o->entries = (struct exchange_entry){
            .node_rank = x->node_rank, .data = p->data, .length = p->length};
        o->bytes = (char *)p->data;
        p->data = NULL;
        *account(x, p) -= p->length;
        p->length = 0;
        o->out.entries = o->entries;
        o->out.entries_count = 1;
    }
    o->out.sequence = p->sequence;
    exchange_request_done(x, &p->request, EXCHANGE_OK, "");
    p->name->next_sequence++;
    part_free(x, p);
    return 0;
}

static int fill_part(struct exchange *x, struct part *p, const struct exchange_request *request,
                     const void *data, size_t length, struct mlt_error *err)
{
    p->length = (uint32_t)length;
    if (!make_room(x, p)) {
        p->length = 0;
        return mlt_fail(err, ENOSPC, "no room for %zu bytes more in gathers that are open", length);
    }
    p->data = length > 0 ? malloc(length) : NULL;
    if (length > 0 && !p->data) {
        p->length = 0;
        return mlt_fail(err, ENOMEM, "no memory for a gather");
    }
    if (length > 0)
        memcpy(p->data, data, length);
    *account(x, p) += length;
    return exchange_request_init(x, &p->request, request, err);
}

int exchange_gather(struct exchange *x, const struct exchange_request *request, const void *data,
                    size_t length, const uint32_t *members, size_t members_count, int64_t now_ms,
                    struct mlt_error *err)
{
    char name[RENDEZVOUS_EXCHANGE_NAME_MAX + 1];
    unsigned char *bits;
    uint32_t bits_length;
    int rc = exchange_may_begin(x, request, now_ms, name, err);
    if (rc < 0)
        return rc;
    if (length > EXCHANGE_VALUE_MAX)
        return mlt_fail(err, EMSGSIZE, "%zu bytes for %s: at most %u are gathered", length,
                        request->name, EXCHANGE_VALUE_MAX);
    struct gather_name *n = find(x, name);
    if (n && n->open)
        return mlt_fail(err, EBUSY, "a gather of the name %s is open", request->name);
    if (!n && x->names.count >= EXCHANGE_NAMES_MAX)
        return mlt_fail(err, ENOSPC, "more than %d names of gathers in one attempt",
                        EXCHANGE_NAMES_MAX);
    rc = make_members(x, members, members_count, &bits, &bits_length, err);
    if (rc < 0)
        return rc;
    struct part *p = calloc(1, sizeof *p);
    n = p ? find_or_make(x, name) : NULL;
    if (!n) {
        free(bits);
        free(p);
        return mlt_fail(err, ENOMEM, "no memory for a gather");
    }
    *p = (struct part){
        .name = n, .sequence = n->next_sequence, .members = bits, .members_length = bits_length};
    n->open = p;
    rc = fill_part(x, p, request, data, length, err);
    bool alone = x->nodes == 1 || members_count == 1;
    if (rc == 0 && alone)
        rc = finish_alone(x, p, err);
    if (rc < 0) {
        part_free(x, p);
        return rc;
    }
    if (alone)
        return 0;
    n->next_sequence++;
    say(x, p);
    return 0;
}

/* ---- invariants ---- */

void exchange_parts_check(const struct exchange *x)
{
    size_t sent = 0, staying = 0, kept = 0, listed = 0;
    for (struct chain_node *node = chain_each(&x->names, NULL); node;
         node = chain_each(&x->names, node)) {
        const struct gather_name *n = (const struct gather_name *)node;
        const struct part *both[2] = {n->open, n->last};
        for (int i = 0; i < 2; i++)
            if (both[i])
                *(stays(both[i]) ? &staying : &sent) += both[i]->length;
        if (n->open)
            assert(n->open->state == RENDEZVOUS_GATHER_OPEN &&
                   n->open->sequence + 1 == n->next_sequence);
        if (n->last)
            assert(n->last->state != RENDEZVOUS_GATHER_OPEN && !n->last->request.done &&
                   n->last->sequence < n->next_sequence);
        kept += n->last != NULL;
    }
    const struct part *p;
    TAILQ_FOREACH(p, &x->kept, kept)
    listed++;
    assert(kept == listed && sent == x->sent_bytes && staying == x->staying_bytes);
    assert(sent <= EXCHANGE_KEPT_BYTES_MAX && staying <= EXCHANGE_STAYING_BYTES_MAX);
}
