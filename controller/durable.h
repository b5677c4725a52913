/* Whether checkpoints outlive the pod that saves them. PURE. */
#ifndef CONTROLLER_DURABLE_H
#define CONTROLLER_DURABLE_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/json/json.h"

#define DURABLE_WORDS_MAX 1024 /* bytes, with the NUL: names of volumes and paths fit */

/* `pod`: a pod, or a pod template; `path`: spec.checkpoint.path. False when the volume at which the
 * trainer container has mounted it goes with the pod, or when there is no volume there at all;
 * `words` says then which mount, why, and what to do. What is on a node's own disk (hostPath)
 * outlives its pod; that other nodes see it too is for people to know. */
bool durable_path(const cJSON *pod, const char *path, char words[DURABLE_WORDS_MAX]);

#endif
