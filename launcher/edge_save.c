/* What the edge does for orders to save and to look: libmltrain's socket, the signal for those who
 * catch it, and what each rank is doing. */
#include "launcher/edge_internal.h"

void edge_signal_catching(struct edge *e, int signal, const uint64_t *except)
{
    (void)signal;
    (void)except;
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_CAUGHT});
}

void edge_look(struct edge *e)
{
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_EXAMINED});
}

void edge_answer(struct edge *e, uint32_t rank, bool save)
{
    (void)e;
    (void)rank;
    (void)save;
}
