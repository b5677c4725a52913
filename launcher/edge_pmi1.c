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
#include "lib/base/number.h"

/* A tag of the exchange: the barrier's number, and below it 0 for the gather, 1 + the pod whose
 * puts are fetched, or one of the two. */
#define BARRIER_SHIFT 32
#define GROUP_GATHER 0xfffffffeu
#define GROUP_FETCH 0xffffffffu
#define BARRIER_NAME "barrier"
#define GROUP_PREFIX "group/"
#define HEAR_MAX 64 /* pieces of a dead rank's words */

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

/* For the barrier that runs; `what`: the low bits of the tag. */
static struct exchange_request request_of(const struct edge *e, uint32_t what, const char *name)
{
    return (struct exchange_request){.user = EXCHANGE_USER_PMI1,
                                     .tag = (e->mpi.barriers << BARRIER_SHIFT) + what,
                                     .name = name};
}

static void barrier(void *arg, const char *bytes, size_t length)
{
    struct edge *e = arg;
    struct mlt_error err = {0};
    e->mpi.barriers++;
    e->mpi.fetching = 0;
    struct exchange_request request = request_of(e, 0, BARRIER_NAME);
    request.time_ms = EXCHANGE_TIME_MS_MAX;
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
    if (e->mpi.spread)
        pmi1_spread_stop(e->mpi.spread);
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
    const struct exchange_request request = request_of(e, node_rank + 1, BARRIER_NAME);
    if (exchange_fetch(supervisor_exchange(e->supervisor), &request, node_rank, sequence,
                       edge_now_ms(e), &err) < 0)
        fail_barrier(e, err.text);
    else
        e->mpi.fetching++;
}

/* ---- puts that are too much for all (pmi1_spread.h) ---- */

static int spread_gather(void *arg, uint32_t first, uint32_t count, const char *bytes,
                         size_t length, struct mlt_error *err)
{
    struct edge *e = arg;
    uint32_t members[PMI1_SPREAD_GROUP_MAX];
    char name[32];
    for (uint32_t i = 0; i < count; i++)
        members[i] = first + i;
    (void)snprintf(name, sizeof name, "barrier-group-%" PRIu32, first);
    const struct exchange_request request = request_of(e, GROUP_GATHER, name);
    return exchange_gather(supervisor_exchange(e->supervisor), &request, bytes, length, members,
                           count, edge_now_ms(e), err);
}

static int spread_fetch_group(void *arg, uint32_t node_rank, uint64_t sequence,
                              struct mlt_error *err)
{
    struct edge *e = arg;
    char name[40];
    (void)snprintf(name, sizeof name, GROUP_PREFIX "%" PRIu64, sequence);
    const struct exchange_request request = request_of(e, GROUP_FETCH, name);
    return exchange_fetch(supervisor_exchange(e->supervisor), &request, node_rank,
                          EXCHANGE_QUESTION_SEQUENCE, edge_now_ms(e), err);
}

static int spread_fetch_one(void *arg, uint32_t node_rank, uint64_t sequence, struct mlt_error *err)
{
    struct edge *e = arg;
    const struct exchange_request request = request_of(e, GROUP_FETCH, BARRIER_NAME);
    return exchange_fetch(supervisor_exchange(e->supervisor), &request, node_rank, sequence,
                          edge_now_ms(e), err);
}

static bool spread_take(void *arg, const void *bytes, size_t length)
{
    struct edge *e = arg;
    uint64_t barrier = e->mpi.barriers;
    take(e, bytes, length);
    return e->mpi.barriers == barrier;
}

static void spread_answer(void *arg, uint64_t question, enum exchange_outcome outcome,
                          const void *bytes, size_t length)
{
    struct edge *e = arg;
    exchange_answer(supervisor_exchange(e->supervisor), question, outcome, bytes, length);
}

static void spread_done(void *arg, const char *words)
{
    struct edge *e = arg;
    if (words)
        fail_barrier(e, words);
    else
        pmi1_barrier_over(e->mpi.pmi1);
}

static void spread(struct edge *e, uint64_t sequence)
{
    size_t length;
    const char *bytes = pmi1_barrier_puts(e->mpi.pmi1, &length);
    if (e->mpi.spread)
        pmi1_spread_begin(e->mpi.spread, sequence, bytes, length);
    else
        fail_barrier(e, "no memory for what all have put");
}

/* "group/SEQUENCE" */
static bool take_question(struct edge *e, const struct exchange_output *out)
{
    static const char prefix[] = GROUP_PREFIX;
    int64_t sequence;
    if (!e->mpi.spread || strncmp(out->name, prefix, sizeof prefix - 1) != 0 ||
        mlt_parse_integer(out->name + sizeof prefix - 1, 0, INT64_MAX, &sequence, NULL) < 0)
        return false;
    pmi1_spread_asked(e->mpi.spread, out->question, (uint64_t)sequence);
    return true;
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
    if (out->outcome == EXCHANGE_TOO_LARGE || out->outcome == EXCHANGE_NO_ROOM) {
        spread(e, out->sequence);
        return;
    }
    if (out->outcome == EXCHANGE_OK)
        take_entries(e, out);
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

bool edge_pmi1_exchanged(struct edge *e, const struct exchange_output *out)
{
    uint64_t what = out->tag & (((uint64_t)1 << BARRIER_SHIFT) - 1);
    if (out->kind == EXCHANGE_DO_QUESTION)
        return take_question(e, out);
    if (!e->mpi.pmi1 || out->kind != EXCHANGE_DO_DONE || out->outcome == EXCHANGE_ENDED ||
        out->tag >> BARRIER_SHIFT != e->mpi.barriers)
        return true;
    if (what == GROUP_GATHER)
        pmi1_spread_gathered(e->mpi.spread, out);
    else if (what == GROUP_FETCH)
        pmi1_spread_fetched(e->mpi.spread, out);
    else if (what > 0)
        take_fetched(e, out);
    else
        take_gathered(e, out);
    settle(e);
    return true;
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
    static const struct pmi1_spread_ops spread_ops = {.gather = spread_gather,
                                                      .fetch_group = spread_fetch_group,
                                                      .fetch_one = spread_fetch_one,
                                                      .take = spread_take,
                                                      .answer = spread_answer,
                                                      .done = spread_done};
    edge_pmi1_end(e);
    e->mpi.pmi1 = pmi1_new(&config, &ops, e);
    e->mpi.spread = pmi1_spread_new(start->nodes, start->node_rank, &spread_ops, e);
}

void edge_pmi1_end(struct edge *e)
{
    for (uint32_t i = 0; i < RENDEZVOUS_RANKS_PER_MEMBER_MAX; i++)
        close_client(e, i);
    pmi1_free(e->mpi.pmi1);
    e->mpi.pmi1 = NULL;
    pmi1_spread_free(e->mpi.spread);
    e->mpi.spread = NULL;
    e->mpi.barriers++;
    e->mpi.barrier_words[0] = '\0';
}
