/* `mltrain-launcher copy DIR`: the init container puts the launcher into any image. */
#ifndef LAUNCHER_SELF_COPY_H
#define LAUNCHER_SELF_COPY_H

#include "lib/base/error.h"

#define SELF_COPY_HELPER "mltrain-helper"

/* Copies this very executable to DIR/mltrain-launcher, mode 0755, by a temporary name and a rename,
 * so that nobody ever execs half of it, and puts libmltrain's Python module beside it
 * (sdk_python.h), and SELF_COPY_HELPER, if that lies beside this executable. Missing folders are
 * made (0755). -errno. */
int self_copy(const char *dir, struct mlt_error *err) MLT_MUST_USE;

#endif
