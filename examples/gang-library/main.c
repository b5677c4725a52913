/* The gang library alone: three machines of 8 GPUs, three gangs, and who of them runs where. The
 * host is this program; it owns the numbers of machines and gangs, and it would own the clock. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "gang/gang.h"

static struct gang *g;

static void tell(struct gang_event event, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (gang_event(g, &event, now_ms, &err) < 0) {
        (void)fprintf(stderr, "gang_event: %s\n", err.text);
        exit(1);
    }
}

/* A gang of so many pods of 8 GPUs that runs for an hour at most. */
static void submit(uint64_t id, uint32_t pods)
{
    static const uint64_t everywhere[] = {UINT64_MAX};
    struct gang_job_request request = {.sequence = (int64_t)id, .roles_count = 1};
    request.time_limit_ms = 3600 * 1000;
    request.roles[0] =
        (struct gang_role){.pods = pods, .node_classes = everywhere, .node_classes_words = 1};
    request.roles[0].request[GANG_PODS] = 1;
    request.roles[0].request[GANG_DEVICE_0] = 8;
    tell((struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = id, .request = &request}, 0);
}

/* Says what is decided, and commits it: true when that calls for another plan, because a plan is
 * forgotten by the next event. (A host with many gangs copies all decisions first.) */
static bool take_one(const struct gang_decision *d, int64_t now_ms)
{
    char why[GANG_REASON_MAX];
    printf("%5" PRId64 " s  gang %" PRIu64, now_ms / 1000, d->job);
    if (d->kind != GANG_PLACE) {
        gang_why_write(g, d->why, NULL, NULL, why);
        printf(" waits: %s\n", why);
        return false;
    }
    for (uint32_t i = 0; i < d->nodes_count; i++)
        printf("%s%" PRIu32, i ? ", " : " runs on machine ", d->nodes[i]);
    printf("\n");
    tell((struct gang_event){.kind = GANG_JOB_PLACED,
                             .job = d->job,
                             .nodes = d->nodes,
                             .nodes_count = d->nodes_count,
                             .started_ms = now_ms},
         now_ms);
    return true;
}

static void plan(int64_t now_ms)
{
    struct gang_decision d;
    struct mlt_error err = {0};
    bool again = true;
    while (again && gang_plan(g, now_ms, &err) == 0) {
        again = false;
        while (!again && gang_decision_next(g, &d))
            again = take_one(&d, now_ms);
    }
}

int main(void)
{
    static const char *const devices[] = {"GPU"};
    g = gang_new(&(struct gang_config){.device_names = devices, .devices = 1, .reservations = 4});
    if (!g)
        return 1;
    tell((struct gang_event){.kind = GANG_QUEUE_SET, .queue = 0}, 0);
    for (uint32_t node = 0; node < 3; node++)
        tell((struct gang_event){.kind = GANG_NODE_SET,
                                 .node = node,
                                 .schedulable = true,
                                 .capacity = {[GANG_PODS] = 100, [GANG_DEVICE_0] = 8}},
             0);
    submit(1, 2);
    submit(2, 3); /* all three machines: it waits for the first */
    submit(3, 1); /* it ends before that, so it may go ahead */
    plan(0);
    tell((struct gang_event){.kind = GANG_JOB_REMOVED, .job = 1}, 1800 * 1000);
    tell((struct gang_event){.kind = GANG_JOB_REMOVED, .job = 3}, 1800 * 1000);
    plan(1800 * 1000);
    gang_free(g);
    return 0;
}
