/* Lists of names in short form: "node[001-004,007],gpu-a" for node001 ... node004, node007, gpu-a.
 * Order is kept: expanding gives the names in the order in which they were compressed. */
#ifndef MLT_BASE_HOSTLIST_H
#define MLT_BASE_HOSTLIST_H

#include <stddef.h>
#include "lib/base/error.h"
#include "lib/base/text.h"

/* Appends the short form of `count` names to *out. Runs of the same prefix and digit width whose numbers
 * follow each other become ranges. */
void mlt_hostlist_compress(const char *const *names, size_t count, struct mlt_text *out);

/* Gives a NULL-terminated array of names, each freed by mlt_hostlist_free(). -EINVAL for text that is not
 * a list, -E2BIG above `max` names, -ENOMEM. */
int mlt_hostlist_expand(const char *text, size_t max, char ***ret_names, size_t *ret_count,
                        struct mlt_error *err) MLT_MUST_USE;
void mlt_hostlist_free(char **names);

#endif
