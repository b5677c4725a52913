/* What a rank of an MPI job has said to its server (PMI-1 or PMIx), and what its end means with
 * that: the world-size check. Pure.
 *
 * A rank that never connects to its server is an MPI program of its own, a singleton: its library
 * is not the one that the wire-up is for, or is none. A gang of ones computes nonsense without a
 * word, so the job fails with words. */
#ifndef LAUNCHER_MPI_RANK_H
#define LAUNCHER_MPI_RANK_H

#include <stdbool.h>
#include <stdint.h>
#include "launcher/mpi_wireup.h"

#define MPI_RANK_ALONE_MS 30000 /* with an MPI library mapped, before it must have connected */
#define MPI_RANK_LOOK_MS 5000   /* between two looks at what is mapped */
#define MPI_RANK_WORDS_MAX 1024
#define MPI_RANK_CODE_ALONE 93 /* of a singleton: do not restart (design section 5) */

/* The server's side sets the first five, in any order. */
struct mpi_rank {
    bool connected; /* it has spoken to its server */
    bool finalized; /* ... and has said goodbye since it connected last */
    bool
        again; /* it has connected after a goodbye, where only one MPI program can (PMIx's store) */
    uint32_t programs; /* so often has it connected */
    bool left;         /* it has ended well */
    bool aborted;      /* it has called MPI_Abort with */
    int32_t abort_code;
    char abort_words[128];  /* its own, or "" */
    char broken_words[160]; /* the connection was given up for this reason; "" */
    char lost_words[512];   /* its server was lost or not to be had, and it was killed; "" */
    bool lost_for_good;     /* ... and so it would be wherever this image runs */
    int64_t mapped_at_ms;   /* an MPI library was seen in it first; 0: never */
    char mapped[128];       /* its file name */
    bool alone;             /* killed for it */
};

/* An MPI library is mapped by the rank's tree. True when the rank is to be killed (SIGKILL): it has
 * not connected for MPI_RANK_ALONE_MS. */
bool mpi_rank_mapped(struct mpi_rank *rank, const char *library, int64_t now_ms);

/* Has this rank of a pod begun an MPI program that another one of the pod never will, because that
 * has ended well? All ranks of the world wait for each other in MPI_Init and MPI_Finalize, so it
 * would wait for ever. `ret_left`: the other one's place among `ranks`. */
bool mpi_rank_is_stranded(const struct mpi_rank *ranks, uint32_t count, uint32_t rank,
                          uint32_t *ret_left);

/* How a rank has ended, as of waitpid(). */
struct mpi_rank_end {
    int32_t code, signal;
    char words[MPI_RANK_WORDS_MAX]; /* for people; "" */
};

/* Turns the end of a rank into what it means. Not to be asked when the rank was told to stop. What
 * stands is changed only when
 *   it has called MPI_Abort: its code (of 8 bits; 1 for 0);
 *   it was killed because it has no server: code 1, or 93 when none is to be had;
 *   its connection was broken: code 1 when it has exited with 0;
 *   its second MPI program could not start, or was ended by SIGPIPE as it spoke to PMI-1: code 1
 * when it has exited with 0; it exited with 0, and has never connected, or not finalized: code 93,
 * code 1; it was killed as a singleton: code 93. */
void mpi_rank_judge(const struct mpi_rank *rank, const struct mpi_wireup *wireup,
                    struct mpi_rank_end *end);

#endif
