/* What the edge does for orders to save and to look: libmltrain's socket, the signal for those who
 * catch it, and what each rank is doing. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "launcher/edge_internal.h"
#include "launcher/proc_look.h"

/* ---- libmltrain ---- */

static const char *hello(void *arg, const struct sdk_message *m)
{
    struct edge *e = arg;
    int64_t rank = m->rank, attempt = m->attempt;
    uint64_t runs = supervisor_attempt(e->supervisor);
    if (!edge_ranks_may_run(e))
        return "hello: no rank runs";
    if (attempt < 0 || (uint64_t)attempt != runs)
        (void)snprintf(e->refusal, sizeof e->refusal,
                       "hello: attempt %lld (MLTRAIN_ATTEMPT): %llu runs", (long long)attempt,
                       (unsigned long long)runs);
    else if (rank < 0 || rank >= e->told_count)
        (void)snprintf(e->refusal, sizeof e->refusal,
                       "hello: rank %lld (LOCAL_RANK): 0 to %u expected", (long long)rank,
                       e->told_count - 1);
    else
        return edge_sdk_hello(e, m, e->refusal, sizeof e->refusal) ? NULL : e->refusal;
    return e->refusal;
}

static void reported(void *arg, uint32_t rank, int64_t step, int64_t total)
{
    struct edge *e = arg;
    if (!edge_ranks_may_run(e))
        return;
    e->told[rank] = (struct edge_told){.step = step, .heard_ms = edge_now_ms(e)};
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_REPORTED,
                                            .asked = {.rank = rank, .step = step}});
    edge_watch_told(e, step, total);
}

static void asked(void *arg, uint32_t rank, int64_t step)
{
    struct edge *e = arg;
    if (!edge_ranks_may_run(e)) {
        edge_answer(e, rank, false);
        return;
    }
    int64_t now_ms = edge_now_ms(e);
    int64_t away_ms = now_ms - e->turn_ms - e->turn_wait_ms;
    e->told[rank].heard_ms = now_ms;
    edge_post(e, &(struct supervisor_event){
                     .kind = SUPERVISOR_ON_ASKED,
                     .asked = {.rank = rank, .step = step, .age_ms = away_ms > 0 ? away_ms : 0}});
}

static void unasked(void *arg, uint32_t rank)
{
    struct edge *e = arg;
    if (edge_ranks_may_run(e))
        edge_post(
            e, &(struct supervisor_event){.kind = SUPERVISOR_ON_UNASKED, .asked = {.rank = rank}});
}

static void committed(void *arg, uint32_t rank, int64_t step, const char *path)
{
    struct edge *e = arg;
    edge_log(e, "rank %u has committed the checkpoint of step %lld: %.300s",
             supervisor_start(e->supervisor)->rank_base + rank, (long long)step, path);
    edge_scan_soon(e);
}

static void exchange(void *arg, uint64_t connection, uint64_t world, uint32_t rank,
                     const struct sdk_message *m)
{
    if (m->kind == SDK_REMOTE)
        edge_rsh_ask(arg, connection, m->name);
    else
        edge_sdk_ask(arg, connection, world, rank, m);
}

static void gone(void *arg, uint64_t connection)
{
    edge_sdk_gone(arg, connection);
    edge_rsh_gone(arg, connection);
}

/* Before an order to save is judged, all that ranks have said before it is heard. After a while
 * without us the two may come in any order. */
void edge_hear_ranks(struct edge *e)
{
    sdk_socket_read(e->sdk);
}

/* Not where the end is delivered: there an effect may be under way, and ranks must not be heard. */
static void tell_who_left(struct edge *e)
{
    bool heard = false, each = e->ranks_count == e->told_count; /* not one torchrun for all */
    for (uint32_t i = 0; i < e->ranks_count && each; i++) {
        if (!e->ranks[i].left)
            continue;
        e->ranks[i].left = false;
        if (!heard)
            edge_hear_ranks(e);
        heard = true;
        edge_mpi_left(e, i);
        edge_sdk_left(e, i);
    }
}

static void begins_to_wait(uv_prepare_t *handle)
{
    struct edge *e = handle->data;
    tell_who_left(e);
    int wait_ms = uv_backend_timeout(&e->loop);
    e->turn_ms = edge_now_ms(e);
    e->turn_wait_ms = wait_ms < 0 ? INT32_MAX : wait_ms; /* for ever: no time is too long */
}

void edge_answer(struct edge *e, uint32_t rank, bool save)
{
    sdk_socket_answer(e->sdk, rank, save);
}

/* ---- the trees of ranks ---- */

/* Where each rank's own processes begin: its process, or what a torchrun in it has started. */
struct roots {
    uint32_t count; /* of ranks */
    pid_t pid[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
};

/* Asked from the top down, so that the first of a local rank is the worker and not its children. */
static bool note_worker(void *arg, const struct proc_look_process *p)
{
    struct roots *roots = arg;
    uint32_t rank = proc_look_local_rank(p->pid);
    if (rank < roots->count && roots->pid[rank] == 0)
        roots->pid[rank] = p->pid;
    return false;
}

static bool is_worker(void *arg, const struct proc_look_process *p)
{
    (void)arg;
    return proc_look_local_rank(p->pid) != PROC_LOOK_LOCAL_RANK_NONE;
}

/* `torchrun`: stands for those of its ranks that it has not started, or that are gone. */
static void find_roots(const struct edge *e, const struct proc_look *l, bool torchrun,
                       struct roots *ret)
{
    *ret = (struct roots){.count = e->told_count};
    bool one_for_all = e->ranks_count < e->told_count;
    for (uint32_t i = 0; i < e->ranks_count; i++) {
        if (!e->ranks[i].running)
            continue;
        if (one_for_all) {
            (void)proc_look_topmost(l, e->ranks[i].pid, note_worker, ret);
            continue;
        }
        const struct proc_look_process *worker =
            proc_look_topmost(l, e->ranks[i].pid, is_worker, NULL);
        if (worker)
            ret->pid[i] = worker->pid;
        else if (torchrun || !e->config->once_per_pod)
            ret->pid[i] = e->ranks[i].pid;
    }
    for (uint32_t i = 0; one_for_all && torchrun && i < ret->count; i++)
        if (ret->pid[i] == 0 && e->ranks_count > 0 && e->ranks[0].running)
            ret->pid[i] = e->ranks[0].pid;
}

/* ---- the signal ---- */

/* torchrun catches SIGTERM, and ends its ranks for it: it never gets the signal. */
void edge_signal_catching(struct edge *e, int signal, const uint64_t *except)
{
    struct proc_look l = {0};
    struct roots roots;
    uint32_t caught = 0, tried = 0;
    int rc = proc_look_walk(&l);
    if (rc < 0)
        edge_log(e, "who catches a signal cannot be seen: read /proc: %s", strerror(-rc));
    find_roots(e, &l, false, &roots);
    if (e->mpi.rsh.is_on && signal == SIGTERM)
        roots.count = 0; /* mpirun, too, ends its ranks for it */
    for (uint32_t i = 0; i < roots.count; i++) {
        if (roots.pid[i] == 0 || except[i / 64] >> i % 64 & 1)
            continue;
        tried++;
        const struct proc_look_process *p =
            proc_look_topmost(&l, roots.pid[i], proc_look_catches, &signal);
        caught += p && proc_look_signal(p, signal);
    }
    proc_look_release(&l);
    if (tried > 0)
        edge_log(e, "signal %d (%s), so that they save, to %u of %u ranks: those that catch it",
                 signal, strsignal(signal), caught, tried);
    edge_post(e, &(struct supervisor_event){.kind = SUPERVISOR_ON_CAUGHT, .caught = caught});
}

/* ---- looking ---- */

static uint64_t ms_of(uint64_t ticks)
{
    return ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t silent_ms(const struct edge *e, uint32_t rank)
{
    int64_t heard = e->ranks[e->ranks_count < e->told_count ? 0 : rank].heard_ms;
    if (e->told[rank].heard_ms > heard)
        heard = e->told[rank].heard_ms;
    int64_t now = edge_now_ms(e);
    return now > heard ? (uint64_t)(now - heard) : 0;
}

static void tell(struct edge *e, const struct rendezvous_evidence *r)
{
    char step[40] = "none told";
    if (r->step != RENDEZVOUS_NO_STEP)
        (void)snprintf(step, sizeof step, "%lld", (long long)r->step);
    edge_log(e,
             "rank %u: state %c, waits in %s, %llu.%llu s of CPU, %u %% busy, last step %s, silent "
             "for %llu s",
             supervisor_start(e->supervisor)->rank_base + r->local_rank, r->state,
             r->wait_channel[0] ? r->wait_channel : "nothing told",
             (unsigned long long)(r->cpu_ms / 1000), (unsigned long long)(r->cpu_ms / 100 % 10),
             r->busy_permille / 10, step, (unsigned long long)(r->silent_ms / 1000));
}

static void examine(struct edge *e, const struct proc_look *l, uint32_t rank, pid_t root,
                    struct rendezvous_evidence *ret)
{
    const struct edge_look_before *before = &e->look.before[rank];
    const struct proc_look_process *p = proc_look_worker(l, root, proc_look_waits, NULL);
    uint64_t ticks = proc_look_ticks(l, root),
             passed_ms = (uv_hrtime() - e->look.began_ns) / 1000000;
    char *channel = e->look.wait_channels[rank];
    channel[0] = '\0';
    if (p)
        proc_look_wait_channel(p->pid, channel, sizeof e->look.wait_channels[0]);
    *ret = (struct rendezvous_evidence){.local_rank = rank,
                                        .state = p && strchr("RSDTtZ", p->state) ? (uint8_t)p->state
                                                                                 : '?',
                                        .wait_channel = channel,
                                        .cpu_ms = ms_of(ticks),
                                        .step = e->told[rank].step,
                                        .silent_ms = silent_ms(e, rank)};
    if (before->pid == root && ticks > before->ticks && passed_ms > 0)
        ret->busy_permille = (uint32_t)(ms_of(ticks - before->ticks) * 1000 / passed_ms);
}

static void second_look(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    struct supervisor_event event = {.kind = SUPERVISOR_ON_EXAMINED};
    struct proc_look l = {0};
    struct roots roots;
    (void)proc_look_walk(&l); /* without /proc, states are '?' */
    find_roots(e, &l, true, &roots);
    event.examined.ranks = e->look.ranks;
    for (uint32_t i = 0; i < roots.count; i++)
        if (roots.pid[i])
            examine(e, &l, i, roots.pid[i], &e->look.ranks[event.examined.ranks_count++]);
    proc_look_release(&l);
    e->look.runs = false;
    for (uint32_t i = 0; i < event.examined.ranks_count; i++)
        tell(e, &e->look.ranks[i]);
    edge_post(e, &event);
}

void edge_look(struct edge *e)
{
    struct proc_look l = {0};
    struct roots roots;
    if (e->look.runs)
        return;
    e->look.runs = true;
    e->look.began_ns = uv_hrtime();
    (void)proc_look_walk(&l);
    find_roots(e, &l, true, &roots);
    for (uint32_t i = 0; i < roots.count; i++)
        e->look.before[i] = (struct edge_look_before){.pid = roots.pid[i],
                                                      .ticks = proc_look_ticks(&l, roots.pid[i])};
    proc_look_release(&l);
    uv_update_time(&e->loop);
    (void)uv_timer_start(&e->look.timer, second_look, EDGE_LOOK_MS, 0);
}

/* ---- life ---- */

void edge_save_init(struct edge *e)
{
    static const struct sdk_socket_ops ops = {.hello = hello,
                                              .reported = reported,
                                              .asked = asked,
                                              .unasked = unasked,
                                              .committed = committed,
                                              .exchange = exchange,
                                              .gone = gone};
    struct mlt_error err = {0};
    (void)uv_timer_init(&e->loop, &e->look.timer);
    e->look.timer.data = e;
    (void)uv_prepare_init(&e->loop, &e->before_wait);
    e->before_wait.data = e;
    (void)uv_prepare_start(&e->before_wait, begins_to_wait);
    uv_unref((uv_handle_t *)&e->before_wait);
    edge_sdk_init(e);
    if (e->config->dir[0] && sdk_socket_new(&e->loop, e->config->dir, &ops, e, &e->sdk, &err) < 0)
        edge_log(e, "no socket for libmltrain: %s", err.text);
}

void edge_save_restart(struct edge *e)
{
    sdk_socket_restart(e->sdk);
    e->told_count = supervisor_welcome(e->supervisor)->nproc;
    for (uint32_t i = 0; i < e->told_count; i++)
        e->told[i] = (struct edge_told){.step = RENDEZVOUS_NO_STEP};
    edge_sdk_restart(e);
}
