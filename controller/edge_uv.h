/* The edge: carries the controller's effects out and brings it events, on one libuv loop. It never
 * looks inside an object: what a request or a frame means is known above the seam only. */
#ifndef CONTROLLER_EDGE_UV_H
#define CONTROLLER_EDGE_UV_H

#include <stdint.h>
#include <uv.h>
#include "controller/controller.h"
#include "lib/base/error.h"
#include "lib/kube/kubeconfig.h"
#include "rendezvous/channel/channel.h"

#define EDGE_REQUEST_IDLE_MS \
    (30 * 1000) /* silence after which a request that is not a watch is given up */

struct edge;

struct edge_config {
    struct controller_config
        controller; /* channel_address, derive_key and derive_arg are filled in by the edge */
    const struct kube_config *kube;
    const char *listen_address; /* numeric */
    uint16_t listen_port;       /* 0: any */
    const char *advertise;      /* IP that launchers connect to; NULL: listen_address */
    const char *http_address;   /* numeric, of the HTTP server; NULL: there is none */
    uint16_t http_port;
    const unsigned char *master_key;
    int ready_fd; /* gets a newline when the channel is open; -1: none */
};

/* Opens the channel and starts the controller. The caller runs the loop, then asks for the exit
 * status. */
int edge_new(uv_loop_t *loop, const struct edge_config *config, struct edge **ret,
             struct mlt_error *err) MLT_MUST_USE;
uint16_t edge_port(const struct edge *e);
int edge_exit_status(const struct edge *e); /* 0: stopped when asked to; 1: the lease was lost */
void edge_free(struct edge *e);             /* after the loop has ended */

#endif
