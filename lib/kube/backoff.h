/* Delays between tries: exponential with jitter, from a seeded generator. Pure. */
#ifndef KUBE_BACKOFF_H
#define KUBE_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/base/random.h"

struct kube_backoff {
    int64_t base_ms, max_ms;
    unsigned failures; /* in a row */
};

#define KUBE_BACKOFF_INIT(base, maximum)       \
    {                                          \
        .base_ms = (base), .max_ms = (maximum) \
    }

/* The delay before the next try after one more failure: between half and all of min(max, base *
 * 2^n); never less than retry_after_ms (0: the server named none). */
int64_t kube_backoff_next(struct kube_backoff *b, struct mlt_random *random,
                          int64_t retry_after_ms);
void kube_backoff_reset(struct kube_backoff *b);

/* Whether a request that ended with this status (0: transport error) may be sent again unchanged:
 * 0, 408, 429, 500, 502, 503, 504. */
bool kube_status_is_retryable(int http_status);

#endif
