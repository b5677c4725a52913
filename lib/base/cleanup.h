/* Resources that free themselves at the end of their scope, and the explicit hand-over.
 *
 *     cleanup_free char *name = mlt_strdup(text);
 *     ...
 *     *ret_name = steal_ptr(&name);
 */
#ifndef MLT_BASE_CLEANUP_H
#define MLT_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void mlt_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void mlt_cleanup_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

static inline void mlt_cleanup_file(FILE **file)
{
    if (*file)
        (void)fclose(*file);
}

/* A descriptor variable with cleanup_close must be initialised, with -1 when it holds none. */
#define cleanup_free __attribute__((cleanup(mlt_cleanup_free)))
#define cleanup_close __attribute__((cleanup(mlt_cleanup_close)))
#define cleanup_file __attribute__((cleanup(mlt_cleanup_file)))

/* Takes the pointer out of a variable, leaving NULL behind. */
#define steal_ptr(variable)                                                                                 \
    ({                                                                                                      \
        __typeof__(*(variable)) stolen_ = *(variable);                                                      \
        *(variable) = NULL;                                                                                 \
        stolen_;                                                                                            \
    })

/* Takes the descriptor out of a variable, leaving -1 behind. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

#define MLT_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
