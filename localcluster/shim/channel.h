/* A stream of JSON lines over a connected unix socket on a libuv loop; both ends of agent and shim.
 */
#ifndef LOCALCLUSTER_SHIM_CHANNEL_H
#define LOCALCLUSTER_SHIM_CHANNEL_H

#include <cjson/cJSON.h>
#include <uv.h>
#include "lib/base/error.h"

#define SHIM_CHANNEL_QUEUE_MAX (64u * 1024 * 1024) /* bytes not yet taken by the other end */

struct shim_channel;

struct shim_channel_ops {
    void (*message)(void *arg, const cJSON *object); /* the channel may be closed inside */
    void (*ended)(void *arg, const char *why); /* once; then the owner calls shim_channel_close */
};

/* Takes over the descriptor, also on failure. */
int shim_channel_open(uv_loop_t *loop, int fd, const struct shim_channel_ops *ops, void *arg,
                      struct shim_channel **ret, struct mlt_error *err) MLT_MUST_USE;

/* Sends one object; takes ownership of it. A broken channel reports its end from the loop, later.
 */
void shim_channel_send(struct shim_channel *c, cJSON *object);

/* Closes; no callback comes any more. What was sent before is still handed to the kernel first if
 * it has room. NULL is fine. */
void shim_channel_close(struct shim_channel *c);

#endif
