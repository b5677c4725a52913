/* Policy ledger: TrainingJobs on Kubernetes Nodes, told to the controller's own ledger as the
 * objects they are. So selectors, affinity, taints and priority classes count as they do on a
 * cluster. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/simulate/engine.h"
#include "ledger/ledger.h"
#include "lib/base/alloc.h"
#include "lib/base/number.h"

#define UID_MAX 24

struct policy {
    struct sim *sim;
    struct ledger *ledger;
    struct sim_names nodes; /* by name; the numbers are the simulator's */
    char (*uid)[UID_MAX];   /* by job: its number */
    uint32_t *pod_nodes;
};

static struct trainingjob *manifest_of(struct policy *p, uint32_t job)
{
    return &p->sim->trace->manifests[p->sim->trace->jobs[job].manifest - 1];
}

static int submitted(void *self, uint32_t job, struct mlt_error *err)
{
    struct policy *p = self;
    struct trainingjob *manifest = manifest_of(p, job);
    (void)snprintf(p->uid[job], UID_MAX, "%" PRIu32, job);
    manifest->metadata.uid = p->uid[job];
    manifest->metadata.creation_ms = p->sim->trace->jobs[job].submit_ms + 1; /* 0 means absent */
    int rc = ledger_job_waits(p->ledger, manifest, NULL, p->sim->now_ms, err);
    if (rc == 0)
        rc = ledger_could_fit(p->ledger, manifest, err);
    return rc < 0 ? mlt_fail_in(err, "TrainingJob %s", manifest->metadata.name) : 0;
}

static int ended(void *self, uint32_t job, struct mlt_error *err)
{
    (void)err;
    struct policy *p = self;
    ledger_job_gone(p->ledger, p->uid[job], p->sim->now_ms);
    return 0;
}

static int left(void *self, uint32_t job, struct mlt_error *err)
{
    return submitted(self, job, err);
}

static int place(struct policy *p, const struct ledger_decision *d, struct mlt_error *err)
{
    int64_t job = 0;
    int rc = mlt_parse_integer(d->job_uid, 0, SIM_JOBS_MAX, &job, err);
    for (uint32_t i = 0; rc == 0 && i < d->nodes_count; i++)
        rc = sim_names_add(&p->nodes, d->nodes[i], strlen(d->nodes[i]), p->nodes.count,
                           &p->pod_nodes[i], err);
    if (rc == 0)
        rc = ledger_job_holds(p->ledger, manifest_of(p, (uint32_t)job), NULL, d->nodes,
                              d->nodes_count, p->sim->now_ms, err);
    p->sim->counts.decisions++;
    return rc == 0 ? sim_start(p->sim, (uint32_t)job, p->pod_nodes, err) : rc;
}

static int decide(void *self, struct mlt_error *err)
{
    struct policy *p = self;
    struct ledger_decision d;
    int rc = ledger_plan(p->ledger, p->sim->now_ms, err);
    while (rc == 0 && ledger_decision_next(p->ledger, &d))
        if (d.kind == GANG_PLACE)
            rc = place(p, &d, err);
    return rc;
}

static int64_t wake_ms(void *self)
{
    struct policy *p = self;
    return ledger_next_wake_ms(p->ledger, p->sim->now_ms);
}

static void policy_close(void *self)
{
    struct policy *p = self;
    ledger_free(p->ledger);
    sim_names_release(&p->nodes);
    free(p->uid);
    free(p->pod_nodes);
    free(p);
}

static int tell_cluster(struct policy *p, struct mlt_error *err)
{
    const struct sim_nodes *nodes = p->sim->nodes;
    const cJSON *priority_class;
    int rc = 0;
    for (uint32_t i = 0, number; rc == 0 && i < nodes->count; i++) {
        rc = sim_names_add(&p->nodes, nodes->name[i], strlen(nodes->name[i]), SIM_NODES_MAX,
                           &number, err);
        if (rc == 0 && number != i)
            rc = mlt_fail(err, EINVAL, "two nodes are named `%s`", nodes->name[i]);
        if (rc == 0)
            ledger_node(p->ledger, nodes->object[i], 0);
    }
    cJSON_ArrayForEach(priority_class, p->sim->trace->priority_classes)
        ledger_priority_class(p->ledger, priority_class);
    return rc;
}

static int policy_open(struct sim *sim, void **ret_self, struct mlt_error *err)
{
    static const char *const gpus[] = {"nvidia.com/gpu", "amd.com/gpu"};
    static const struct ledger_topology_level levels[] = {
        {.name = "zone", .label = "topology.kubernetes.io/zone"},
        {.name = "rack", .label = "mltrain.io/rack"}};
    const struct ledger_config config = {
        .gpu_resources = gpus, .gpu_resources_count = 2, .levels = levels, .levels_count = 2};
    if (sim->trace->manifests_count == 0 || !sim->nodes->object)
        return mlt_fail(err, EINVAL,
                        "policy ledger: expected TrainingJobs as --trace and Kubernetes Nodes as "
                        "--nodes");
    struct policy *p = mlt_calloc(1, sizeof *p);
    p->sim = sim;
    p->ledger = ledger_new(&config);
    p->uid = mlt_calloc(sim->trace->count + 1, sizeof *p->uid);
    p->pod_nodes = mlt_calloc(SIM_PODS_MAX, sizeof *p->pod_nodes);
    int rc = tell_cluster(p, err);
    if (rc < 0) {
        policy_close(p);
        return mlt_fail_in(err, "policy ledger");
    }
    *ret_self = p;
    return 0;
}

const struct sim_policy sim_policy_ledger = {
    .name = "ledger",
    .words = "the controller's ledger and library, told the objects themselves",
    .open = policy_open,
    .close = policy_close,
    .submitted = submitted,
    .left = left,
    .ended = ended,
    .decide = decide,
    .wake_ms = wake_ms};
