/* libmltrain: what a training program may tell mltrain, and ask it.
 *
 * All calls do nothing when the program was not started by mltrain, so that the same program runs
 * without it. None fails or waits because the launcher is gone; mltrain_should_save() alone waits,
 * for MLTRAIN_ASK_MS at most, while the ranks of the job agree on a step.
 *
 * May be called from any thread, one call waits for another; not from signal handlers. A child that
 * was forked has no part in its parent's connection: it makes one of its own when it calls.
 * Link with -lmltrain. Python: sdk/python/mltrain. How to use it: docs/libmltrain.md. */
#ifndef MLTRAIN_H
#define MLTRAIN_H

#include <stdbool.h>
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
