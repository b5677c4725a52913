/* Arithmetic on the amounts of one node: whether a pod fits, and taking and giving what it asks
 * for. */
#include "gang/internal.h"

/* What is not asked for does not count, even where others have taken more than there is. */
bool gang_board_fits(const struct gang *g, const int64_t *there, const int64_t *request)
{
    for (uint32_t r = 0; r < g->resources; r++)
        if (request[r] > 0 && there[r] < request[r])
            return false;
    return true;
}

/* Sums wrap around instead of overflowing: facts about placements may add up to anything, and what
 * was added is subtracted again. */
void gang_board_take(const struct gang *g, int64_t *there, const int64_t *request)
{
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] = (int64_t)((uint64_t)there[r] - (uint64_t)request[r]);
}

void gang_board_give(const struct gang *g, int64_t *there, const int64_t *request)
{
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] = (int64_t)((uint64_t)there[r] + (uint64_t)request[r]);
}

void gang_board_take_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods)
{
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] = (int64_t)((uint64_t)there[r] - (uint64_t)request[r] * pods);
}

void gang_board_give_pods(const struct gang *g, int64_t *there, const int64_t *request,
                          uint32_t pods)
{
    for (uint32_t r = 0; r < g->resources; r++)
        there[r] = (int64_t)((uint64_t)there[r] + (uint64_t)request[r] * pods);
}

uint64_t gang_free_devices_of(const struct gang *g, uint32_t node)
{
    const int64_t *free = gang_at(g, GANG_FREE, node);
    uint64_t devices = 0;
    for (uint32_t r = GANG_DEVICE_0; r < g->resources; r++)
        devices += free[r] > 0 ? (uint64_t)free[r] : 0;
    return devices;
}

/* How many such pods fit. */
uint64_t gang_board_count(const struct gang *g, const int64_t *there, const int64_t *request)
{
    int64_t count = INT64_MAX;
    for (uint32_t r = 0; r < g->resources; r++) {
        if (request[r] <= 0)
            continue;
        int64_t fit = there[r] < 0 ? 0 : there[r] / request[r];
        count = fit < count ? fit : count;
    }
    return (uint64_t)count;
}
