/* Exponential delay of restarts that got nowhere. PURE. */
#include "controller/backoff.h"

int64_t restart_backoff_ms(int64_t fruitless)
{
    if (fruitless <= 1)
        return 0;
    int64_t delay = RESTART_BACKOFF_BASE_MS;
    for (int64_t i = 2; i < fruitless && delay < RESTART_BACKOFF_MAX_MS; i++)
        delay *= 2;
    return delay < RESTART_BACKOFF_MAX_MS ? delay : RESTART_BACKOFF_MAX_MS;
}
