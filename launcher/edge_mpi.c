/* The edge of MPI jobs, whatever their wire-up: which one it is, what each rank has said to its
 * server, and what follows from it. PMI-1's sockets stand in edge_pmi1.c, PMIx's server in
 * edge_helper.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "launcher/edge_helper.h"
#include "launcher/edge_internal.h"
#include "launcher/mpi_image.h"
#include "launcher/proc_look.h"
#include "launcher/shm_clean.h"

/* ---- the choice ---- */

static const char *value_in(const char *const *environment, size_t count, const char *name)
{
    size_t length = strlen(name);
    const char *value = NULL;
    for (size_t i = 0; i < count && environment[i]; i++)
        if (strncmp(environment[i], name, length) == 0 && environment[i][length] == '=')
            value = environment[i] + length + 1;
    return value;
}

const char *edge_mpi_value(const struct edge *e, const char *name)
{
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    const char *own = value_in(welcome->environment, welcome->environment_count, name);
    return own ? own
               : value_in((const char *const *)e->config->environment, RANK_ENV_VARIABLES_MAX,
                          name);
}

/* Files are read here and not in a child: nothing of ours runs yet, and what hangs in the image
 * hangs the ranks, too. */
static void choose(struct edge *e)
{
    const struct mpi_wireup_input in = {.command = (const char *const *)e->config->command,
                                        .path = edge_mpi_value(e, "PATH"),
                                        .library_path = edge_mpi_value(e, "LD_LIBRARY_PATH"),
                                        .python_path = edge_mpi_value(e, "PYTHONPATH"),
                                        .files = mpi_image_files()};
    mpi_wireup_choose(&in, e->mpi.asked, &e->mpi.wireup);
    bool is_rsh = e->mpi.wireup.wireup == RENDEZVOUS_WIREUP_RSH;
    supervisor_one_process(e->supervisor, is_rsh);
    if (e->mpi.wireup.family == MPI_FAMILY_MPIRUN && !is_rsh)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "MpirunInCommand", "%s", e->mpi.wireup.words);
    else
        edge_log(e, "%s", e->mpi.wireup.words);
}

void edge_mpi_welcomed(struct edge *e)
{
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    if (strcmp(welcome->framework, "mpi") != 0)
        return;
    if (e->mpi.capacity < welcome->nproc) {
        struct mpi_rank *ranks = realloc(e->mpi.ranks, welcome->nproc * sizeof *ranks);
        if (!ranks)
            return; /* then ranks are started without a server, and say so */
        memset(ranks + e->mpi.capacity, 0, (welcome->nproc - e->mpi.capacity) * sizeof *ranks);
        e->mpi.ranks = ranks;
        e->mpi.capacity = welcome->nproc;
    }
    enum rendezvous_wireup asked = (enum rendezvous_wireup)welcome->wireup;
    if (e->mpi.is_on && e->mpi.asked == asked)
        return;
    e->mpi.is_on = true;
    e->mpi.asked = asked;
    choose(e);
}

/* ---- ranks ---- */

struct mpi_rank *edge_mpi_rank(struct edge *e, uint32_t process)
{
    return e->mpi.is_on && process < e->mpi.capacity ? &e->mpi.ranks[process] : NULL;
}

/* Those that should have ended by themselves: they have called MPI_Abort. */
static void end_aborted(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    for (uint32_t i = 0; i < e->ranks_count; i++)
        if (e->ranks[i].running && edge_mpi_rank(e, i) && e->mpi.ranks[i].aborted)
            (void)kill(-e->ranks[i].pid, SIGKILL);
}

void edge_mpi_aborted(struct edge *e, uint32_t process, int32_t code, const char *words)
{
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (!rank || rank->aborted)
        return;
    rank->aborted = true;
    rank->abort_code = code;
    (void)snprintf(rank->abort_words, sizeof rank->abort_words, "%s", words);
    edge_log(e, "rank %u has called MPI_Abort with code %d",
             supervisor_start(e->supervisor)->rank_base + process, code);
    if (!uv_is_active((const uv_handle_t *)&e->mpi.abort_timer))
        (void)uv_timer_start(&e->mpi.abort_timer, end_aborted, EDGE_MPI_ABORT_MS, 0);
}

static bool has_mpi(void *arg, const struct proc_look_process *p)
{
    char *library = arg;
    return mpi_image_mapped(p->pid, library, PATH_MAX);
}

/* Does a rank use MPI, and does not come to its server? Then it is killed, and its end says why. */
static void look_for_singletons(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    struct proc_look l = {0};
    char library[PATH_MAX];
    bool some = false;
    if (!edge_ranks_may_run(e) || proc_look_walk(&l) < 0)
        (void)uv_timer_stop(timer);
    for (uint32_t i = 0; l.count && i < e->ranks_count; i++) {
        struct mpi_rank *rank = edge_mpi_rank(e, i);
        if (!e->ranks[i].running || !rank || rank->connected)
            continue;
        some = true;
        if (!proc_look_topmost(&l, e->ranks[i].pid, has_mpi, library) ||
            !mpi_rank_mapped(rank, library, edge_now_ms(e)))
            continue;
        edge_log(e, "rank %u uses %s and has not connected for %d s: it is killed",
                 supervisor_start(e->supervisor)->rank_base + i, library, MPI_RANK_ALONE_MS / 1000);
        (void)kill(-e->ranks[i].pid, SIGKILL);
    }
    proc_look_release(&l);
    if (!some)
        (void)uv_timer_stop(timer); /* all have connected */
}

/* ---- the PMIx server ---- */

static void helper_ready(struct edge *e)
{
    if (!e->mpi.waits)
        return;
    e->mpi.waits = false;
    edge_spawn_ranks(e);
}

/* Ranks that have said goodbye to it can do without. */
static void helper_failed(struct edge *e, bool final, const char *words)
{
    edge_log(e, "%s", words);
    for (uint32_t i = 0; i < e->ranks_count; i++) {
        struct mpi_rank *rank = edge_mpi_rank(e, i);
        if (!rank || rank->finalized)
            continue;
        (void)snprintf(rank->lost_words, sizeof rank->lost_words, "%s", words);
        rank->lost_for_good = final;
        if (e->ranks[i].running)
            (void)kill(-e->ranks[i].pid, SIGKILL);
    }
    if (!e->mpi.waits)
        return;
    e->mpi.waits = false;
    edge_spawn_none(e);
}

/* Whether PMIx keeps what it knows of the rank in a store of shared memory, out of which a second
 * program of the rank cannot start. */
static bool starts_once(struct edge *e, uint32_t process)
{
    static const char store[] = "PMIX_GDS_MODULE=ds";
    const char *at = edge_helper_environment(e->mpi.helper, process);
    for (; at && *at; at += strlen(at) + 1)
        if (strncmp(at, store, sizeof store - 1) == 0)
            return true;
    return false;
}

/* libpmix keeps a fence to itself until all ranks of the pod have come: nothing else would end it.
 */
static void end_stranded(struct edge *e, uint32_t process)
{
    uint32_t left, count = e->ranks_count < e->mpi.capacity ? e->ranks_count : e->mpi.capacity;
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (!rank || !e->mpi.helper || rank->lost_words[0] ||
        !mpi_rank_is_stranded(e->mpi.ranks, count, process, &left))
        return;
    (void)snprintf(rank->lost_words, sizeof rank->lost_words,
                   "its MPI program no. %u waits for rank %u, which has ended well after %u: does "
                   "each rank run the same MPI programs?",
                   rank->programs, supervisor_start(e->supervisor)->rank_base + left,
                   e->mpi.ranks[left].programs);
    if (e->ranks[process].running)
        (void)kill(-e->ranks[process].pid, SIGKILL);
}

static void helper_connected(struct edge *e, uint32_t process)
{
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (!rank)
        return;
    rank->again = rank->finalized && starts_once(e, process);
    rank->connected = true;
    rank->finalized = false;
    rank->programs++;
    end_stranded(e, process);
}

void edge_mpi_left(struct edge *e, uint32_t process)
{
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (!rank || e->mpi.wireup.wireup == RENDEZVOUS_WIREUP_RSH)
        return;
    rank->left = true;
    edge_pmi1_left(e, process);
    for (uint32_t i = 0; i < e->ranks_count; i++)
        end_stranded(e, i);
}

static void helper_finalized(struct edge *e, uint32_t process)
{
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (rank)
        rank->finalized = true;
}

static const struct edge_helper_ops helper_ops = {.ready = helper_ready,
                                                  .failed = helper_failed,
                                                  .connected = helper_connected,
                                                  .finalized = helper_finalized,
                                                  .aborted = edge_mpi_aborted};

/* Whether the ranks need it. */
static bool has_helper(struct edge *e)
{
    if (!e->mpi.is_on || e->mpi.wireup.wireup != RENDEZVOUS_WIREUP_PMIX)
        return false;
    if (!e->mpi.helper)
        e->mpi.helper = edge_helper_new(e, &helper_ops);
    return true;
}

/* Pods of one role are numbered by their slots. Where that is wrong START tells, and the helper is
 * started anew. */
void edge_mpi_prepare(struct edge *e, const struct rank_env_input *env)
{
    if (has_helper(e) && e->mpi.helper)
        edge_helper_prepare(e->mpi.helper, env, e->config->slot);
}

bool edge_mpi_serve(struct edge *e, const struct rank_env_input *env)
{
    if (!has_helper(e))
        return false;
    e->mpi.waits = true;
    if (e->mpi.helper)
        edge_helper_start(e->mpi.helper, env);
    else
        helper_failed(e, false, "no memory for the PMIx server of this pod");
    return true;
}

void edge_mpi_stop(struct edge *e)
{
    edge_rsh_stop(e);
    edge_helper_stop(e->mpi.helper);
    if (!e->mpi.waits)
        return;
    e->mpi.waits = false;
    edge_spawn_none(e);
}

/* ---- folders ---- */

void edge_mpi_shared(const struct edge *e, const char *folder, char shared[PATH_MAX])
{
    (void)snprintf(shared, PATH_MAX, "/dev/shm/mltrain-%.16s-%llu", e->launcher_id,
                   (unsigned long long)supervisor_attempt(e->supervisor));
    if (!shm_clean_is_safe() || mkdir(shared, 0700) < 0)
        (void)snprintf(shared, PATH_MAX, "%s", folder);
}

int edge_mpi_folder(const struct edge *e, const char *name, char *path, size_t size,
                    struct mlt_error *err)
{
    const char *dir = e->config->dir[0] ? e->config->dir : "/tmp";
    char attempt[32];
    (void)snprintf(attempt, sizeof attempt, "%llu",
                   (unsigned long long)supervisor_attempt(e->supervisor));
    const char *const steps[] = {"attempts", attempt, name};
    size_t length = (size_t)snprintf(path, size, "%s", dir);
    for (size_t i = 0; i < 3 && length < size; i++) {
        length += (size_t)snprintf(path + length, size - length, "/%s", steps[i]);
        if (length < size && mkdir(path, 0700) < 0 && errno != EEXIST)
            return mlt_fail(err, errno, "make folder %.200s: %s", path, strerror(errno));
    }
    return length < size ? 0 : mlt_fail(err, ENAMETOOLONG, "MLTRAIN_DIR is too long");
}

/* ---- an attempt ---- */

void edge_mpi_begin(struct edge *e)
{
    if (!e->mpi.is_on)
        return;
    memset(e->mpi.ranks, 0, e->mpi.capacity * sizeof *e->mpi.ranks);
    if (e->mpi.wireup.wireup == RENDEZVOUS_WIREUP_RSH) {
        edge_rsh_begin(e);
        return; /* ranks are the business of the one that starts them */
    }
    uv_update_time(&e->loop);
    (void)uv_timer_start(&e->mpi.look_timer, look_for_singletons, MPI_RANK_LOOK_MS,
                         MPI_RANK_LOOK_MS);
    if (e->mpi.wireup.wireup == RENDEZVOUS_WIREUP_PMI1)
        edge_pmi1_begin(e);
}

void edge_mpi_end(struct edge *e)
{
    if (!e->mpi.is_on)
        return;
    (void)uv_timer_stop(&e->mpi.look_timer);
    (void)uv_timer_stop(&e->mpi.abort_timer);
    edge_rsh_end(e);
    edge_pmi1_end(e);
    edge_helper_end(e->mpi.helper);
}

void edge_mpi_judge(struct edge *e, uint32_t process, struct mpi_rank_end *end)
{
    edge_helper_hear(e->mpi.helper);
    edge_pmi1_hear(e, process);
    end->words[0] = '\0';
    if (edge_rsh_judge(e, end))
        return;
    const struct mpi_rank *rank = edge_mpi_rank(e, process);
    enum supervisor_state state = supervisor_state(e->supervisor);
    if (rank && (state == SUPERVISOR_STARTING || state == SUPERVISOR_RUNNING))
        mpi_rank_judge(rank, &e->mpi.wireup, end);
}

void edge_mpi_init(struct edge *e)
{
    (void)uv_timer_init(&e->loop, &e->mpi.abort_timer);
    (void)uv_timer_init(&e->loop, &e->mpi.look_timer);
    e->mpi.abort_timer.data = e->mpi.look_timer.data = e;
    for (uint32_t i = 0; i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
        e->mpi.clients[i].fd = -1;
}
