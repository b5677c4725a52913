/* How the puts of one barrier come to all pods when they are too much to be sent to all at once:
 * the result of a gather goes through the controller, and its bytes times the pods have a limit
 * (COLLECTIVE_RESULT_TOTAL_MAX). Pure: what has to be asked of others goes out through a table of
 * calls, one at a time.
 *
 * With N pods, each alone asking all others would be N x N questions, 4 million for 2,048 pods. So
 * neighbours gather their puts first, in groups of sqrt(N) pods, at most 8, and each of them has
 * the puts of its group in one piece. Then each pod asks one pod of each other group for its piece.
 * Where a group has no such piece, because a pod has put more than its share, its members are asked
 * one by one; in a gang of more than PMI1_SPREAD_ALONE_MAX pods the barrier fails, with words.
 *
 * All bytes still go to every pod, and through the controller, which has to hold what its
 * connections do not take: at most one piece for each pod, 64 MiB in all. */
#ifndef LAUNCHER_PMI1_SPREAD_H
#define LAUNCHER_PMI1_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/exchange.h"

#define PMI1_SPREAD_PODS_MAX 2048
#define PMI1_SPREAD_ALONE_MAX 512 /* pods that may all ask each other */
#define PMI1_SPREAD_GROUP_MAX 8   /* pods */
#define PMI1_SPREAD_PUTS_MAX 4096 /* bytes of one pod in its group's piece */
#define PMI1_SPREAD_WORDS_MAX 160
#define PMI1_SPREAD_QUESTIONS_MAX EXCHANGE_QUESTIONS_MAX

/* Those that begin something are followed by one of the calls below, and return a negative errno,
 * with words, when it cannot begin. */
struct pmi1_spread_ops {
    /* Of pods `first` to `first` + `count` - 1, of which this is one: pmi1_spread_gathered(). */
    int (*gather)(void *arg, uint32_t first, uint32_t count, const char *bytes, size_t length,
                  struct mlt_error *err);
    /* The piece of the group of that pod; the puts of that pod alone: pmi1_spread_fetched(). */
    int (*fetch_group)(void *arg, uint32_t node_rank, uint64_t sequence, struct mlt_error *err);
    int (*fetch_one)(void *arg, uint32_t node_rank, uint64_t sequence, struct mlt_error *err);
    /* Puts of other pods. False: this barrier has failed, and nothing more is wanted. */
    bool (*take)(void *arg, const void *bytes, size_t length);
    void (*answer)(void *arg, uint64_t question, enum exchange_outcome outcome, const void *bytes,
                   size_t length);
    void (*done)(void *arg, const char *words); /* NULL: all is taken */
};

struct pmi1_spread;

/* NULL: memory is exhausted. */
struct pmi1_spread *pmi1_spread_new(uint32_t nodes, uint32_t node_rank,
                                    const struct pmi1_spread_ops *ops, void *arg);
void pmi1_spread_free(struct pmi1_spread *s); /* NULL is fine */

/* The gather of all pods, with this number, has ended for all with EXCHANGE_TOO_LARGE; `bytes`:
 * what this pod gave. */
void pmi1_spread_begin(struct pmi1_spread *s, uint64_t sequence, const char *bytes, size_t length);
void pmi1_spread_gathered(struct pmi1_spread *s, const struct exchange_output *result);
void pmi1_spread_fetched(struct pmi1_spread *s, const struct exchange_output *result);
/* Another pod asks for the piece of our group; the answer may come later. */
void pmi1_spread_asked(struct pmi1_spread *s, uint64_t question, uint64_t sequence);
/* What is under way is not wanted any more. */
void pmi1_spread_stop(struct pmi1_spread *s);

#endif
