/* Holds a TCP port for MASTER_PORT without listening on it.
 *
 * bind [::]:0 first (TCPStore binds the wildcard, so that an address of one's own separates
 * nothing), SO_REUSEADDR after that, never listen: the kernel then gives the port to nobody who
 * asks for any, a bind without SO_REUSEADDR fails, and the rank, whose TCPStore sets SO_REUSEADDR,
 * binds over it. */
#ifndef LAUNCHER_PORT_HOLD_H
#define LAUNCHER_PORT_HOLD_H

#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define PORT_HOLD_HISTORY \
    16 /* ports that are not held again: leftovers may still try to reach them */

struct port_hold {
    int fd; /* -1: none held */
    uint16_t port;
    uint16_t history[PORT_HOLD_HISTORY]; /* a ring */
    size_t used;                         /* ports noted so far */
};

void port_hold_init(struct port_hold *p);

/* Holds another port than the last PORT_HOLD_HISTORY ones, and lets go of the one held. -errno;
 * then none is held. */
int port_hold_next(struct port_hold *p, uint16_t *ret_port, struct mlt_error *err) MLT_MUST_USE;

void port_hold_release(struct port_hold *p);

#endif
