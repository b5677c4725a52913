/* Are the ranks that mpirun has started one world? See mpi_world.h. */
#include "launcher/mpi_world.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/proc_look.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

/* ---- the first environment of a process ---- */

static int64_t number_in(const char *environment, size_t length, const char *name)
{
    const char *value = proc_look_parse_variable(environment, length, name);
    int64_t number;
    return value && mlt_parse_integer(value, 0, UINT32_MAX, &number, NULL) == 0 ? number : -1;
}

/* "3.0;tcp4://127.0.0.1:42785": the port behind the last colon. */
static void take_server(struct mpi_world_place *place, const char *value)
{
    const char *tcp = strstr(value, "tcp"), *colon = tcp ? strrchr(tcp, ':') : NULL;
    int64_t port;
    if (!colon || mlt_parse_integer(colon + 1, 1, UINT16_MAX, &port, NULL) < 0 ||
        place->servers_count == MPI_WORLD_SERVERS_MAX)
        place->is_unclear = true;
    else
        place->servers[place->servers_count++] = (uint16_t)port;
}

void mpi_world_place_parse(const char *environment, size_t length, struct mpi_world_place *ret)
{
    static const char *const pmi1[] = {"PMI_FD", "PMI_PORT", "PMI_CONTROL_PORT"};
    struct mpi_world_place place = {0};
    int64_t open_mpi = number_in(environment, length, "OMPI_COMM_WORLD_SIZE"),
            hydra = number_in(environment, length, "PMI_SIZE");
    if (open_mpi > 0 && number_in(environment, length, "PMIX_RANK") >= 0) {
        place.size = (uint32_t)open_mpi;
        place.is_pmix = true;
    } else if (hydra > 0 && number_in(environment, length, "PMI_RANK") >= 0) {
        place.size = (uint32_t)hydra;
    }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(pmi1); i++)
        place.has_pmi1 |= proc_look_parse_variable(environment, length, pmi1[i]) != NULL;
    for (size_t at = 0; at < length; at += strlen(environment + at) + 1) {
        const char *equals = strchr(environment + at, '=');
        if (equals && strncmp(environment + at, "PMIX_SERVER_URI", strlen("PMIX_SERVER_URI")) == 0)
            take_server(&place, equals + 1);
    }
    if (place.is_pmix && place.servers_count == 0)
        place.is_unclear = true;
    *ret = place;
}

/* ---- connections ---- */

#define ESTABLISHED 1 /* net/tcp_states.h of Linux */

struct connection {
    char local[MPI_WORLD_ADDRESS_MAX], remote[MPI_WORLD_ADDRESS_MAX]; /* without the port */
    unsigned local_port, remote_port, state;
    uint64_t inode;
};

/* An IPv4 address in an IPv6 one is the same. */
static void plain(char *address)
{
    static const char mapped[] = "0000000000000000FFFF0000";
    if (strncmp(address, mapped, sizeof mapped - 1) == 0)
        memmove(address, address + sizeof mapped - 1, strlen(address + sizeof mapped - 1) + 1);
}

/* "sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode ..."; see proc(5). */
static bool read_row(const char *row, struct connection *ret)
{
    if (sscanf(row, " %*d: %39[0-9A-F]:%x %39[0-9A-F]:%x %x %*s %*s %*s %*s %*s %" SCNu64,
               ret->local, &ret->local_port, ret->remote, &ret->remote_port, &ret->state,
               &ret->inode) != 6)
        return false;
    plain(ret->local);
    plain(ret->remote);
    return true;
}

/* The next row behind *at; false at the end. One by one: sscanf() of glibc looks for the end of all
 * that it is given first. */
static bool next_row(const char **at, struct connection *ret)
{
    while (*at && **at) {
        char row[MPI_WORLD_ROW_MAX + 1];
        const char *start = *at, *end = strchr(start, '\n');
        size_t length = end ? (size_t)(end - start) : strlen(start);
        *at = end ? end + 1 : NULL;
        if (length > MPI_WORLD_ROW_MAX)
            continue;
        memcpy(row, start, length);
        row[length] = '\0';
        if (read_row(row, ret))
            return true;
    }
    return false;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool is_one_of(uint64_t inode, const uint64_t *inodes, size_t count)
{
    return inode && count && bsearch(&inode, inodes, count, sizeof *inodes, compare);
}

/* Is its other end one of these sockets, too? */
static bool stays_within(const char *tables, const struct connection *c, const uint64_t *inodes,
                         size_t count)
{
    struct connection other;
    for (const char *at = tables; next_row(&at, &other);)
        if (other.local_port == c->remote_port && other.remote_port == c->local_port &&
            strcmp(other.local, c->remote) == 0 && strcmp(other.remote, c->local) == 0)
            return is_one_of(other.inode, inodes, count);
    return false;
}

void mpi_world_talk_parse(const char *tables, const uint64_t *inodes, size_t count,
                          const struct mpi_world_place *place, struct mpi_world_talk *ret)
{
    struct connection c;
    unsigned within = 0;
    *ret = (struct mpi_world_talk){0};
    for (const char *at = tables; next_row(&at, &c);) {
        if (c.state != ESTABLISHED || !is_one_of(c.inode, inodes, count))
            continue;
        bool server = false;
        for (unsigned i = 0; i < place->servers_count; i++)
            server |= place->servers[i] == c.remote_port;
        if (server)
            ret->to_server = true;
        else if (!ret->elsewhere)
            ret->elsewhere =
                within++ == MPI_WORLD_WITHIN_MAX || !stays_within(tables, &c, inodes, count);
    }
}

/* ---- libraries ---- */

static bool name_begins(const char *path, const char *start)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash ? slash + 1 : path, start, strlen(start)) == 0;
}

bool mpi_world_is_core(const char *path)
{
    return (name_begins(path, "libmpi.so") || name_begins(path, "libmpich.so")) &&
           mpi_family_of_library(path) != MPI_FAMILY_NONE;
}

bool mpi_world_is_other_means(const char *path)
{
    static const char *const names[] = {
        "libtorch",  "libc10",     "libnccl",           "librccl", "libgloo",
        "libccl.so", "libnvshmem", "libtensorflow",     "libjax",  "xla_extension",
        "libxccl",   "libucc.so",  "_pywrap_tensorflow"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++)
        if (name_begins(path, names[i]))
            return true;
    return false;
}

bool mpi_world_is_client(enum mpi_family family, const char *path)
{
    if (family == MPI_FAMILY_OPEN_MPI)
        return name_begins(path, "libpmi.so") || name_begins(path, "libpmi2.so");
    return name_begins(path, "libpmix.so");
}

/* Open MPI: ompi/runtime/mpiruntime.h (v3.1 and later), OMPI_MPI_STATE_INIT_COMPLETED.
 * MPICH: set by MPI_Init from MPI_UNWEIGHTED for Fortran 2008 (src/mpi/init/mpir_init.c of 4.0). */
#define OPEN_MPI_STATE_RUNS 2

const char *mpi_world_variable(enum mpi_family family, size_t *ret_size)
{
    if (family == MPI_FAMILY_OPEN_MPI) {
        *ret_size = sizeof(int32_t);
        return "ompi_mpi_state";
    }
    *ret_size = sizeof(uint64_t);
    return family == MPI_FAMILY_MPICH ? "MPIR_C_MPI_UNWEIGHTED" : NULL;
}

enum mpi_world_begun mpi_world_begun_of(enum mpi_family family, const void *value, size_t size)
{
    int32_t state;
    uint64_t pointer;
    if (family == MPI_FAMILY_OPEN_MPI && size == sizeof state) {
        memcpy(&state, value, size);
        return state == OPEN_MPI_STATE_RUNS ? MPI_WORLD_BEGUN_YES : MPI_WORLD_BEGUN_NO;
    }
    if (family == MPI_FAMILY_MPICH && size == sizeof pointer) {
        memcpy(&pointer, value, size);
        return pointer ? MPI_WORLD_BEGUN_YES : MPI_WORLD_BEGUN_NO;
    }
    return MPI_WORLD_BEGUN_UNKNOWN;
}

/* ---- one rank ---- */

enum mpi_world_finding mpi_world_find(const struct mpi_world_facts *f)
{
    bool is_open_mpi = f->family == MPI_FAMILY_OPEN_MPI;
    if (f->place.size <= 1 || f->talk.to_server)
        return MPI_WORLD_FINE;
    if (f->family == MPI_FAMILY_NONE)
        return MPI_WORLD_NOT_YET;
    if (f->place.is_unclear || f->has_client || (!is_open_mpi && f->place.has_pmi1))
        return MPI_WORLD_FINE;
    bool doubtful = f->talk.elsewhere || f->has_other_means;
    if (f->begun == MPI_WORLD_BEGUN_YES)
        return doubtful || f->is_below ? MPI_WORLD_DOUBT : MPI_WORLD_ALONE;
    /* Open MPI's starter sets PMIx, Hydra PMI-1. */
    if (f->begun == MPI_WORLD_BEGUN_UNKNOWN && !doubtful && f->place.is_pmix != is_open_mpi)
        return MPI_WORLD_DOUBT;
    return MPI_WORLD_NOT_YET;
}

/* ---- all ranks of a pod ---- */

void mpi_world_begin(struct mpi_world *w)
{
    for (size_t i = 0; i < w->count; i++)
        w->ranks[i].seen = false;
}

static struct mpi_world_rank *find(struct mpi_world *w, pid_t pid, uint64_t start)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->ranks[i].pid == pid && w->ranks[i].start == start)
            return &w->ranks[i];
    return NULL;
}

bool mpi_world_is_fine(struct mpi_world *w, pid_t pid, uint64_t start)
{
    struct mpi_world_rank *r = find(w, pid, start);
    if (!r || r->finding != MPI_WORLD_FINE)
        return false;
    r->seen = true;
    r->looks++;
    return true;
}

void mpi_world_see(struct mpi_world *w, pid_t pid, uint64_t start,
                   const struct mpi_world_facts *facts, int64_t now_ms)
{
    struct mpi_world_rank *r = find(w, pid, start);
    if (!r && w->count == MPI_WORLD_RANKS_MAX) {
        w->overflowed = true;
        return;
    }
    if (!r) {
        r = &w->ranks[w->count++];
        *r = (struct mpi_world_rank){.pid = pid, .start = start};
    }
    int64_t now = now_ms > 0 ? now_ms : 1;
    r->seen = true;
    r->looks++;
    r->size = facts->place.size;
    r->is_pmix = facts->place.is_pmix;
    r->finding = mpi_world_find(facts);
    memcpy(r->library, facts->library, sizeof r->library);
    bool alone = r->finding == MPI_WORLD_ALONE, odd = alone || r->finding == MPI_WORLD_DOUBT;
    bool other = r->finding == MPI_WORLD_FINE || r->finding == MPI_WORLD_DOUBT;
    r->was_alone = alone || (r->was_alone && !other);
    w->has_others |= other && r->size > 1;
    r->since_ms = !odd ? 0 : r->since_ms ? r->since_ms : now;
    r->alone_ms = !alone ? 0 : r->alone_ms ? r->alone_ms : now;
}

static void forget_gone(struct mpi_world *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        if (w->ranks[i].seen) {
            w->ranks[kept++] = w->ranks[i];
        } else if (w->ranks[i].was_alone) {
            w->gone = w->ranks[i];
            w->gone_count++;
        }
    w->count = kept;
}

static void write_words(const struct mpi_world_rank *r, size_t ranks, bool fails, char *words)
{
    bool is_open_mpi = mpi_family_of_library(r->library) == MPI_FAMILY_OPEN_MPI;
    const char *starter = r->is_pmix ? "Open MPI's mpirun" : "Hydra (MPICH's mpiexec)";
    (void)snprintf(words, MPI_WORLD_WORDS_MAX,
                   "%s%zu of the %u ranks of %s here %s (%s) as a world of its own: call the "
                   "%s of %s MPI%s",
                   fails ? "no gang: each of " : "perhaps no gang: ", ranks, r->size, starter,
                   fails ? "runs MPI" : "seem to run MPI", r->library,
                   is_open_mpi ? "mpirun" : "mpiexec",
                   r->is_pmix == is_open_mpi ? "that very" : "that library's",
                   fails ? "; if it is meant so: MLTRAIN_MPI_WORLD_CHECK=warn" : "");
}

enum mpi_world_answer mpi_world_over(struct mpi_world *w, bool may_fail, char *words)
{
    mpi_world_begin(w);
    forget_gone(w);
    if (w->gone_count == 0)
        return MPI_WORLD_NOTHING;
    bool fails = may_fail && !w->has_others && !w->overflowed;
    if (!fails && w->told)
        return MPI_WORLD_NOTHING;
    w->told = true;
    bool is_open_mpi = mpi_family_of_library(w->gone.library) == MPI_FAMILY_OPEN_MPI;
    (void)snprintf(words, MPI_WORLD_WORDS_MAX,
                   "%s: each rank of %s here that was seen has run MPI (%s) as a world of its own: "
                   "call the %s of %s MPI%s",
                   fails ? "no gang" : "perhaps no gang",
                   w->gone.is_pmix ? "Open MPI's mpirun" : "Hydra (MPICH's mpiexec)",
                   w->gone.library, is_open_mpi ? "mpirun" : "mpiexec",
                   w->gone.is_pmix == is_open_mpi ? "that very" : "that library's",
                   fails ? "; if it is meant so: MLTRAIN_MPI_WORLD_CHECK=warn" : "");
    return fails ? MPI_WORLD_FAIL : MPI_WORLD_TELL;
}

enum mpi_world_answer mpi_world_conclude(struct mpi_world *w, bool may_fail, int64_t now_ms,
                                         char *words)
{
    size_t odd = 0, alone = 0;
    const struct mpi_world_rank *first = NULL;
    forget_gone(w);
    for (size_t i = 0; i < w->count; i++) {
        const struct mpi_world_rank *r = &w->ranks[i];
        if (!r->since_ms || now_ms - r->since_ms < MPI_WORLD_ALONE_MS)
            continue;
        odd++;
        first = first ? first : r;
        alone += r->alone_ms && now_ms - r->alone_ms >= MPI_WORLD_ALONE_MS;
    }
    if (odd == 0)
        return MPI_WORLD_NOTHING;
    bool fails = may_fail && alone == w->count && !w->overflowed;
    if (!fails && w->told)
        return MPI_WORLD_NOTHING;
    w->told = true;
    write_words(first, odd, fails, words);
    return fails ? MPI_WORLD_FAIL : MPI_WORLD_TELL;
}

int64_t mpi_world_wait_ms(const struct mpi_world *w, int64_t since_ms)
{
    int64_t part_ms = since_ms / MPI_WORLD_LOOK_PART;
    if (part_ms < MPI_WORLD_LOOK_MS)
        return part_ms > MPI_WORLD_LOOK_FIRST_MS ? part_ms : MPI_WORLD_LOOK_FIRST_MS;
    for (size_t i = 0; i < w->count; i++)
        if (w->ranks[i].looks < MPI_WORLD_LOOKS_SOON)
            return MPI_WORLD_LOOK_MS;
    return w->count ? MPI_WORLD_LOOK_SLOW_MS : MPI_WORLD_LOOK_MS;
}
