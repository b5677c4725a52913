/* The life stories of `mltrain-sim --every-write`. */
#ifndef TESTS_SIMULATION_STORIES_H
#define TESTS_SIMULATION_STORIES_H

#include <stdbool.h>
#include <stdint.h>

struct sim;

struct sim_story {
    const char *name;
    void (*happens)(struct sim *s); /* 15 s after the submission */
    const char *ends;               /* its phase then; "": it is gone */
    unsigned worlds;                /* gangs whose ranks have all met */
    int64_t deadline_s;
    bool ttl, reject; /* reject: a kubelet rejects the first pod */
};

extern const struct sim_story stories[]; /* the last has no name */

/* Tells it in a world that has begun; the controller dies before or after its `die_at`-th effect of
 * consequence (0: never). s->effects counts them. Comes back when all was well. */
void story_tell(struct sim *s, const struct sim_story *story, int64_t die_at, bool die_after);

#endif
