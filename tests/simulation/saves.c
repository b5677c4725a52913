/* A program with libmltrain that asks at each step whether to save, as sdk/mltrain.c asks; and
 * histories in which stops are the theme: users suspend, cancel and delete again and again, and at
 * that very moment a launcher freezes, a controller dies, a channel breaks. Every fifth seed is
 * one. */
#include <inttypes.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/sim.h"

#define THEME_EVERY 5
#define PATIENCE_MS 10000 /* of a rank that asks: MLTRAIN_ASK_MS */

bool stops_are_the_theme(const struct sim *s)
{
    return !s->story && s->seed % THEME_EVERY == THEME_EVERY - 1;
}

/* ---- libmltrain ---- */

struct question {
    uint64_t world;
    uint32_t local;
    int64_t step;
};

static void answered(struct sim *s, struct sim_world *w, bool save)
{
    w->answered++;
    w->told_to_save += save;
    if (w->answered != w->asked)
        return;
    oracle_all_answered(s, w);
    if (w->told_to_save && w->told_to_save < w->asked) {
        /* Who saves waits for the others at the barrier behind it, and they in the next step. */
        sim_say(s, w->job->name, "only %u of %u ranks save at step %" PRId64, w->told_to_save,
                w->asked, w->step);
        return;
    }
    ranks_go_on(s, w, w->told_to_save == w->asked);
}

/* All ranks have their answer. */
static void all_answered(struct sim *s, uint64_t number, void *data)
{
    struct sim_world *w = world_find(s, number);
    const bool *save = data;
    if (w && !w->broken && !w->leaving)
        answered(s, w, *save);
}

static void note(struct sim *s, struct sim_world *w, bool save)
{
    sim_after(s, 0, all_answered, w->number, mlt_memdup(&save, sizeof save));
}

static void loses_patience(struct sim *s, uint64_t id, void *data)
{
    const struct question *q = data;
    struct sim_launcher *l = launcher_find(s, id);
    struct sim_world *w = world_find(s, q->world);
    struct sim_rank *rank = l ? &l->ranks[q->local] : NULL;
    if (!l || l->left || !w || l->world != w->number || !rank->asking || w->step != q->step)
        return;
    sim_say(s, l->pod, "rank %u waits no longer for an answer at step %" PRId64,
            l->rank_base + q->local, w->step);
    rank->asking = false;
    rank->late = true;
    rank->waited_ms = s->now_ms - rank->asked_ms;
    rank->passed_step = w->step;
    note(s, w, false);
}

void ranks_are_answered(struct sim *s, struct sim_launcher *l, const uint64_t *whom, bool save)
{
    struct sim_world *w = world_find(s, l->world);
    for (uint32_t i = 0; w && i < l->nproc; i++) {
        struct sim_rank *rank = &l->ranks[i];
        if (!(whom[0] >> i & 1))
            continue;
        rank->late = false; /* what it says of a step that was left is of no use */
        if (!rank->asking)
            continue;
        rank->asking = false;
        rank->waited_ms = s->now_ms - rank->asked_ms;
        oracle_rank_answered(s, l, rank, save);
        *(save ? &rank->saved_step : &rank->passed_step) = w->step;
        note(s, w, save);
    }
}

static void ask(struct sim *s, struct sim_world *w, struct sim_launcher *l, uint32_t local)
{
    struct question q = {.world = w->number, .local = local, .step = w->step};
    struct sim_rank *rank = &l->ranks[local];
    if (w->job->reports_progress)
        launcher_post(s, l,
                      &(struct supervisor_event){.kind = SUPERVISOR_ON_REPORTED,
                                                 .asked = {.rank = local, .step = w->step}});
    if (rank->late) { /* nothing is asked before the answer has come */
        rank->waited_ms = s->now_ms - rank->asked_ms;
        rank->passed_step = w->step;
        note(s, w, false);
        return;
    }
    rank->asking = rank->asks = true;
    rank->asked_ms = s->now_ms;
    sim_after(s, PATIENCE_MS, loses_patience, l->id, mlt_memdup(&q, sizeof q));
    launcher_post(s, l,
                  &(struct supervisor_event){.kind = SUPERVISOR_ON_ASKED,
                                             .asked = {.rank = local, .step = w->step}});
}

void ranks_ask(struct sim *s, struct sim_world *w)
{
    w->asked = w->size;
    w->answered = w->told_to_save = 0;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        for (uint32_t i = 0; l->world == w->number && i < l->nproc && !l->left; i++)
            ask(s, w, l, i);
}

/* ---- stops as the theme ---- */

static const struct sim_world *world_at_work(const struct sim *s, const struct sim_job *job)
{
    const struct sim_world *w = s->worlds;
    while (w && !(w->job == job && w->running && !w->broken && !w->leaving))
        w = w->next;
    return w;
}

static struct sim_launcher *member_of(struct sim *s, const struct sim_job *job)
{
    int64_t chosen = sim_between(s, 0, job->replicas - 1);
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->job == job && !l->left && l->slot == (uint32_t)chosen)
            return l;
    return NULL;
}

static void freezes(struct sim *s, uint64_t index, void *data)
{
    struct sim_launcher *l = member_of(s, &s->jobs[index]);
    (void)data;
    if (l && s->faults)
        launcher_freeze(s, l, sim_between(s, 200, sim_between(s, 0, 1) ? 4000 : 20000));
}

static void starts_again(struct sim *s, uint64_t host, void *data)
{
    (void)data;
    if (!s->hosts[host].controller)
        controller_start(s, (int)host);
}

static void leader_dies(struct sim *s, uint64_t index, void *data)
{
    const struct sim_host *leader = controller_for_launcher(s);
    (void)index;
    (void)data;
    if (!leader || !s->faults)
        return;
    uint64_t host = (uint64_t)(leader - s->hosts);
    controller_kill(s, (int)host, "is killed in the middle of a stop");
    sim_after(s, sim_between(s, 50, sim_between(s, 0, 1) ? 1000 : 8000), starts_again, host, NULL);
}

static void channel_breaks(struct sim *s, uint64_t index, void *data)
{
    const struct sim_launcher *l = member_of(s, &s->jobs[index]);
    (void)data;
    if (l && l->connection && s->faults)
        connection_cut(s, l->connection, sim_between(s, 0, 3) == 0);
}

static void rank_stalls(struct sim *s, uint64_t index, void *data)
{
    struct sim_launcher *l = member_of(s, &s->jobs[index]);
    (void)data;
    if (l && l->nproc && s->faults)
        rank_hangs(s, l, (uint32_t)sim_between(s, 0, l->nproc - 1), sim_between(s, 500, 9000));
}

static void resumes(struct sim *s, uint64_t index, void *data)
{
    (void)data;
    job_act(s, &s->jobs[index], "resume");
}

/* What goes wrong at that very moment; of ten stops five are calm. */
static void disturb(struct sim *s, struct sim_job *job)
{
    uint64_t index = (uint64_t)(job - s->jobs);
    switch (sim_between(s, 0, 9)) {
    case 0:
        freezes(s, index, NULL);
        break;
    case 1:
        sim_after(s, sim_between(s, 0, 3000), freezes, index, NULL);
        break;
    case 2:
        sim_after(s, sim_between(s, 0, sim_between(s, 0, 1) ? 300 : 6000), leader_dies, index,
                  NULL);
        break;
    case 3:
        sim_after(s, sim_between(s, 0, 3000), channel_breaks, index, NULL);
        break;
    case 4:
        sim_after(s, sim_between(s, 0, 3000), rank_stalls, index, NULL);
        break;
    default:
        break;
    }
}

static void stop(struct sim *s, struct sim_job *job)
{
    uint64_t index = (uint64_t)(job - s->jobs);
    disturb(s, job);
    if (job->wish == WISH_CANCEL && sim_between(s, 0, 2) == 0) {
        job_act(s, job, sim_between(s, 0, 3) ? "graceful" : "now");
        return;
    }
    if (job->wish == WISH_DELETE && sim_between(s, 0, 2) == 0) {
        job_act(s, job, "delete");
        return;
    }
    job_act(s, job, "suspend");
    bool at_once = sim_between(s, 0, 5) == 0;
    sim_after(s,
              at_once ? sim_between(s, 1, 1000)
                      : sim_between(s, 1000, sim_between(s, 0, 1) ? 20000 : 60000),
              resumes, index, NULL);
}

static void stops(struct sim *s, uint64_t id, void *data)
{
    (void)id;
    (void)data;
    if (!s->faults)
        return;
    for (int i = 0; i < s->jobs_count; i++)
        if (world_at_work(s, &s->jobs[i]) && sim_between(s, 0, 2) == 0)
            stop(s, &s->jobs[i]);
    sim_after(s, sim_between(s, 500, 8000), stops, 0, NULL);
}

void stops_choose_program(struct sim *s, struct sim_job *job)
{
    static const enum sim_wish wishes[] = {WISH_FINISH, WISH_FINISH, WISH_CANCEL, WISH_DELETE,
                                           WISH_DEADLINE};
    job->wish = wishes[sim_between(s, 0, (int64_t)MLT_ARRAY_LENGTH(wishes) - 1)];
    job->deadline_s = job->wish == WISH_DEADLINE ? sim_between(s, 20, 90) : 0;
    job->grace_s = (int)(sim_between(s, 0, 2) ? sim_between(s, 10, 60) : sim_between(s, 0, 12));
    job->asks = sim_between(s, 0, 2) > 0;
    job->save_every = sim_between(s, 3, 30);
    job->save_ms = sim_between(s, 50, sim_between(s, 0, 3) ? 2500 : 15000);
    job->leave_ms = sim_between(s, 0, 4000);
    job->total_steps = sim_between(s, 40, 200);
}

/* Three of four know no other faults. */
void stops_begin(struct sim *s)
{
    if (!stops_are_the_theme(s))
        return;
    if (sim_between(s, 0, 3)) {
        memset(&s->rates, 0, sizeof s->rates);
        memset(s->weights, 0, sizeof s->weights);
    }
    sim_after(s, sim_between(s, 5000, 20000), stops, 0, NULL);
}
