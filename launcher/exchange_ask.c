/* Gets of what was put, fetches of what another member has, and the questions of others. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange_internal.h"

/* ---- memory ---- */

static struct ask_queue *queue_of(struct exchange *x, const struct ask *ask)
{
    if (ask->kind == ASK_PUT)
        return &x->gets;
    if (ask->kind == ASK_HERE)
        return &x->here;
    return ask->sent ? &x->fetches_sent : &x->fetches;
}

static void ask_free(struct exchange *x, struct ask *ask)
{
    TAILQ_REMOVE(queue_of(x, ask), ask, next);
    x->fetches_sent_count -= ask->sent;
    chain_remove(&x->tokens, &ask->token.node);
    exchange_request_release(&ask->request);
    free(ask);
}

static int ask_new(struct exchange *x, const struct exchange_request *request, const char *name,
                   enum ask_kind kind, struct ask **ret, struct mlt_error *err)
{
    if (x->tokens.count - x->puts.count >= EXCHANGE_OPEN_MAX)
        return mlt_fail(err, ENOSPC, "more than %d gets and fetches wait", EXCHANGE_OPEN_MAX);
    struct ask *ask = calloc(1, sizeof *ask + strlen(name) + 1);
    if (!ask)
        return mlt_fail(err, ENOMEM, "no memory for an exchange");
    memcpy(ask->name, name, strlen(name));
    ask->kind = kind;
    ask->token.ask = ask;
    int rc = exchange_token_add(x, &ask->token, err);
    if (rc < 0) {
        free(ask);
        return rc;
    }
    TAILQ_INSERT_TAIL(queue_of(x, ask), ask, next);
    rc = exchange_request_init(x, &ask->request, request, err);
    if (rc < 0) {
        ask_free(x, ask);
        return rc;
    }
    *ret = ask;
    return 0;
}

/* ---- out ---- */

static void say(struct exchange *x, const struct ask *ask, enum rendezvous_get_mode mode)
{
    exchange_send(x, &(struct rendezvous_message){.type = RENDEZVOUS_GET,
                                                  .attempt = x->attempt,
                                                  .get = {.token = ask->token.node.key,
                                                          .name = ask->name,
                                                          .mode = (uint8_t)mode,
                                                          .of_member = ask->kind == ASK_MEMBER,
                                                          .node_rank = ask->node_rank,
                                                          .sequence = ask->sequence}});
}

/* Whether the controller knows of it. */
static bool is_said(const struct ask *ask)
{
    return ask->kind == ASK_PUT || ask->sent;
}

static enum rendezvous_get_mode mode_of(const struct ask *ask)
{
    if (ask->request.last_word)
        return RENDEZVOUS_GET_GIVE_UP;
    return ask->now ? RENDEZVOUS_GET_NOW : RENDEZVOUS_GET_WAIT;
}

/* A few fetches at a time: what they bring is large, and comes over one channel. */
static void fetch_on(struct exchange *x)
{
    while (x->connected && x->fetches_sent_count < EXCHANGE_FETCHES_MAX &&
           !TAILQ_EMPTY(&x->fetches)) {
        struct ask *ask = TAILQ_FIRST(&x->fetches);
        TAILQ_REMOVE(&x->fetches, ask, next);
        TAILQ_INSERT_TAIL(&x->fetches_sent, ask, next);
        ask->sent = true;
        x->fetches_sent_count++;
        say(x, ask, mode_of(ask));
    }
}

void exchange_asks_repeat(struct exchange *x, bool is_new_controller)
{
    const struct ask *ask;
    TAILQ_FOREACH(ask, &x->gets, next)
    say(x, ask, mode_of(ask));
    TAILQ_FOREACH(ask, &x->fetches_sent, next)
    say(x, ask, mode_of(ask));
    fetch_on(x);
    if (!is_new_controller)
        return;
    /* What another controller has asked, nobody waits for; the next one counts from 1 again. */
    struct chain_node *node = chain_each(&x->questions, NULL);
    while (node) {
        struct question *q = (struct question *)node;
        node = chain_each(&x->questions, node);
        if (q->local)
            continue;
        chain_remove(&x->questions, &q->node);
        free(q);
    }
}

/* ---- the end of one ---- */

static void finish(struct exchange *x, struct ask *ask, enum exchange_outcome outcome,
                   const char *words)
{
    exchange_request_done(x, &ask->request, outcome, words);
    ask_free(x, ask);
    fetch_on(x);
}

static void take_value(struct exchange *x, struct ask *ask, struct rendezvous_message *m)
{
    struct pending_output *o = ask->request.done;
    enum exchange_outcome outcome = (enum exchange_outcome)m->value.outcome;
    if (outcome != EXCHANGE_OK) {
        finish(x, ask, outcome, m->value.words);
        return;
    }
    o->out.data = m->value.data;
    o->out.length = m->value.data_length;
    o->held = *m;
    *m = (struct rendezvous_message){0};
    finish(x, ask, EXCHANGE_OK, "");
}

bool exchange_asks_take(struct exchange *x, struct rendezvous_message *m)
{
    struct token *t = (struct token *)chain_find(&x->tokens, m->value.token);
    if (!t)
        return false;
    if (t->put)
        exchange_put_take(x, t->put, &m->value);
    else
        take_value(x, t->ask, m);
    return true;
}

static void ask_timer(struct exchange *x, struct ask *ask)
{
    int expired = exchange_request_expired(x, &ask->request);
    if (expired == 1 && is_said(ask))
        say(x, ask, RENDEZVOUS_GET_GIVE_UP);
    else if (expired != 0)
        finish(x, ask, EXCHANGE_TIMED_OUT,
               !is_said(ask)  ? "the time is over, and others that were asked before it have not "
                                "answered"
               : x->connected ? "the time is over, and the controller says nothing"
                              : "the time is over, and there is no channel to the controller");
}

void exchange_asks_timer(struct exchange *x)
{
    struct chain_node *node = chain_each(&x->tokens, NULL);
    while (node) {
        struct token *t = (struct token *)node;
        node = chain_each(&x->tokens, node);
        if (t->put)
            exchange_put_timer(x, t->put);
        else
            ask_timer(x, t->ask);
    }
}

bool exchange_asks_cancel(struct exchange *x, enum exchange_user user, uint64_t tag)
{
    for (struct chain_node *node = chain_each(&x->tokens, NULL); node;
         node = chain_each(&x->tokens, node)) {
        const struct token *t = (const struct token *)node;
        struct request *r = t->put ? &t->put->request : &t->ask->request;
        if (!exchange_request_is(r, user, tag))
            continue;
        exchange_request_release(r);
        if (t->ask && is_said(t->ask))
            say(x, t->ask, RENDEZVOUS_GET_GIVE_UP);
        if (t->ask) {
            ask_free(x, t->ask);
            fetch_on(x);
        }
        return true;
    }
    return false;
}

void exchange_asks_end(struct exchange *x, enum exchange_outcome outcome, const char *words)
{
    struct chain_node *node = chain_each(&x->tokens, NULL);
    while (node) {
        struct token *t = (struct token *)node;
        node = chain_each(&x->tokens, node);
        if (t->put) {
            exchange_request_done(x, &t->put->request, outcome, words);
            continue;
        }
        exchange_request_done(x, &t->ask->request, outcome, words);
        ask_free(x, t->ask);
    }
}

void exchange_asks_forget(struct exchange *x)
{
    struct ask_queue *queues[] = {&x->gets, &x->here, &x->fetches_sent, &x->fetches};
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++)
        while (!TAILQ_EMPTY(queues[i]))
            ask_free(x, TAILQ_FIRST(queues[i]));
    struct chain_node *node = chain_each(&x->questions, NULL);
    while (node) {
        struct question *q = (struct question *)node;
        node = chain_each(&x->questions, node);
        free(q);
    }
    chain_release(&x->questions);
}

/* ---- questions ---- */

static void answer_peer(struct exchange *x, uint64_t token, enum exchange_outcome outcome,
                        const void *data, size_t length)
{
    bool ok = outcome == EXCHANGE_OK;
    exchange_send(
        x,
        &(struct rendezvous_message){
            .type = RENDEZVOUS_VALUE,
            .attempt = x->attempt,
            .value = {.token = token,
                      .outcome = (uint8_t)outcome,
                      .words = ok ? "" : rendezvous_outcome_words((enum rendezvous_outcome)outcome),
                      .data = ok ? data : NULL,
                      .data_length = ok ? (uint32_t)length : 0}});
}

/* One that was asked already: the channel has broken meanwhile, and the answer is still to come. */
static bool is_asked(const struct exchange *x, uint64_t token)
{
    for (struct chain_node *node = chain_each(&x->questions, NULL); node;
         node = chain_each(&x->questions, node)) {
        const struct question *q = (const struct question *)node;
        if (!q->local && q->token == token)
            return true;
    }
    return false;
}

/* False when nobody here can be asked. */
static bool ask_user(struct exchange *x, bool local, uint64_t token, const char *name)
{
    enum exchange_user user;
    const char *own_name;
    if (!exchange_user_of(name, &user, &own_name) || x->questions.count >= EXCHANGE_QUESTIONS_MAX)
        return false;
    struct question *q = calloc(1, sizeof *q);
    struct pending_output *o = exchange_output_new(EXCHANGE_DO_QUESTION);
    if (o)
        o->words = strdup(own_name);
    if (!q || !o || !o->words || !chain_add(&x->questions, &q->node, ++x->last_question)) {
        free(q);
        exchange_output_free(o);
        return false;
    }
    q->local = local;
    q->token = token;
    o->out.user = user;
    o->out.question = q->node.key;
    o->out.name = o->words;
    exchange_output_add(x, o);
    return true;
}

bool exchange_asks_take_get(struct exchange *x, const struct rendezvous_message *m)
{
    const struct rendezvous_get *get = &m->get;
    if (get->sequence != EXCHANGE_QUESTION_SEQUENCE) {
        const struct part *p = exchange_part_find(x, get->name, get->sequence);
        if (p)
            answer_peer(x, get->token, EXCHANGE_OK, p->data, p->length);
        else
            answer_peer(x, get->token, EXCHANGE_NOT_FOUND, NULL, 0);
        return true;
    }
    if (!is_asked(x, get->token) && !ask_user(x, false, get->token, get->name))
        answer_peer(x, get->token, EXCHANGE_NOT_FOUND, NULL, 0);
    return true;
}

/* Gives an ask of this pod data that is here. */
static void finish_here(struct exchange *x, struct ask *ask, enum exchange_outcome outcome,
                        const void *data, size_t length)
{
    struct pending_output *o = ask->request.done;
    if (outcome != EXCHANGE_OK) {
        finish(x, ask, outcome, rendezvous_outcome_words((enum rendezvous_outcome)outcome));
        return;
    }
    o->bytes = length > 0 ? malloc(length) : NULL;
    if (length > 0 && !o->bytes) {
        finish(x, ask, EXCHANGE_NO_ROOM, "the launcher has no memory for the value");
        return;
    }
    if (length > 0)
        memcpy(o->bytes, data, length);
    o->out.data = (unsigned char *)o->bytes;
    o->out.length = length;
    finish(x, ask, EXCHANGE_OK, "");
}

void exchange_answer(struct exchange *x, uint64_t question, enum exchange_outcome outcome,
                     const void *data, size_t length)
{
    struct question *q = (struct question *)chain_find(&x->questions, question);
    if (!q)
        return;
    if (length > EXCHANGE_VALUE_MAX)
        outcome = EXCHANGE_TOO_LARGE;
    chain_remove(&x->questions, &q->node);
    struct token *t = q->local ? (struct token *)chain_find(&x->tokens, q->token) : NULL;
    if (!q->local)
        answer_peer(x, q->token, outcome, data, length);
    else if (t && t->ask)
        finish_here(x, t->ask, outcome, data, length);
    free(q);
}

/* ---- beginning ---- */

int exchange_get(struct exchange *x, const struct exchange_request *request, int64_t now_ms,
                 struct mlt_error *err)
{
    char name[RENDEZVOUS_EXCHANGE_NAME_MAX + 1];
    struct ask *ask;
    int rc = exchange_may_begin(x, request, now_ms, name, err);
    if (rc == 0)
        rc = ask_new(x, request, name, ASK_PUT, &ask, err);
    if (rc < 0)
        return rc;
    ask->now = request->time_ms < 0;
    say(x, ask, mode_of(ask));
    return 0;
}

int exchange_fetch(struct exchange *x, const struct exchange_request *request, uint32_t node_rank,
                   uint64_t sequence, int64_t now_ms, struct mlt_error *err)
{
    char name[RENDEZVOUS_EXCHANGE_NAME_MAX + 1];
    struct ask *ask;
    int rc = exchange_may_begin(x, request, now_ms, name, err);
    if (rc == 0 && node_rank >= x->nodes)
        rc = mlt_fail(err, EINVAL, "node rank %u: 0 to %u expected", node_rank, x->nodes - 1);
    if (rc == 0)
        rc =
            ask_new(x, request, name, node_rank == x->node_rank ? ASK_HERE : ASK_MEMBER, &ask, err);
    if (rc < 0)
        return rc;
    ask->node_rank = node_rank;
    ask->sequence = sequence;
    if (ask->kind == ASK_MEMBER) {
        fetch_on(x);
        return 0;
    }
    const struct part *p = exchange_part_find(x, name, sequence);
    if (sequence != EXCHANGE_QUESTION_SEQUENCE)
        finish_here(x, ask, p ? EXCHANGE_OK : EXCHANGE_NOT_FOUND, p ? p->data : NULL,
                    p ? p->length : 0);
    else if (!ask_user(x, true, ask->token.node.key, name))
        finish_here(x, ask, EXCHANGE_NOT_FOUND, NULL, 0);
    return 0;
}

void exchange_asks_check(const struct exchange *x)
{
    const struct ask *ask;
    size_t count = 0, sent = 0;
    TAILQ_FOREACH(ask, &x->gets, next)
    count += ask->kind == ASK_PUT;
    TAILQ_FOREACH(ask, &x->here, next)
    count += ask->kind == ASK_HERE;
    TAILQ_FOREACH(ask, &x->fetches, next)
    count += !ask->sent;
    TAILQ_FOREACH(ask, &x->fetches_sent, next)
    sent += ask->sent;
    assert(sent == x->fetches_sent_count && sent <= EXCHANGE_FETCHES_MAX);
    assert(count + sent + x->puts.count == x->tokens.count);
    assert(x->questions.count <= EXCHANGE_QUESTIONS_MAX);
}
