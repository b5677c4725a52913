/* Where this process is in its job, from its environment; and the time. For the files of
 * libmltrain. */
#ifndef SDK_PLACE_H
#define SDK_PLACE_H

#include <stdint.h>

/* A decimal variable of the environment, or -1. */
int64_t sdk_number_of(const char *name);

/* Of the monotonic clock. */
int64_t sdk_now_ms(void);

#endif
