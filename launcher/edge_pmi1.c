/* The sockets of PMI-1: one pair for each rank, of which the rank inherits one end. What is said on
 * them stands in pmi1.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/edge_internal.h"

/* A tag of the exchange: the barrier's number, and below it 0 for the gather, or 1 + the pod whose
 * puts are fetched. */
#define BARRIER_SHIFT 32
#define HEAR_MAX 64     /* pieces of a dead rank's words */
#define FETCHES_MAX 512 /* pods; in larger gangs all of them fetch too much from all */

static void close_client(struct edge *e, uint32_t process)
{
    struct edge_pmi1_client *c = &e->mpi.clients[process];
    edge_poll_free(&c->poll);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

/* ---- what the server wants ---- */

static void break_client(struct edge *e, uint32_t process, const char *words)
{
    struct mpi_rank *rank = edge_mpi_rank(e, process);
    if (!rank || rank->broken_words[0])
        return;
    (void)snprintf(rank->broken_words, sizeof rank->broken_words, "%s", words);
    edge_log(e, "rank %u: PMI-1: %s", supervisor_start(e->supervisor)->rank_base + process, words);
}

/* Taken at once or not at all: a client that waits for its answer has an empty socket. */
static void answer(void *arg, uint32_t process, const char *bytes, size_t length)
{
    struct edge *e = arg;
    int fd = e->mpi.clients[process].fd;
    if (fd >= 0 && send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)length &&
        errno != EPIPE && errno != ECONNRESET)
        break_client(e, process, "it asks and does not read the answers");
}

static void connected(void *arg, uint32_t process)
{
    struct mpi_rank *rank = edge_mpi_rank(arg, process);
    if (rank) {
        rank->connected = true;
        rank->finalized = false;
    }
}

static void finalized(void *arg, uint32_t process)
{
    struct mpi_rank *rank = edge_mpi_rank(arg, process);
    if (rank)
        rank->finalized = true;
}

static void aborted(void *arg, uint32_t process, int32_t code, const char *words)
{
    edge_mpi_aborted(arg, process, code, words);
}

static void broken(void *arg, uint32_t process, const char *words)
{
    break_client(arg, process, words);
}

static void barrier(void *arg, const char *bytes, size_t length)
{
    struct edge *e = arg;
    struct mlt_error err = {0};
    const struct exchange_request request = {.user = EXCHANGE_USER_PMI1,
                                             .tag = ++e->mpi.barriers << BARRIER_SHIFT,
                                             .name = "barrier",
                                             .time_ms = EXCHANGE_TIME_MS_MAX};
    e->mpi.fetching = 0;
    if (exchange_gather(supervisor_exchange(e->supervisor), &request, bytes, length, NULL, 0,
                        edge_now_ms(e), &err) < 0)
        (void)snprintf(e->mpi.barrier_words, sizeof e->mpi.barrier_words, "%.*s",
                       (int)sizeof e->mpi.barrier_words - 1, err.text);
}

/* What may not be done from within the server's calls. */
static void settle(struct edge *e)
{
    if (e->mpi.barrier_words[0]) {
        pmi1_barrier_failed(e->mpi.pmi1, e->mpi.barrier_words);
        e->mpi.barrier_words[0] = '\0';
    }
    for (uint32_t i = 0; i < e->mpi.capacity && i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
        if (e->mpi.clients[i].fd >= 0 && e->mpi.ranks[i].broken_words[0]) {
            close_client(e, i);
            pmi1_closed(e->mpi.pmi1, i);
        }
}

/* ---- the other pods ---- */

static void fail_barrier(struct edge *e, const char *words)
{
    e->mpi.barriers++; /* what else comes of this one is not wanted any more */
    pmi1_barrier_failed(e->mpi.pmi1, words);
}

static void take(struct edge *e, const unsigned char *data, size_t length)
{
    struct mlt_error err = {0};
    if (length > 0 && pmi1_gathered(e->mpi.pmi1, (const char *)data, length, &err) < 0)
        fail_barrier(e, err.text);
}

/* Puts that were too large to be sent to all stay with their pod. */
static void fetch(struct edge *e, uint32_t node_rank, uint64_t sequence)
{
    struct mlt_error err = {0};
    const struct exchange_request request = {.user = EXCHANGE_USER_PMI1,
                                             .tag =
                                                 (e->mpi.barriers << BARRIER_SHIFT) + node_rank + 1,
                                             .name = "barrier"};
    if (exchange_fetch(supervisor_exchange(e->supervisor), &request, node_rank, sequence,
                       edge_now_ms(e), &err) < 0)
        fail_barrier(e, err.text);
    else
        e->mpi.fetching++;
}

/* All have come, but the whole is too large for all: then nobody is told who has put something. */
static void fetch_all(struct edge *e, const struct exchange_output *out)
{
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    uint64_t barrier = e->mpi.barriers;
    if (start->nodes > FETCHES_MAX) {
        char words[PMI1_WORDS_MAX];
        (void)snprintf(words, sizeof words,
                       "what all have put is too much for %" PRIu32 " pods by PMI-1: use Open MPI "
                       "(PMIx), or fewer pods of more ranks",
                       start->nodes);
        fail_barrier(e, words);
        return;
    }
    for (uint32_t i = 0; i < start->nodes && e->mpi.barriers == barrier; i++)
        if (i != start->node_rank)
            fetch(e, i, out->sequence);
}

static void take_entries(struct edge *e, const struct exchange_output *out)
{
    uint32_t own = supervisor_start(e->supervisor)->node_rank;
    uint64_t barrier = e->mpi.barriers;
    for (uint32_t i = 0; i < out->entries_count && e->mpi.barriers == barrier; i++) {
        const struct exchange_entry *entry = &out->entries[i];
        if (entry->node_rank == own)
            continue;
        if (entry->data || entry->length == 0)
            take(e, entry->data, entry->length);
        else
            fetch(e, entry->node_rank, out->sequence);
    }
}

static void take_gathered(struct edge *e, const struct exchange_output *out)
{
    uint64_t barrier = e->mpi.barriers;
    if (out->outcome == EXCHANGE_OK)
        take_entries(e, out);
    else if (out->outcome == EXCHANGE_TOO_LARGE || out->outcome == EXCHANGE_NO_ROOM)
        fetch_all(e, out);
    else
        fail_barrier(e, out->words);
    if (e->mpi.barriers == barrier && e->mpi.fetching == 0)
        pmi1_barrier_over(e->mpi.pmi1);
}

static void take_fetched(struct edge *e, const struct exchange_output *out)
{
    uint64_t barrier = e->mpi.barriers;
    if (out->outcome != EXCHANGE_OK) {
        fail_barrier(e, out->words);
        return;
    }
    take(e, out->data, out->length);
    if (e->mpi.barriers == barrier && --e->mpi.fetching == 0)
        pmi1_barrier_over(e->mpi.pmi1);
}

void edge_pmi1_exchanged(struct edge *e, const struct exchange_output *out)
{
    if (!e->mpi.pmi1 || out->kind != EXCHANGE_DO_DONE || out->outcome == EXCHANGE_ENDED ||
        out->tag >> BARRIER_SHIFT != e->mpi.barriers)
        return;
    if (out->tag & (((uint64_t)1 << BARRIER_SHIFT) - 1))
        take_fetched(e, out);
    else
        take_gathered(e, out);
    settle(e);
}

/* ---- bytes ---- */

/* Whether there was anything. */
static bool read_some(struct edge *e, uint32_t process)
{
    char bytes[PMI1_LINE_MAX];
    ssize_t n = recv(e->mpi.clients[process].fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0) {
        pmi1_bytes(e->mpi.pmi1, process, bytes, (size_t)n);
    } else {
        pmi1_closed(e->mpi.pmi1, process);
        close_client(e, process);
    }
    settle(e);
    edge_flush(e); /* a gather may have begun */
    return n > 0;
}

static void client_readable(uv_poll_t *poll, int status, int events)
{
    struct edge_pmi1_client *c = poll->data;
    (void)status; /* recv() tells */
    (void)events;
    (void)read_some(c->edge, (uint32_t)(c - c->edge->mpi.clients));
}

/* Nobody waits for an answer to MPI_Abort, so that the end may be known before it is read. */
void edge_pmi1_hear(struct edge *e, uint32_t process)
{
    if (process >= RENDEZVOUS_RANKS_PER_MEMBER_MAX)
        return;
    for (int i = 0; i < HEAR_MAX && e->mpi.pmi1 && e->mpi.clients[process].fd >= 0; i++)
        if (!read_some(e, process))
            return;
}

void edge_pmi1_left(struct edge *e, uint32_t process)
{
    edge_pmi1_hear(e, process);
    if (!e->mpi.pmi1 || process >= supervisor_welcome(e->supervisor)->nproc)
        return;
    pmi1_left(e->mpi.pmi1, process);
    settle(e);
}

int edge_pmi1_add(struct edge *e, uint32_t process, int *ret_fd)
{
    struct edge_pmi1_client *c = &e->mpi.clients[process];
    int ends[2];
    if (!e->mpi.pmi1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return e->mpi.pmi1 ? -errno : -ENOMEM;
    c->edge = e;
    c->fd = ends[0];
    c->poll = edge_poll_new(e, c->fd, c);
    if (!c->poll) {
        (void)close(ends[1]);
        close_client(e, process);
        return -ENOMEM;
    }
    (void)uv_poll_start(c->poll, UV_READABLE, client_readable);
    *ret_fd = ends[1];
    return 0;
}

/* ---- life ---- */

void edge_pmi1_begin(struct edge *e)
{
    static const struct pmi1_ops ops = {.answer = answer,
                                        .connected = connected,
                                        .finalized = finalized,
                                        .aborted = aborted,
                                        .broken = broken,
                                        .barrier = barrier};
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    char name[PMI1_NAME_MAX];
    (void)snprintf(name, sizeof name, "%.128s.%llu", e->config->job_uid,
                   (unsigned long long)supervisor_attempt(e->supervisor));
    const struct pmi1_config config = {.local_ranks = supervisor_welcome(e->supervisor)->nproc,
                                       .nodes = start->nodes,
                                       .node_rank = start->node_rank,
                                       .world_size = start->world_size,
                                       .rank_base = start->rank_base,
                                       .name = name};
    edge_pmi1_end(e);
    e->mpi.pmi1 = pmi1_new(&config, &ops, e);
}

void edge_pmi1_end(struct edge *e)
{
    for (uint32_t i = 0; i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
        close_client(e, i);
    pmi1_free(e->mpi.pmi1);
    e->mpi.pmi1 = NULL;
    e->mpi.barriers++;
    e->mpi.barrier_words[0] = '\0';
}
