/* Which of many buckets is next, where queues have turns: heaps that are kept while a plan asks one
 * after the other. Private to gang/. Work for one bucket: the logarithm of the buckets of its queue
 * and of the queues beside it. */
#ifndef GANG_CHOICE_H
#define GANG_CHOICE_H

#include "gang/internal.h"

/* Of equal priority and share: patience.c. */
enum gang_choice_order { GANG_CHOICE_BY_URGENCY, GANG_CHOICE_BY_WORK };

/* What counts of a queue where queues share: past use, and what is placed now. queue.c. */
struct gang_use {
    gang_wide amount;
    uint32_t weight;
};
struct gang_use gang_use_of(const struct gang *g, uint32_t index, int64_t now_ms);
/* The lower index on a tie. */
bool gang_use_is_less(const struct gang_use *a, uint32_t index, const struct gang_use *b,
                      uint32_t other);

/* Room for one more bucket, and for all queues; only with patience is anything chosen by this.
 * -ENOMEM. */
int gang_choice_reserve(struct gang *g) MLT_MUST_USE;
void gang_choice_free(struct gang *g);

/* Nobody is offered. Shares are those of now. */
void gang_choice_begin(struct gang *g, enum gang_choice_order order, int64_t now_ms);
/* It is not offered yet. Its first job stays the first until it is taken back. */
void gang_choice_offer(struct gang *g, struct gang_bucket *bucket);
/* The same where nobody is taken back: who does not come first in its queue is forgotten. */
void gang_choice_offer_best(struct gang *g, struct gang_bucket *bucket);
void gang_choice_take_back(struct gang *g, struct gang_bucket *bucket); /* not offered: nothing */
bool gang_choice_has(const struct gang *g, const struct gang_bucket *bucket);
void gang_choice_used(struct gang *g, uint32_t queue); /* its use has changed */
/* All that waits stands in queues side by side, below one that shares fairly. */
bool gang_choice_is_flat(const struct gang *g);
/* Of those in work_next that offer buckets, queue after queue, this one has come to `queue`, which
 * has used nothing: nobody of a higher number comes before that one. True: it pauses there. */
bool gang_choice_pause(struct gang *g, uint32_t queue, uint32_t offering);
/* One that paused there, if the queue has nothing to offer any more or has used something;
 * UINT32_MAX: none. */
uint32_t gang_choice_resume(struct gang *g, uint32_t queue);
/* The first by the rules of order of those that are offered; NULL: none. */
struct gang_bucket *gang_choice_first(struct gang *g);

/* Against recomputation, while nothing but this has changed since gang_choice_begin(), or the plan
 * that began it is complete and nothing has changed since. -EBADMSG. */
int gang_choice_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;
/* Whoever may be offered has room here; at any time. */
int gang_choice_check_room(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

#endif
