/* Where this process is in its job, from its environment; and the time. For the files of
 * libmltrain. */
#ifndef SDK_PLACE_H
#define SDK_PLACE_H

#include <stdint.h>
#include "sdk/socket_message.h"

/* A decimal variable of the environment, or -1. */
int64_t sdk_number_of(const char *name);

/* The place of a rank. Of one that mltrain has started: RANK and the like. Of one that mpirun or
 * mpiexec has started (in whose pods the launchers set MLTRAIN_WORLD): OMPI_COMM_WORLD_RANK and the
 * like where Open MPI's has, PMI_RANK and the like where Hydra has. What torchrun has started is
 * torchrun's, below whomever that runs. -1 for what is not there. */
struct sdk_place {
    const char *socket; /* of this pod's launcher; NULL: not set, "": it has none */
    int64_t rank, size, local_rank;
    int64_t attempt;
    int64_t local_size; /* of a rank of mpirun: ranks of its world in this pod; else 0 */
    uint64_t world;     /* ... its world, not 0 and the same for its ranks alone; else 0 */
};
void sdk_place_find(struct sdk_place *ret);

/* The first line on each connection. */
void sdk_place_hello(const struct sdk_place *place, struct sdk_message *ret);

/* Of the monotonic clock. */
int64_t sdk_now_ms(void);

#endif
