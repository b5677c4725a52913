/* The pod's end of commands that other pods ask for (launcher/remote.h): a listener for as long as
 * an attempt runs, and what was started through it. */
#ifndef LAUNCHER_EDGE_REMOTE_H
#define LAUNCHER_EDGE_REMOTE_H

#include "launcher/edge_internal.h"

struct edge_remote;

/* Listens on the pod's address. Commands get the environment of edge_rsh_environment(). NULL with
 * words when nobody can listen. */
struct edge_remote *edge_remote_new(struct edge *e, const char *identity, struct mlt_error *err);
uint16_t edge_remote_port(const struct edge_remote *r);
uint32_t edge_remote_running(const struct edge_remote *r); /* commands not reaped yet */
/* True when the reaped child was one of them. NULL is fine here, and below. */
bool edge_remote_reaped(struct edge_remote *r, pid_t pid, int status);
/* The attempt ends: whoever waits is told so, and nothing is started any more. */
void edge_remote_stop(struct edge_remote *r);
/* After the last process of the attempt is gone. */
void edge_remote_free(struct edge_remote *r);

#endif
