/* A hash table of structs that hold its node, by a number: a token, or the hash of a name. Several
 * may have the same number; who looks for a name compares it himself. Used by both ends of the
 * exchange (rendezvous/collective.h, launcher/exchange.h). */
#ifndef RENDEZVOUS_CHAIN_H
#define RENDEZVOUS_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chain_node {
    uint64_t key;
    struct chain_node *next;
};

struct chain {
    struct chain_node **buckets; /* owned; the nodes are not */
    size_t size, count;          /* size: a power of two, or 0 */
};

/* FNV-1a, 64 bit. */
uint64_t chain_hash(const char *name);

/* False, and nothing has changed, when memory is exhausted. The key is set. */
bool chain_add(struct chain *c, struct chain_node *node, uint64_t key);
void chain_remove(struct chain *c, struct chain_node *node);

/* The first with this key, NULL when there is none; and those after it. */
struct chain_node *chain_find(const struct chain *c, uint64_t key);
struct chain_node *chain_more(const struct chain_node *node);

/* All of them, in no order: the first for NULL, NULL after the last. Who removes one asks for the
 * next one before. */
struct chain_node *chain_each(const struct chain *c, const struct chain_node *after);

void chain_release(struct chain *c); /* the table, not what is in it */

#endif
