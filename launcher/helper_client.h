/* The launcher's end of mltrain-helper, the PMIx server of this pod: what the ranks here and those
 * of other pods want of each other, without processes, sockets or a clock.
 *
 * In go what comes from the helper (launcher/helper/message.h), what came of exchanges between the
 * pods, and the end of an attempt; out come frames for the helper, exchanges to begin
 * (launcher/exchange.h), and what the launcher should know. One helper serves one attempt.
 *
 *   a fence of all ranks          gather "fence"; with data, everybody's is joined in rank order
 *   a fence of some ranks         gather "fence-HASH" among the pods that have one of them
 *   what one rank has published   fetch "modex/RANK" at its pod, whose helper answers
 *   a group (MPI sessions)        gather "group-HASH"
 *
 * What a gather leaves with its member (too much data) is not fetched: PMIx itself asks for a
 * rank's part when somebody needs it. */
#ifndef LAUNCHER_HELPER_CLIENT_H
#define LAUNCHER_HELPER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/exchange.h"
#include "launcher/helper/message.h"

#define HELPER_CLIENT_START_MS 30000 /* from its start to READY, on a cold image */
#define HELPER_CLIENT_WORDS_MAX 1024
#define HELPER_CLIENT_OPEN_MAX 65536 /* requests of the helper, and of other pods, in flight */
/* A rank may come to MPI_Init late, and wait in MPI_Finalize for one that computes on: mpirun has
 * no limit there, and the job's own rules know hung ranks. */
#define HELPER_CLIENT_FENCE_MS EXCHANGE_TIME_MS_MAX

/* XX(NAME) */
#define HELPER_CLIENT_OUTPUT_MAP(XX)                                                              \
    XX(SEND)      /* `data`, `length`: a frame for the helper */                                  \
    XX(TIMER)     /* helper_client_timer() after `delay_ms`; negative: stop it */                 \
    XX(READY)     /* `words`: PMIx's version; helper_client_environment() has each rank's */      \
    XX(FAILED)    /* `words`; no MPI rank can run on. `final`: it would fail again, in any pod */ \
    XX(GATHER)    /* exchange_gather(): `name`, `tag`, `time_ms`, `data`, `members` */            \
    XX(FETCH)     /* exchange_fetch(): `name`, `tag`, `time_ms`, `node_rank` */                   \
    XX(ANSWER)    /* exchange_answer(): `tag` is the question, `outcome`, `data` */               \
    XX(CONNECTED) /* local rank `rank` has found its server */                                    \
    XX(FINALIZED) /* ... has left it properly */                                                  \
    XX(ABORTED)   /* ... has called MPI_Abort with `code`; `words`: its own */                    \
    XX(LOG)       /* `words` */

enum helper_client_output_kind {
#define XX(name) HELPER_CLIENT_##name,
    HELPER_CLIENT_OUTPUT_MAP(XX)
#undef XX
};

struct helper_client_output {
    enum helper_client_output_kind kind;
    int64_t delay_ms, time_ms;
    uint64_t tag;
    uint32_t rank, node_rank;
    int32_t code;
    bool final;
    enum exchange_outcome outcome;
    const unsigned char *data;
    size_t length;
    const uint32_t *members; /* node ranks, ascending; NULL: all */
    size_t members_count;
    char name[EXCHANGE_NAME_MAX + 1];
    char words[HELPER_CLIENT_WORDS_MAX];
};

/* Where the ranks are: `nodes` pods with `nproc` ranks each, in order. */
struct helper_client_begin {
    const char *job, *job_uid; /* the namespace is JOB.UID.ATTEMPT */
    uint64_t attempt;
    const char *folder; /* of this attempt, ours alone: PMIx's files */
    uint32_t node_rank, nodes, nproc;
    uint32_t world_size, rank_base; /* as START says; must agree with the others */
};

struct helper_client;

struct helper_client *helper_client_new(void); /* NULL when memory is exhausted */
void helper_client_free(struct helper_client *c);

/* A helper was started before the attempt that it is for, and is told to make itself ready for this
 * place among the pods, with this folder. A former one is forgotten. Nothing comes out when it
 * fails: then it is not prepared any more, and the next one says why. */
void helper_client_prepare(struct helper_client *c, uint32_t node_rank, const char *folder);
bool helper_client_prepared(const struct helper_client *c, uint32_t node_rank);

/* A helper was started, or prepared for this place and folder, and is told what to serve. A former
 * one is forgotten. */
void helper_client_begin(struct helper_client *c, const struct helper_client_begin *begin);

/* The helper's bytes: to be put at *_space(), then their number to *_received(). NULL: no memory.
 */
unsigned char *helper_client_space(struct helper_client *c, size_t *ret_room);
void helper_client_received(struct helper_client *c, size_t length);

/* It has ended; `words`: how. `final`: it could not be started, and could not elsewhere. */
void helper_client_closed(struct helper_client *c, const char *words, bool final);
void helper_client_timer(struct helper_client *c);

/* A DONE or QUESTION of the user PMIX. */
void helper_client_exchanged(struct helper_client *c, const struct exchange_output *result);
/* A GATHER or FETCH could not be begun. */
void helper_client_not_begun(struct helper_client *c, uint64_t tag, const char *words);

/* The attempt is over: nothing comes out any more until the next begin. */
void helper_client_end(struct helper_client *c);

/* After READY: NAME=value texts one after another, behind the last of them an empty one. Valid
 * until the attempt ends; NULL before READY. */
const char *helper_client_environment(const struct helper_client *c, uint32_t local_rank);

/* The next output; false when there is none. What it points to is valid until the next call of this
 * function or of helper_client_free(). */
bool helper_client_next(struct helper_client *c, struct helper_client_output *ret);

#endif
