/* The server's edge: loop, sockets, clock, files. Nothing here looks inside an object. Private to
 * localcluster/api. */
#ifndef LOCALCLUSTER_API_EDGE_H
#define LOCALCLUSTER_API_EDGE_H

#include "lib/base/error.h"

struct api_edge_config {
    const char *dir;  /* the cluster's folder; made when it does not exist */
    const char *name; /* of the cluster */
    int ready_fd;     /* gets a newline when the server answers; -1 for none */
};

/* Serves until SIGTERM or SIGINT. 0 after an orderly end; a negative value when it could not start.
 */
int api_edge_run(const struct api_edge_config *config, struct mlt_error *err) MLT_MUST_USE;

#endif
