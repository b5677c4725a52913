/* The record of a checkpoint that a program has committed through libmltrain: a hidden file in the
 * checkpoint folder with the sizes of all files, so that every later launcher can tell whether they
 * are still there. Its form: sdk/mltrain.h, "The commit record". */
#ifndef LAUNCHER_TRACKERS_COMMIT_H
#define LAUNCHER_TRACKERS_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/trackers/tracker.h"

#define COMMIT_PREFIX ".mltrain-commit-"
#define COMMIT_FILES_MAX 100000 /* as MLTRAIN_COMMIT_FILES_MAX, which its writers keep to */
#define COMMIT_MAX (64u << 20)  /* bytes of a record: COMMIT_FILES_MAX names of 600 */

/* Reads the record of `step`: the path of the checkpoint under the folder, and each file's name
 * under that path (".": the path is the file) and size. False when the record is not whole, is of
 * another step, or `each` has returned false. Pure; fuzzed. */
bool commit_read(const char *text, size_t length, int64_t step, char ret_path[TRACKER_PATH_MAX],
                 bool (*each)(void *user, const char *name, uint64_t size), void *user);

#endif
