/* Allocation that aborts when memory is exhausted. For controller, CLI and localcluster, whose recovery
 * is a restart; the launcher and gang/ use malloc and return errors (docs/decisions). Sizes that came
 * from outside are compared with their limit before they get here. All results are freed with free(). */
#ifndef MLT_BASE_ALLOC_H
#define MLT_BASE_ALLOC_H

#include <stddef.h>
#include "lib/base/error.h"

void *mlt_calloc(size_t count, size_t size);                 /* zeroed */
void *mlt_realloc(void *old, size_t count, size_t size);     /* checks count * size for overflow */
char *mlt_strdup(const char *text);                          /* NULL gives NULL */
char *mlt_strndup(const char *text, size_t length);
void *mlt_memdup(const void *data, size_t size);
char *mlt_asprintf(const char *format, ...) MLT_PRINTF(1, 2);

/* Makes room for one more element in a growing array: doubles *capacity when `used` has reached it. */
#define MLT_GROW(array, used, capacity)                                                                     \
    do {                                                                                                    \
        if ((used) >= (capacity)) {                                                                         \
            (capacity) = (capacity) ? (capacity)*2 : 8;                                                     \
            (array) = mlt_realloc((array), (size_t)(capacity), sizeof *(array));                            \
        }                                                                                                   \
    } while (0)

#endif
