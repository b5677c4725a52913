/* Whose turn it is where all jobs go by least expected work (patience_ms above 0): patience.c. */
#ifndef GANG_PATIENCE_H
#define GANG_PATIENCE_H

#include "gang/internal.h"

int64_t gang_patience_ends_ms(const struct gang *g, const struct gang_job *job);
void gang_patience_joined(struct gang *g, const struct gang_job *job);   /* waits from now on */
void gang_patience_left(struct gang *g, const struct gang_bucket *from); /* one that waited */
int64_t gang_patience_wake_ms(const struct gang *g); /* before then it is no other job's turn */
/* The first of those whose turn it is, and that this plan has not taken out; NULL: nobody's. */
struct gang_bucket *gang_patience_turn(struct gang *g, int64_t now_ms);
/* Who has used no more than its due, below each queue that shares fairly: its part, by weight, of what
 * those have used that have waiting jobs. Once for a plan; holds until the next one. */
void gang_patience_find_due(struct gang *g);
bool gang_patience_is_due(const struct gang *g, uint32_t queue);
/* work.c: each bucket below `link` that was not refused since the last gain and asks for at most so
 * many pods; the tree stays as it is meanwhile. */
typedef void gang_work_f(void *arg, struct gang_bucket *bucket);
void gang_work_each(struct gang *g, uint32_t link, uint64_t pods, gang_work_f *each, void *arg);
/* The first by shares and least work of those for which `may` says so; NULL: none. */
typedef bool gang_patience_f(struct gang *g, struct gang_bucket *bucket, void *arg);
struct gang_bucket *gang_patience_next(struct gang *g, gang_patience_f *may, void *arg);
/* The same of those that were not refused since the last gain and ask for at most as many pods as
 * `most` says of their kind; of those with several roles, whatever they ask for. The others are not
 * looked at one by one. */
typedef uint64_t gang_patience_most_f(struct gang *g, const struct gang_shape *shape, void *arg);
struct gang_bucket *gang_patience_next_fitting(struct gang *g, gang_patience_most_f *most,
                                               void *arg);

#endif
