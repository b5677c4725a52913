/* A map from bytes (texts, numbers) to pointers; keys are copied, values are the owner's. */
#ifndef LEDGER_MAP_H
#define LEDGER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_map_slot {
    char *key; /* NULL: empty */
    size_t length;
    uint64_t hash;
    void *value;
};

struct ledger_map {
    struct ledger_map_slot *slots;
    uint32_t size, count; /* size: a power of two, or 0 */
};

uint64_t ledger_hash(const void *data, size_t length);

void ledger_map_release(struct ledger_map *m); /* twice is fine; values stay */
void *ledger_map_get(const struct ledger_map *m, const void *key, size_t length); /* NULL: absent */
void ledger_map_set(struct ledger_map *m, const void *key, size_t length, void *value);
void ledger_map_remove(struct ledger_map *m, const void *key, size_t length); /* absent: nothing */

/* The same for texts. */
void *ledger_map_find(const struct ledger_map *m, const char *key);
void ledger_map_put(struct ledger_map *m, const char *key, void *value);
void ledger_map_drop(struct ledger_map *m, const char *key);

/* Each value once, in no order that matters; the map must not change meanwhile. */
#define LEDGER_MAP_EACH(map, variable)                                          \
    for (uint32_t i_##variable = 0; i_##variable < (map)->size; i_##variable++) \
        if ((map)->slots[i_##variable].key && ((variable) = (map)->slots[i_##variable].value, true))

#endif
