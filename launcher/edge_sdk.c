/* What programs exchange by libmltrain (launcher/sdk_exchange.h) with the exchange of the pod and
 * with libmltrain's socket.
 *
 * Worlds. The job's own ranks are one, the first. Each mpirun or mpiexec of a job with the wire-up
 * rsh makes another, whose ranks say in their HELLO what they are. The exchange counts pods, so it
 * has to be known which of them have ranks of such a world. Of two kinds that is known without
 * asking anybody: all ranks are in this pod; or there are as many in each pod of the job, which is
 * so when each pod that takes part has its even share, for then they are all of them. Gathers of
 * other worlds are refused, where it is seen; a pod that happens to have an even share waits in
 * vain. */
#include "launcher/edge_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

#define OWN 0        /* the job's own ranks */
#define TAG_SHIFT 56 /* above it the number of the world, below it sdk_exchange's */

struct edge_sdk_world {
    struct edge *edge;
    uint64_t number; /* its place among all */
    uint64_t id;     /* OWN: 0 */
    uint32_t size, locals;
    struct sdk_exchange *exchange;
    uv_timer_t timer;
};

static struct exchange_request request_of(const struct edge_sdk_world *w, uint64_t tag,
                                          const char *name, int64_t time_ms)
{
    return (struct exchange_request){.user = EXCHANGE_USER_SDK,
                                     .tag = tag | w->number << TAG_SHIFT,
                                     .name = name,
                                     .time_ms = time_ms};
}

/* Names of two worlds never meet. */
static const char *name_in(const struct edge_sdk_world *w, const char *name,
                           char to[EXCHANGE_NAME_MAX + 1])
{
    if (w->number == OWN)
        return name;
    _Static_assert(SDK_NAME_MAX + sizeof "world//" + 16 <= EXCHANGE_NAME_MAX, "it fits");
    (void)snprintf(to, EXCHANGE_NAME_MAX + 1, "world/%016" PRIx64 "/%s", w->id, name);
    return to;
}

static int gather(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err)
{
    struct edge_sdk_world *w = arg;
    struct edge *e = w->edge;
    char text[EXCHANGE_NAME_MAX + 1];
    const struct rendezvous_start *start = supervisor_start(e->supervisor);
    const uint32_t self = start->node_rank;
    bool is_here = w->number != OWN && w->size == w->locals,
         is_even = (uint64_t)w->size == (uint64_t)start->nodes * w->locals;
    if (w->number != OWN && !is_here && !is_even)
        return mlt_fail(err, EOPNOTSUPP,
                        "%u of the %u ranks of this MPI world are in this pod: as many in each of "
                        "the job's %u pods expected, or all in one",
                        w->locals, w->size, start->nodes);
    struct exchange_request request = request_of(w, tag, name_in(w, name, text), time_ms);
    return exchange_gather(supervisor_exchange(e->supervisor), &request, data, length,
                           is_here ? &self : NULL, is_here ? 1 : 0, edge_now_ms(e), err);
}

static int put(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
               struct mlt_error *err)
{
    struct edge_sdk_world *w = arg;
    char text[EXCHANGE_NAME_MAX + 1];
    struct exchange_request request = request_of(w, tag, name_in(w, name, text), 0);
    return exchange_put(supervisor_exchange(w->edge->supervisor), &request, data, length,
                        edge_now_ms(w->edge), err);
}

static int get(void *arg, uint64_t tag, const char *name, int64_t time_ms, struct mlt_error *err)
{
    struct edge_sdk_world *w = arg;
    char text[EXCHANGE_NAME_MAX + 1];
    struct exchange_request request = request_of(w, tag, name_in(w, name, text), time_ms);
    return exchange_get(supervisor_exchange(w->edge->supervisor), &request, edge_now_ms(w->edge),
                        err);
}

static void cancel(void *arg, uint64_t tag)
{
    struct edge_sdk_world *w = arg;
    exchange_cancel(supervisor_exchange(w->edge->supervisor), EXCHANGE_USER_SDK,
                    tag | w->number << TAG_SHIFT);
}

static void answer(void *arg, uint64_t connection, const char *line, struct sdk_bytes *body)
{
    struct edge_sdk_world *w = arg;
    sdk_socket_reply(w->edge->sdk, connection, line, body);
}

static void time_is_over(uv_timer_t *timer)
{
    struct edge_sdk_world *w = timer->data;
    sdk_exchange_timer(w->exchange, edge_now_ms(w->edge));
    edge_flush(w->edge);
}

static void set_timer(void *arg, int64_t delay_ms)
{
    struct edge_sdk_world *w = arg;
    if (delay_ms < 0)
        (void)uv_timer_stop(&w->timer);
    else
        (void)uv_timer_start(&w->timer, time_is_over, (uint64_t)delay_ms, 0);
}

/* ---- worlds ---- */

static struct edge_sdk_world *add(struct edge *e, size_t number)
{
    static const struct sdk_exchange_ops ops = {.gather = gather,
                                                .put = put,
                                                .get = get,
                                                .cancel = cancel,
                                                .answer = answer,
                                                .timer = set_timer};
    struct edge_sdk_world *w = calloc(1, sizeof *w);
    struct sdk_exchange *x = w ? sdk_exchange_new(&ops, w) : NULL;
    if (!x) {
        free(w);
        return NULL;
    }
    w->edge = e;
    w->number = number;
    w->exchange = x;
    (void)uv_timer_init(&e->loop, &w->timer);
    w->timer.data = w;
    e->sdk_worlds[number] = w;
    return w;
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void forget(struct edge *e, size_t number)
{
    struct edge_sdk_world *w = e->sdk_worlds[number];
    e->sdk_worlds[number] = NULL;
    if (!w)
        return;
    sdk_exchange_free(w->exchange);
    uv_close((uv_handle_t *)&w->timer, timer_closed);
}

/* Of the ranks with this HELLO; NULL when it is not known yet, and *ret_free its place. */
static struct edge_sdk_world *find(const struct edge *e, uint64_t id, size_t *ret_free)
{
    *ret_free = EDGE_SDK_WORLDS_MAX;
    for (size_t i = id ? OWN + 1 : OWN; i < EDGE_SDK_WORLDS_MAX; i++) {
        if (e->sdk_worlds[i] && e->sdk_worlds[i]->id == id)
            return e->sdk_worlds[i];
        if (!e->sdk_worlds[i] && *ret_free == EDGE_SDK_WORLDS_MAX)
            *ret_free = i;
        if (id == 0)
            break;
    }
    return NULL;
}

bool edge_sdk_hello(struct edge *e, const struct sdk_message *m, char *words, size_t size)
{
    size_t place;
    if (m->world == 0)
        return true;
    if (!e->mpi.rsh.is_on || m->local_size > e->told_count) {
        (void)snprintf(words, size, "hello: %lld ranks of an MPI world in a pod that has %u slots",
                       (long long)m->local_size, e->mpi.rsh.is_on ? e->told_count : 0);
        return false;
    }
    struct edge_sdk_world *w = find(e, m->world, &place);
    if (!w && place < EDGE_SDK_WORLDS_MAX)
        w = add(e, place);
    if (!w) {
        (void)snprintf(words, size, "hello: more than %d runs of mpirun in one attempt",
                       EDGE_SDK_WORLDS_MAX - 1);
        return false;
    }
    if (w->id == 0) {
        w->id = m->world;
        w->size = (uint32_t)m->world_size;
        w->locals = (uint32_t)m->local_size;
        sdk_exchange_begin_unnumbered(w->exchange, w->locals);
    }
    if (w->size != m->world_size || w->locals != m->local_size ||
        !sdk_exchange_number(w->exchange, (uint32_t)m->rank, (uint32_t)m->world_rank)) {
        (void)snprintf(words, size,
                       "hello: rank %lld of %lld as local rank %lld of %lld: another was that "
                       "before",
                       (long long)m->world_rank, (long long)m->world_size, (long long)m->rank,
                       (long long)m->local_size);
        return false;
    }
    return true;
}

/* ---- the edge's side ---- */

void edge_sdk_init(struct edge *e)
{
    if (!add(e, OWN))
        edge_log(e, "no memory for what programs exchange by libmltrain");
}

void edge_sdk_restart(struct edge *e)
{
    for (size_t i = OWN + 1; i < EDGE_SDK_WORLDS_MAX; i++)
        forget(e, i);
    if (e->sdk_worlds[OWN])
        sdk_exchange_begin(e->sdk_worlds[OWN]->exchange, e->told_count,
                           supervisor_start(e->supervisor)->rank_base);
}

void edge_sdk_ask(struct edge *e, uint64_t connection, uint64_t world, uint32_t rank,
                  const struct sdk_message *m)
{
    size_t place;
    struct edge_sdk_world *w = find(e, world, &place);
    if (!w) {
        sdk_socket_reply(e->sdk, connection, "failed 12 the launcher has no memory\n", NULL);
        return;
    }
    sdk_exchange_ask(w->exchange, connection, rank, m, edge_now_ms(e));
    edge_flush(e);
}

void edge_sdk_gone(struct edge *e, uint64_t connection)
{
    for (size_t i = OWN; i < EDGE_SDK_WORLDS_MAX; i++)
        if (e->sdk_worlds[i])
            sdk_exchange_gone(e->sdk_worlds[i]->exchange, connection);
    edge_flush(e);
}

void edge_sdk_left(struct edge *e, uint32_t rank)
{
    if (e->sdk_worlds[OWN])
        sdk_exchange_rank_ended(e->sdk_worlds[OWN]->exchange, rank, edge_now_ms(e));
    edge_flush(e);
}

void edge_sdk_exchanged(struct edge *e, const struct exchange_output *out)
{
    uint64_t number = out->tag >> TAG_SHIFT;
    if (out->kind != EXCHANGE_DO_DONE || number >= EDGE_SDK_WORLDS_MAX || !e->sdk_worlds[number])
        return;
    struct exchange_output own = *out;
    own.tag &= (UINT64_C(1) << TAG_SHIFT) - 1;
    sdk_exchange_done(e->sdk_worlds[number]->exchange, &own, edge_now_ms(e));
}
