/* Who may be asked to leave, for whom, and that nobody is asked in vain. */
#include "tests/property/gang/properties/properties.h"

#include <inttypes.h>
#include <string.h>

void check_preemptions(struct world *w)
{
    for (uint32_t i = 0; i < w->decisions_count && !failed(w); i++) {
        const struct decision *d = &w->decisions[i];
        if (d->d.kind != GANG_PREEMPT)
            continue;
        if (!w->config.f[C_PREEMPT])
            fail(w, "job %" PRIu64 " is asked to leave, but nobody may be", d->job->id);
        else if (d->job->state != PLACED || d->job->stopping)
            fail(w, "job %" PRIu64 " is asked to leave, but holds no place or leaves already",
                 d->job->id);
        else if (d->job->request.never_preempted)
            fail(w, "job %" PRIu64 " is asked to leave, though never to be preempted", d->job->id);
    }
}
