/* Ranks that MPI's own starter has begun (wire-up rsh): are they one world, or each a world of its
 * own? Pure: what /proc tells comes in as text and facts. The rule, and why it is so:
 * docs/decisions/0011-worlds-under-mpirun.md.
 *
 * Nobody connects to the launcher here, and a library in memory proves nothing. An accusation needs
 * the library's own word that MPI has begun, and no connection to the server of the world. */
#ifndef LAUNCHER_MPI_WORLD_H
#define LAUNCHER_MPI_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "launcher/mpi_wireup.h"

#define MPI_WORLD_ALONE_MS 30000 /* before a finding counts */
#define MPI_WORLD_LOOK_MS 5000   /* between two looks while there are new ranks */
#define MPI_WORLD_LOOK_SLOW_MS \
    30000 /* ... and when all have been seen MPI_WORLD_LOOKS_SOON times */
#define MPI_WORLD_LOOKS_SOON 48
/* Behind the start of a daemon the next look follows after an eighth of the time since then, so
 * that a world is seen that lives for a quarter of it. */
#define MPI_WORLD_LOOK_FIRST_MS 200
#define MPI_WORLD_LOOK_PART 8
#define MPI_WORLD_RANKS_MAX 1024 /* of one pod at a time; more make the answer that all is fine */
#define MPI_WORLD_SERVERS_MAX 16 /* addresses of one server */
#define MPI_WORLD_WORDS_MAX 300  /* a failure's message in the job's status */
#define MPI_WORLD_LIBRARY_MAX 63 /* bytes of a library's file name */
#define MPI_WORLD_ADDRESS_MAX 40 /* bytes of an address as the kernel prints it */
#define MPI_WORLD_ROW_MAX 255    /* bytes of a connection's row: the kernel's have 150 to 210 */
#define MPI_WORLD_WITHIN_MAX 64  /* connections whose other end is looked for */

/* ---- the first environment of a process ---- */

struct mpi_world_place {
    uint32_t size;   /* of its world; 0: nobody's rank */
    bool is_pmix;    /* Open MPI's starter, or another with PMIx; else one with PMI-1 */
    bool has_pmi1;   /* a connection, or the address of one, for PMI-1 */
    bool is_unclear; /* a server whose address is no TCP port */
    uint16_t servers[MPI_WORLD_SERVERS_MAX];
    unsigned servers_count;
};

/* Of /proc/PID/environ, with a NUL behind its `length` bytes. */
void mpi_world_place_parse(const char *environment, size_t length, struct mpi_world_place *ret);

/* ---- connections ---- */

struct mpi_world_talk {
    bool to_server; /* to a port of the place's servers */
    bool elsewhere; /* to another one that is not of these sockets */
};

/* `tables`: of /proc/PID/net/tcp and tcp6, one behind the other. `inodes`: the sockets of a rank
 * and of all below it, ascending. Only what is established counts. Behind MPI_WORLD_WITHIN_MAX
 * connections that stay within, the next one counts as one that does not. */
void mpi_world_talk_parse(const char *tables, const uint64_t *inodes, size_t count,
                          const struct mpi_world_place *place, struct mpi_world_talk *ret);

/* ---- libraries ---- */

/* Is it the one that has MPI_Init: "libmpi.so.40", "libmpich.so.12.2.2"? Not what a starter uses,
 * too (libopen-rte). */
bool mpi_world_is_core(const char *path);
/* By which ranks may be one gang without MPI: "libtorch_cpu.so", "libnccl.so.2". */
bool mpi_world_is_other_means(const char *path);
/* By which a library may find a server that is not of its own kind: of PMI-1 or PMI-2 for Open MPI,
 * of PMIx for MPICH. */
bool mpi_world_is_client(enum mpi_family family, const char *path);

/* The variable of such a library that is 0 until MPI begins, and its bytes; NULL: none is known. */
const char *mpi_world_variable(enum mpi_family family, size_t *ret_size);

enum mpi_world_begun {
    MPI_WORLD_BEGUN_UNKNOWN,
    MPI_WORLD_BEGUN_NO, /* or it is over */
    MPI_WORLD_BEGUN_YES,
};
/* What its value says: of `size` bytes, as mpi_world_variable() gives it. */
enum mpi_world_begun mpi_world_begun_of(enum mpi_family family, const void *value, size_t size);

/* ---- one rank ---- */

struct mpi_world_facts {
    struct mpi_world_place place;
    enum mpi_family family; /* of the library in its working process; NONE: it has none, or two */
    char library[MPI_WORLD_LIBRARY_MAX + 1];
    enum mpi_world_begun begun;
    bool has_client;      /* mpi_world_is_client() of something it has mapped */
    bool has_other_means; /* mpi_world_is_other_means() of the same */
    bool is_below;        /* that process is not the rank's own, but one that it waits for */
    struct mpi_world_talk talk;
};

enum mpi_world_finding {
    MPI_WORLD_FINE,    /* and so it stays */
    MPI_WORLD_NOT_YET, /* nothing against it now */
    MPI_WORLD_DOUBT,   /* worth a word */
    MPI_WORLD_ALONE,   /* it has begun MPI as a world of its own */
};
enum mpi_world_finding mpi_world_find(const struct mpi_world_facts *facts);

/* ---- all ranks of a pod ---- */

struct mpi_world_rank {
    pid_t pid;
    uint64_t start; /* with the pid: this very process */
    enum mpi_world_finding finding;
    int64_t since_ms; /* it has been DOUBT or ALONE, or ALONE; 0: it is not */
    int64_t alone_ms;
    uint32_t size, looks;
    bool is_pmix, seen;
    bool was_alone; /* ALONE at some look, and FINE or DOUBT at none after it */
    char library[MPI_WORLD_LIBRARY_MAX + 1];
};

/* Starts zeroed, and is so again with each attempt. */
struct mpi_world {
    struct mpi_world_rank ranks[MPI_WORLD_RANKS_MAX];
    size_t count;
    bool told, overflowed;
    /* Of the whole attempt. */
    bool has_others;            /* a rank of a larger world was FINE or DOUBT */
    uint32_t gone_count;        /* ranks that have ended, and were alone when they were seen last */
    struct mpi_world_rank gone; /* one of them */
};

/* A look: _begin(), then each rank once, then _conclude(). A rank that was found FINE need not be
 * looked at again: mpi_world_is_fine() counts it as seen. */
void mpi_world_begin(struct mpi_world *w);
bool mpi_world_is_fine(struct mpi_world *w, pid_t pid, uint64_t start);
void mpi_world_see(struct mpi_world *w, pid_t pid, uint64_t start,
                   const struct mpi_world_facts *facts, int64_t now_ms);

enum mpi_world_answer {
    MPI_WORLD_NOTHING,
    MPI_WORLD_TELL, /* once in an attempt */
    MPI_WORLD_FAIL,
};
/* `words`: MPI_WORLD_WORDS_MAX bytes, what was found and what to do. Not `may_fail`: it is told
 * where it would have failed. Ranks that are gone are forgotten. */
enum mpi_world_answer mpi_world_conclude(struct mpi_world *w, bool may_fail, int64_t now_ms,
                                         char *words);

/* The command has ended with 0. Whoever has lived for less than MPI_WORLD_ALONE_MS has its verdict
 * now: FAIL when ranks were alone at their last look, and no rank that was ever seen in this pod
 * was anything else. NOTHING when none was alone, or it was told. */
enum mpi_world_answer mpi_world_over(struct mpi_world *w, bool may_fail, char *words);

/* Until the next look, `since_ms` after a daemon has started here. */
int64_t mpi_world_wait_ms(const struct mpi_world *w, int64_t since_ms);

#endif
