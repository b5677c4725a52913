/* A map with open addressing: see map.h. */
#include "ledger/map.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/) and a final mix, since the low bits choose
 * the slot. */
uint64_t ledger_hash(const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    return hash ^ (hash >> 31);
}

void ledger_map_release(struct ledger_map *m)
{
    for (uint32_t i = 0; i < m->size; i++)
        free(m->slots[i].key);
    free(m->slots);
    *m = (struct ledger_map){0};
}

/* The slot of the key, or the empty one where it would stand. */
static uint32_t locate(const struct ledger_map *m, uint64_t hash, const void *key, size_t length)
{
    uint32_t i = (uint32_t)hash & (m->size - 1);
    while (m->slots[i].key) {
        const struct ledger_map_slot *s = &m->slots[i];
        if (s->hash == hash && s->length == length && memcmp(s->key, key, length) == 0)
            break;
        i = (i + 1) & (m->size - 1);
    }
    return i;
}

void *ledger_map_get(const struct ledger_map *m, const void *key, size_t length)
{
    if (!m->size)
        return NULL;
    const struct ledger_map_slot *s = &m->slots[locate(m, ledger_hash(key, length), key, length)];
    return s->key ? s->value : NULL;
}

static void grow(struct ledger_map *m)
{
    struct ledger_map bigger = {.size = m->size ? m->size * 2 : 64, .count = m->count};
    bigger.slots = mlt_calloc(bigger.size, sizeof *bigger.slots);
    for (uint32_t i = 0; i < m->size; i++) {
        const struct ledger_map_slot *s = &m->slots[i];
        if (s->key)
            bigger.slots[locate(&bigger, s->hash, s->key, s->length)] = *s;
    }
    free(m->slots);
    *m = bigger;
}

void ledger_map_set(struct ledger_map *m, const void *key, size_t length, void *value)
{
    if ((m->count + 1) * 2 > m->size)
        grow(m);
    uint64_t hash = ledger_hash(key, length);
    struct ledger_map_slot *s = &m->slots[locate(m, hash, key, length)];
    if (!s->key) {
        char *copy = mlt_calloc(length + 1, 1);
        memcpy(copy, key, length);
        *s = (struct ledger_map_slot){.key = copy, .length = length, .hash = hash};
        m->count++;
    }
    s->value = value;
}

/* Those that had stepped over the slot move back, so that no tombstones are needed. */
void ledger_map_remove(struct ledger_map *m, const void *key, size_t length)
{
    if (!m->size)
        return;
    uint32_t mask = m->size - 1, hole = locate(m, ledger_hash(key, length), key, length);
    if (!m->slots[hole].key)
        return;
    free(m->slots[hole].key);
    m->count--;
    for (uint32_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct ledger_map_slot){0};
}

void *ledger_map_find(const struct ledger_map *m, const char *key)
{
    return ledger_map_get(m, key, strlen(key));
}

void ledger_map_put(struct ledger_map *m, const char *key, void *value)
{
    ledger_map_set(m, key, strlen(key), value);
}

void ledger_map_drop(struct ledger_map *m, const char *key)
{
    ledger_map_remove(m, key, strlen(key));
}
