/* One container under the shim: bubblewrap as our child, its output into the log, its end recorded.
 */
#ifndef LOCALCLUSTER_SHIM_CONTAINER_H
#define LOCALCLUSTER_SHIM_CONTAINER_H

#include <uv.h>
#include "localcluster/shim/wire.h"

#define SHIM_DRAIN_MS                                                          \
    2000 /* wait for output after the end, when something still holds the pipe \
          */

struct shim_container;

/* Called from the loop whenever the report has changed. */
typedef void shim_container_changed_f(void *arg, struct shim_container *c);

/* Starts; never fails: what goes wrong is in the report (terminated, start_error, message), which
 * `changed` announces from the loop at the latest. `start` is only read during the call. */
struct shim_container *shim_container_start(uv_loop_t *loop, const struct shim_start *start,
                                            shim_container_changed_f *changed, void *arg);

const struct shim_report *shim_container_report(const struct shim_container *c);

/* Sends a signal to process 1 of the container. */
void shim_container_signal(struct shim_container *c, int signal_number);

/* A child of the shim has ended; returns whether it was this container's. */
bool shim_container_reaped(struct shim_container *c, pid_t pid, int wait_status);

/* Frees; a running container is killed first. Its handles close on the loop. */
void shim_container_free(struct shim_container *c);

#endif
