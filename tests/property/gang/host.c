/* The host: takes a plan, has it checked, and commits what is not refused. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <string.h>

void take_decisions(struct world *w, struct gang *g, struct decision *decisions,
                    uint32_t *ret_count)
{
    struct mlt_error err = {0};
    uint32_t count = 0;
    struct gang_decision d;
    if (w->lib->plan(g, w->now_ms, &err) < 0)
        fail(w, "plan: %s", err.text);
    else if (gang_check(g, &err) < 0)
        fail(w, "gang_check of a plan: %s", err.text);
    while (!failed(w) && w->lib->next(g, &d)) {
        if (count == DECISIONS) {
            fail(w, "a plan of more than %d decisions", DECISIONS);
            break;
        }
        struct decision *to = &decisions[count++];
        *to = (struct decision){.d = d, .has_why = d.why != NULL};
        if (d.nodes_count > PODS)
            fail(w, "job %" PRIu64 ": a decision with %u nodes", d.job, d.nodes_count);
        for (uint32_t i = 0; i < d.nodes_count && i < PODS; i++)
            to->nodes[i] = d.nodes[i];
        if (!d.why)
            continue;
        to->why = *d.why;
        to->why.blocker = NULL;
        gang_why_write(g, d.why, NULL, NULL, to->text);
    }
    *ret_count = count;
}

static void digest_decision(struct world *w, const struct decision *d)
{
    world_digest(w, (uint64_t)d->d.kind);
    world_digest(w, d->d.job);
    world_digest(w, d->d.pod);
    for (uint32_t i = 0; i < d->d.nodes_count; i++)
        world_digest(w, d->nodes[i]);
    if (d->d.kind == GANG_PREEMPT)
        world_digest(w, d->d.for_job ^ (uint64_t)d->d.cause << 32);
    world_digest(w, (uint64_t)d->d.estimated_start_ms);
    if (!d->has_why)
        return;
    for (const char *c = d->text; *c; c++)
        world_digest(w, (uint64_t)*c);
    if (strlen(d->text) >= GANG_REASON_MAX - 1)
        fail(w, "job %" PRIu64 ": its reason is cut: %s", d->d.job, d->text);
    if (!d->text[0])
        fail(w, "job %" PRIu64 ": its reason is empty", d->d.job);
}

/* Others are asked to leave for it, in view of those that have a reserved start now. */
static void claim(struct world *w, struct job *job)
{
    job->claims = job->asked = true;
    job->excused = false;
    memset(job->heeded_ms, 0, sizeof job->heeded_ms);
    for (uint32_t i = 0; i < w->decisions_count; i++) {
        if (w->decisions[i].d.estimated_start_ms)
            job->heeded_ms[w->decisions[i].job - w->jobs] = w->decisions[i].d.estimated_start_ms;
        /* A reserved start that relies on it is made anew, maybe on the room of this job. */
        job->excused = job->excused || w->decisions[i].d.kind == GANG_REPLACE;
    }
}

static void commit(struct world *w, struct decision *d)
{
    struct job *job = d->job;
    circles_commit(w, d);
    switch (d->d.kind) {
    case GANG_PLACE:
        take_place(w, job, d->nodes, d->d.revocable, w->now_ms);
        w->result.placed++;
        w->result.revocable += d->d.revocable;
        break;
    case GANG_REPLACE:
        move_pod(w, job, d->d.pod, d->nodes[0]);
        surprise(w);
        w->result.replaced++;
        break;
    case GANG_PREEMPT:
        job->stopping = job->asked_by_plan = true;
        job->stop_ms = w->now_ms;
        job->for_job = d->d.for_job;
        claim(w, job_by_id(w, d->d.for_job));
        w->result.preempted++;
        feed(w, &(struct gang_event){
                    .kind = GANG_JOB_STOPPING, .job = job->id, .for_job = d->d.for_job});
        break;
    case GANG_WAIT:
        job->told = true;
        w->result.waits++;
        break;
    case GANG_NEVER:
        w->result.nevers++;
        break;
    }
}

bool verbose;

static void print_decision(const struct world *w, const struct decision *d)
{
    static const char *const kinds[] = {
#define XX(name) #name,
        GANG_DECISION_MAP(XX)
#undef XX
    };
    printf("%" PRId64 ": %s job %" PRIu64, w->now_ms, kinds[d->d.kind], d->d.job);
    if (d->d.pod != GANG_NO_POD)
        printf(" pod %u", d->d.pod);
    for (uint32_t i = 0; i < d->d.nodes_count; i++)
        printf("%s%u", i ? "," : " on ", d->nodes[i]);
    if (d->d.kind == GANG_PREEMPT)
        printf(" for job %" PRIu64 ", cause %d", d->d.for_job, (int)d->d.cause);
    printf("%s", d->d.revocable ? " revocable" : "");
    if (d->d.estimated_start_ms)
        printf(" (at %" PRId64 ")", d->d.estimated_start_ms);
    printf("%s%s\n", d->has_why ? ": " : "", d->text);
}

/* Bit i of `refused`: the i-th thing to be done is not (the host was too late, or died). */
void host_plan(struct world *w, uint64_t refused)
{
    uint32_t count = 0, done = 0;
    uint64_t before = gang_hash(w->g);
    take_decisions(w, w->g, w->decisions, &count);
    w->decisions_count = count;
    w->result.plans++;
    for (uint32_t i = 0; i < count && !failed(w); i++) {
        struct decision *d = &w->decisions[i];
        d->job = job_by_id(w, d->d.job);
        if (!d->job)
            fail(w, "a decision about job %" PRIu64 ", which does not exist", d->d.job);
        digest_decision(w, d);
        if (verbose)
            print_decision(w, d);
    }
    if (!failed(w) && gang_hash(w->g) != before)
        fail(w, "a plan changes the state");
    if (!failed(w))
        check_rules(w);
    for (uint32_t i = 0; i < count && !failed(w); i++) {
        struct decision *d = &w->decisions[i];
        bool acts = d->d.kind != GANG_WAIT && d->d.kind != GANG_NEVER;
        if (acts && done < 64 && refused >> done & 1) {
            void_promises(w);
            circles_begin(w);
        } else {
            commit(w, d);
        }
        done += acts;
    }
    w->prompt = true;
}
