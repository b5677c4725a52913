/* What a controller remembers on disk between two lives, beside its master key: the channel's port,
 * because running pods know it by number, and its identity, so that it leads again without waiting
 * for its own old lease. Part of the edge. The file is locked while the controller lives: two
 * controllers with one identity would both believe to lead. */
#ifndef CONTROLLER_STATE_FILE_H
#define CONTROLLER_STATE_FILE_H

#include <stdint.h>
#include "lib/base/error.h"

#define STATE_IDENTITY_MAX 128

struct state_file {
    int fd;                            /* locked; -1: there is no file, and nothing is remembered */
    uint16_t port;                     /* 0: none yet */
    char identity[STATE_IDENTITY_MAX]; /* always set */
};

/* Opens PATH.state, or makes it with a new identity. Where it cannot be written (a read-only Secret
 * in a cluster) the identity is new and nothing is kept. -EBUSY when another controller holds it.
 */
int state_file_open(const char *key_path, struct state_file *ret,
                    struct mlt_error *err) MLT_MUST_USE;
/* Remembers the port. */
int state_file_keep(struct state_file *s, uint16_t port, struct mlt_error *err) MLT_MUST_USE;

/* Reads the 32 bytes of the master key, or makes them (mode 0600) when there is no file. */
int master_key_load(const char *path, unsigned char ret_key[32],
                    struct mlt_error *err) MLT_MUST_USE;

#endif
