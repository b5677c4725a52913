/* Which pod of each member an attempt was started in, as a short text for the status: the numbers
 * that the pods' names carry (pod_name.h: a member's first pod, second pod ...; 0: none has been
 * seen), in the order of their index, a run of equal ones as number*count: "1*1023,5,1*976". PURE. */
#ifndef TRAININGJOB_POD_CREATIONS_H
#define TRAININGJOB_POD_CREATIONS_H

#include <stdint.h>
#include "lib/base/text.h"

#define TRAININGJOB_POD_CREATIONS_MAX 16384 /* bytes; a longer text is not written at all */

/* Appends the text for `count` numbers, none negative. Whether it has become too long for `out`
 * its `failed` says. */
void trainingjob_pod_creations_write(const int64_t *creations, uint32_t count,
                                     struct mlt_text *out);

/* How many numbers the text holds; the first of them, `capacity` at most, are put into `ret`. 0, and
 * `ret` is not to be used, when it is not well formed or holds more than UINT32_MAX. `text` may be
 * NULL. */
uint32_t trainingjob_pod_creations_read(const char *text, int64_t *ret,
                                        uint32_t capacity) MLT_MUST_USE;

#endif
