/* Removes what a dead attempt has left in /dev/shm (NCCL, torch and Python leave segments there
 * when they are killed), so that the next attempt finds its memory. */
#ifndef LAUNCHER_SHM_CLEAN_H
#define LAUNCHER_SHM_CLEAN_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define SHM_CLEAN_FILES_MAX 65536     /* of one folder */
#define SHM_CLEAN_MAPPINGS_MAX 262144 /* of living processes that are compared */

/* Is it safe at all? Only as PID 1 of a PID namespace: then /dev/shm is this pod's. Not when the
 * pod shares its host's IPC namespace, because then /dev/shm is the host's. */
bool shm_clean_is_safe(void);

/* Removes regular files directly in `dir` that belong to our user, were made at or after `since`
 * (wall time) and are neither open in nor mapped by a living process that /proc shows. Gives how
 * many were removed; `ret_bytes` (may be NULL) their size. -errno when dir or /proc cannot be read.
 */
int shm_clean(const char *dir, const struct timespec *since, size_t *ret_bytes);

/* Removes the files directly in `dir` and its subfolders (eight levels), then `dir`. What
 * resists stays. Never follows a symbolic link. */
void shm_clean_folder(const char *dir);

#endif
