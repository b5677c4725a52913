/* The edge: all of the launcher's I/O on one libuv loop. It does what the supervisor decides, and
 * reports what came of it. */
#ifndef LAUNCHER_EDGE_UV_H
#define LAUNCHER_EDGE_UV_H

#include "launcher/config.h"
#include "launcher/rank_spawn.h"
#include "lib/base/error.h"

/* Runs until the supervisor leaves, and gives the exit code. -errno when it could not begin.
 * `config` and `saved` (the limits at start) must outlive the call. */
int edge_run(const struct launcher_config *config, const struct rank_spawn_saved *saved,
             int *ret_exit_code, struct mlt_error *err) MLT_MUST_USE;

#endif
