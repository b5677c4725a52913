/* See rules.h. Each invariant is one function that begins with its sentence. Most look only at
 * attempts that nothing but one end of one rank has disturbed, under one leader: there the
 * documents leave no choice. */
#include "tests/simulation/rules.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/clock_text.h"

#define ROUNDED_MS 2000 /* times in a status are whole seconds: one is rounded down, one up */
#define FRUITFUL_MS (10 * 60 * 1000)

enum where { SAME_PODS, CULPRIT_MOVES, NEW_PODS };

static const char *const actions[] = {"", "FailJob", "Restart", "RestartOnNewNode", "Ignore"};
enum action { NO_RULE, FAIL_JOB, RESTART, MOVE, IGNORE };

struct end {
    int64_t rank;
    int code, signal, node;
    const char *cause;
};

/* Of a job. */
static struct life {
    enum action action; /* of its one rule, on one of these */
    int on_code;
    bool on_kill;
    bool fresh_pods; /* inPlace: false */
    int64_t stall_s, data_step;
    unsigned fragile;        /* per mille at each step, a rank ends by itself */
    int64_t row_from;        /* from this attempt on, `row` attempts end before a step */
    unsigned row, ends_left; /* so many more, all told, so that the job comes to its end */
    bool asked_to_fail, told_to_fail;
    /* the newest attempt */
    uint64_t attempt;
    int64_t leader, spawned_ms, ended_ms;
    unsigned excuses, ends, hung;
    unsigned stuck_nodes; /* bit i: ranks on node i do not die */
    struct end end;
    int64_t hung_rank;
    char uids[SIM_MEMBERS_MAX][64], former[SIM_MEMBERS_MAX][64];
    /* what has to follow the newest failure */
    uint64_t failed_attempt;
    enum where where;
    int64_t culprit, not_before_ms;
    bool is_next; /* the attempt that runs is the one after it, under the same leader */
    bool is_calm; /* and nobody else has disturbed the job */
} lives[SIM_JOBS_MAX];

static struct life *life_of(struct sim *s, const struct sim_job *job)
{
    return &lives[job - s->jobs];
}

/* Since the newest attempt began nobody but its own ranks has disturbed the job. */
static bool is_undisturbed(struct sim *s, const struct sim_job *job)
{
    const struct life *l = life_of(s, job);
    return l->excuses == job->facts.excuses && l->leader == api_leader(s);
}

/* ---- what jobs ask for ---- */

void rules_begin(struct sim *s, struct sim_job *job)
{
    struct life *l = life_of(s, job);
    if (sim_between(s, 0, 1))
        l->action = (enum action)sim_between(s, FAIL_JOB, IGNORE);
    l->on_kill = sim_between(s, 0, 2) == 0;
    l->on_code = sim_between(s, 0, 1) ? 2 : 75;
    l->fresh_pods = sim_between(s, 0, 5) == 0;
    if (job->reports_progress && sim_between(s, 0, 1))
        l->stall_s = sim_between(s, 15, 40);
    if (job->wish == WISH_FINISH && job->reports_progress && job->proves &&
        sim_between(s, 0, 4) == 0 && !stops_are_the_theme(s))
        l->data_step = sim_between(s, 2, job->total_steps);
    if (l->data_step)
        job->backoff_limit = 10;
    if (job->wish == WISH_CRASH || l->data_step)
        return;
    l->ends_left = (unsigned)sim_between(s, 0, 2) * 7;
    l->fragile = sim_between(s, 0, 1) ? 100 : 30;
    l->row_from = sim_between(s, 1, 3);
    l->row = (unsigned)sim_between(s, 0, sim_between(s, 0, 3) ? 5 : 11);
    if (stops_are_the_theme(s))
        l->stall_s = l->ends_left = 0;
}

void rules_manifest(struct sim *s, const struct sim_job *job, cJSON *manifest)
{
    const struct life *l = life_of(s, job);
    cJSON *rule = cJSON_CreateObject(), *on;
    json_set_bool(manifest, "spec.failurePolicy.inPlace", !l->fresh_pods);
    if (l->stall_s)
        json_set_integer(manifest, "spec.progress.stallTimeoutSeconds", l->stall_s);
    json_set_string(rule, "action", actions[l->action]);
    on = cJSON_AddObjectToObject(rule, l->on_kill ? "onSignals" : "onExitCodes");
    cJSON_AddStringToObject(on, "operator", "In");
    cJSON *values = cJSON_AddArrayToObject(on, "values");
    cJSON_AddItemToArray(values, l->on_kill ? cJSON_CreateString("SIGKILL")
                                            : cJSON_CreateNumber(l->on_code));
    if (l->action)
        json_append(json_set_array(manifest, "spec.failurePolicy.rules"), rule);
    else
        cJSON_Delete(rule);
}

/* What is wrong with the data kills at one step, from whatever checkpoint. */
bool rules_data_kill(struct sim *s, const struct sim_job *job, int64_t step)
{
    return life_of(s, job)->data_step == step;
}

static void hangs_too_long(struct sim *s, uint64_t number, void *data)
{
    static const char sentence[] = "a job that hangs is stopped after its stallTimeoutSeconds";
    const struct sim_world *w = world_find(s, number);
    (void)data;
    if (w && !w->broken && !w->leaving && w->attempt == life_of(s, w->job)->attempt &&
        is_undisturbed(s, w->job))
        sim_violated(s, sentence, "%s: attempt %" PRIu64 " stands still", w->job->name, w->attempt);
}

static void ends_somehow(struct sim *s, struct sim_launcher *l, const struct life *life,
                         bool stepped)
{
    static const int codes[] = {1, 1, 2, 2, 75, 76};
    uint32_t local = (uint32_t)sim_between(s, 0, l->nproc - 1);
    int64_t how = sim_between(s, 0, 9);
    if (how == 0)
        rank_exits(s, l, local, 0, 9, true);
    else if (how < 4)
        rank_exits(s, l, local, 0, how < 3 ? 9 : 11, false);
    else if (how == 4 && life->stall_s && stepped && l->ranks[local].state == RANK_ALIVE) {
        sim_after(s, (life->stall_s + 60) * 1000, hangs_too_long, l->world, NULL);
        rank_hangs(s, l, local, (life->stall_s + 90) * 1000);
    } else
        rank_exits(s, l, local, codes[sim_between(s, 0, 5)], 0, false);
}

bool rules_ends_by_itself(struct sim *s, const struct sim_world *w)
{
    struct life *life = life_of(s, w->job);
    int64_t chosen = sim_between(s, 0, w->job->replicas - 1);
    bool in_row = life->row && w->attempt >= (uint64_t)life->row_from && !w->stepped &&
                  (life->row_from == 1 || w->job->folder_count > 1);
    if (!life->ends_left || !(in_row || (w->stepped && sim_chance(s, life->fragile))))
        return false;
    for (struct sim_launcher *l = s->launchers; l; l = l->next)
        if (l->world == w->number && !l->left && chosen-- == 0) {
            life->ends_left--;
            life->row -= in_row;
            ends_somehow(s, l, life, w->stepped);
            break;
        }
    return w->broken;
}

/* Who hangs is stopped, waits in the kernel, or is a step behind; its peers wait for it. */
void rules_evidence(struct sim *s, const struct sim_launcher *l, uint32_t local,
                    struct rendezvous_evidence *evidence)
{
    const struct sim_world *w = world_find(s, l->world);
    bool hung = l->ranks[local].state == RANK_HUNG;
    uint32_t how = (l->rank_base + local) % 3;
    evidence->step = w ? w->step - (hung && how == 2) : RENDEZVOUS_NO_STEP;
    evidence->state = !hung || how == 2 ? 'S' : how ? 'T' : 'D';
}

static enum action rule_for(const struct life *l, int64_t code, int64_t number)
{
    return (l->on_kill ? number == 9 : !number && code == l->on_code) ? l->action : NO_RULE;
}

/* ---- what has happened ---- */

void rules_rank_ended(struct sim *s, const struct sim_launcher *l, uint32_t local)
{
    struct life *life = life_of(s, l->job);
    const struct sim_rank *r = &l->ranks[local];
    struct end end = {.rank = (int64_t)l->rank_base + local,
                      .code = r->exec_errno ? 127 : r->code,
                      .signal = r->signal,
                      .node = l->node,
                      .cause = r->exec_errno                        ? "ExecFailed"
                               : r->out_of_memory && r->signal == 9 ? "OutOfMemory"
                               : r->signal == 9                     ? "KilledFromOutside"
                                                                    : "Exited"};
    life->asked_to_fail |= end.code == 93;
    life->told_to_fail |= rule_for(life, end.code, end.signal) == FAIL_JOB;
    if (supervisor_attempt(l->supervisor) == life->attempt && life->ends++ == 0)
        life->end = end;
    life->ended_ms = s->now_ms;
}

void rules_rank_hung(struct sim *s, const struct sim_launcher *l, uint32_t local)
{
    struct life *life = life_of(s, l->job);
    life->hung_rank = (int64_t)l->rank_base + local;
    life->hung++;
    if (life->stall_s)
        oracle_own_failure(l->job, supervisor_attempt(l->supervisor));
}

void rules_stuck(struct sim *s, const struct sim_launcher *l, uint64_t attempt)
{
    struct life *life = life_of(s, l->job);
    if (attempt == life->attempt)
        life->stuck_nodes |= 1U << l->node;
}

/* ---- a failure in the status ---- */

struct failure {
    const struct sim_job *job;
    struct life *life;
    const cJSON *entry, *before, *now;
    int64_t attempt, rank, code, signal, step;
    const char *cause;
    bool own, failed;       /* not of the infrastructure; the job has failed */
    bool suspended, queued; /* at once */
};

/* Its launcher is gone indeed: that comes before whatever ranks did. It may have gone before the
 * attempt began, and nobody had noticed yet. */
static bool is_lost_indeed(struct sim *s, const struct failure *f)
{
    const char *pod = json_string(f->entry, "pod", "");
    if (f->rank >= 0)
        return false;
    for (const struct sim_launcher *l = s->launchers; l; l = l->next)
        if (strcmp(l->pod, pod) == 0 && !l->left)
            return false;
    return *pod;
}

static void check_named(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "a failure is what the only rank that failed did, with its node";
    const struct end *e = &f->life->end;
    if (f->life->ends != 1 || f->life->hung || !f->own || !is_undisturbed(s, f->job) ||
        oracle_order_is_open(s, f->job) || is_lost_indeed(s, f))
        return;
    if (f->rank != e->rank || strcmp(f->cause, e->cause) != 0 || f->signal != e->signal ||
        (!e->signal && f->code != e->code) ||
        strcmp(json_string(f->entry, "node", ""), s->nodes[e->node].name) != 0)
        sim_violated(s, sentence,
                     "%s: %s of rank %" PRId64 ", code %" PRId64 ", signal %" PRId64
                     "; but it was %s of rank %" PRId64 ", code %d, signal %d, on %s",
                     f->job->name, f->cause, f->rank, f->code, f->signal, e->cause, e->rank,
                     e->code, e->signal, s->nodes[e->node].name);
}

static void check_hung(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "of a job that hangs the rank that hangs is named";
    if (strcmp(f->cause, "Hung") != 0 || !is_undisturbed(s, f->job))
        return;
    if (f->life->hung == 0 || f->code != 124 ||
        (f->life->hung == 1 && f->rank != f->life->hung_rank))
        sim_violated(s, sentence, "%s: rank %" PRId64 ", code %" PRId64 "; but %u hang, %" PRId64,
                     f->job->name, f->rank, f->code, f->life->hung, f->life->hung_rank);
}

static enum action rule_of(const struct failure *f)
{
    return rule_for(f->life, f->code, f->signal);
}

/* An exit code by which the rank asks, where no rule says otherwise. */
static bool asks(const struct failure *f, int64_t code)
{
    return rule_of(f) == NO_RULE && f->signal == 0 && f->code == code;
}

static bool costs(const struct failure *f)
{
    return f->own && rule_of(f) != FAIL_JOB && rule_of(f) != IGNORE && !asks(f, 93);
}

static int64_t complete_above(const struct sim_job *job, int64_t step)
{
    int64_t count = 0;
    for (int i = 0; i < job->folder_count; i++)
        count += job->folder[i].step > step && (job->folder[i].state == CHECKPOINT_COMPLETE ||
                                                job->folder[i].was_complete || !job->proves);
    return count;
}

static bool has_reason(const struct failure *f, const char *reason)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, json_find(f->now, "status.conditions"))
    {
        if (strcmp(json_string(c, "reason", ""), reason) == 0)
            return true;
    }
    return false;
}

/* Whether that is right, check_poisoned() says. */
static bool said_poisoned(const struct failure *f)
{
    return has_reason(f, "Poisoned");
}

/* It has failed by somebody's order, after what is judged here: one write may tell both. */
static bool was_ended(const struct failure *f)
{
    return f->failed && (has_reason(f, "Cancelled") || has_reason(f, "DeadlineExceeded"));
}

/* Charge, end, and place in the row. */
static void check_cost(struct sim *s, const struct failure *f)
{
    static const char charged[] = "what is charged stands in docs/failures.md";
    static const char ends[] = "a job fails of the reasons in docs/failures.md, and of no other";
    int64_t was = json_integer(f->before, "status.restartsCharged", 0);
    int64_t is = json_integer(f->now, "status.restartsCharged", 0);
    int64_t credit = complete_above(
        f->job, json_integer(f->before, "status.recovery.highestCheckpointStep", -1));
    bool spent = costs(f) && was >= f->job->backoff_limit;
    bool must_fail = f->own && (spent || rule_of(f) == FAIL_JOB || asks(f, 93));
    int64_t expected = was + (costs(f) && (!f->failed || was_ended(f)));
    if (is > expected || is < expected - credit)
        sim_violated(s, charged,
                     "%s: %s, code %" PRId64 ", signal %" PRId64 ": from %" PRId64 " to %" PRId64,
                     f->job->name, f->cause, f->code, f->signal, was, is);
    if (credit == 0 && must_fail != f->failed && !said_poisoned(f) && !was_ended(f))
        sim_violated(s, ends, "%s: %s, code %" PRId64 ", signal %" PRId64 ", charged %" PRId64,
                     f->job->name, f->cause, f->code, f->signal, was);
}

static bool goes_on(struct sim *s, const struct failure *f, int64_t was, int64_t is)
{
    int64_t from = json_integer(f->before, "status.recovery.resumeStep", -1);
    bool first = f->step >= 0;
    bool next = !first && is_undisturbed(s, f->job) && complete_above(f->job, from) == 0 &&
                s->now_ms - f->life->spawned_ms < FRUITFUL_MS;
    return f->suspended ? is == 0
           : !f->own    ? is == was || is == 0
           : first      ? is == 1
           : next       ? is == was + 1
                        : is == was + 1 || is == 1;
}

static void check_row(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "failures in a row without a step are counted one by one";
    int64_t was = json_integer(f->before, "status.recovery.inPlaceFailures", 0);
    int64_t is = json_integer(f->now, "status.recovery.inPlaceFailures", 0);
    /* Who leads may have read it before a former leader's last write came. */
    if (!goes_on(s, f, was, is) && !goes_on(s, f, f->job->facts.late_row, is))
        sim_violated(s, sentence, "%s: from %" PRId64 " to %" PRId64 " (%s, step %" PRId64 ")",
                     f->job->name, was, is, f->cause, f->step);
}

static int64_t time_of(const cJSON *object, const char *path)
{
    int64_t ms = 0;
    const char *text = json_string(object, path, "");
    return *text && mlt_time_parse(text, &ms, NULL) == 0 ? ms : 0;
}

static void check_wait(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "the wait before the next attempt doubles with each failure in "
                                   "a row, up to 300 s, and the first has none";
    int64_t row = json_integer(f->now, "status.recovery.inPlaceFailures", 0);
    int64_t next = time_of(f->now, "status.recovery.nextAttemptTime");
    int64_t longest = 1000;
    for (int64_t i = 2; i < row && longest < 300000; i++)
        longest *= 2;
    if (longest > 300000)
        longest = 300000;
    if (!f->own || row <= 1)
        longest = 0;
    int64_t wait = next ? next - time_of(f->entry, "time") : 0;
    bool over = json_integer(f->now, "status.attempt", 0) > f->attempt; /* it has been waited for */
    if (f->failed || f->suspended || f->queued || over ||
        (wait >= longest / 2 && wait <= longest + (longest ? ROUNDED_MS : 0)))
        return;
    sim_violated(s, sentence, "%s: %" PRId64 " ms after failure %" PRId64, f->job->name, wait, row);
}

/* ---- checkpoints under suspicion ---- */

static bool has_number(const cJSON *list, int64_t number)
{
    const cJSON *item;
    int64_t value;
    cJSON_ArrayForEach(item, list)
    {
        if (json_is_integer(item, &value) && value == number)
            return true;
    }
    return false;
}

static bool has_older(const struct failure *f, int64_t step)
{
    const cJSON *skipped = json_find(f->before, "status.recovery.skippedCheckpoints");
    for (int i = 0; i < f->job->folder_count; i++) {
        const struct sim_checkpoint *c = &f->job->folder[i];
        if (c->step < step && c->state == CHECKPOINT_COMPLETE && !c->deleted && !c->was_complete &&
            !has_number(skipped, c->step))
            return true;
    }
    return false;
}

static bool is_strike(const struct failure *f, int64_t from)
{
    return costs(f) && strcmp(f->cause, "OutOfMemory") != 0 && f->step >= 0 && from >= 0 &&
           complete_above(f->job, from) == 0;
}

static const cJSON *strike(const cJSON *object, int i)
{
    return cJSON_GetArrayItem(json_find(object, "status.recovery.poison.strikes"), i);
}

static int strikes(const cJSON *object)
{
    return cJSON_GetArraySize(json_find(object, "status.recovery.poison.strikes"));
}

static void check_strike(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "a strike against a checkpoint is a charged failure after the "
                                   "first step, not out of memory, before a newer one";
    int64_t from = json_integer(f->before, "status.recovery.resumeStep", -1);
    int is = strikes(f->now), was = strikes(f->before);
    const cJSON *last = strike(f->now, is - 1);
    bool went_back = json_bool(f->before, "status.recovery.poison.wentBack", false);
    if (went_back || !f->job->proves)
        return;
    if (is_strike(f, from) &&
        (!last || json_integer(f->now, "status.recovery.poison.checkpointStep", -1) != from ||
         json_integer(last, "step", -1) != f->step ||
         strcmp(json_string(last, "node", ""), json_string(f->entry, "node", "")) != 0))
        sim_violated(s, sentence, "%s: %s at step %" PRId64 " from step %" PRId64 " is none",
                     f->job->name, f->cause, f->step, from);
    bool added =
        is > 0 && json_integer(last, "step", -1) == f->step &&
        json_integer(f->now, "status.recovery.poison.checkpointStep", -1) == from &&
        (is > was || json_integer(f->before, "status.recovery.poison.checkpointStep", -1) != from);
    if (added && (!costs(f) || strcmp(f->cause, "OutOfMemory") == 0 || f->step < 0 || from < 0))
        sim_violated(s, sentence, "%s: %s at step %" PRId64 " from step %" PRId64 " is one",
                     f->job->name, f->cause, f->step, from);
}

/* Another node is well for all to see, and nobody avoids any. */
static bool has_free_node(struct sim *s, const struct failure *f)
{
    for (int i = 0; i < s->nodes_count; i++)
        if (!s->nodes[i].ready || !s->nodes[i].reachable || s->nodes[i].away_ms >= 0)
            return false;
    return s->nodes_count > 1 && !asks(f, 75) && is_undisturbed(s, f->job) &&
           cJSON_GetArraySize(json_find(f->now, "status.recovery.avoidNodes")) == 0;
}

static void check_skipped(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "a checkpoint is given up after two strikes on different nodes, "
                                   "after three, or after five failures in a row; not before";
    int64_t from = json_integer(f->before, "status.recovery.resumeStep", -1);
    int64_t row = json_integer(f->now, "status.recovery.inPlaceFailures", 0);
    int count = strikes(f->now);
    bool before = has_number(json_find(f->before, "status.recovery.skippedCheckpoints"), from);
    bool now = has_number(json_find(f->now, "status.recovery.skippedCheckpoints"), from);
    bool went_back = json_bool(f->before, "status.recovery.poison.wentBack", false);
    bool struck = is_strike(f, from) && !went_back;
    bool moved = count == 2 && strcmp(json_string(strike(f->now, 0), "node", ""),
                                      json_string(strike(f->now, 1), "node", "")) == 0;
    bool alone = s->nodes_count == 1 || asks(f, 75); /* there is no other node to try */
    bool unloadable = f->own && !asks(f, 75) && row > 1 && row % 4 == 1;
    bool must = (struck && (count > 2 || (count == 2 && (!moved || alone)))) || unloadable;
    if (!f->job->proves || f->failed || from < 0 || before)
        return;
    if (must && !now && has_older(f, from) && is_undisturbed(s, f->job) &&
        !f->job->facts.unverified)
        sim_violated(s, sentence, "%s: %d strikes, %" PRId64 " in a row: step %" PRId64 " is kept",
                     f->job->name, count, row, from);
    if (now && !unloadable &&
        (!costs(f) || count < 2 || (count == 2 && moved && has_free_node(s, f))))
        sim_violated(s, sentence,
                     "%s: %d strikes, %" PRId64 " in a row: step %" PRId64 " is given up",
                     f->job->name, count, row, from);
}

static void check_poisoned(struct sim *s, const struct failure *f)
{
    static const char sentence[] =
        "data or code: exactly who went back and dies at a strike's step";
    bool went_back = json_bool(f->before, "status.recovery.poison.wentBack", false);
    int64_t from = json_integer(f->before, "status.recovery.resumeStep", -1);
    bool there = false;
    for (int i = 0; i < strikes(f->before); i++)
        there |= json_integer(strike(f->before, i), "step", -1) == f->step;
    bool is = costs(f) && strcmp(f->cause, "OutOfMemory") != 0 && went_back && there &&
              from != json_integer(f->before, "status.recovery.poison.checkpointStep", -1);
    bool said = said_poisoned(f);
    /* Strikes may have been cleared by a newer checkpoint since `before` was written. */
    if (said ? !is : is && complete_above(f->job, f->step) == 0)
        sim_violated(s, sentence, "%s: at step %" PRId64 ", %d strikes, %s", f->job->name, f->step,
                     strikes(f->before), said ? "failed" : "goes on");
}

/* ---- what follows ---- */

static const cJSON *avoided(const cJSON *object, const char *node)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(object, "status.recovery.avoidNodes"))
    {
        if (strcmp(json_string(item, "node", ""), node) == 0)
            return item;
    }
    return NULL;
}

/* Once more, or anew when the last fault there is long ago (clocks jump). */
static bool is_avoided_more(const struct failure *f, const char *node)
{
    const cJSON *before = avoided(f->before, node), *now = avoided(f->now, node);
    return json_integer(now, "faults", 0) > json_integer(before, "faults", 0) ||
           strcmp(json_string(now, "until", ""), json_string(before, "until", "")) > 0;
}

static bool moves(const struct failure *f)
{
    return asks(f, 76) || rule_of(f) == MOVE;
}

/* Some process there has outlived SIGKILL by 30 s: only another node helps. */
static bool is_stuck(struct sim *s, const struct failure *f, const char *node)
{
    for (int i = 0; i < s->nodes_count; i++)
        if (strcmp(s->nodes[i].name, node) == 0 && (f->life->stuck_nodes >> i & 1))
            return true;
    return false;
}

static void check_avoided(struct sim *s, const struct failure *f)
{
    static const char sentence[] = "the culprit's node is avoided exactly when its pod shall move";
    const char *node = json_string(f->entry, "node", "");
    int64_t row = json_integer(f->now, "status.recovery.inPlaceFailures", 0);
    bool must = moves(f) || (row % 4 == 0 && !asks(f, 75));
    bool is = is_avoided_more(f, node);
    if (!f->own || f->failed || f->suspended || f->queued || f->rank < 0 || s->nodes_count < 2 ||
        strikes(f->now) > 1 || row == 0 || !is_undisturbed(s, f->job) || is == must ||
        (is && is_stuck(s, f, node)))
        return;
    sim_violated(s, sentence, "%s: %s, failure %" PRId64 " in a row, %s is %savoided", f->job->name,
                 f->cause, row, node, is ? "" : "not ");
}

static void expect_next(const struct failure *f)
{
    struct life *l = f->life;
    int64_t row = json_integer(f->now, "status.recovery.inPlaceFailures", 0);
    l->failed_attempt = (uint64_t)f->attempt;
    l->culprit = f->rank >= 0 ? f->rank / f->job->nproc : -1;
    l->where = asks(f, 75)           ? SAME_PODS
               : row % 4 == 0        ? NEW_PODS
               : moves(f)            ? CULPRIT_MOVES
               : row % 4 == 2        ? NEW_PODS
               : strikes(f->now) > 1 ? CULPRIT_MOVES /* perhaps: a suspected node */
                                     : SAME_PODS;
    if (l->where == CULPRIT_MOVES && strikes(f->now) > 1 && !moves(f))
        l->culprit = -1;
    if (l->fresh_pods)
        l->where = NEW_PODS;
    bool over = json_integer(f->now, "status.attempt", 0) > f->attempt;
    l->not_before_ms =
        row > 1 && f->own && !over && l->ends ? l->ended_ms + (500 << (row > 10 ? 8 : row - 2)) : 0;
    if (!f->own || f->suspended || f->queued)
        l->failed_attempt = 0; /* only what was lost moves: the documents leave a choice */
}

void rules_job_changed(struct sim *s, const struct sim_job *job, const cJSON *before,
                       const cJSON *now)
{
    const cJSON *list = json_find(now, "status.failures"),
                *old = json_find(before, "status.failures");
    const cJSON *entry = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
    const cJSON *former = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 2);
    int64_t newest =
        json_integer(cJSON_GetArrayItem(old, cJSON_GetArraySize(old) - 1), "attempt", 0);
    struct failure f = {.job = job,
                        .life = life_of(s, job),
                        .entry = entry,
                        .before = before,
                        .now = now,
                        .attempt = json_integer(entry, "attempt", 0),
                        .rank = json_integer(entry, "rank", -1),
                        .code = json_integer(entry, "exitCode", 0),
                        .signal = json_integer(entry, "signal", 0),
                        .step = json_integer(entry, "step", -1),
                        .cause = json_string(entry, "cause", "")};
    /* A gang that is undone waits in the queue instead. */
    if (strcmp(json_string(now, "status.phase", ""), "Queued") == 0)
        f.life->failed_attempt = 0;
    if (!entry || f.attempt <= newest || json_integer(former, "attempt", 0) > newest ||
        f.attempt != json_integer(before, "status.attempt", 0) ||
        (uint64_t)f.attempt != f.life->attempt)
        return;
    f.own = strcmp(f.cause, "Infrastructure") != 0;
    f.failed = strcmp(json_string(now, "status.phase", ""), "Failed") == 0;
    f.queued = strcmp(json_string(now, "status.phase", ""), "Queued") == 0;
    f.suspended = strcmp(json_string(now, "status.phase", ""), "Suspended") == 0;
    check_named(s, &f);
    check_hung(s, &f);
    check_cost(s, &f);
    check_row(s, &f);
    check_wait(s, &f);
    check_strike(s, &f);
    check_skipped(s, &f);
    check_poisoned(s, &f);
    check_avoided(s, &f);
    expect_next(&f);
}

static void check_recorded(struct sim *s, const struct sim_job *job)
{
    static const char sentence[] =
        "what a rank failed of stands in the status before the next START";
    const struct life *l = life_of(s, job);
    const cJSON *list = json_find(api_object(s, "trainingjobs", job->name), "status.failures");
    const cJSON *entry = cJSON_GetArrayItem(list, cJSON_GetArraySize(list) - 1);
    if (l->ends && is_undisturbed(s, job) &&
        json_integer(entry, "attempt", 0) < (int64_t)l->attempt)
        sim_violated(s, sentence, "%s: attempt %" PRIu64, job->name, l->attempt);
}

/* A look a second, its time, and the way to the controller: of what ranks that nobody can stop
 * (their node is cut off) complete meanwhile, nobody knows sooner. */
#define LOOKED_MS 3000

static void check_newest(struct sim *s, const struct sim_job *job, int64_t resume)
{
    static const char sentence[] = "ranks resume from the newest complete checkpoint";
    const cJSON *skipped =
        json_find(api_object(s, "trainingjobs", job->name), "status.recovery.skippedCheckpoints");
    if (!job->proves || job->facts.unverified)
        return;
    for (int i = 0; i < job->folder_count; i++) {
        const struct sim_checkpoint *c = &job->folder[i];
        bool is_known = !c->complete_ms || c->complete_ms + LOOKED_MS < s->now_ms;
        if (c->step > resume && c->state == CHECKPOINT_COMPLETE && !c->deleted && is_known &&
            !has_number(skipped, c->step))
            sim_violated(s, sentence,
                         "%s: from step %" PRId64 ", but that of %" PRId64 " is complete",
                         job->name, resume, c->step);
    }
}

static void check_place(struct sim *s, const struct sim_launcher *launcher)
{
    static const char sentence[] = "where the next attempt runs stands in docs/failures.md";
    const struct life *l = life_of(s, launcher->job);
    const char *was = l->former[launcher->slot];
    bool same = strcmp(was, launcher->uid) == 0;
    bool is_culprit = (int64_t)launcher->slot == l->culprit;
    if (!*was || !l->is_next)
        return;
    if ((same && (l->where == NEW_PODS || (l->where == CULPRIT_MOVES && is_culprit))) ||
        (!same && l->where == SAME_PODS && l->is_calm))
        sim_violated(s, sentence, "%s: attempt %" PRIu64 " has %s in slot %u", launcher->job->name,
                     l->attempt, same ? "the same pod" : "a new pod", launcher->slot);
}

static void check_waited(struct sim *s, const struct sim_job *job)
{
    static const char sentence[] = "an attempt waits as long as the status says";
    const struct life *l = life_of(s, job);
    if (l->is_next && s->now_ms < l->not_before_ms)
        sim_violated(s, sentence, "%s: attempt %" PRIu64 " begins %" PRId64 " ms too early",
                     job->name, l->attempt, l->not_before_ms - s->now_ms);
}

void rules_spawned(struct sim *s, const struct sim_launcher *launcher)
{
    const struct sim_job *job = launcher->job;
    struct life *l = life_of(s, job);
    uint64_t attempt = supervisor_attempt(launcher->supervisor);
    if (attempt > l->attempt) {
        check_recorded(s, job);
        check_newest(s, job, supervisor_start(launcher->supervisor)->resume_step);
        l->is_next =
            l->failed_attempt && l->failed_attempt == l->attempt && l->leader == api_leader(s);
        l->is_calm = is_undisturbed(s, job);
        l->attempt = attempt;
        l->leader = api_leader(s);
        l->excuses = job->facts.excuses;
        l->spawned_ms = s->now_ms;
        l->ends = l->hung = l->stuck_nodes = 0;
        memcpy(l->former, l->uids, sizeof l->former);
        memset(l->uids, 0, sizeof l->uids); /* not every pod may hear of the START */
        check_waited(s, job);
    }
    if (attempt == l->attempt) {
        check_place(s, launcher);
        (void)snprintf(l->uids[launcher->slot], sizeof l->uids[0], "%s", launcher->uid);
    }
}

bool rules_explain_end(struct sim *s, const struct sim_job *job, const char *reason)
{
    const struct life *l = life_of(s, job);
    if (strcmp(reason, "RankAskedToFail") == 0)
        return l->asked_to_fail;
    if (strcmp(reason, "FailurePolicy") == 0)
        return l->told_to_fail;
    return l->data_step &&
           (strcmp(reason, "Poisoned") == 0 || strcmp(reason, "BackoffLimitExceeded") == 0);
}
