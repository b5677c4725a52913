/* The names and values that PMI-1 clients have put: a hash table with a maximum. Pure. */
#ifndef LAUNCHER_PMI1_KVS_H
#define LAUNCHER_PMI1_KVS_H

#include <stddef.h>
#include <stdint.h>

#define PMI1_KVS_PAIRS_MAX (1u << 20)  /* 64 of each of 16,384 ranks */
#define PMI1_KVS_BYTES_MAX (64u << 20) /* of names and values */

struct pmi1_kvs {
    char **pairs; /* key NUL value NUL; NULL: free. Open addressing, a power of two of places */
    uint32_t capacity, count;
    size_t bytes;
};

void pmi1_kvs_release(struct pmi1_kvs *k); /* twice is fine */

/* Over one of the same name. 0, -ENOSPC over a maximum, -ENOMEM. */
int pmi1_kvs_put(struct pmi1_kvs *k, const char *key, const char *value);

/* NULL: not there. Owned by the table until the next put. */
const char *pmi1_kvs_get(const struct pmi1_kvs *k, const char *key);

#endif
