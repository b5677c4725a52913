/* The launcher's end of the exchange: its life, the channel's, and who may begin what. Gathers
 * stand in exchange_part.c, values in exchange_put.c and exchange_ask.c. Pure, see exchange.h. */
#include "launcher/exchange.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange_internal.h"

struct exchange *exchange_new(void)
{
    struct exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->timer_ms = x->timer_told_ms = INT64_MAX;
    TAILQ_INIT(&x->kept);
    TAILQ_INIT(&x->gets);
    TAILQ_INIT(&x->here);
    TAILQ_INIT(&x->fetches);
    TAILQ_INIT(&x->fetches_sent);
    STAILQ_INIT(&x->outputs);
    return x;
}

static void forget(struct exchange *x)
{
    exchange_parts_forget(x);
    exchange_asks_forget(x);
    exchange_puts_forget(x);
    x->timer_ms = INT64_MAX;
    x->running = false;
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    forget(x);
    exchange_output_free(x->given);
    while (!STAILQ_EMPTY(&x->outputs)) {
        struct pending_output *o = STAILQ_FIRST(&x->outputs);
        STAILQ_REMOVE_HEAD(&x->outputs, next);
        exchange_output_free(o);
    }
    free(x);
}

/* ---- the attempt and the channel ---- */

void exchange_begin(struct exchange *x, uint64_t attempt, uint32_t node_rank, uint32_t nodes)
{
    assert(!x->running);
    if (node_rank >= nodes || nodes > RENDEZVOUS_MEMBER_BITS_MAX * 8)
        return; /* a START that no coordinator sends: nothing can be exchanged */
    x->attempt = attempt;
    x->node_rank = node_rank;
    x->nodes = nodes;
    x->running = true;
}

static void end_open(struct exchange *x, enum exchange_outcome outcome, const char *words)
{
    exchange_parts_end(x, outcome, words);
    exchange_asks_end(x, outcome, words);
}

void exchange_end(struct exchange *x, const char *words)
{
    if (!x->running)
        return;
    end_open(x, EXCHANGE_ENDED, words);
    forget(x);
}

/* Puts first: whoever has the result of a gather can get what was put before it. */
void exchange_welcomed(struct exchange *x, bool supported, uint64_t lease_transitions)
{
    bool is_new_controller = lease_transitions != x->lease_transitions;
    x->connected = true;
    x->supported = supported;
    x->lease_transitions = lease_transitions;
    if (!x->running)
        return;
    if (!supported) {
        end_open(x, EXCHANGE_UNSUPPORTED,
                 "the controller is of an earlier release, which knows no exchange");
        return;
    }
    exchange_puts_repeat(x, is_new_controller);
    exchange_parts_repeat(x);
    exchange_asks_repeat(x, is_new_controller);
}

void exchange_closed(struct exchange *x)
{
    x->connected = false;
}

bool exchange_message(struct exchange *x, struct rendezvous_message *m)
{
    if (!x->running || m->attempt != x->attempt)
        return false;
    switch (m->type) {
    case RENDEZVOUS_GATHERED:
        return exchange_parts_take(x, m);
    case RENDEZVOUS_VALUE:
        return exchange_asks_take(x, m);
    case RENDEZVOUS_GET:
        return exchange_asks_take_get(x, m);
    default:
        return false;
    }
}

void exchange_timer(struct exchange *x, int64_t now_ms)
{
    x->now_ms = now_ms;
    x->timer_ms = INT64_MAX;
    x->timer_told_ms = INT64_MIN; /* it has come: whatever is next has to be told */
    exchange_parts_timer(x);
    exchange_asks_timer(x);
}

void exchange_cancel(struct exchange *x, enum exchange_user user, uint64_t tag)
{
    if (!exchange_parts_cancel(x, user, tag))
        (void)exchange_asks_cancel(x, user, tag);
}

/* ---- beginning ---- */

static const char *const prefixes[] = {
#define XX(name, prefix) [EXCHANGE_USER_##name] = prefix,
    EXCHANGE_USER_MAP(XX)
#undef XX
};

bool exchange_user_of(const char *wire_name, enum exchange_user *ret_user, const char **ret_name)
{
    for (int user = 0; user < EXCHANGE_USERS; user++) {
        size_t length = strlen(prefixes[user]);
        if (strncmp(wire_name, prefixes[user], length) != 0 || wire_name[length] != '/')
            continue;
        *ret_user = (enum exchange_user)user;
        *ret_name = wire_name + length + 1;
        return true;
    }
    return false;
}

int exchange_may_begin(struct exchange *x, const struct exchange_request *request, int64_t now_ms,
                       char *ret_name, struct mlt_error *err)
{
    assert(request->user < EXCHANGE_USERS);
    size_t length = request->name ? strlen(request->name) : 0;
    if (length == 0 || length > EXCHANGE_NAME_MAX)
        return mlt_fail(err, EINVAL, "a name of %zu bytes: 1 to %d expected", length,
                        EXCHANGE_NAME_MAX);
    if (!x->running)
        return mlt_fail(err, ECANCELED, "no attempt runs here");
    if (!x->supported)
        return mlt_fail(err, EOPNOTSUPP, "the controller is of an earlier release");
    x->now_ms = now_ms;
    (void)snprintf(ret_name, RENDEZVOUS_EXCHANGE_NAME_MAX + 1, "%s/%s", prefixes[request->user],
                   request->name);
    return 0;
}

void exchange_check(const struct exchange *x)
{
    exchange_parts_check(x);
    exchange_asks_check(x);
    if (!x->running)
        assert(x->names.count == 0 && x->puts.count == 0 && x->tokens.count == 0);
}
