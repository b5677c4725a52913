/* Gathers: who has come, who waits, and the one frame that all get. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/collective_internal.h"

#define ENTRY_BYTES 12 /* of an entry of GATHERED beside its data */
#define SHOWN_MAX 80   /* bytes of a name in words */
#define SET_WORDS_MAX (RENDEZVOUS_MEMBER_BITS_MAX / sizeof(uint64_t))

/* ---- memory ---- */

static size_t set_bytes(const struct collective *c)
{
    return c->words_count * sizeof(uint64_t);
}

/* What a gather takes beside its data and frame. */
static size_t gather_bytes(const struct collective *c, const struct gather *g)
{
    return sizeof *g + set_bytes(c) * (g->members ? 3 : 2);
}

static void drop_data(struct collective *c, struct gather *g)
{
    collective_discharge(c, g->entries_capacity * sizeof *g->entries + g->data_capacity);
    free(g->entries);
    free(g->data);
    g->entries = NULL;
    g->data = NULL;
    g->entries_count = g->entries_capacity = 0;
    g->data_length = g->data_capacity = 0;
}

static void gather_free(struct collective *c, struct gather *g)
{
    if (!g)
        return;
    drop_data(c, g);
    if (g->frame)
        collective_discharge(c, g->frame->length);
    frame_bytes_unref(g->frame);
    collective_discharge(c, gather_bytes(c, g));
    c->open_gathers -= !g->complete;
    free(g->here);
    free(g->waits);
    free(g->members);
    free(g);
}

/* NULL: no room, or memory is exhausted. `members`: NULL for all. */
static struct gather *gather_new(struct collective *c, uint64_t sequence, const uint64_t *members,
                                 uint32_t expected)
{
    struct gather *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->here = calloc(c->words_count, sizeof *g->here);
    g->waits = calloc(c->words_count, sizeof *g->waits);
    g->members = members ? malloc(set_bytes(c)) : NULL;
    bool made = g->here && g->waits && (g->members || !members);
    if (!made || !collective_charge(c, gather_bytes(c, g))) {
        free(g->here);
        free(g->waits);
        free(g->members);
        free(g);
        return NULL;
    }
    if (members)
        memcpy(g->members, members, set_bytes(c));
    g->sequence = sequence;
    g->expected = expected;
    c->open_gathers++;
    return g;
}

static struct gather_name *name_find(const struct collective *c, const char *name, uint64_t hash)
{
    struct chain_node *node = chain_find(&c->names, hash);
    while (node && strcmp(((struct gather_name *)node)->name, name) != 0)
        node = chain_more(node);
    return (struct gather_name *)node;
}

/* Finds or makes it; NULL: no room, or memory is exhausted. */
static struct gather_name *name_of(struct collective *c, const char *name)
{
    uint64_t hash = chain_hash(name);
    struct gather_name *n = name_find(c, name, hash);
    size_t size = sizeof *n + strlen(name) + 1;
    if (n)
        return n;
    if (c->names.count >= COLLECTIVE_NAMES_MAX || !collective_charge(c, size))
        return NULL;
    n = calloc(1, size);
    if (n)
        memcpy(n->name, name, strlen(name));
    if (!n || !chain_add(&c->names, &n->node, hash)) {
        free(n);
        collective_discharge(c, size);
        return NULL;
    }
    return n;
}

void gather_release_all(struct collective *c)
{
    struct chain_node *node = chain_each(&c->names, NULL);
    while (node) {
        struct gather_name *n = (struct gather_name *)node;
        node = chain_each(&c->names, node);
        gather_free(c, n->of[0]);
        gather_free(c, n->of[1]);
        collective_discharge(c, sizeof *n + strlen(n->name) + 1);
        free(n);
    }
    chain_release(&c->names);
}

/* ---- the result ---- */

static int compare_entries(const void *a, const void *b)
{
    const struct contribution *x = a, *y = b;
    return x->node_rank < y->node_rank ? -1 : x->node_rank > y->node_rank;
}

static bool is_too_large(const struct gather *g)
{
    return g->result_bytes > COLLECTIVE_RESULT_MAX ||
           g->result_bytes * g->expected > COLLECTIVE_RESULT_TOTAL_MAX;
}

static const char *explain(struct collective *c, const struct gather *g)
{
    if (g->outcome == RENDEZVOUS_OUTCOME_TOO_LARGE)
        (void)snprintf(c->reason, sizeof c->reason,
                       "the result has %" PRIu64 " bytes and would go to %" PRIu32
                       " members: at most %u bytes are sent, and %u in all",
                       g->result_bytes, g->expected, COLLECTIVE_RESULT_MAX,
                       COLLECTIVE_RESULT_TOTAL_MAX);
    else if (g->outcome == RENDEZVOUS_OUTCOME_NO_ROOM)
        (void)snprintf(c->reason, sizeof c->reason,
                       "the controller has no room for %" PRIu64 " bytes: it keeps %u of a job",
                       g->result_bytes, COLLECTIVE_BYTES_MAX);
    else
        c->reason[0] = '\0';
    return c->reason;
}

static const unsigned char *data_at(const struct gather *g, size_t offset)
{
    return g->data ? g->data + offset : NULL;
}

static struct frame_bytes *make_frame(const struct collective *c, const struct gather_name *n,
                                      struct gather *g, const char *words)
{
    struct rendezvous_gathered_entry *entries = NULL;
    if (g->entries_count > 0) {
        qsort(g->entries, g->entries_count, sizeof *g->entries, compare_entries);
        entries = calloc(g->entries_count, sizeof *entries);
        if (!entries)
            return NULL;
    }
    for (uint32_t i = 0; i < g->entries_count; i++)
        entries[i] = (struct rendezvous_gathered_entry){.node_rank = g->entries[i].node_rank,
                                                        .stays = g->entries[i].stays,
                                                        .data = data_at(g, g->entries[i].offset),
                                                        .data_length = g->entries[i].length};
    struct frame_bytes *frame = frame_bytes_new(
        &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                     .attempt = c->config.attempt,
                                     .gathered = {.name = n->name,
                                                  .sequence = g->sequence,
                                                  .outcome = (uint8_t)g->outcome,
                                                  .words = words,
                                                  .entries = entries,
                                                  .entries_count = g->entries_count}});
    free(entries);
    return frame;
}

/* Once it is made, the data is in the frame. */
static struct frame_bytes *frame_of(struct collective *c, const struct gather_name *n,
                                    struct gather *g, const char *words)
{
    if (g->frame)
        return g->frame;
    struct frame_bytes *frame = make_frame(c, n, g, words);
    drop_data(c, g);
    if (!frame || !collective_charge(c, frame->length)) {
        frame_bytes_unref(frame);
        g->outcome = RENDEZVOUS_OUTCOME_NO_ROOM;
        frame = make_frame(c, n, g, explain(c, g));
        if (!frame || !collective_charge(c, frame->length)) {
            frame_bytes_unref(frame);
            c->failed = true;
            return NULL;
        }
    }
    g->frame = frame;
    return frame;
}

/* Nobody has to be told when all who came have the result; who comes back will ask. */
static void finish(struct collective *c, const struct gather_name *n, struct gather *g,
                   enum rendezvous_outcome outcome, const char *words)
{
    assert(!g->complete);
    g->complete = true;
    g->outcome = outcome;
    c->open_gathers--;
    bool wanted = outcome != RENDEZVOUS_OUTCOME_OK; /* the words are known now only */
    for (size_t i = 0; i < c->words_count && !wanted; i++)
        wanted = g->waits[i] != 0;
    if (!wanted)
        return;
    struct frame_bytes *frame = frame_of(c, n, g, words);
    if (frame)
        collective_send_all(c, g->waits, frame);
}

static void complete(struct collective *c, const struct gather_name *n, struct gather *g)
{
    enum rendezvous_outcome outcome = RENDEZVOUS_OUTCOME_OK;
    if (is_too_large(g))
        outcome = RENDEZVOUS_OUTCOME_TOO_LARGE;
    else if (g->no_room)
        outcome = RENDEZVOUS_OUTCOME_NO_ROOM;
    g->outcome = outcome;
    finish(c, n, g, outcome, explain(c, g));
}

/* ---- failures ---- */

static bool takes_part(const struct gather *g, uint32_t node_rank)
{
    return !g->members || set_has(g->members, node_rank);
}

/* "gather x: WHAT; 2 of 8 members have not come: worker 5, worker 6" */
static const char *missing(struct collective *c, const struct gather_name *n,
                           const struct gather *g, const char *what)
{
    char shown[SHOWN_MAX], who[RENDEZVOUS_NAME_MAX + 16];
    struct mlt_text text = MLT_TEXT_INIT(RENDEZVOUS_REASON_MAX - 1);
    uint32_t left = g->expected - g->here_count, named = 0;
    mlt_text_printf(&text, "%s: %s", collective_clean(n->name, shown, sizeof shown), what);
    if (left > 0)
        mlt_text_printf(&text, "; %" PRIu32 " of %" PRIu32 " members have not come%s", left,
                        g->expected, c->config.adopted ? " since the change of leader" : "");
    for (uint32_t i = 0; i < c->config.members && named < COLLECTIVE_MISSING_MAX; i++) {
        if (!takes_part(g, i) || set_has(g->here, i))
            continue;
        c->config.name(c->config.arg, i, who, sizeof who);
        mlt_text_printf(&text, "%s%.100s", named++ == 0 ? ": " : ", ", who);
    }
    if (left > named)
        mlt_text_puts(&text, " ...");
    (void)snprintf(c->reason, sizeof c->reason, "%s", mlt_text_string(&text));
    mlt_text_release(&text);
    return c->reason;
}

static void fail_for(struct collective *c, struct gather_name *n, struct gather *g,
                     enum rendezvous_outcome outcome, uint32_t node_rank, const char *what)
{
    char who[RENDEZVOUS_NAME_MAX + 16], words[RENDEZVOUS_NAME_MAX + 64];
    c->config.name(c->config.arg, node_rank, who, sizeof who);
    (void)snprintf(words, sizeof words, "%.200s %s", who, what);
    const char *reason = missing(c, n, g, words);
    drop_data(c, g);
    finish(c, n, g, outcome, reason);
}

/* The first of `set` that takes part and has not come; false: there is none. */
static bool first_missing(const struct collective *c, const struct gather *g, const uint64_t *set,
                          uint32_t *ret)
{
    for (size_t i = 0; i < c->words_count; i++) {
        uint64_t missing = set[i] & ~g->here[i] & (g->members ? g->members[i] : UINT64_MAX);
        if (missing == 0)
            continue;
        *ret = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(missing);
        return true;
    }
    return false;
}

/* A member that has ended, and has not come to it before, never will. */
static void fail_if_ended(struct collective *c, struct gather_name *n, struct gather *g)
{
    uint32_t lost;
    if (c->ended_count > 0 && !g->complete && first_missing(c, g, c->ended, &lost))
        fail_for(c, n, g, RENDEZVOUS_OUTCOME_MEMBER_LOST, lost, "has ended");
}

void gather_member_ended(struct collective *c)
{
    if (c->open_gathers == 0)
        return;
    for (struct chain_node *node = chain_each(&c->names, NULL); node;
         node = chain_each(&c->names, node)) {
        struct gather_name *n = (struct gather_name *)node;
        for (int i = 0; i < 2; i++) {
            struct gather *g = n->of[i];
            if (g)
                fail_if_ended(c, n, g);
        }
    }
}

/* ---- a contribution ---- */

static bool grow(struct collective *c, void **array, size_t element, size_t need, size_t capacity,
                 size_t *ret_capacity)
{
    size_t more = capacity ? capacity : 16;
    while (more < need)
        more *= 2;
    if (need <= capacity)
        more = capacity;
    if (!collective_charge(c, (more - capacity) * element))
        return false;
    void *bigger = more == capacity ? *array : realloc(*array, more * element);
    if (!bigger) {
        collective_discharge(c, (more - capacity) * element);
        return false;
    }
    *array = bigger;
    *ret_capacity = more;
    return true;
}

static bool keep_entry(struct collective *c, struct gather *g, uint32_t node_rank,
                       const struct rendezvous_gather *m)
{
    size_t capacity;
    void *entries = g->entries, *data = g->data;
    if (!grow(c, &entries, sizeof *g->entries, g->entries_count + 1, g->entries_capacity,
              &capacity))
        return false;
    g->entries = entries;
    g->entries_capacity = (uint32_t)capacity;
    if (m->data_length > 0) {
        if (!grow(c, &data, 1, g->data_length + m->data_length, g->data_capacity, &capacity))
            return false;
        g->data = data;
        g->data_capacity = capacity;
        memcpy(g->data + g->data_length, m->data, m->data_length);
    }
    g->entries[g->entries_count++] = (struct contribution){.node_rank = node_rank,
                                                           .stays = m->stays,
                                                           .length = m->data_length,
                                                           .offset = g->data_length};
    g->data_length += m->data_length;
    return true;
}

/* False: it was here already. */
static bool come(struct gather *g, uint32_t node_rank)
{
    if (set_has(g->here, node_rank))
        return false;
    set_add(g->here, node_rank);
    g->here_count++;
    return true;
}

static void add(struct collective *c, struct gather_name *n, struct gather *g, uint32_t node_rank,
                const struct rendezvous_gather *m)
{
    if (m->state == RENDEZVOUS_GATHER_OPEN)
        set_add(g->waits, node_rank);
    if (!come(g, node_rank))
        return; /* a repetition */
    if (m->data_length > 0 || m->stays > 0) {
        g->result_bytes += ENTRY_BYTES + m->data_length;
        if (!g->dropped && (is_too_large(g) || !keep_entry(c, g, node_rank, m))) {
            g->no_room = !is_too_large(g);
            g->dropped = true;
            drop_data(c, g);
        }
    }
    if (g->here_count == g->expected)
        complete(c, n, g);
}

/* ---- who takes part ---- */

/* False when the set is none. *ret: NULL for all, else `room`. */
static bool read_members(const struct collective *c, uint32_t node_rank,
                         const struct rendezvous_gather *m, uint64_t *room, const uint64_t **ret,
                         uint32_t *ret_count)
{
    *ret = NULL;
    *ret_count = c->config.members;
    if (m->members_length == 0)
        return true;
    memset(room, 0, set_bytes(c));
    *ret_count = 0;
    for (size_t i = 0; i < m->members_length; i++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            if (!(m->members[i] >> bit & 1))
                continue;
            if (i * 8 + bit >= c->config.members)
                return false;
            set_add(room, (uint32_t)i * 8 + bit);
            ++*ret_count;
        }
    }
    if (*ret_count == 0 || !set_has(room, node_rank))
        return false;
    *ret = *ret_count == c->config.members ? NULL : room;
    return true;
}

static bool same_members(const struct collective *c, const struct gather *g,
                         const uint64_t *members)
{
    if (!g->members || !members)
        return !g->members && !members;
    return memcmp(g->members, members, set_bytes(c)) == 0;
}

/* ---- in ---- */

static void answer(struct collective *c, uint32_t to, const struct rendezvous_gather *m,
                   enum rendezvous_outcome outcome, const char *words)
{
    if (m->state == RENDEZVOUS_GATHER_DONE)
        return; /* it wants no answer */
    collective_send(c, to,
                    &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                                 .attempt = c->config.attempt,
                                                 .gathered = {.name = m->name,
                                                              .sequence = m->sequence,
                                                              .outcome = (uint8_t)outcome,
                                                              .words = words}});
}

static const char is_over[] = "two later ones of this name have begun";

/* A new gather of this name; the older of two before it is over for everybody: whoever is in this
 * one has had the one before, or its time was over. */
static struct gather *begin(struct collective *c, struct gather_name *n, uint64_t sequence,
                            const uint64_t *members, uint32_t expected)
{
    struct gather *g = gather_new(c, sequence, members, expected);
    if (!g)
        return NULL;
    if (n->of[0] && n->of[1]) {
        if (!n->of[0]->complete) {
            drop_data(c, n->of[0]);
            finish(c, n, n->of[0], RENDEZVOUS_OUTCOME_OVER, is_over);
        }
        gather_free(c, n->of[0]);
        n->of[0] = n->of[1];
        n->of[1] = NULL;
    }
    int place = n->of[0] ? 1 : 0;
    n->of[place] = g;
    if (place == 1 && n->of[0]->sequence > sequence) {
        n->of[1] = n->of[0];
        n->of[0] = g;
    }
    return g;
}

static struct gather *find(const struct gather_name *n, uint64_t sequence)
{
    for (int i = 0; i < 2; i++)
        if (n->of[i] && n->of[i]->sequence == sequence)
            return n->of[i];
    return NULL;
}

static void take_known(struct collective *c, struct gather_name *n, struct gather *g,
                       uint32_t node_rank, const struct rendezvous_gather *m,
                       const uint64_t *members)
{
    if (g->complete) {
        struct frame_bytes *frame =
            m->state == RENDEZVOUS_GATHER_DONE ? NULL : frame_of(c, n, g, "");
        if (frame)
            collective_send_frame(c, node_rank, frame);
        return;
    }
    if (!same_members(c, g, members)) {
        set_add(g->waits, node_rank);
        fail_for(c, n, g, RENDEZVOUS_OUTCOME_DISAGREE, node_rank,
                 "names other members than those that came before it");
        return;
    }
    if (m->state != RENDEZVOUS_GATHER_GIVEN_UP) {
        add(c, n, g, node_rank, m);
        fail_if_ended(c, n, g);
        return;
    }
    set_add(g->waits, node_rank);
    (void)come(g, node_rank); /* it had, though this controller may not have heard of it */
    fail_if_ended(c, n, g);   /* then that was the reason, or is the better one */
    if (!g->complete)
        fail_for(c, n, g, RENDEZVOUS_OUTCOME_TIMED_OUT, node_rank, "waits no longer");
}

/* Members take part in those of one name in their order, and say the last one again before the one
 * after it: who has come to the later one, and not to the one before it, never will. Its part in it
 * was known to another leader only. */
static void end_if_passed(struct collective *c, struct gather_name *n)
{
    struct gather *g = n->of[0];
    char who[RENDEZVOUS_NAME_MAX + 16];
    uint32_t passed;
    if (!n->of[1] || g->complete || !first_missing(c, g, n->of[1]->here, &passed))
        return;
    c->config.name(c->config.arg, passed, who, sizeof who);
    (void)snprintf(c->reason, sizeof c->reason, "%.200s has gone on to the next of this name", who);
    drop_data(c, g);
    finish(c, n, g, RENDEZVOUS_OUTCOME_OVER, c->reason);
}

bool gather_take(struct collective *c, uint32_t node_rank, const struct rendezvous_gather *m,
                 const char **ret_why)
{
    uint64_t room[SET_WORDS_MAX];
    const uint64_t *members;
    uint32_t count;
    if (!m->name[0] || !read_members(c, node_rank, m, room, &members, &count)) {
        *ret_why = "GATHER without a name, or of members that are none";
        answer(c, node_rank, m, RENDEZVOUS_OUTCOME_REFUSED, *ret_why);
        return false;
    }
    struct gather_name *n = name_of(c, m->name);
    struct gather *g = n ? find(n, m->sequence) : NULL;
    if (n && !g && n->of[0] && n->of[1] && m->sequence < n->of[0]->sequence) {
        answer(c, node_rank, m, RENDEZVOUS_OUTCOME_OVER, is_over);
        return true;
    }
    if (n && !g)
        g = begin(c, n, m->sequence, members, count);
    if (!g) {
        answer(c, node_rank, m, RENDEZVOUS_OUTCOME_NO_ROOM,
               "the controller has no room for another name or gather of this job");
        return true;
    }
    take_known(c, n, g, node_rank, m, members);
    end_if_passed(c, n);
    return true;
}

/* ---- invariants ---- */

static void check_gather(const struct collective *c, const struct gather *g)
{
    uint32_t here = 0;
    for (size_t i = 0; i < c->words_count; i++)
        here += (uint32_t)__builtin_popcountll(g->here[i]);
    assert(here == g->here_count && here <= g->expected);
    assert(g->complete || here < g->expected);
    assert(!g->frame || g->complete);
    assert(!g->frame || g->entries_count == 0);
    assert(g->entries_count <= g->here_count && g->entries_count <= g->entries_capacity);
    assert(g->data_length <= g->data_capacity);
}

void gather_check(const struct collective *c)
{
    uint32_t open = 0;
    for (struct chain_node *node = chain_each(&c->names, NULL); node;
         node = chain_each(&c->names, node)) {
        const struct gather_name *n = (const struct gather_name *)node;
        for (int i = 0; i < 2; i++) {
            if (!n->of[i])
                continue;
            check_gather(c, n->of[i]);
            open += !n->of[i]->complete;
        }
        if (n->of[0] && n->of[1])
            assert(n->of[0]->sequence < n->of[1]->sequence);
        assert(n->of[0] || !n->of[1]);
    }
    assert(open == c->open_gathers);
}
