/* What a rank finds in its environment (design section 5). Pure: everything comes in as values.
 *
 * Layers, later ones win: the container's environment, what WELCOME adds for the job, then the
 * reserved names below. Memory is malloc'ed and failure to get it is sticky (`failed`): this runs
 * in the forked child, which reports it as it reports a failed exec. */
#ifndef LAUNCHER_RANK_ENV_H
#define LAUNCHER_RANK_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/text.h"
#include "rendezvous/message.h"

#define RANK_ENV_VARIABLES_MAX 16384
#define RANK_ENV_VALUE_MAX (1024u * 1024) /* bytes of one expanded variable or argument */

/* A job whose command starts the ranks itself by MPI's own starter (launcher/remote.h). */
enum rank_env_rsh_role {
    RANK_ENV_RSH_NONE,    /* another job, or the one that keeps a pod's place */
    RANK_ENV_RSH_COMMAND, /* the job's command, in the first pod */
    RANK_ENV_RSH_DAEMON,  /* what the starter runs in a pod; ranks come from it */
};

struct rank_env_rsh {
    enum rank_env_rsh_role role;
    const char *agent;       /* path of REMOTE_PROGRAM */
    const char *hosts;       /* path of the list of hosts as Open MPI has it */
    const char *hydra_hosts; /* ... as Hydra has it */
    const char *interface;   /* the one with the pod's address; "" when not known */
};

struct rank_env_input {
    const char *const
        *base; /* NAME=value, ends with NULL: the launcher's own environment at its start */
    const char *job, *job_namespace, *job_uid, *role;
    const char *error_file;         /* of this rank; "" for none */
    const char *socket;             /* for libmltrain; "" for none */
    const char *python_path;        /* folder of libmltrain's Python module; "" for none */
    const char *launcher_id;        /* marks our descendants: launcher/reap.h */
    const char *pod_ip;             /* "" when not known */
    int pmi_fd;                     /* its connection to the PMI-1 server; -1: none */
    const char *nccl_socket_ifname; /* launcher/nccl_env.h; "" or NULL: none */
    const char *pmix; /* what its PMIx server wants: NAME=value texts, an empty one behind them;
                         NULL: there is none */
    const char *mpi_folder,
        *mpi_shared; /* for what MPI keeps while it runs, and shares in memory */
    struct rank_env_rsh rsh;
    uint64_t attempt;
    uint32_t local_rank;
    uint32_t cpus;            /* that this container may use when it has no limit */
    bool no_process_vm;       /* process_vm_readv(2) is refused in this container */
    const char *nproc_option; /* the number of processes in torchrun's own words; NULL for none */
    bool once_per_pod;        /* this process is torchrun and stands for all ranks of the pod */
    const struct rendezvous_welcome *welcome;
    const struct rendezvous_start *start;
};

struct rank_env {
    char **variables; /* NAME=value, ends with NULL */
    bool *reserved;   /* set by us: `$(NAME)` is expanded */
    size_t count, capacity;
    bool failed;
};

/* Names, separated by spaces, in texts of the caller. */
struct rank_env_notes {
    struct mlt_text overridden; /* reserved names that the user had set to something else */
    struct mlt_text removed;    /* of somebody else under whom a rank would believe itself to run */
};

/* Fills *ret, which rank_env_release() frees. `notes` may be NULL. */
void rank_env_build(const struct rank_env_input *input, struct rank_env *ret,
                    struct rank_env_notes *notes);
void rank_env_release(struct rank_env *env);

/* The value of a variable, NULL when it is not set. Owned by the environment. */
const char *rank_env_get(const struct rank_env *env, const char *name);

/* `text` with `$(NAME)` replaced for each name that rank_env_build() reserved: the kubelet, which
 * knows no RANK, leaves such references as they are. Others, and what a shell means by $(...),
 * stay. Freed by the caller; NULL when memory is exhausted or the result is over
 * RANK_ENV_VALUE_MAX. */
char *rank_env_expand(const struct rank_env *env, const char *text);

#endif
