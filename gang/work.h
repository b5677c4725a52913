/* Waiting buckets by least expected work, for plans with reservations; does nothing without these.
 * Private to gang/. */
#ifndef GANG_WORK_H
#define GANG_WORK_H

#include "gang/internal.h"

int gang_work_reserve(struct gang *g) MLT_MUST_USE; /* room for one more kind */
/* As the heap of its queue: a bucket waits to be asked, does not, has another first job. */
void gang_work_push(struct gang *g, struct gang_bucket *bucket);
void gang_work_take(struct gang *g, struct gang_bucket *bucket);
void gang_work_moved(struct gang *g, struct gang_bucket *bucket);
void gang_work_refuse(struct gang *g, struct gang_bucket *bucket); /* until there is a gain */
/* Who may find room: who asks for at most so many pods, and for no more than are unclaimed unless
 * it ends within that time, by its limit and its grace. One without a limit may, if it may promise
 * to leave. */
struct gang_work_bound {
    uint64_t pods, unclaimed;
    int64_t until_s;
};
#define GANG_WORK_ANY ((struct gang_work_bound){UINT64_MAX, UINT64_MAX, 0})
/* Least work first, of those not refused: begin; the first one, NULL when there is none; on to
 * those behind it, of its kind only those within a bound. */
struct gang_work_from {
    int64_t work;
    const struct gang_job *head; /* NULL: all */
    bool whole_queue;            /* behind all of that one's queue */
    bool same_queue;             /* where the trees go by queue: in that one's queue alone */
};
void gang_work_begin(struct gang *g);
struct gang_bucket *gang_work_first(struct gang *g);
void gang_work_pass(struct gang *g, const struct gang_work_bound *bound);
bool gang_work_within(const struct gang *g, const struct gang_bucket *bucket,
                      const struct gang_work_bound *bound);
/* Nobody of a kind is within a bound, as a look at the top of its tree tells. */
bool gang_work_nobody(struct gang *g, struct gang_kind *kind, const struct gang_work_bound *bound);
/* The first of a kind (NULL: of several) within a bound behind `from` that `see` (NULL: any) has
 * found to be the one. It is shown one after the other, and may pass over the rest of a queue where
 * the trees go by queue, else over all; it changes nothing that the trees go by. */
enum gang_work_seen { GANG_WORK_FOUND, GANG_WORK_NEXT, GANG_WORK_NEXT_QUEUE };
typedef enum gang_work_seen gang_work_see_f(struct gang *g, struct gang_bucket *bucket, void *arg);
struct gang_bucket *gang_work_behind(struct gang *g, struct gang_kind *kind,
                                     const struct gang_work_from *from,
                                     const struct gang_work_bound *bound, bool refused_too,
                                     gang_work_see_f *see, void *arg);
struct gang_kind *gang_work_kind(const struct gang *g, const struct gang_bucket *bucket);
void gang_work_resort(struct gang *g); /* queues share, or have quota, now, or no more */
int gang_work_check(const struct gang *g, struct mlt_error *err) MLT_MUST_USE;

#endif
