/* Files of the node on disk: one folder per pod, and the logs beside them.
 *
 *   NODE/pods/UID/pod.json      struct pod_known       NODE/pods/UID/object.json   the API object
 *   NODE/pods/UID/volumes/NAME  emptyDir and files     NODE/pods/UID/tmp/CONTAINER /tmp of a
 * container NODE/pods/UID/hosts         /etc/hosts             NODE/pods/UID/shim.sock,
 * status.json: the shim's NODE/logs/NS_POD_UID/CONTAINER/RESTART.log         /dev/shm/mltrain-UID/:
 * memory-backed folders Files are written beside and renamed, so that a reader finds the old or the
 * new, never a half. */
#ifndef LOCALCLUSTER_AGENT_POD_FOLDER_H
#define LOCALCLUSTER_AGENT_POD_FOLDER_H

#include <cjson/cJSON.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "localcluster/agent/pod_known.h"

#define POD_OBJECT_MAX (16u * 1024 * 1024) /* bytes of a file that is read back */

/* Makes a folder with this mode, and its parents with the same without writing by others. */
int folder_make(const char *path, unsigned mode, struct mlt_error *err) MLT_MUST_USE;

/* Removes a folder and what is in it, without following links; absent is fine. */
void folder_remove(const char *path);

/* Reads a JSON file. -ENOENT, -EINVAL. The caller frees. */
int file_read_json(const char *path, cJSON **ret, struct mlt_error *err) MLT_MUST_USE;
int file_write_json(const char *path, const cJSON *object, struct mlt_error *err) MLT_MUST_USE;
int file_write(const char *path, const void *data, size_t length, unsigned mode,
               struct mlt_error *err) MLT_MUST_USE;

int pod_known_load(const char *pod_folder, struct pod_known *ret,
                   struct mlt_error *err) MLT_MUST_USE;
int pod_known_save(const char *pod_folder, const struct pod_known *known,
                   struct mlt_error *err) MLT_MUST_USE;

/* The memory-backed folder of a pod: its path, and the folder itself, which no other user may
 * enter. */
void pod_memory_folder(const char *uid, char *path, size_t size);
int pod_memory_make(const char *uid, struct mlt_error *err) MLT_MUST_USE;

/* Keeps the logs of removed pods within bounds: of the folders in `logs` whose name ends in none of
 * the UIDs in `alive`, the oldest go until at most max_count and max_bytes are left. */
void logs_prune(const char *logs, const char *const *alive, size_t alive_count, size_t max_count,
                int64_t max_bytes);

#endif
