/* Loopback addresses of pods. Every pod on this machine, whoever's and of whichever cluster of one
 * user, has an address of its own in 127.0.0.0/8 outside 127.0.0.0/16. */
#ifndef LOCALCLUSTER_AGENT_ADDRESSES_H
#define LOCALCLUSTER_AGENT_ADDRESSES_H

#include <stddef.h>
#include "lib/base/error.h"
#include "localcluster/agent/pod_known.h"

#define ADDRESS_TRIES_MAX 64

/* The n-th candidate for a pod's UID: 127.x.y.z with x and z from 1 to 254. Pure. */
void address_candidate(const char *uid, unsigned n, char address[POD_ADDRESS_MAX]);

/* The folder of claims of this user: $XDG_RUNTIME_DIR/mltrain/addresses or
 * /tmp/mltrain-<uid>/addresses. Made when missing; -EACCES when it belongs to somebody else. */
int addresses_folder(char *path, size_t size, struct mlt_error *err) MLT_MUST_USE;

/* Claims an address for the pod whose folder is `pod_folder`. A claim is a file named like the
 * address that holds the folder's path; it is void once that folder is gone. A pod that holds an
 * address already gets the same one. -EADDRNOTAVAIL after ADDRESS_TRIES_MAX candidates. */
int address_claim(const char *claims, const char *uid, const char *pod_folder,
                  char ret[POD_ADDRESS_MAX], struct mlt_error *err) MLT_MUST_USE;

/* Removes the claims of pods whose folders are gone (clusters that were deleted by hand). */
void addresses_sweep(const char *claims);

/* Gives the address back if the claim is this pod's. */
void address_release(const char *claims, const char *address, const char *pod_folder);

#endif
