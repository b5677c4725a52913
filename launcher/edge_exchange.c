/* Hands out what comes of the exchange (launcher/exchange.h): by user, to the part of the edge that
 * speaks for it. A user that does not run here answers no question. */
#include "launcher/edge_helper.h"
#include "launcher/edge_internal.h"

void edge_exchanged(struct edge *e, const struct exchange_output *out)
{
    switch (out->user) {
    case EXCHANGE_USER_LAUNCHER:
        edge_rsh_exchanged(e, out);
        break;
    case EXCHANGE_USER_PMI1:
        if (edge_pmi1_exchanged(e, out))
            return;
        break;
    case EXCHANGE_USER_PMIX:
        if (edge_helper_exchanged(e->mpi.helper, out))
            return;
        break;
    case EXCHANGE_USER_SDK:
        edge_sdk_exchanged(e, out);
        break;
    case EXCHANGE_USERS:
        break;
    }
    if (out->kind == EXCHANGE_DO_QUESTION)
        exchange_answer(supervisor_exchange(e->supervisor), out->question, EXCHANGE_NOT_FOUND, NULL,
                        0);
}
