/* Whose turn it is where all jobs go by least expected work (patience_ms above 0): patience.c. */
#ifndef GANG_PATIENCE_H
#define GANG_PATIENCE_H

#include "gang/internal.h"

bool gang_patience_is_wide(const struct gang *g, const struct gang_shape *shape);
/* How long a job waits before it has waited too long, as the backlog is now; and until when. */
int64_t gang_patience_of_ms(const struct gang *g, bool has_limit, bool is_wide);
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
/* Whether it comes before another one, both of queues that do not share: by least expected work, or
 * by how long they have waited. */
bool gang_patience_before(const struct gang *g, const struct gang_bucket *a,
                          const struct gang_bucket *b, bool by_work, int64_t now_ms);

#endif
