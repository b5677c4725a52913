/* Every write: life stories without any other fault, in which the controller dies before or after
 * each of its effects, one by one. Each story ends as it should, and no rank that runs notices. */
#include "tests/simulation/stories.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/sim.h"

#define STORY_END_MS (30 * 60 * 1000)

/* ---- what happens in them ---- */

static struct sim_launcher *launcher_of(struct sim *s, uint32_t slot)
{
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->slot == slot && !l->left)
            return l;
    return NULL;
}

static void nothing(struct sim *s)
{
    (void)s;
}

static void rank_dies(struct sim *s)
{
    struct sim_launcher *l = launcher_of(s, 1);
    if (l)
        rank_exits(s, l, 0, 3, 0, false);
}

static void pod_dies(struct sim *s)
{
    struct sim_launcher *l = launcher_of(s, 1);
    if (!l)
        return;
    cleanup_free char *path =
        mlt_asprintf("/api/v1/namespaces/" SIM_NAMESPACE "/pods/%s?gracePeriodSeconds=0", l->pod);
    oracle_excuse(s, l->job);
    (void)api_now(s, "DELETE", path, NULL, NULL, NULL);
}

static void node_vanishes(struct sim *s)
{
    struct sim_launcher *l = launcher_of(s, 1);
    if (l)
        node_power_off(s, l->node);
}

static void resumes(struct sim *s, uint64_t id, void *data)
{
    (void)id;
    (void)data;
    job_act(s, &s->jobs[0], "resume");
}

static void suspend(struct sim *s)
{
    job_act(s, &s->jobs[0], "suspend");
    sim_after(s, 20000, resumes, 0, NULL);
}

static void cancel(struct sim *s)
{
    job_act(s, &s->jobs[0], "graceful");
}

/* A job of higher priority that wants the whole cluster. */
static void urgent(struct sim *s)
{
    struct sim_job *job = &s->jobs[1];
    struct sim_facts facts = job->facts; /* as it begins */
    *job = s->jobs[0];
    (void)snprintf(job->name, sizeof job->name, "urgent");
    job->uid[0] = '\0';
    job->submitted = false;
    job->folder_count = 0;
    job->facts = facts;
    job->nproc = 2;
    job->total_steps = 6;
    job->priority = "high";
    s->jobs_count = 2;
    job_submit(s, job);
}

/* ---- the stories ---- */

const struct sim_story stories[] = {
    {"run", nothing, .ends = "Succeeded", .worlds = 1},
    {"rank-dies", rank_dies, .ends = "Succeeded", .worlds = 2},
    {"pod-dies", pod_dies, .ends = "Succeeded", .worlds = 2},
    {"node-vanishes", node_vanishes, .ends = "Succeeded", .worlds = 2},
    {"suspend", suspend, .ends = "Succeeded", .worlds = 2},
    {"makes-way", urgent, .ends = "Succeeded", .worlds = 2},
    {"cancel", cancel, .ends = "Failed", .worlds = 1},
    {"deadline", nothing, .ends = "Failed", .worlds = 1, .deadline_s = 20},
    {"ttl", nothing, .ends = "", .worlds = 1, .ttl = true},
    {"rejected", nothing, .ends = "Succeeded", .worlds = 1, .reject = true},
    {0},
};

static void middle(struct sim *s, uint64_t id, void *data)
{
    (void)id;
    (void)data;
    sim_say(s, "story", "%s", s->story->name);
    s->story->happens(s);
}

static void prepare(struct sim *s)
{
    const struct sim_story *story = s->story;
    s->hosts_count = 1;
    s->nodes_count = 3;
    for (int i = 0; i < s->nodes_count; i++)
        s->nodes[i].gpus = 2;
    s->jobs_count = 1;
    s->jobs[0] = (struct sim_job){.name = "story",
                                  .replicas = 3,
                                  .nproc = 1,
                                  .wish = story->ttl ? WISH_TTL : WISH_FINISH,
                                  .deadline_s = story->deadline_s,
                                  .backoff_limit = 6,
                                  .grace_s = 5,
                                  .init_ms = 500,
                                  .pace_ms = 1000,
                                  .save_every = 5,
                                  .save_ms = 200,
                                  .total_steps = 30,
                                  .on_signal = 1,
                                  .proves = true,
                                  .reports_progress = true};
    s->reject_next = story->reject;
}

static bool is_over(struct sim *s)
{
    return job_is_over(s, &s->jobs[0]);
}

static void must_have_ended(struct sim *s)
{
    static const char ends[] = "the story ends as it does without the controller's death";
    static const char notices[] = "no running rank notices the controller's death";
    const struct sim_story *story = s->story;
    const char *phase = job_phase(s, &s->jobs[0]);
    if (!is_over(s) || strcmp(phase, story->ends) != 0)
        sim_violated(s, ends, "%s: `%s` instead of `%s`, %s effect %" PRId64, story->name, phase,
                     story->ends, s->die_after ? "after" : "before", s->die_at);
    if (s->jobs[0].facts.worlds != story->worlds)
        sim_violated(s, notices, "%s: %u gangs ran instead of %u, %s effect %" PRId64, story->name,
                     s->jobs[0].facts.worlds, story->worlds, s->die_after ? "after" : "before",
                     s->die_at);
}

void story_tell(struct sim *s, const struct sim_story *story, int64_t die_at, bool die_after)
{
    s->story = story;
    s->die_at = die_at;
    s->die_after = die_after;
    prepare(s);
    kubelets_begin(s);
    api_settle(s);
    turns_create_classes(s);
    controllers_begin(s);
    sim_run(s, 2000, NULL);
    job_submit(s, &s->jobs[0]);
    api_settle(s);
    sim_after(s, 15000, middle, 0, NULL);
    sim_run(s, s->now_ms + STORY_END_MS, is_over);
    sim_run(s, s->now_ms + 60000, NULL);
    must_have_ended(s);
    for (int i = 0; i < s->nodes_count; i++)
        node_back(s, i);
    sim_run(s, s->now_ms + 60000, NULL);
    oracle_end(s);
}
