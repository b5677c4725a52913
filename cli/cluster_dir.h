/* The folder of a one-machine cluster, and who runs in it. */
#ifndef CLI_CLUSTER_DIR_H
#define CLI_CLUSTER_DIR_H

#include <stdbool.h>
#include <sys/types.h>
#include "lib/base/error.h"

#define CLUSTER_NAME_DEFAULT "default"
#define CLUSTER_NAME_LENGTH_MAX 40
#define CLUSTER_NODES_MAX 64

/* What a cluster is made of: cluster.json in its folder. */
struct cluster_shape {
    int nodes;
    int gpus_per_node; /* -1: the machine's own GPUs, found by the agent */
    int racks;         /* the nodes stand in so many, in order; 0: in none */
};

/* $MLTRAIN_HOME, else $XDG_STATE_HOME/mltrain, else ~/.local/state/mltrain, then clusters/NAME. The
 * caller frees it. */
char *cluster_dir(const char *name);
char *cluster_file(const char *dir, const char *name); /* DIR/NAME; the caller frees it */

/* Whether a supervisor holds the folder's lock; its process id in *ret_pid (may be NULL). */
bool cluster_is_up(const char *dir);
pid_t cluster_supervisor(const char *dir);

/* Waits until the programs of a cluster that is coming up have been ready once. -ENOENT: it is not
 * up. */
int cluster_wait_ready(const char *dir, int64_t timeout_ms, struct mlt_error *err) MLT_MUST_USE;

/* Makes the folder and those above it, mode 0700. */
int cluster_make_dir(const char *dir, struct mlt_error *err) MLT_MUST_USE;

int cluster_shape_read(const char *dir, struct cluster_shape *ret,
                       struct mlt_error *err) MLT_MUST_USE; /* -ENOENT */
int cluster_shape_write(const char *dir, const struct cluster_shape *shape,
                        struct mlt_error *err) MLT_MUST_USE;

/* The name of the i-th node: "node" on its own where there is one, else node-0, node-1, ... The
 * caller frees it. */
char *cluster_node_name(const struct cluster_shape *shape, int index);

/* Takes the lock for as long as the descriptor is open: -EAGAIN when another supervisor has it. */
int cluster_lock(const char *dir, struct mlt_error *err) MLT_MUST_USE;

/* For the supervisor that holds this lock: its programs are ready. */
void cluster_say_ready(int lock);

/* Removes a folder and all below it. Never follows links. */
void cluster_remove_dir(const char *dir);

#endif
