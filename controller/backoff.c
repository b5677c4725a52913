/* Exponential delay of restarts that got nowhere. PURE. */
#include "controller/backoff.h"

int64_t restart_backoff_ms(int64_t fruitless, uint64_t random)
{
    if (fruitless <= 1)
        return 0;
    int64_t longest = RESTART_BACKOFF_BASE_MS;
    for (int64_t i = 2; i < fruitless && longest < RESTART_BACKOFF_MAX_MS; i++)
        longest *= 2;
    if (longest > RESTART_BACKOFF_MAX_MS)
        longest = RESTART_BACKOFF_MAX_MS;
    return longest / 2 + (int64_t)(random % (uint64_t)(longest / 2 + 1));
}
