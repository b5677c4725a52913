/* libmltrain: what a training program may tell mltrain, and ask it.
 *
 * A rank is one that mltrain has started, or mpirun or mpiexec in a job with the MPI wire-up rsh: then
 * it has MPI's number in the world of that mpirun. Barriers, gathers and communicators of such a
 * world need as many ranks in each pod of the job, or all in one; else -EOPNOTSUPP.
 *
 * All calls do nothing when the program was not started by mltrain, so that the same program runs
 * without it. None of the calls about steps and checkpoints fails or waits because the launcher is
 * gone; of them mltrain_should_save() alone waits, for MLTRAIN_ASK_MS at most, while the ranks of
 * the job agree on a step. Those that exchange bytes wait for the other ranks, with a time limit.
 *
 * May be called from any thread, one call waits for another; not from signal handlers. A child that
 * was forked has no part in its parent's connection: it makes one of its own when it calls.
 * Link with -lmltrain. Python: sdk/python/mltrain. How to use it: docs/libmltrain.md. */
#ifndef MLTRAIN_H
#define MLTRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MLTRAIN_ASK_MS 10000            /* should_save() waits no longer: then the answer is no */
#define MLTRAIN_COME_BACK_MS 1000       /* between two attempts to connect */
#define MLTRAIN_COMMIT_FILES_MAX 100000 /* of one checkpoint */
#define MLTRAIN_COMMIT_NAME_MAX 511     /* bytes of a path or name in the record */
#define MLTRAIN_COMMIT_DEPTH_MAX 32     /* folders in folders of one checkpoint */
#define MLTRAIN_STEP_MAX INT64_C(1000000000000)
#define MLTRAIN_LAST_STEP INT64_C(-1) /* the step that was reported last */

/* This rank is at `step` (0 to MLTRAIN_STEP_MAX; others are ignored) of `total` (0: unknown). To be
 * called at each step: it costs a few microseconds and has no answer. */
void mltrain_report(int64_t step, int64_t total);

/* Is this step to be saved now, because a stop is coming? To be called at each step, by every rank,
 * with the same steps. When true, every rank of the job is told so at the same step, so that a save
 * may be collective. MLTRAIN_LAST_STEP stands for the step reported last; false without one. */
bool mltrain_should_save(int64_t step);

/* The checkpoint of `step` is complete: all shards of `path`, a file or a folder below
 * MLTRAIN_CHECKPOINT_DIR, are written and flushed. To be called by one rank, after all have saved
 * (a barrier). Writes the commit record and tells the launcher. 0 (also without mltrain, or
 * without a checkpoint folder); -EINVAL: the path is not below the folder, a name in it has a
 * newline, or the step is out of range; -ENOENT: nothing there, or an empty folder; -E2BIG: more
 * than MLTRAIN_COMMIT_FILES_MAX files; -ELOOP: folders too deep; -ENAMETOOLONG: more than
 * MLTRAIN_COMMIT_NAME_MAX bytes; -errno of the files. */
int mltrain_checkpoint_committed(int64_t step, const char *path);

/* The checkpoint to go on from, the same for all ranks: true and its step and path, which must not
 * be freed; false when the job begins anew. Either pointer may be NULL. */
bool mltrain_resume(int64_t *ret_step, const char **ret_path);

/* 1, 2, 3 ...: the life of the gang between two starts; 0 without mltrain. */
int64_t mltrain_attempt(void);

/* ---- a few bytes from rank to rank ----
 *
 * Over the launchers and the controller, without any library: to agree on something small before
 * there is a communicator. Not for data: it is slow beside NCCL or gloo.
 *
 * All wait no longer than `time_ms` (0: MLTRAIN_WAIT_MS) and a few seconds more, in which who is
 * missing is asked. All names and values are of the attempt: nothing of the one before is seen.
 * Each call has a connection of its own, so that threads do not wait for each other.
 *
 * Without mltrain and with WORLD_SIZE 1, or unset, there is one rank: mltrain_barrier() and
 * mltrain_gather() succeed at once; put and get, and all of them in a larger world, are -ENOTCONN.
 *
 * Results: 0; -EINVAL for a bad name, time or size; -ETIMEDOUT, words name who is missing;
 * -ECANCELED when the attempt is over; -EMSGSIZE when it is too much together; -EBUSY when the last
 * one of this name is not over for this rank; -EEXIST when another value was put under the name;
 * -ENOSPC when the attempt has too many names or values; -EOPNOTSUPP when launcher or controller
 * are of an earlier release; -ECONNRESET when the launcher is gone; -ENOTCONN; -ENOMEM. */

#define MLTRAIN_NAME_MAX 63   /* of A-Z a-z 0-9 . _ / - */
#define MLTRAIN_DATA_MAX 4096 /* bytes of a value, or that a rank gives to a gather */
#define MLTRAIN_WAIT_MS 300000
#define MLTRAIN_WAIT_MS_MAX 86400000

/* Returns when each rank of the job has called it with this name: the first call of a name meets
 * the first calls of the others, the second their second, and so on; a call that has failed counts.
 * It fails for all or for none. */
int mltrain_barrier(const char *name, int64_t time_ms);

/* What ranks gave: `parts[rank]`, of `ranks`. */
struct mltrain_gathered {
    int64_t ranks;
    const struct mltrain_part {
        const void *data; /* NULL when the rank gave no bytes */
        size_t size;
    } * parts;
};

/* As a barrier (with which it shares its names), and each rank gets what all have given. `size` may
 * be 0. What all give must not be more than 64 KiB a pod, 4 MiB together, nor 64 MiB times the
 * number of pods. *ret is freed by mltrain_gathered_free(). */
int mltrain_gather(const char *name, const void *data, size_t size, int64_t time_ms,
                   struct mltrain_gathered **ret);
void mltrain_gathered_free(struct mltrain_gathered *gathered);

/* Puts a value, once, for all ranks; returns when they can get it. The same value once more from
 * the same pod is fine. */
int mltrain_put(const char *name, const void *data, size_t size);

/* Waits until a value is put and copies it: at most `room` bytes, else -ENOBUFS. */
int mltrain_get(const char *name, int64_t time_ms, void *buffer, size_t room, size_t *ret_size);

/* Why the last of these calls, or of those in sdk/mltrain_nccl.h, has failed in this thread: words
 * for people, "" when it has not. Valid until the thread's next call. */
const char *mltrain_error(void);

/* The commit record: MLTRAIN_CHECKPOINT_DIR/.mltrain-commit-STEP, in lines
 *
 *   mltrain-commit 1
 *   step STEP
 *   path PATH            relative to the folder
 *   file SIZE NAME       for each regular file; NAME relative to the path, "." for a single file
 *   end COUNT            of the files
 *
 * It is written under another name, flushed and renamed, so that a reader finds all of it or none.
 */

#ifdef __cplusplus
}
#endif

#endif
