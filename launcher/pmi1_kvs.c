/* Names and values: see pmi1_kvs.h. */
#include "launcher/pmi1_kvs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_FIRST 64u

/* FNV-1a, 32 bit: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint32_t hash_of(const char *key)
{
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash;
}

/* Where the key stands or would stand. There is always a free place. */
static uint32_t place_of(char *const *pairs, uint32_t capacity, const char *key)
{
    uint32_t at = hash_of(key) & (capacity - 1);
    while (pairs[at] && strcmp(pairs[at], key) != 0)
        at = (at + 1) & (capacity - 1);
    return at;
}

void pmi1_kvs_release(struct pmi1_kvs *k)
{
    for (uint32_t i = 0; i < k->capacity; i++)
        free(k->pairs[i]);
    free(k->pairs);
    *k = (struct pmi1_kvs){0};
}

/* At most three quarters are taken. */
static bool make_room(struct pmi1_kvs *k)
{
    if (k->capacity && k->count + 1 <= k->capacity / 4 * 3)
        return true;
    uint32_t capacity = k->capacity ? k->capacity * 2 : CAPACITY_FIRST;
    char **pairs = calloc(capacity, sizeof *pairs);
    if (!pairs)
        return false;
    for (uint32_t i = 0; i < k->capacity; i++)
        if (k->pairs[i])
            pairs[place_of(pairs, capacity, k->pairs[i])] = k->pairs[i];
    free(k->pairs);
    k->pairs = pairs;
    k->capacity = capacity;
    return true;
}

static size_t size_of(const char *pair)
{
    size_t key = strlen(pair) + 1;
    return key + strlen(pair + key) + 1;
}

int pmi1_kvs_put(struct pmi1_kvs *k, const char *key, const char *value)
{
    size_t key_size = strlen(key) + 1, size = key_size + strlen(value) + 1;
    if (k->count >= PMI1_KVS_PAIRS_MAX || size > PMI1_KVS_BYTES_MAX - k->bytes)
        return -ENOSPC;
    char *pair = malloc(size);
    if (!pair || !make_room(k)) {
        free(pair);
        return -ENOMEM;
    }
    memcpy(pair, key, key_size);
    memcpy(pair + key_size, value, size - key_size);
    uint32_t at = place_of(k->pairs, k->capacity, key);
    if (k->pairs[at])
        k->bytes -= size_of(k->pairs[at]);
    else
        k->count++;
    free(k->pairs[at]);
    k->pairs[at] = pair;
    k->bytes += size;
    return 0;
}

const char *pmi1_kvs_get(const struct pmi1_kvs *k, const char *key)
{
    if (!k->capacity)
        return NULL;
    const char *pair = k->pairs[place_of(k->pairs, k->capacity, key)];
    return pair ? pair + strlen(pair) + 1 : NULL;
}
