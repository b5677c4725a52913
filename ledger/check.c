/* For tests: whether the gang says of every node what the records say. */
#include "ledger/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

/* What placements hold on each node, summed up from the jobs' records. */
static gang_amounts *sum_placements(const struct ledger *l, uint32_t *holders)
{
    gang_amounts *sums = mlt_calloc(l->numbered_count + 1, sizeof *sums);
    const struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        for (uint32_t i = 0, pod = 0; job->nodes && i < job->request.roles_count; i++)
            for (uint32_t end = pod + job->request.roles[i].pods; pod < end; pod++)
                if (job->nodes[pod]) {
                    ledger_use_add(l, &job->request.roles[i].use, sums[job->nodes[pod]->number]);
                    holders[job->nodes[pod]->number]++;
                }
        for (uint32_t i = 0; i < job->avoided_count; i++)
            if (job->avoided[i].node->number != LEDGER_NO_NUMBER)
                holders[job->avoided[i].node->number]++;
    }
    return sums;
}

static int check_node(const struct ledger *l, const struct ledger_node *node, const int64_t *gangs,
                      struct mlt_error *err)
{
    struct gang_node_view view;
    gang_amounts capacity = {0}, others = {0}, ending = {0};
    gang_node(l->gang, node->number, &view);
    if (node->known) {
        ledger_node_capacity(l, node, capacity);
        ledger_node_others(l, node, others);
        ledger_node_ending(l, node, ending);
    }
    bool schedulable = node->schedulable && !node->lost;
    if (view.known != node->known || (node->known && view.schedulable != schedulable))
        return mlt_fail(err, EBADMSG, "node %s: known or schedulable only here or only in the gang",
                        node->name);
    for (uint32_t r = 0; r < GANG_DEVICE_0 + l->devices_count; r++)
        if (view.capacity[r] != capacity[r] || view.used_by_others[r] != others[r] ||
            view.used_by_gangs[r] != gangs[r] || view.ending[r] != ending[r])
            return mlt_fail(err, EBADMSG,
                            "node %s: resource %u: capacity %" PRId64 ", others %" PRId64
                            ", gangs %" PRId64 "; in the gang %" PRId64 ", %" PRId64 ", %" PRId64,
                            node->name, r, capacity[r], others[r], gangs[r], view.capacity[r],
                            view.used_by_others[r], view.used_by_gangs[r]);
    return 0;
}

int ledger_check(const struct ledger *l, struct mlt_error *err)
{
    if (!l->gang)
        return 0;
    int rc = gang_check(l->gang, err);
    if (rc < 0 || l->stale || l->dirty_nodes_count || l->dirty_jobs_count)
        return rc;
    cleanup_free uint32_t *holders = mlt_calloc(l->numbered_count + 1, sizeof *holders);
    cleanup_free gang_amounts *gangs = sum_placements(l, holders);
    for (uint32_t i = 0; i < l->numbered_count && rc == 0; i++) {
        rc = check_node(l, l->numbered[i], gangs[i], err);
        if (rc == 0 && holders[i] != l->numbered[i]->holders)
            rc = mlt_fail(err, EBADMSG, "node %s: %u pods hold it, counted %u",
                          l->numbered[i]->name, holders[i], l->numbered[i]->holders);
    }
    return rc;
}
