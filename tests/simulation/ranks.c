/* Processes: a small program that meets its peers, steps, saves and ends; and their checkpoints. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "launcher/trackers/tracker.h"
#include "tests/simulation/rules.h"
#include "tests/simulation/sim.h"

#define ECHO_MS 300 /* survivors notice that a peer is gone */
#define TICK_MS 1000
#define SCAN_HANGS_MS 10000

/* ---- worlds ---- */

struct sim_world *world_find(struct sim *s, uint64_t number)
{
    for (struct sim_world *w = s->worlds; w; w = w->next)
        if (w->number == number)
            return w;
    return NULL;
}

static struct sim_world *world_of(struct sim *s, struct sim_launcher *l)
{
    const struct rendezvous_start *start = supervisor_start(l->supervisor);
    uint64_t attempt = supervisor_attempt(l->supervisor);
    for (struct sim_world *w = s->worlds; w; w = w->next)
        if (w->job == l->job && w->attempt == attempt && w->port == start->master_port)
            return w;
    struct sim_world *w = mlt_calloc(1, sizeof *w);
    w->number = ++s->ids;
    w->job = l->job;
    w->attempt = attempt;
    w->port = start->master_port;
    w->size = start->world_size;
    w->step = start->resume_step > 0 ? start->resume_step : 0;
    w->checkpoint = -1;
    w->shocks = l->job->facts.shocks;
    w->next = s->worlds;
    s->worlds = w;
    return w;
}

/* What was being saved is torn. */
static void save_breaks(struct sim_world *w)
{
    if (w->checkpoint >= 0 && w->job->folder[w->checkpoint].state == CHECKPOINT_WRITING)
        w->job->folder[w->checkpoint].state = CHECKPOINT_TORN;
    w->checkpoint = -1;
}

static void tell_exit(struct sim *s, struct sim_launcher *l, uint32_t local)
{
    struct sim_rank *r = &l->ranks[local];
    if (r->told || !l->spawned)
        return;
    r->told = true;
    launcher_post(s, l,
                  &(struct supervisor_event){.kind = SUPERVISOR_ON_RANK_EXITED,
                                             .rank_exited = {.process = local,
                                                             .code = r->code,
                                                             .signal = r->signal,
                                                             .exec_errno = r->exec_errno,
                                                             .out_of_memory = r->out_of_memory,
                                                             .tail = r->code ? "Traceback" : ""}});
}

struct echo {
    uint64_t world;
};

/* The survivors' collective fails: they exit with 1. */
static void echoes(struct sim *s, uint64_t id, void *data)
{
    const struct echo *echo = data;
    struct sim_launcher *l = launcher_find(s, id);
    if (!l || l->left || l->world != echo->world)
        return;
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE && l->world == echo->world) {
            l->ranks[i].state = RANK_GONE;
            l->ranks[i].code = 1;
            oracle_echo(l->job, supervisor_attempt(l->supervisor), l->rank_base + i);
            tell_exit(s, l, i);
        }
}

/* `loud`: peers see that a connection breaks. */
static void world_breaks(struct sim *s, struct sim_world *w, bool loud)
{
    if (!w || w->broken)
        return;
    w->broken = true;
    save_breaks(w);
    if (!loud || !w->running || w->leaving)
        return;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->world == w->number) {
            struct echo echo = {.world = w->number};
            sim_after(s, ECHO_MS + sim_between(s, -100, 100), echoes, l->id,
                      mlt_memdup(&echo, sizeof echo));
        }
}

void rank_exits(struct sim *s, struct sim_launcher *l, uint32_t local, int code, int signal,
                bool out_of_memory)
{
    struct sim_rank *r = &l->ranks[local];
    if (local >= l->nproc || r->state == RANK_GONE || r->state == RANK_NONE)
        return;
    r->state = RANK_GONE;
    r->code = code;
    r->signal = signal;
    r->out_of_memory = out_of_memory;
    if (code || signal) {
        sim_say(s, l->pod, "rank %u ends: code %d signal %d%s", l->rank_base + local, code, signal,
                out_of_memory ? " (out of memory)" : "");
        oracle_own_failure(l->job, supervisor_attempt(l->supervisor));
        rules_rank_ended(s, l, local);
        world_breaks(s, world_find(s, l->world), true);
    }
    tell_exit(s, l, local);
}

static void wakes_up(struct sim *s, uint64_t id, void *data)
{
    const uint32_t *local = data;
    struct sim_launcher *l = launcher_find(s, id);
    if (l && l->ranks[*local].state == RANK_HUNG)
        l->ranks[*local].state = RANK_ALIVE;
}

void rank_hangs(struct sim *s, struct sim_launcher *l, uint32_t local, int64_t ms)
{
    if (local >= l->nproc || l->ranks[local].state != RANK_ALIVE)
        return;
    sim_say(s, l->pod, "rank %u hangs for %" PRId64 " ms", l->rank_base + local, ms);
    l->ranks[local].state = RANK_HUNG;
    struct sim_world *w = world_find(s, l->world);
    if (w)
        w->hung = true;
    rules_rank_hung(s, l, local);
    sim_after(s, ms, wakes_up, l->id, mlt_memdup(&local, sizeof local));
}

/* ---- the program ---- */

static bool can_step(struct sim *s, const struct sim_world *w)
{
    bool cut = false, several = false;
    int node = -1;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next) {
        if (l->world != w->number)
            continue;
        for (uint32_t i = 0; i < l->nproc; i++)
            if (l->ranks[i].state != RANK_ALIVE)
                return false;
        cut |= !s->nodes[l->node].reachable;
        several |= node >= 0 && node != l->node;
        node = l->node;
    }
    return !(cut && several);
}

static struct sim_launcher *rank_zero(struct sim *s, const struct sim_world *w)
{
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->world == w->number && l->rank_base == 0)
            return l;
    return NULL;
}

static void step(struct sim *s, uint64_t number, void *data);

static void saved(struct sim *s, uint64_t number, void *data)
{
    struct sim_world *w = world_find(s, number);
    (void)data;
    if (!w || w->broken || w->checkpoint < 0)
        return;
    struct sim_checkpoint *c = &w->job->folder[w->checkpoint];
    c->state = CHECKPOINT_COMPLETE;
    c->wall_ms = sim_wall_ms(s);
    c->complete_ms = s->now_ms;
    c->fingerprint++;
    w->checkpoint = -1;
    sim_say(s, w->job->name, "checkpoint of step %" PRId64 " is complete", c->step);
    oracle_saved(s, w);
    if (!w->leaving)
        sim_after(s, w->job->pace_ms, step, number, NULL);
}

static void save(struct sim *s, struct sim_world *w, bool as_told)
{
    w->saves_as_told = as_told;
    w->checkpoint = checkpoint_begin(s, w->job, w->step, w->attempt);
    sim_after(s, w->job->save_ms, saved, w->number, NULL);
}

static void leaves_well(struct sim *s, uint64_t id, void *data)
{
    const struct echo *echo = data;
    struct sim_launcher *l = launcher_find(s, id);
    for (uint32_t i = 0; l && i < l->nproc && l->world == echo->world; i++)
        if (l->ranks[i].state == RANK_ALIVE)
            rank_exits(s, l, i, 0, 0, false);
}

void ranks_leave(struct sim *s, struct sim_launcher *l)
{
    struct echo echo = {.world = l->world};
    sim_after(s, sim_between(s, 1, 400), leaves_well, l->id, mlt_memdup(&echo, sizeof echo));
}

static void finish(struct sim *s, struct sim_world *w);

static void finishes_later(struct sim *s, uint64_t number, void *data)
{
    struct sim_world *w = world_find(s, number);
    (void)data;
    if (w && !w->broken && !w->leaving)
        finish(s, w);
}

static void finish(struct sim *s, struct sim_world *w)
{
    if (exchanges_are_the_theme(s) && exchanges_are_owed(s, w)) {
        sim_after(s, 500, finishes_later, w->number, NULL);
        return;
    }
    sim_say(s, w->job->name, "the program is done at step %" PRId64, w->step);
    w->leaving = w->done = true;
    const struct sim_launcher *last = NULL;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        last = l->world == w->number ? l : last;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->world == w->number && !exchanges_end_late(s, l, l == last))
            ranks_leave(s, l);
}

static void report(struct sim *s, const struct sim_world *w)
{
    struct sim_launcher *l = rank_zero(s, w);
    if (l && !l->left && w->job->reports_progress)
        launcher_post(s, l,
                      &(struct supervisor_event){
                          .kind = SUPERVISOR_ON_PROGRESSED,
                          .progress = {.step = w->step, .total_steps = w->job->total_steps}});
}

void ranks_go_on(struct sim *s, struct sim_world *w, bool told_to_save)
{
    struct sim_launcher *first = rank_zero(s, w);
    if (first && (w->job->wish == WISH_CRASH || w->step == w->poisoned_at ||
                  rules_data_kill(s, w->job, w->step)))
        rank_exits(s, first, 0, 3, 0, false);
    else if (w->step >= w->job->total_steps)
        finish(s, w);
    else if (told_to_save || w->step % w->job->save_every == 0)
        save(s, w, told_to_save);
    else
        sim_after(s, w->job->pace_ms, step, w->number, NULL);
}

static void step(struct sim *s, uint64_t number, void *data)
{
    struct sim_world *w = world_find(s, number);
    (void)data;
    if (!w || w->broken || w->leaving)
        return;
    if (!can_step(s, w)) {
        sim_after(s, 500, step, number, NULL);
        return;
    }
    if (rules_ends_by_itself(s, w))
        return;
    w->stepped = true;
    w->step++;
    report(s, w);
    if (w->job->asks)
        ranks_ask(s, w);
    else
        ranks_go_on(s, w, false);
}

static void meets(struct sim *s, uint64_t id, void *data);

static void meets_again(struct sim *s, struct sim_launcher *l)
{
    struct echo echo = {.world = l->world};
    sim_after(s, 10, meets, l->id, mlt_memdup(&echo, sizeof echo));
}

/* The program removes what it cannot load, if there is something else to go on from. */
static void load_fails(struct sim *s, struct sim_launcher *l, struct sim_world *w)
{
    sim_say(s, l->pod, "cannot load the checkpoint of step %" PRId64, w->step);
    if (checkpoint_is_last(l->job, w->step)) {
        w->step = 0;
        meets_again(s, l);
        return;
    }
    checkpoint_remove(l->job, w->step);
    rank_exits(s, l, 0, 1, 0, false);
}

/* The ranks of a launcher are through their imports and wait for the others. */
static void meets(struct sim *s, uint64_t id, void *data)
{
    const struct echo *echo = data;
    struct sim_launcher *l = launcher_find(s, id);
    struct sim_world *w = world_find(s, echo->world);
    if (!l || l->left || l->world != echo->world || !w || w->broken)
        return;
    const struct sim_checkpoint *from = checkpoint_find(l->job, w->step);
    if (w->step > 0 && (!from || from->state != CHECKPOINT_COMPLETE)) {
        load_fails(s, l, w);
        return;
    }
    w->poisoned_at = from && from->poisoned ? w->step + 2 : 0;
    if (exchanges_are_the_theme(s))
        exchanges_meet(s, l);
    else
        ranks_have_met(s, l, w);
}

void ranks_have_met(struct sim *s, struct sim_launcher *l, struct sim_world *w)
{
    if (w->broken)
        return;
    for (uint32_t i = 0; i < l->nproc; i++)
        w->joined += l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG;
    if (w->joined < w->size)
        return;
    w->running = true;
    w->met_ms = s->now_ms;
    w->job->facts.worlds++;
    sim_say(s, w->job->name, "all %u ranks of attempt %" PRIu64 " have met, step %" PRId64, w->size,
            w->attempt, w->step);
    sim_after(s, w->job->pace_ms, step, w->number, NULL);
}

/* ---- what a launcher does to its ranks ---- */

static void spawned(struct sim *s, uint64_t id, void *data)
{
    const struct echo *echo = data;
    struct sim_launcher *l = launcher_find(s, id);
    uint32_t pids[SIM_NPROC_MAX];
    if (!l || l->left || l->world != echo->world || l->spawned ||
        launcher_sleeps(s, l, spawned, id, data, sizeof *echo))
        return;
    for (uint32_t i = 0; i < l->nproc; i++)
        pids[i] = l->ranks[i].exec_errno ? 0 : (uint32_t)(l->id * 8 + i);
    l->spawned = true;
    launcher_post(s, l,
                  &(struct supervisor_event){
                      .kind = SUPERVISOR_ON_SPAWNED,
                      .spawned = {.pids = pids, .count = l->nproc, .start_to_exec_us = 900}});
    for (uint32_t i = 0; i < l->nproc && !l->left && l->world == echo->world; i++)
        if (l->ranks[i].state == RANK_GONE)
            tell_exit(s, l, i);
}

/* The folder is looked at while ranks run, and while the next START is waited for. */
static void ticks(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (!l || l->left)
        return;
    enum supervisor_state state = supervisor_state(l->supervisor);
    l->tick = state >= SUPERVISOR_PREPARING && state <= SUPERVISOR_KILLING;
    if (!l->tick)
        return;
    sim_after(s, TICK_MS, ticks, id, NULL);
    if (l->watching && !l->fresh_wanted)
        ranks_look_at_folder(s, l, false);
}

void ranks_look_on(struct sim *s, struct sim_launcher *l)
{
    if (!l->tick)
        sim_after(s, TICK_MS, ticks, l->id, NULL);
    l->tick = true;
}

void ranks_spawn(struct sim *s, struct sim_launcher *l)
{
    struct sim_world *w = world_of(s, l);
    struct echo echo = {.world = w->number};
    l->world = w->number;
    l->nproc = supervisor_processes(l->supervisor);
    l->rank_base = supervisor_start(l->supervisor)->rank_base;
    l->spawned = false;
    l->exchange_round = 0;
    l->exchange_tag = UINT64_MAX;
    l->late = false;
    l->word_ms = INT64_MAX;
    for (uint32_t i = 0; i < l->nproc; i++)
        l->ranks[i] = (struct sim_rank){.state = RANK_ALIVE};
    oracle_spawn(s, l);
    sim_after(s, sim_between(s, 1, 30), spawned, l->id, mlt_memdup(&echo, sizeof echo));
    sim_after(s, w->job->init_ms + sim_between(s, 0, 300), meets, l->id,
              mlt_memdup(&echo, sizeof echo));
    ranks_look_on(s, l);
    if (sim_chance(s, s->rates.exec_fails)) {
        sim_say(s, l->pod, "rank %u cannot be started", l->rank_base);
        s->faults_count++;
        l->ranks[0].exec_errno = ENOENT;
        l->ranks[0].state = RANK_GONE;
        oracle_own_failure(l->job, w->attempt);
        rules_rank_ended(s, l, 0);
        world_breaks(s, w, true);
    }
}

static bool any_alive(const struct sim_launcher *l)
{
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG)
            return true;
    return false;
}

/* Who saves when told to stop does so in time, if the gang is whole. */
static void stops_after_saving(struct sim *s, struct sim_launcher *l, struct sim_world *w)
{
    struct echo echo = {.world = l->world};
    if (w->running && !w->broken && !w->leaving && w->checkpoint < 0 && w->step > 0)
        save(s, w, false);
    w->leaving = true;
    sim_after(s, w->job->save_ms + sim_between(s, 10, 200 + w->job->leave_ms), leaves_well, l->id,
              mlt_memdup(&echo, sizeof echo));
}

static void dies_of_signal(struct sim *s, uint64_t id, void *data)
{
    const struct echo *echo = data;
    struct sim_launcher *l = launcher_find(s, id);
    if (!l || l->left)
        return;
    world_breaks(s, world_find(s, echo->world), false);
    for (uint32_t i = 0; i < l->nproc && l->world == echo->world; i++)
        if (l->ranks[i].state == RANK_ALIVE) {
            l->ranks[i].state = RANK_GONE;
            l->ranks[i].signal = SIGTERM;
            tell_exit(s, l, i);
        }
}

void ranks_signal(struct sim *s, struct sim_launcher *l, int number)
{
    struct sim_world *w = world_find(s, l->world);
    struct echo echo = {.world = l->world};
    if (!w || !any_alive(l))
        return;
    sim_say(s, l->pod, "ranks get signal %d", number);
    oracle_ranks_stopped(s, l);
    if (l->job->on_signal == 1)
        stops_after_saving(s, l, w);
    else if (l->job->on_signal == 2)
        sim_after(s, sim_between(s, 1, 50), dies_of_signal, l->id, mlt_memdup(&echo, sizeof echo));
}

void ranks_catch(struct sim *s, struct sim_launcher *l, int number, const uint64_t *but)
{
    struct sim_world *w = world_find(s, l->world);
    uint32_t caught = 0;
    for (uint32_t i = 0; i < l->nproc; i++)
        caught += l->job->on_signal == 1 && l->ranks[i].state == RANK_ALIVE && !(but[0] >> i & 1);
    if (caught && w) {
        sim_say(s, l->pod, "%u ranks catch signal %d", caught, number);
        oracle_ranks_stopped(s, l);
        stops_after_saving(s, l, w);
    }
    launcher_post(s, l, &(struct supervisor_event){.kind = SUPERVISOR_ON_CAUGHT, .caught = caught});
}

void ranks_look_at_themselves(struct sim *s, struct sim_launcher *l)
{
    struct rendezvous_evidence *ranks = l->evidence; /* the event may have to wait */
    struct supervisor_event event = {.kind = SUPERVISOR_ON_EXAMINED};
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG) {
            ranks[count] =
                (struct rendezvous_evidence){.local_rank = i, .wait_channel = "futex_wait"};
            rules_evidence(s, l, i, &ranks[count++]);
        }
    event.examined.ranks = ranks;
    event.examined.ranks_count = count;
    launcher_post(s, l, &event);
}

static void killed(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (!l || l->left)
        return;
    if (l->unkillable) {
        sim_after(s, 1000, killed, id, NULL);
        return;
    }
    world_breaks(s, world_find(s, l->world), false);
    for (uint32_t i = 0; i < l->nproc; i++)
        if (l->ranks[i].state == RANK_ALIVE || l->ranks[i].state == RANK_HUNG) {
            l->ranks[i].state = RANK_GONE;
            l->ranks[i].signal = SIGKILL;
        }
    l->spawned = true;
    for (uint32_t i = 0; i < l->nproc && !l->left; i++)
        tell_exit(s, l, i);
    l->world = 0;
    if (!l->left)
        launcher_post(s, l, &(struct supervisor_event){.kind = SUPERVISOR_ON_GONE});
}

void ranks_kill_all(struct sim *s, struct sim_launcher *l)
{
    if (any_alive(l))
        oracle_ranks_stopped(s, l);
    oracle_ranks_killed(s, l);
    sim_after(s, sim_between(s, 1, 20), killed, l->id, NULL);
}

void ranks_vanish(struct sim *s, struct sim_launcher *l)
{
    struct sim_world *w = world_find(s, l->world);
    bool alive = any_alive(l);
    for (uint32_t i = 0; i < l->nproc; i++)
        l->ranks[i].state = RANK_GONE;
    l->world = 0;
    if (w && alive)
        world_breaks(s, w, s->nodes[l->node].up);
}

/* ---- looks at the folder ---- */

static int32_t verdict_of(const struct sim_checkpoint *c)
{
    if (!c->proves)
        return TRACKER_SETTLING;
    return c->state == CHECKPOINT_COMPLETE ? TRACKER_COMPLETE : TRACKER_TORN;
}

static size_t find_checkpoints(const struct sim_job *job, struct checkpoint_found *found)
{
    size_t count = 0;
    for (int i = 0; i < job->folder_count; i++) {
        const struct sim_checkpoint *c = &job->folder[i];
        size_t at = count;
        if (c->deleted)
            continue;
        while (at && found[at - 1].step < c->step)
            at--;
        if (at == CHECKPOINT_SCAN_FOUND_MAX)
            continue;
        if (count == CHECKPOINT_SCAN_FOUND_MAX)
            count--;
        memmove(&found[at + 1], &found[at], (count - at) * sizeof found[0]);
        found[at] = (struct checkpoint_found){.step = c->step,
                                              .wall_ms = c->wall_ms,
                                              .fingerprint = c->fingerprint,
                                              .verdict = verdict_of(c),
                                              .writing = c->state == CHECKPOINT_WRITING};
        (void)snprintf(found[at].name, sizeof found[at].name, "step-%" PRId64, c->step);
        count++;
    }
    return count;
}

static void looked(struct sim *s, uint64_t id, void *data)
{
    const bool *fresh = data;
    struct checkpoint_found found[CHECKPOINT_SCAN_FOUND_MAX + 1];
    struct sim_launcher *l = launcher_find(s, id);
    if (!l || l->left || !l->watching || launcher_sleeps(s, l, looked, id, data, sizeof *fresh))
        return;
    const struct rendezvous_welcome *w = supervisor_welcome(l->supervisor);
    struct checkpoint_scan_spec spec = {.path = w->checkpoint_path,
                                        .format = w->checkpoint_format,
                                        .pattern = w->checkpoint_pattern};
    struct checkpoint_answer answer = {0}; /* as from a folder where no marker can be made */
    size_t count = find_checkpoints(l->job, found);
    memcpy(answer.found, found, count * sizeof found[0]);
    checkpoint_scan_judge(&l->memory, &spec, &answer, count,
                          !*fresh         ? CHECKPOINT_WRITERS_ALIVE
                          : l->ranks_left ? CHECKPOINT_WRITERS_LEFT
                                          : CHECKPOINT_WRITERS_KILLED,
                          s->now_ms, sim_wall_ms(s), &l->report);
    if (*fresh)
        l->fresh_wanted = false;
    launcher_post(
        s, l,
        &(struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED,
                                   .scanned = {.report = &l->report.report, .fresh = *fresh}});
}

static void look_hangs(struct sim *s, uint64_t id, void *data)
{
    struct sim_launcher *l = launcher_find(s, id);
    (void)data;
    if (!l || l->left || !l->fresh_wanted)
        return;
    sim_say(s, l->pod, "the checkpoint folder does not answer");
    l->fresh_wanted = false;
    launcher_post(
        s, l,
        &(struct supervisor_event){.kind = SUPERVISOR_ON_SCANNED, .scanned = {.fresh = true}});
}

void ranks_look_at_folder(struct sim *s, struct sim_launcher *l, bool fresh)
{
    if (fresh && sim_chance(s, s->rates.scan_hangs)) {
        l->job->facts.unverified = true;
        sim_after(s, SCAN_HANGS_MS, look_hangs, l->id, NULL);
        return;
    }
    sim_after(s, sim_between(s, 2, 40), looked, l->id, mlt_memdup(&fresh, sizeof fresh));
}
