/* What goes wrong: rates and moments, all from the seed, so that some seeds are calm and some are
 * hostile. See sim.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "tests/simulation/sim.h"

#define LONG_PAUSE_MS 12000 /* of a controller: longer ones may cost its launchers an attempt */

/* ---- whom it hits ---- */

static struct sim_launcher *any_launcher(struct sim *s)
{
    int64_t count = 0;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        count += !l->left;
    int64_t chosen = sim_between(s, 0, count ? count - 1 : 0);
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (!l->left && chosen-- == 0)
            return l;
    return NULL;
}

static struct sim_job *any_job(struct sim *s)
{
    return &s->jobs[sim_between(s, 0, s->jobs_count - 1)];
}

static int any_node(struct sim *s)
{
    return (int)sim_between(s, 0, s->nodes_count - 1);
}

static int any_host(struct sim *s)
{
    return (int)sim_between(s, 0, s->hosts_count - 1);
}

/* ---- ranks and pods ---- */

static void rank_fails(struct sim *s)
{
    static const int codes[] = {1, 1, 2, 2, 75, 75, 76, 76, 127, 93};
    struct sim_launcher *l = any_launcher(s);
    if (l && l->nproc)
        rank_exits(s, l, (uint32_t)sim_between(s, 0, l->nproc - 1), codes[sim_between(s, 0, 9)], 0,
                   false);
}

static void rank_is_killed(struct sim *s)
{
    struct sim_launcher *l = any_launcher(s);
    if (l && l->nproc)
        rank_exits(s, l, (uint32_t)sim_between(s, 0, l->nproc - 1), 0,
                   sim_between(s, 0, 1) ? 9 : 11, sim_between(s, 0, 3) == 0);
}

static void rank_stalls(struct sim *s)
{
    struct sim_launcher *l = any_launcher(s);
    if (l && l->nproc)
        rank_hangs(s, l, (uint32_t)sim_between(s, 0, l->nproc - 1), sim_between(s, 1000, 60000));
}

static void container_dies(struct sim *s)
{
    struct sim_launcher *l = any_launcher(s);
    if (!l)
        return;
    cleanup_free char *uid = mlt_strdup(l->uid);
    oracle_excuse(s, l->job);
    bool at_work = l->nproc && l->ranks[0].state != RANK_GONE && l->world;
    int64_t stored = json_integer(api_object(s, "trainingjobs", l->job->name), "status.attempt", 0);
    oracle_own_failure(l->job, at_work ? l->job->facts.started_attempt : (uint64_t)(stored + 1));
    launcher_die(s, l, false);
    kubelet_container_ended(s, uid, 137);
}

static void delete_pod(struct sim *s, bool by_force)
{
    struct sim_launcher *l = any_launcher(s);
    if (!l)
        return;
    cleanup_free char *path = mlt_asprintf("/api/v1/namespaces/" SIM_NAMESPACE "/pods/%s%s", l->pod,
                                           by_force ? "?gracePeriodSeconds=0" : "");
    sim_say(s, "user", "deletes pod %s%s", l->pod, by_force ? " by force" : "");
    oracle_excuse(s, l->job);
    (void)api_now(s, "DELETE", path, NULL, NULL, NULL);
}

static void pod_is_deleted(struct sim *s)
{
    delete_pod(s, false);
}

static void pod_is_deleted_by_force(struct sim *s)
{
    delete_pod(s, true);
}

static void pod_is_evicted(struct sim *s)
{
    struct sim_launcher *l = any_launcher(s);
    if (l)
        (void)kubelet_evict(s, l);
}

static void ends_again(struct sim *s, uint64_t id, void *data)
{
    (void)id;
    (void)data;
    kubelet_hold_ends(s, false);
}

static void pods_stick(struct sim *s)
{
    sim_say(s, "kubelets", "deleted pods stick in Terminating");
    kubelet_hold_ends(s, true);
    sim_after(s, sim_between(s, 5, 90) * 1000, ends_again, 0, NULL);
}

static void killable_again(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (l)
        l->unkillable = false;
}

static void ranks_become_unkillable(struct sim *s)
{
    struct sim_launcher *l = any_launcher(s);
    if (!l)
        return;
    sim_say(s, l->pod, "its ranks cannot be killed for a while");
    oracle_excuse(s, l->job);
    l->unkillable = true;
    sim_after(s, sim_between(s, 5, 90) * 1000, killable_again, l->id, NULL);
}

/* The newest checkpoint of a job whose ranks run: what is resumed from is looked at once more
 * before a START. */
static struct sim_checkpoint *newest_checkpoint(struct sim *s, struct sim_job **ret_job)
{
    struct sim_checkpoint *newest = NULL;
    const struct sim_world *w = s->worlds;
    while (w && !(w->running && !w->broken && !w->leaving))
        w = w->next;
    for (int i = 0; w && i < w->job->folder_count; i++)
        if (w->job->folder[i].state == CHECKPOINT_COMPLETE &&
            (!newest || w->job->folder[i].step > newest->step))
            newest = &w->job->folder[i];
    *ret_job = w ? w->job : NULL;
    return newest;
}

static void checkpoint_is_damaged(struct sim *s)
{
    struct sim_job *job;
    struct sim_checkpoint *c = newest_checkpoint(s, &job);
    if (!c || job->poisoned_once)
        return;
    sim_say(s, job->name, "the checkpoint of step %" PRId64 " is damaged", c->step);
    c->state = CHECKPOINT_TORN;
    c->was_complete = true;
    c->fingerprint = ++s->ids;
}

/* It looks well, and whoever resumes from it dies. Once in a job's life, and only where there is an
 * older one: the rule goes back once. */
static void checkpoint_is_poisoned(struct sim *s)
{
    struct sim_job *job;
    struct sim_checkpoint *c = newest_checkpoint(s, &job);
    int complete = 0;
    for (int i = 0; c && i < job->folder_count; i++)
        complete += job->folder[i].state == CHECKPOINT_COMPLETE && !job->folder[i].deleted;
    if (complete < 2 || job->poisoned_once || !job->reports_progress || !job->proves)
        return;
    sim_say(s, job->name, "the checkpoint of step %" PRId64 " is poisoned", c->step);
    c->poisoned = job->poisoned_once = true;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->job == job && !l->left && l->world && l->rank_base == 0)
            rank_exits(s, l, 0, 1, 0, false);
}

/* ---- nodes ---- */

static void node_returns(struct sim *s, uint64_t node, void *data)
{
    (void)data;
    node_back(s, (int)node);
}

static void node_vanishes(struct sim *s)
{
    int node = any_node(s);
    if (s->nodes[node].away_ms >= 0 && !s->nodes[node].reachable)
        return;
    node_power_off(s, node);
    sim_after(s, sim_between(s, 5, 120) * 1000, node_returns, (uint64_t)node, NULL);
}

static void node_is_cut_off(struct sim *s)
{
    int node = any_node(s);
    node_cut(s, node);
    sim_after(s, sim_between(s, 2, 120) * 1000, node_returns, (uint64_t)node, NULL);
}

static void cut_again(struct sim *s, uint64_t node, void *data)
{
    (void)data;
    if (!s->faults)
        return;
    node_cut(s, (int)node);
    sim_after(s, sim_between(s, 500, 15000), node_returns, node, NULL);
}

static void node_flaps(struct sim *s)
{
    uint64_t node = (uint64_t)any_node(s);
    for (int i = 0; i < 4; i++)
        sim_after(s, i * sim_between(s, 3000, 20000), cut_again, node, NULL);
}

static void kubelet_recovers(struct sim *s, uint64_t node, void *data)
{
    (void)data;
    if (s->nodes[node].up && s->nodes[node].reachable)
        node_say_ready(s, (int)node, true);
}

/* The node is not ready as the API says, and its pods run on. */
static void kubelet_dozes(struct sim *s)
{
    int node = any_node(s);
    if (!s->nodes[node].ready || !s->nodes[node].reachable)
        return;
    node_say_ready(s, node, false);
    sim_after(s, sim_between(s, 1, 40) * 1000, kubelet_recovers, (uint64_t)node, NULL);
}

/* ---- controllers and the network ---- */

static void host_starts(struct sim *s, uint64_t host, void *data)
{
    (void)data;
    if (!s->hosts[host].controller)
        controller_start(s, (int)host);
}

static void controller_is_killed(struct sim *s)
{
    int host = any_host(s);
    controller_kill(s, host, "is killed");
    sim_after(s, sim_between(s, 100, 15000), host_starts, (uint64_t)host, NULL);
}

static void host_wakes(struct sim *s, uint64_t host, void *data)
{
    (void)data;
    controller_wake(s, (int)host);
}

static void controller_is_paused(struct sim *s)
{
    int host = any_host(s);
    int64_t ms = sim_between(s, 200, sim_between(s, 0, 1) ? 10000 : 60000);
    controller_pause(s, host);
    for (int i = 0; ms > LONG_PAUSE_MS && i < s->jobs_count; i++)
        oracle_excuse_mildly(s, &s->jobs[i]);
    sim_after(s, ms, host_wakes, (uint64_t)host, NULL);
}

static void controller_is_stopped(struct sim *s)
{
    controller_ask_to_stop(s, any_host(s));
}

static void clock_jumps(struct sim *s)
{
    static const int64_t jumps[] = {-86400000, -3600000, -5000, 5000, 3600000, 86400000};
    int host = any_host(s);
    s->hosts[host].wall_offset_ms += jumps[sim_between(s, 0, 5)];
    sim_say(s, s->hosts[host].identity, "its wall clock is off by %" PRId64 " s now",
            s->hosts[host].wall_offset_ms / 1000);
}

static void channel_breaks(struct sim *s)
{
    const struct sim_launcher *l = any_launcher(s);
    if (l && l->connection)
        connection_cut(s, l->connection, sim_between(s, 0, 2) == 0);
}

static void all_channels_break(struct sim *s)
{
    bool silently = sim_between(s, 0, 1);
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (!l->left && l->connection)
            connection_cut(s, l->connection, silently);
}

static void api_recovers(struct sim *s, uint64_t refused, void *data)
{
    (void)data;
    s->rates.refused = (unsigned)refused;
    sim_say(s, "api", "answers again");
}

static void api_is_out(struct sim *s)
{
    if (s->rates.refused == 1000)
        return;
    sim_say(s, "api", "refuses everything for a while");
    sim_after(s, sim_between(s, 500, 25000), api_recovers, s->rates.refused, NULL);
    s->rates.refused = 1000;
}

/* ---- users ---- */

static void user_resumes(struct sim *s, uint64_t job, void *data)
{
    (void)data;
    job_act(s, &s->jobs[job], "resume");
}

static void user_suspends(struct sim *s)
{
    struct sim_job *job = any_job(s);
    job_act(s, job, "suspend");
    sim_after(s, sim_between(s, 500, 40000), user_resumes, (uint64_t)(job - s->jobs), NULL);
}

static void user_gives_up(struct sim *s)
{
    struct sim_job *job = any_job(s);
    if (job->wish == WISH_CANCEL)
        job_act(s, job, sim_between(s, 0, 1) ? "graceful" : "now");
    if (job->wish == WISH_DELETE)
        job_act(s, job, "delete");
}

/* ---- the table ---- */

static const struct fault {
    void (*happens)(struct sim *s);
    int weight; /* when the seed has chosen this kind at all */
} table[] = {
    {rank_fails, 6},
    {rank_is_killed, 4},
    {rank_stalls, 2},
    {container_dies, 3},
    {pod_is_deleted, 3},
    {pod_is_deleted_by_force, 2},
    {pod_is_evicted, 2},
    {pods_stick, 1},
    {ranks_become_unkillable, 1},
    {checkpoint_is_damaged, 2},
    {checkpoint_is_poisoned, 2},
    {node_vanishes, 3},
    {node_is_cut_off, 3},
    {node_flaps, 1},
    {kubelet_dozes, 2},
    {controller_is_killed, 5},
    {controller_is_paused, 4},
    {controller_is_stopped, 2},
    {clock_jumps, 1},
    {channel_breaks, 4},
    {all_channels_break, 1},
    {api_is_out, 2},
    {user_suspends, 2},
    {user_gives_up, 4},
};
#define KINDS MLT_ARRAY_LENGTH(table)
_Static_assert(KINDS <= SIM_FAULTS_MAX, "a weight for each kind");

static unsigned rate(struct sim *s, unsigned high)
{
    switch (sim_between(s, 0, 5)) {
    case 0:
        return high;
    case 1:
        return high / 4 + 1;
    case 2:
        return high / 20 + 1;
    default:
        return 0;
    }
}

void faults_choose(struct sim *s)
{
    struct sim_rates *r = &s->rates;
    unsigned *const rates[] = {&r->refused,      &r->lost,         &r->conflict,
                               &r->forbidden,    &r->slow,         &r->watch_cut,
                               &r->watch_gone,   &r->watch_twice,  &r->stale_list,
                               &r->channel_cut,  &r->channel_slow, &r->controller_dies,
                               &r->pod_rejected, &r->exec_fails,   &r->scan_hangs};
    static const unsigned high[] = {200, 150, 200, 150, 100, 100, 60, 200,
                                    300, 20,  100, 15,  150, 50,  200};
    _Static_assert(MLT_ARRAY_LENGTH(rates) == MLT_ARRAY_LENGTH(high), "a maximum for each rate");
    bool calm = sim_between(s, 0, 9) == 0;
    int few = (int)sim_between(s, 0, 2); /* of three kinds of faults, so many are left out */
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rates); i++)
        *rates[i] = calm ? 0 : rate(s, high[i]);
    for (size_t i = 0; i < KINDS; i++)
        s->weights[i] = calm || sim_between(s, 0, 2) < few ? 0 : table[i].weight;
    s->fault_every_ms =
        sim_between(s, 1, 4) == 1 ? sim_between(s, 500, 2000) : sim_between(s, 2000, 15000);
    s->faults = true;
}

static void happens(struct sim *s, uint64_t id, void *data)
{
    int64_t all = 0;
    (void)id;
    (void)data;
    if (!s->faults)
        return;
    for (size_t i = 0; i < KINDS; i++)
        all += s->weights[i];
    int64_t chosen = sim_between(s, 0, all ? all - 1 : 0);
    for (size_t i = 0; all && i < KINDS; i++) {
        chosen -= s->weights[i];
        if (chosen < 0) {
            s->faults_count++;
            table[i].happens(s);
            break;
        }
    }
    sim_after(s, sim_between(s, 1, 2 * s->fault_every_ms), happens, 0, NULL);
}

void faults_begin(struct sim *s)
{
    sim_after(s, sim_between(s, 1, 2 * s->fault_every_ms), happens, 0, NULL);
}

void faults_end(struct sim *s)
{
    sim_say(s, "faults", "cease");
    s->faults = false;
    kubelet_hold_ends(s, false);
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        l->unkillable = false;
    for (int i = 0; i < s->nodes_count; i++) {
        node_back(s, i);
        if (!s->nodes[i].ready)
            node_say_ready(s, i, true);
    }
    for (int i = 0; i < s->hosts_count; i++) {
        controller_wake(s, i);
        if (!s->hosts[i].controller)
            controller_start(s, i);
    }
    for (int i = 0; i < s->jobs_count; i++) {
        struct sim_job *job = &s->jobs[i];
        if (job->suspended_once)
            job_act(s, job, "resume");
        if (job->wish == WISH_DELETE)
            job_act(s, job, "delete");
    }
}
