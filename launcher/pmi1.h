/* The server of PMI-1 for the ranks of one pod: what MPICH, Intel MPI and MVAPICH ask when they
 * start. Pure: bytes of a rank's connection and the gathered puts of other pods come in, answers
 * and what must be gathered go out through a table of calls.
 *
 * Protocol: pmodels/mpich, src/pmi/maint/pmi-1.1.txt. Lines of `name=value`, one question at a
 * time: init, get_maxes, get_appnum, get_universe_size, get_my_kvsname, put, get, barrier_in,
 * finalize, abort. Refused in the protocol's own way: spawn, publishing of names. A line that is
 * none ends the connection.
 *
 * Values put by ranks of this pod are kept here until all ranks of the pod are in the barrier; then
 * they go to the other pods, whose values come back, and the barrier opens. So a value can be got
 * after the first barrier that follows its put, which is what the protocol promises. */
#ifndef LAUNCHER_PMI1_H
#define LAUNCHER_PMI1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define PMI1_LINE_MAX 4096 /* bytes of one question, with its newline */
#define PMI1_NAME_MAX 256  /* bytes that a client sets aside for the space of names */
#define PMI1_KEY_MAX 64    /* as MPICH's own hydra has them: clients cut by these */
#define PMI1_VALUE_MAX 1024
#define PMI1_PUTS_MAX (1u << 20) /* bytes of a pod's puts between two barriers */
#define PMI1_ANSWER_MAX 2048     /* bytes of an answer */
#define PMI1_WORDS_MAX 160

/* All calls are made from within pmi1_bytes() and the other functions below, and must not call them
 * in turn. */
struct pmi1_ops {
    /* An answer of at most PMI1_ANSWER_MAX bytes. */
    void (*answer)(void *arg, uint32_t local_rank, const char *bytes, size_t length);
    void (*connected)(void *arg, uint32_t local_rank); /* init */
    void (*finalized)(void *arg, uint32_t local_rank);
    void (*aborted)(void *arg, uint32_t local_rank, int32_t code, const char *words);
    /* Nothing more of this connection is taken; it should be closed. */
    void (*broken)(void *arg, uint32_t local_rank, const char *words);
    /* All ranks here wait in the barrier: `bytes` for all other pods, then pmi1_gathered() for each
     * of them and pmi1_barrier_over(), or pmi1_barrier_failed(). */
    void (*barrier)(void *arg, const char *bytes, size_t length);
};

struct pmi1_config {
    uint32_t local_ranks; /* at least 1 */
    uint32_t nodes, node_rank, world_size;
    uint32_t rank_base; /* number of local rank 0 in the world */
    const char *name;   /* of the job and attempt: the space of names; at most PMI1_NAME_MAX - 1
                           bytes without spaces; copied */
};

struct pmi1;

/* NULL: memory is exhausted. */
struct pmi1 *pmi1_new(const struct pmi1_config *config, const struct pmi1_ops *ops, void *arg);
void pmi1_free(struct pmi1 *p);

/* What a rank has sent; any piece of it. */
void pmi1_bytes(struct pmi1 *p, uint32_t local_rank, const char *bytes, size_t length);

/* The other end is closed: whatever runs there says nothing more. */
void pmi1_closed(struct pmi1 *p, uint32_t local_rank);

/* The rank has ended well, and all that it said was taken: it comes to no barrier any more, so that
 * those that wait for it in one, or will, are broken, with words that name it. */
void pmi1_left(struct pmi1 *p, uint32_t local_rank);

/* What was given to the barrier that is under way; valid until it is over. */
const char *pmi1_barrier_puts(struct pmi1 *p, size_t *ret_length);

/* What another pod has put. -EPROTO when it is no list of puts, -ENOSPC, -ENOMEM: then the barrier
 * must be failed. */
int pmi1_gathered(struct pmi1 *p, const char *bytes, size_t length,
                  struct mlt_error *err) MLT_MUST_USE;
/* All have been taken: the ranks here go on. */
void pmi1_barrier_over(struct pmi1 *p);
/* The ranks here that wait are told so, and their connections are broken. */
void pmi1_barrier_failed(struct pmi1 *p, const char *words);

#endif
