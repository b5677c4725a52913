/* What /proc tells of ranks that MPI's own starter has begun in this pod, and what follows from it:
 * launcher/mpi_world.h has the rule. Also whether anything of the job's command runs here at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launcher/edge_internal.h"
#include "launcher/edge_remote.h"
#include "launcher/mpi_elf.h"
#include "launcher/mpi_image.h"
#include "launcher/mpi_world.h"
#include "launcher/proc_look.h"
#include "lib/base/cleanup.h"

#define SOCKETS_MAX 16384          /* of one rank and what hangs below it */
#define TABLE_BYTES_MAX (8u << 20) /* of /proc/PID/net/tcp and tcp6 each */
#define UNUSED_MS 600000           /* without anything in this pod, before that is told */
#define UNUSED_LOOKS 3             /* at daemons of MPI that have nothing to do */

struct edge_world {
    uv_timer_t *timer;
    struct mpi_world ranks;
    char words[MPI_WORLD_WORDS_MAX]; /* why the job has failed; "" */
    bool is_used;                    /* something of the job's command was seen here */
    bool told_unused;
    unsigned idle_looks;         /* at daemons without anything below them */
    int64_t began_ms, daemon_ms; /* of the attempt; of the latest daemon of MPI here */
    /* The variable of the library that was looked at last. */
    char variable_path[PATH_MAX];
    ino_t variable_inode;
    int variable_rc;
    uint64_t variable_offset;
};

/* ---- libraries of a process ---- */

struct mapped {
    char path[PATH_MAX]; /* of the one library that has MPI_Init; "" */
    uint64_t base, inode;
    bool has_two, has_client[2]; /* for Open MPI, for MPICH */
};

static void take_library(struct mapped *m, struct mpi_world_facts *facts, uint64_t base,
                         uint64_t inode, const char *path)
{
    facts->has_other_means |= mpi_world_is_other_means(path);
    m->has_client[0] |= mpi_world_is_client(MPI_FAMILY_OPEN_MPI, path);
    m->has_client[1] |= mpi_world_is_client(MPI_FAMILY_MPICH, path);
    if (!mpi_world_is_core(path) || (strcmp(m->path, path) == 0 && m->inode == inode))
        return;
    m->has_two |= m->path[0] != '\0';
    (void)snprintf(m->path, sizeof m->path, "%s", path);
    m->base = base;
    m->inode = inode;
}

/* False when it cannot be looked at. */
static bool read_maps(pid_t pid, struct mapped *ret, struct mpi_world_facts *facts)
{
    char path[64], line[PATH_MAX + 128];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    cleanup_file FILE *file = fopen(path, "re");
    *ret = (struct mapped){0};
    for (size_t sum = 0; file && sum < MPI_IMAGE_MAPS_MAX && fgets(line, sizeof line, file);) {
        uint64_t base, offset, inode;
        sum += strlen(line);
        line[strcspn(line, "\n")] = '\0';
        const char *name = strchr(line, '/');
        if (name &&
            sscanf(line, "%" SCNx64 "-%*s %*s %" SCNx64 " %*s %" SCNu64, &base, &offset, &inode) ==
                3 &&
            offset == 0)
            take_library(ret, facts, base, inode, name);
    }
    return file != NULL;
}

/* As the process sees the file. */
static bool find_variable(struct edge_world *w, pid_t pid, const struct mapped *m, const char *name,
                          size_t size)
{
    char path[PATH_MAX + 32];
    struct stat status;
    (void)snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, m->path);
    if (stat(path, &status) < 0 || status.st_ino != m->inode)
        return false;
    if (strcmp(w->variable_path, m->path) != 0 || w->variable_inode != status.st_ino) {
        const struct mpi_files files = mpi_image_files();
        (void)snprintf(w->variable_path, sizeof w->variable_path, "%s", m->path);
        w->variable_inode = status.st_ino;
        w->variable_rc = mpi_elf_zeroed(&files, path, name, size, &w->variable_offset);
    }
    return w->variable_rc == 0;
}

static enum mpi_world_begun read_begun(struct edge_world *w, pid_t pid, const struct mapped *m,
                                       enum mpi_family family)
{
    char path[64];
    unsigned char value[sizeof(uint64_t)];
    size_t size = 0;
    const char *name = mpi_world_variable(family, &size);
    if (!name || size > sizeof value || !find_variable(w, pid, m, name, size))
        return MPI_WORLD_BEGUN_UNKNOWN;
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, value, size, (off_t)(m->base + w->variable_offset)) != (ssize_t)size)
        return MPI_WORLD_BEGUN_UNKNOWN;
    return mpi_world_begun_of(family, value, size);
}

/* ---- sockets of a rank ---- */

struct sockets {
    uint64_t *inodes;
    size_t count, limit;
    bool failed; /* some are not known */
};

/* Asked of each process of the rank. */
static bool add_sockets(void *arg, const struct proc_look_process *p)
{
    struct sockets *s = arg;
    char path[64], link[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)p->pid);
    DIR *dir = opendir(path);
    s->failed |= !dir && p->state != 'Z';
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        ssize_t length = readlinkat(dirfd(dir), entry->d_name, link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        if (sscanf(link, "socket:[%" SCNu64 "]", &s->inodes[s->count]) == 1 &&
            ++s->count >= s->limit) {
            s->count--; /* what is written there is written over */
            s->failed = true;
        }
    }
    if (dir)
        (void)closedir(dir);
    return false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Takes some out, in place. How many are left. */
static size_t without(uint64_t *all, size_t count, const uint64_t *some, size_t some_count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool taken = false;
        for (size_t j = 0; j < some_count; j++)
            taken |= all[i] == some[j];
        if (!taken)
            all[kept++] = all[i];
    }
    return kept;
}

/* False when it cannot be seen. */
static bool read_talk(const struct proc_look *l, const struct proc_look_process *root,
                      const struct mpi_world_place *place, struct mpi_world_talk *ret)
{
    cleanup_free uint64_t *inodes = malloc((SOCKETS_MAX + 1) * sizeof *inodes);
    cleanup_free char *tables = malloc(2 * (size_t)TABLE_BYTES_MAX);
    if (!inodes || !tables)
        return false;
    /* Tables first: what is connected later has no socket in them, and is seen next time. */
    ssize_t first = proc_look_file(root->pid, "net/tcp", tables, TABLE_BYTES_MAX);
    if (first < 0)
        return false;
    ssize_t second = proc_look_file(root->pid, "net/tcp6", tables + first, TABLE_BYTES_MAX);
    if (second < 0)
        tables[first] = '\0'; /* no IPv6 */
    struct sockets s = {.inodes = inodes, .limit = SOCKETS_MAX};
    (void)proc_look_topmost(l, root->pid, add_sockets, &s);
    /* Hydra's daemon leaves its own connections open in its ranks. */
    struct sockets inherited = {.inodes = inodes + s.count, .limit = SOCKETS_MAX - s.count};
    const struct proc_look_process *parent = proc_look_find(l, root->parent);
    s.failed |= !parent;
    if (parent)
        (void)add_sockets(&inherited, parent);
    s.failed |= inherited.failed;
    s.count = without(inodes, s.count, inherited.inodes, inherited.count);
    qsort(inodes, s.count, sizeof *inodes, compare);
    mpi_world_talk_parse(tables, inodes, s.count, place, ret);
    return !s.failed && first < (ssize_t)TABLE_BYTES_MAX - 1 &&
           second < (ssize_t)TABLE_BYTES_MAX - 1;
}

/* ---- one rank ---- */

struct looking {
    struct edge *e;
    const struct proc_look *l;
    char *environment; /* PROC_LOOK_ENVIRONMENT_MAX bytes */
    pid_t keeper;
};

/* What cannot be looked at counts as a rank without MPI: nothing is said against it. The state of
 * the library is read before and after its connections: it may begin, or end, in between. */
static void look_at(struct looking *k, const struct proc_look_process *root,
                    const struct mpi_world_place *place, struct mpi_world_facts *ret)
{
    struct edge_world *w = k->e->mpi.rsh.world;
    struct mpi_world_facts facts = {.place = *place};
    struct mapped m;
    const struct proc_look_process *p = root;
    *ret = (struct mpi_world_facts){.place = *place};
    if (!read_maps(p->pid, &m, &facts))
        return;
    if (!m.path[0]) {
        p = proc_look_worker(k->l, root->pid, proc_look_waits, NULL);
        if (!p || p == root || !read_maps(p->pid, &m, &facts))
            return;
        facts.is_below = true;
    }
    if (!m.path[0] || m.has_two)
        return;
    enum mpi_family family = mpi_family_of_library(m.path);
    facts.begun = read_begun(w, p->pid, &m, family);
    if (!read_talk(k->l, root, place, &facts.talk) && !facts.talk.to_server)
        return;
    if (read_begun(w, p->pid, &m, family) != facts.begun)
        facts.begun = MPI_WORLD_BEGUN_NO;
    const char *slash = strrchr(m.path, '/');
    facts.family = family;
    facts.has_client = m.has_client[family == MPI_FAMILY_OPEN_MPI ? 0 : 1];
    (void)snprintf(facts.library, sizeof facts.library, "%.*s", MPI_WORLD_LIBRARY_MAX,
                   slash ? slash + 1 : m.path);
    *ret = facts;
}

/* MPI's daemons and what starts them. */
static bool is_daemon(const char *name)
{
    static const char *const names[] = {"orted",
                                        "prted",
                                        "hydra_pmi_proxy",
                                        "hydra_bstrap_pr",
                                        "pmi_proxy",
                                        "sh",
                                        "bash",
                                        "dash",
                                        "ash",
                                        "busybox",
                                        "mltrain-launche",
                                        "mltrain-rsh",
                                        "mltrain-helper"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Asked from the launcher down; what hangs below a rank is not asked. */
static bool is_rank(void *arg, const struct proc_look_process *p)
{
    struct looking *k = arg;
    struct edge_world *w = k->e->mpi.rsh.world;
    struct mpi_world_place place;
    struct mpi_world_facts facts;
    if (p->pid == getpid())
        return false;
    ssize_t length = proc_look_file(p->pid, "environ", k->environment, PROC_LOOK_ENVIRONMENT_MAX);
    mpi_world_place_parse(k->environment, length > 0 ? (size_t)length : 0, &place);
    w->is_used |= place.size > 0 || (p->pid != k->keeper && !is_daemon(p->name));
    if (place.size == 0)
        return false;
    if (!mpi_world_is_fine(&w->ranks, p->pid, p->start)) {
        look_at(k, p, &place, &facts);
        mpi_world_see(&w->ranks, p->pid, p->start, &facts, edge_now_ms(k->e));
    }
    return true;
}

/* ---- a pod in which nothing runs ---- */

/* Told by one pod: slots are filled from the first one. */
static void tell_unused(struct edge *e, const char *when)
{
    struct edge_world *w = e->mpi.rsh.world;
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    if (w->told_unused || w->is_used || start->node_rank == 0 ||
        start->node_rank != start->nodes - 1 ||
        (e->mpi.rsh.has_started && w->idle_looks < UNUSED_LOOKS))
        return;
    w->told_unused = true;
    edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "MpiPodUnused",
                "nothing of the job's command has run in pod-%u, the last of %u, %s: does it start "
                "all its ranks by mpirun or mpiexec, in all pods?",
                start->node_rank, start->nodes, when);
}

void edge_world_over(struct edge *e)
{
    if (e->mpi.rsh.world && e->mpi.rsh.is_over && e->mpi.rsh.code == 0)
        tell_unused(e, "and it has ended");
}

/* ---- looks ---- */

static bool may_fail(const struct edge *e)
{
    const char *value = edge_mpi_value(e, "MLTRAIN_MPI_WORLD_CHECK");
    return !value || strcmp(value, "warn") != 0;
}

static void conclude(struct edge *e)
{
    struct edge_world *w = e->mpi.rsh.world;
    char words[MPI_WORLD_WORDS_MAX];
    enum mpi_world_answer answer =
        mpi_world_conclude(&w->ranks, may_fail(e), edge_now_ms(e), words);
    if (answer == MPI_WORLD_TELL)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "MpiWorldOfOne", "%s", words);
    if (answer != MPI_WORLD_FAIL || !e->ranks[0].running)
        return;
    edge_log(e, "%s", words);
    memcpy(w->words, words, sizeof w->words);
    (void)kill(-e->ranks[0].pid, SIGKILL);
}

static void look(uv_timer_t *timer)
{
    struct edge *e = timer->data;
    struct edge_world *w = e->mpi.rsh.world;
    struct proc_look l = {0};
    cleanup_free char *environment = malloc(PROC_LOOK_ENVIRONMENT_MAX);
    if (!w || !edge_ranks_may_run(e) || e->ranks_count == 0 || w->words[0])
        return;
    if (environment && proc_look_walk(&l) == 0) {
        bool keeps = edge_rsh_keeper(e) != NULL;
        struct looking k = {
            .e = e, .l = &l, .environment = environment, .keeper = keeps ? e->ranks[0].pid : 0};
        mpi_world_begin(&w->ranks);
        proc_look_each_topmost(&l, getpid(), is_rank, &k);
        conclude(e);
        w->idle_looks += !w->is_used && edge_remote_running(e->mpi.rsh.remote) > 0 &&
                         edge_now_ms(e) - w->daemon_ms >= MPI_WORLD_LOOK_MS;
        if (edge_now_ms(e) - w->began_ms >= UNUSED_MS)
            tell_unused(e, "for 10 minutes");
    }
    proc_look_release(&l);
    int64_t wait_ms = mpi_world_wait_ms(&w->ranks, edge_now_ms(e) - w->daemon_ms);
    (void)uv_timer_start(timer, look, (uint64_t)wait_ms, 0);
}

/* Its ranks may be short. */
void edge_world_daemon(struct edge *e)
{
    struct edge_world *w = e->mpi.rsh.world;
    if (!w)
        return;
    w->daemon_ms = edge_now_ms(e);
    uv_update_time(&e->loop);
    (void)uv_timer_start(w->timer, look, MPI_WORLD_LOOK_FIRST_MS, 0);
}

/* ---- an attempt ---- */

void edge_world_begin(struct edge *e)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    rsh->world = calloc(1, sizeof *rsh->world);
    uv_timer_t *timer = rsh->world ? malloc(sizeof *timer) : NULL;
    if (!timer) {
        free(rsh->world);
        rsh->world = NULL;
        edge_log(e, "no memory to look whether the ranks are one MPI world");
        return;
    }
    (void)uv_timer_init(&e->loop, timer);
    timer->data = e;
    rsh->world->timer = timer;
    rsh->world->began_ms = edge_now_ms(e);
    rsh->world->daemon_ms = INT64_MIN / 2; /* none */
    uv_update_time(&e->loop);
    (void)uv_timer_start(timer, look, MPI_WORLD_LOOK_MS, 0);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void edge_world_end(struct edge *e)
{
    struct edge_rsh *rsh = &e->mpi.rsh;
    if (rsh->world)
        uv_close((uv_handle_t *)rsh->world->timer, free_handle);
    free(rsh->world);
    rsh->world = NULL;
}

/* The command has ended with 0: what of those that lived for too short a time to be killed? */
static void judge_short(struct edge *e)
{
    struct edge_world *w = e->mpi.rsh.world;
    char words[MPI_WORLD_WORDS_MAX];
    enum mpi_world_answer answer = mpi_world_over(&w->ranks, may_fail(e), words);
    if (answer == MPI_WORLD_TELL)
        edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, "MpiWorldOfOne", "%s", words);
    if (answer != MPI_WORLD_FAIL)
        return;
    edge_log(e, "%s", words);
    memcpy(w->words, words, sizeof w->words);
}

bool edge_world_judge(struct edge *e, struct mpi_rank_end *end)
{
    struct edge_world *w = e->mpi.rsh.world;
    bool well = end->code == 0 && end->signal == 0;
    if (w && well && supervisor_state(e->supervisor) == SUPERVISOR_RUNNING)
        judge_short(e);
    if (!w || !w->words[0] || (!well && end->signal != SIGKILL))
        return false;
    end->signal = 0;
    end->code = MPI_RANK_CODE_ALONE;
    (void)snprintf(end->words, sizeof end->words, "%s", w->words);
    return true;
}
