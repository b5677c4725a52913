/* Puts that are too much to be sent to all: see pmi1_spread.h. */
#include "launcher/pmi1_spread.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct question {
    uint64_t number, sequence;
};

struct pmi1_spread {
    const struct pmi1_spread_ops *ops;
    void *arg;
    uint32_t nodes, node_rank;
    uint32_t size; /* pods of a group; of the last one, perhaps less */
    uint32_t group, groups;
    bool running;
    uint64_t sequence; /* of the barrier that runs, or ran last; NEVER */
    /* Our group's piece of that barrier. */
    bool is_gathered; /* it is known: */
    unsigned char *piece;
    size_t piece_length;
    bool has_piece;
    /* What is still to be asked for. */
    uint32_t next_group;
    uint32_t alone[PMI1_SPREAD_GROUP_MAX]; /* pods that are asked one by one */
    uint32_t alone_count;
    bool asks_group; /* the question that is out; else one of those */
    struct question questions[PMI1_SPREAD_QUESTIONS_MAX]; /* of others, too early for us */
    uint32_t questions_count;
};

#define NEVER UINT64_MAX

static uint32_t group_size(uint32_t nodes)
{
    uint32_t size = 1;
    while (size < PMI1_SPREAD_GROUP_MAX && size * size < nodes)
        size++;
    return size;
}

struct pmi1_spread *pmi1_spread_new(uint32_t nodes, uint32_t node_rank,
                                    const struct pmi1_spread_ops *ops, void *arg)
{
    uint32_t size = group_size(nodes);
    struct pmi1_spread *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->ops = ops;
    s->arg = arg;
    s->nodes = nodes;
    s->node_rank = node_rank;
    s->size = size;
    s->group = node_rank / size;
    s->groups = (nodes + size - 1) / size;
    s->sequence = NEVER;
    return s;
}

void pmi1_spread_free(struct pmi1_spread *s)
{
    if (s)
        free(s->piece);
    free(s);
}

static uint32_t members_of(const struct pmi1_spread *s, uint32_t group)
{
    uint32_t left = s->nodes - group * s->size;
    return left < s->size ? left : s->size;
}

/* Another one for each asker of a group, and for each group. */
static uint32_t whom_to_ask(const struct pmi1_spread *s, uint32_t group)
{
    uint32_t place = s->node_rank % s->size + s->group;
    return group * s->size + place % members_of(s, group);
}

/* ---- our group's piece ---- */

/* What a pod gives instead of puts that are too large for a piece: no key begins so. */
static const char too_large[] = "\xff";

static bool is_here(const struct exchange_entry *entry)
{
    return entry->data && !(entry->length == 1 && entry->data[0] == (unsigned char)too_large[0]);
}

static void answer(struct pmi1_spread *s, uint64_t question)
{
    s->ops->answer(s->arg, question, s->has_piece ? EXCHANGE_OK : EXCHANGE_REFUSED, s->piece,
                   s->has_piece ? s->piece_length : 0);
}

static void answer_those_that_wait(struct pmi1_spread *s)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->questions_count; i++) {
        const struct question q = s->questions[i];
        if (q.sequence == s->sequence)
            answer(s, q.number);
        else
            s->questions[kept++] = q;
    }
    s->questions_count = kept;
}

/* Who is ahead of us waits; who is behind cannot be: we are in this barrier because all have come,
 * and nobody comes before it has all of the last one. */
void pmi1_spread_asked(struct pmi1_spread *s, uint64_t question, uint64_t sequence)
{
    bool early = s->sequence == NEVER || sequence > s->sequence ||
                 (sequence == s->sequence && !s->is_gathered);
    if (sequence == s->sequence && s->is_gathered)
        answer(s, question);
    else if (early && s->questions_count < PMI1_SPREAD_QUESTIONS_MAX)
        s->questions[s->questions_count++] =
            (struct question){.number = question, .sequence = sequence};
    else
        s->ops->answer(s->arg, question, EXCHANGE_REFUSED, NULL, 0);
}

/* Entries that stay with their pods are asked for one by one. */
static void make_piece(struct pmi1_spread *s, const struct exchange_output *result)
{
    size_t length = 0, at = 0;
    bool whole = true;
    for (uint32_t i = 0; i < result->entries_count; i++) {
        const struct exchange_entry *entry = &result->entries[i];
        whole &= is_here(entry);
        length += entry->length;
        if (!is_here(entry) && s->alone_count < PMI1_SPREAD_GROUP_MAX &&
            entry->node_rank != s->node_rank)
            s->alone[s->alone_count++] = entry->node_rank;
    }
    s->piece = whole && length <= EXCHANGE_VALUE_MAX ? malloc(length + 1) : NULL;
    s->has_piece = s->piece != NULL;
    for (uint32_t i = 0; s->has_piece && i < result->entries_count; i++) {
        memcpy(s->piece + at, result->entries[i].data, result->entries[i].length);
        at += result->entries[i].length;
    }
    s->piece_length = at;
}

/* ---- asking ---- */

static void finish(struct pmi1_spread *s, const char *words)
{
    s->running = false;
    s->ops->done(s->arg, words);
}

static void fail_too_much(struct pmi1_spread *s)
{
    char words[PMI1_SPREAD_WORDS_MAX];
    (void)snprintf(words, sizeof words,
                   "what all have put is too much for %" PRIu32
                   " pods by PMI-1 (%d bytes of a pod): use Open MPI (PMIx), or fewer pods",
                   s->nodes, PMI1_SPREAD_PUTS_MAX);
    finish(s, words);
}

static void go_on(struct pmi1_spread *s)
{
    struct mlt_error err = {0};
    int rc;
    if (s->next_group == s->group)
        s->next_group++;
    if (s->alone_count == 0 && s->next_group >= s->groups) {
        finish(s, NULL);
        return;
    }
    if (s->alone_count > 0 && s->nodes > PMI1_SPREAD_ALONE_MAX) {
        fail_too_much(s);
        return;
    }
    s->asks_group = s->alone_count == 0;
    if (s->asks_group)
        rc = s->ops->fetch_group(s->arg, whom_to_ask(s, s->next_group++), s->sequence, &err);
    else
        rc = s->ops->fetch_one(s->arg, s->alone[--s->alone_count], s->sequence, &err);
    if (rc < 0)
        finish(s, err.text);
}

static void ask_each_of(struct pmi1_spread *s, uint32_t group)
{
    for (uint32_t i = 0; i < members_of(s, group); i++)
        if (group * s->size + i != s->node_rank)
            s->alone[s->alone_count++] = group * s->size + i;
}

void pmi1_spread_begin(struct pmi1_spread *s, uint64_t sequence, const char *bytes, size_t length)
{
    struct mlt_error err = {0};
    free(s->piece);
    s->piece = NULL;
    s->has_piece = s->is_gathered = false;
    s->sequence = sequence;
    s->running = true;
    s->next_group = s->alone_count = 0;
    if (s->nodes > PMI1_SPREAD_PODS_MAX) {
        fail_too_much(s);
        return;
    }
    if (length > PMI1_SPREAD_PUTS_MAX) {
        bytes = too_large;
        length = 1;
    }
    if (s->ops->gather(s->arg, s->group * s->size, members_of(s, s->group), bytes, length, &err) <
        0)
        finish(s, err.text);
}

void pmi1_spread_gathered(struct pmi1_spread *s, const struct exchange_output *result)
{
    if (!s->running)
        return;
    if (result->outcome == EXCHANGE_OK) {
        make_piece(s, result);
    } else if (result->outcome == EXCHANGE_TOO_LARGE || result->outcome == EXCHANGE_NO_ROOM) {
        ask_each_of(s, s->group);
    } else {
        finish(s, result->words);
        return;
    }
    s->is_gathered = true;
    answer_those_that_wait(s);
    for (uint32_t i = 0; result->outcome == EXCHANGE_OK && i < result->entries_count; i++) {
        const struct exchange_entry *entry = &result->entries[i];
        if (is_here(entry) && entry->node_rank != s->node_rank &&
            !s->ops->take(s->arg, entry->data, entry->length)) {
            s->running = false;
            return;
        }
    }
    go_on(s);
}

void pmi1_spread_fetched(struct pmi1_spread *s, const struct exchange_output *result)
{
    bool has_none = result->outcome == EXCHANGE_REFUSED || result->outcome == EXCHANGE_NOT_FOUND;
    if (!s->running)
        return;
    if (s->asks_group && has_none) {
        ask_each_of(s, s->next_group - 1);
    } else if (result->outcome != EXCHANGE_OK) {
        finish(s, result->words);
        return;
    } else if (result->length > 0 && !s->ops->take(s->arg, result->data, result->length)) {
        s->running = false;
        return;
    }
    go_on(s);
}

void pmi1_spread_stop(struct pmi1_spread *s)
{
    s->running = false;
}
