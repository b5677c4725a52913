/* The edge's mltrain-helper: its process, its socket, and the exchanges that it asks for. What
 * follows from what it says is decided in helper_client.c. */
#ifndef LAUNCHER_EDGE_HELPER_H
#define LAUNCHER_EDGE_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "launcher/edge_internal.h"
#include "launcher/helper_client.h"
#include "launcher/self_copy.h"

#define EDGE_HELPER_FILE SELF_COPY_HELPER /* beside the launcher's own file */

struct edge_helper;

/* What becomes of an attempt's helper. Called from the loop, never from within a function below. */
struct edge_helper_ops {
    /* It serves: ranks may be started with edge_helper_environment(). */
    void (*ready)(struct edge *e);
    /* It does not, or not any more. `final`: it would fail again wherever this image runs. */
    void (*failed)(struct edge *e, bool final, const char *words);
    void (*connected)(struct edge *e, uint32_t local_rank);
    void (*finalized)(struct edge *e, uint32_t local_rank);
    void (*aborted)(struct edge *e, uint32_t local_rank, int32_t code, const char *words);
};

/* NULL when memory is exhausted. Lives as long as the program. */
struct edge_helper *edge_helper_new(struct edge *e, const struct edge_helper_ops *ops);

/* Between attempts: a helper is started ahead of the START that it is for, as pod `node_rank`. When
 * that goes wrong, edge_helper_start() tries again, and tells. */
void edge_helper_prepare(struct edge_helper *h, const struct rank_env_input *env,
                         uint32_t node_rank);

/* Starts the helper of the supervisor's START, or takes the prepared one; `env` is of any rank:
 * what the job sets for its libraries counts for the helper, too. One of the `ops` ready and failed
 * follows. */
void edge_helper_start(struct edge_helper *h, const struct rank_env_input *env);

/* The attempt's ranks are to end: nothing of the helper matters any more. Its process falls to the
 * kill of all descendants. Without a helper (NULL), as the following, nothing is done. */
void edge_helper_stop(struct edge_helper *h);
/* The last of them is gone: what they shared is removed. */
void edge_helper_end(struct edge_helper *h);

/* NAME=value texts with an empty one behind them; NULL when there are none. */
const char *edge_helper_environment(const struct edge_helper *h, uint32_t local_rank);
/* Folders of this pod and attempt alone: for files of MPI, and for memory that ranks share. */
const char *edge_helper_folder(const struct edge_helper *h);
const char *edge_helper_shared(const struct edge_helper *h);

/* A DONE or QUESTION of the user PMIX. False: there is no helper. */
bool edge_helper_exchanged(struct edge_helper *h, const struct exchange_output *result);

/* Hears what the helper has said up to now: before the end of a rank is judged. */
void edge_helper_hear(struct edge_helper *h);

/* True when the reaped child was the helper. */
bool edge_helper_reaped(struct edge_helper *h, pid_t pid, int status);

#endif
