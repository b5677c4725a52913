/* libmltrain: a ready NCCL communicator in one call. The unique id goes through the launchers, so
 * that it belongs to the attempt: nothing of the attempt before is met, and no address or file is
 * agreed on. NCCL (2.14 or later) and the CUDA runtime are found while the program runs, as in the
 * wheels of PyTorch or in the system's folders (sdk/nccl_load.h says where, docs/libmltrain.md
 * too); the rest of libmltrain works without them.
 *
 * Each call has a time limit: a rank that is missing is an error, not a hang. Any thread may call;
 * calls for communicators of one name come one after the other, in the same order on all ranks.
 *
 * Results: 0; as in sdk/mltrain.h ("a few bytes from rank to rank"); -ENOENT when NCCL or the CUDA
 * runtime is not there; -ELIBBAD when it is too old, is no NCCL, or differs from another rank's;
 * -ENODEV without a CUDA device; -EREMOTEIO when another rank has failed; -EIO for what NCCL or
 * CUDA says. mltrain_error() has the words.
 *
 * ncclComm_t of nccl.h is `struct ncclComm *`: the two go together, and neither needs the other. */
#ifndef MLTRAIN_NCCL_H
#define MLTRAIN_NCCL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ncclComm;

#define MLTRAIN_NCCL_NO_GROUP (-1) /* a colour: of no group, as NCCL_SPLIT_NOCOLOR */

/* The CUDA device of this rank. AUTO: LOCAL_RANK, modulo the devices that it sees. */
#define MLTRAIN_NCCL_DEVICE_AUTO (-1)
#define MLTRAIN_NCCL_DEVICE_CURRENT (-2) /* the caller has called cudaSetDevice() */

/* Starts as MLTRAIN_NCCL_OPTIONS. */
struct mltrain_nccl_options {
    const char *name; /* as of a barrier; not NULL */
    int64_t time_ms;  /* 0: MLTRAIN_WAIT_MS */
    bool split;       /* into groups by colour, as MPI_Comm_split: else all ranks */
    int colour;       /* 0 and up, or MLTRAIN_NCCL_NO_GROUP */
    int key;          /* order in the group; equal keys by rank */
    int device;
};
#define MLTRAIN_NCCL_OPTIONS                                \
    {                                                       \
        .name = "world", .device = MLTRAIN_NCCL_DEVICE_AUTO \
    }

/* Makes a communicator. To be called by all ranks of the job, with the same name and the same
 * `split`: also those of no group, whose *ret_comm is NULL. Once more with the same name makes
 * another one, as after an abort. Above 256 ranks several ids are made, on ranks far apart, where
 * NCCL can (2.23): one would hold ranks back. Groups are for up to some thousand ranks (a gather of
 * 14 bytes a rank; see mltrain_gather()): above that make the world and call ncclCommSplit().
 *
 * `options` NULL: MLTRAIN_NCCL_OPTIONS. The device of the calling thread is set (but for
 * DEVICE_CURRENT). The communicator is one that does not block: where a call of NCCL gives
 * ncclInProgress (7), call mltrain_nccl_wait(). It is given back by one of the two calls below. */
int mltrain_nccl_init(const struct mltrain_nccl_options *options, struct ncclComm **ret_comm);

/* Waits until what was begun with the communicator is under way (ncclCommGetAsyncError()).
 * -ETIMEDOUT, -EIO: then abort it. */
int mltrain_nccl_wait(struct ncclComm *comm, int64_t time_ms);

/* Gives up what runs on the communicator and frees it (ncclCommAbort()). To be called by each of
 * its ranks, from any thread, whatever the others do. NULL is fine. */
int mltrain_nccl_abort(struct ncclComm *comm);

/* Ends it in good order: waits for what was begun on all its ranks, and frees it; aborts it when
 * that fails. NULL is fine. */
int mltrain_nccl_destroy(struct ncclComm *comm, int64_t time_ms);

/* A function of the NCCL or CUDA runtime that is used here, for programs that are built without
 * them: "ncclAllReduce", "cudaMalloc". NULL, with words, when it is not there. */
void *mltrain_nccl_symbol(const char *name);

#ifdef __cplusplus
}
#endif

#endif
