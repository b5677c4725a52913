/* Delays between tries. Equal jitter: half of the delay is fixed, half is random, so that many
 * clients that failed together do not come back together, and none comes back at once. */
#include "lib/kube/backoff.h"

#define DOUBLINGS_MAX 62 /* further ones would overflow */

int64_t kube_backoff_next(struct kube_backoff *b, struct mlt_random *random, int64_t retry_after_ms)
{
    int64_t delay_ms = b->base_ms;
    for (unsigned i = 0; i < b->failures && i < DOUBLINGS_MAX && delay_ms < b->max_ms; i++)
        delay_ms = delay_ms > b->max_ms / 2 ? b->max_ms : delay_ms * 2;
    if (delay_ms > b->max_ms)
        delay_ms = b->max_ms;
    if (b->failures < DOUBLINGS_MAX)
        b->failures++;
    delay_ms = mlt_random_between(random, delay_ms / 2, delay_ms);
    return delay_ms > retry_after_ms ? delay_ms : retry_after_ms;
}

void kube_backoff_reset(struct kube_backoff *b)
{
    b->failures = 0;
}

bool kube_status_is_retryable(int http_status)
{
    switch (http_status) {
    case 0:
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}
