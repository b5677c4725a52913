/* Leader election over a coordination.k8s.io/v1 Lease. Pure: the caller sends the requests that it
 * asks for and feeds the answers back. One request is under way at a time.
 *
 * After k8s.io/client-go/tools/leaderelection. Safe against clocks that differ: how long another
 * holder has been silent is measured on our monotonic clock from the moment at which we saw its
 * record change; times inside the record are only written, never read. Our own lead ends
 * renew_deadline_ms after the last renewal that succeeded was *sent*, which is before anybody else
 * can take the lease. */
#ifndef KUBE_LEASE_H
#define KUBE_LEASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/random.h"

#define KUBE_LEASE_DURATION_MS (15 * 1000)
#define KUBE_LEASE_RENEW_DEADLINE_MS (10 * 1000)
#define KUBE_LEASE_RETRY_PERIOD_MS (2 * 1000)
#define KUBE_LEASE_DURATION_MAX_MS (3600 * 1000)

/* Zero means the default for each time. */
struct kube_lease_config {
    const char *namespace_, *name;
    const char
        *identity; /* a process that comes back under the same identity leads again at once */
    int64_t
        duration_ms; /* rounded up to seconds; others wait so long; more than renew_deadline_ms */
    int64_t renew_deadline_ms; /* more than retry_period_ms * 1.2 */
    int64_t retry_period_ms;   /* between renewals, and (with jitter) between tries to acquire */
};

struct kube_lease;

/* What the election wants now. At most one of send and cancel is set. */
struct kube_lease_want {
    bool send;        /* send this request and feed its answer back */
    bool cancel;      /* end the request under way; no answer for it may be fed */
    const char *verb; /* GET, POST or PATCH */
    const char *path; /* owned by the lease, as is the body, valid until the next call */
    const char *content_type;
    const char *body; /* NULL for GET */
    int64_t wake_ms;  /* monotonic time at which to ask again at the latest; INT64_MAX for never */
};

/* Strings are copied; `random` is borrowed and must outlive the lease. -EINVAL for times that do
 * not fit each other and for empty names. */
int kube_lease_new(const struct kube_lease_config *config, struct mlt_random *random,
                   struct kube_lease **ret, struct mlt_error *err) MLT_MUST_USE;
void kube_lease_free(struct kube_lease *l);

/* What to do at `now_ms` (monotonic; `wall_us` is only written into the record). A want that is
 * returned counts as done. Call after every answer and when wake_ms has come. */
void kube_lease_poll(struct kube_lease *l, int64_t now_ms, int64_t wall_us,
                     struct kube_lease_want *ret);

/* The answer to the request under way; status 0 for a transport error (then `body` holds its
 * words). */
void kube_lease_answer(struct kube_lease *l, int64_t now_ms, int http_status, const char *body,
                       size_t length);

/* Whether we lead at `now_ms`. May become true only in kube_lease_answer(), and false with time
 * alone. */
bool kube_lease_leads(const struct kube_lease *l, int64_t now_ms);

/* Until when we lead unless a renewal succeeds; meaningless while we do not. */
int64_t kube_lease_deadline_ms(const struct kube_lease *l);

/* The record's leaseTransitions in our term: higher than in every term before, so that it can fence
 * off earlier leaders. Meaningless while we do not lead. */
int64_t kube_lease_transitions(const struct kube_lease *l);

/* Who held the lease when it was last seen, "" for nobody. Owned by the lease. */
const char *kube_lease_holder(const struct kube_lease *l);

/* Ends our lead at once and, if we led, asks (by the next poll) to empty the record, so that
 * another can take it without waiting. Nothing is acquired any more. kube_lease_is_over() tells
 * when no request is left to send or under way. */
void kube_lease_give_up(struct kube_lease *l);
bool kube_lease_is_over(const struct kube_lease *l);

/* The last error in words, "" when the last request went well; owned by the lease. */
const char *kube_lease_trouble(const struct kube_lease *l);

#endif
