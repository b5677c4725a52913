/* Chains of nodes in a table that doubles: see chain.h. */
#include "rendezvous/chain.h"

#include <stdlib.h>

#define SIZE_FIRST 16

uint64_t chain_hash(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

/* Keys may be consecutive numbers or hashes: Fibonacci hashing serves both (Knuth, TAOCP 3, 6.4).
 */
static struct chain_node **bucket(const struct chain *c, uint64_t key)
{
    return &c->buckets[(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (c->size - 1)];
}

static bool grow(struct chain *c)
{
    struct chain bigger = {.size = c->size ? c->size * 2 : SIZE_FIRST, .count = c->count};
    bigger.buckets = calloc(bigger.size, sizeof(struct chain_node *));
    if (!bigger.buckets)
        return false;
    for (size_t i = 0; i < c->size; i++) {
        while (c->buckets[i]) {
            struct chain_node *node = c->buckets[i];
            struct chain_node **to = bucket(&bigger, node->key);
            c->buckets[i] = node->next;
            node->next = *to;
            *to = node;
        }
    }
    free(c->buckets);
    *c = bigger;
    return true;
}

bool chain_add(struct chain *c, struct chain_node *node, uint64_t key)
{
    if (c->count >= c->size && !grow(c) && c->size == 0)
        return false;
    struct chain_node **to = bucket(c, key);
    *node = (struct chain_node){.key = key, .next = *to};
    *to = node;
    c->count++;
    return true;
}

void chain_remove(struct chain *c, struct chain_node *node)
{
    struct chain_node **at = bucket(c, node->key);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    c->count--;
}

static struct chain_node *first_with(struct chain_node *node, uint64_t key)
{
    while (node && node->key != key)
        node = node->next;
    return node;
}

struct chain_node *chain_find(const struct chain *c, uint64_t key)
{
    return c->size ? first_with(*bucket(c, key), key) : NULL;
}

struct chain_node *chain_more(const struct chain_node *node)
{
    return first_with(node->next, node->key);
}

struct chain_node *chain_each(const struct chain *c, const struct chain_node *after)
{
    if (after && after->next)
        return after->next;
    size_t i = after ? (size_t)(bucket(c, after->key) - c->buckets) + 1 : 0;
    for (; i < c->size; i++)
        if (c->buckets[i])
            return c->buckets[i];
    return NULL;
}

void chain_release(struct chain *c)
{
    free(c->buckets);
    *c = (struct chain){0};
}
