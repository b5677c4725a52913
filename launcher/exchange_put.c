/* Values that this launcher puts: kept for the whole attempt, so that a next controller has them,
 * too. Also the tokens by which a VALUE finds what it answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/exchange_internal.h"

int exchange_token_add(struct exchange *x, struct token *t, struct mlt_error *err)
{
    if (!chain_add(&x->tokens, &t->node, ++x->last_token))
        return mlt_fail(err, ENOMEM, "no memory for an exchange");
    return 0;
}

static void put_free(struct exchange *x, struct put *put)
{
    chain_remove(&x->puts, &put->node);
    chain_remove(&x->tokens, &put->token.node);
    x->put_bytes -= put->length;
    exchange_request_release(&put->request);
    free(put->data);
    free(put);
}

static struct put *find(const struct exchange *x, const char *name)
{
    struct chain_node *node = chain_find(&x->puts, chain_hash(name));
    while (node && strcmp(((struct put *)node)->name, name) != 0)
        node = chain_more(node);
    return (struct put *)node;
}

static void say(struct exchange *x, const struct put *put)
{
    exchange_send(x, &(struct rendezvous_message){.type = RENDEZVOUS_PUT,
                                                  .attempt = x->attempt,
                                                  .put = {.token = put->token.node.key,
                                                          .name = put->name,
                                                          .data = put->data,
                                                          .data_length = put->length}});
}

/* What is said to a next controller may be lost with its channel: its own word counts, not that of
 * the one before. */
void exchange_puts_repeat(struct exchange *x, bool is_new_controller)
{
    for (struct chain_node *node = chain_each(&x->puts, NULL); node;
         node = chain_each(&x->puts, node)) {
        struct put *put = (struct put *)node;
        put->stored &= !is_new_controller;
        if (!put->stored)
            say(x, put);
    }
}

void exchange_put_take(struct exchange *x, struct put *put, const struct rendezvous_value *v)
{
    enum exchange_outcome outcome = (enum exchange_outcome)v->outcome;
    put->stored = outcome == EXCHANGE_OK;
    exchange_request_done(x, &put->request, outcome, v->words);
    if (!put->stored)
        put_free(x, put);
}

/* It stays, and may be stored later. */
void exchange_put_timer(struct exchange *x, struct put *put)
{
    if (!put->request.done || exchange_request_expired(x, &put->request) == 0)
        return;
    exchange_request_done(x, &put->request, EXCHANGE_TIMED_OUT,
                          "the time is over, and the controller has not said that it has it");
}

/* Of a put that is made already: done, or the reason why not. */
static int put_again(struct exchange *x, struct put *put, const struct exchange_request *request,
                     const void *data, size_t length, struct mlt_error *err)
{
    if (put->length != length || (length > 0 && memcmp(put->data, data, length) != 0))
        return mlt_fail(err, EEXIST, "another value was put under the name %s", request->name);
    if (put->request.done)
        return mlt_fail(err, EBUSY, "the name %s is being put already", request->name);
    int rc = exchange_request_init(x, &put->request, request, err);
    if (rc == 0 && put->stored)
        exchange_request_done(x, &put->request, EXCHANGE_OK, "");
    return rc;
}

static struct put *put_new(struct exchange *x, const char *name, const void *data, size_t length)
{
    struct put *put = calloc(1, sizeof *put + strlen(name) + 1);
    if (!put)
        return NULL;
    put->data = length > 0 ? malloc(length) : NULL;
    if (length > 0 && put->data)
        memcpy(put->data, data, length);
    memcpy(put->name, name, strlen(name));
    put->length = (uint32_t)length;
    put->token.put = put;
    if ((length > 0 && !put->data) || !chain_add(&x->puts, &put->node, chain_hash(name))) {
        free(put->data);
        free(put);
        return NULL;
    }
    if (exchange_token_add(x, &put->token, NULL) < 0) {
        chain_remove(&x->puts, &put->node);
        free(put->data);
        free(put);
        return NULL;
    }
    x->put_bytes += length;
    return put;
}

int exchange_put(struct exchange *x, const struct exchange_request *request, const void *data,
                 size_t length, int64_t now_ms, struct mlt_error *err)
{
    char name[RENDEZVOUS_EXCHANGE_NAME_MAX + 1];
    int rc = exchange_may_begin(x, request, now_ms, name, err);
    if (rc < 0)
        return rc;
    if (length > EXCHANGE_PUT_MAX)
        return mlt_fail(err, EMSGSIZE, "%zu bytes for %s: at most %u can be put", length,
                        request->name, EXCHANGE_PUT_MAX);
    struct put *put = find(x, name);
    if (put)
        return put_again(x, put, request, data, length, err);
    if (x->puts.count >= EXCHANGE_PUTS_MAX || x->put_bytes + length > EXCHANGE_PUT_BYTES_MAX)
        return mlt_fail(err, ENOSPC, "more than %d values, or %u bytes of them, are put here",
                        EXCHANGE_PUTS_MAX, EXCHANGE_PUT_BYTES_MAX);
    put = put_new(x, name, data, length);
    if (!put)
        return mlt_fail(err, ENOMEM, "no memory for a value");
    rc = exchange_request_init(x, &put->request, request, err);
    if (rc < 0) {
        put_free(x, put);
        return rc;
    }
    say(x, put);
    return 0;
}

void exchange_puts_forget(struct exchange *x)
{
    struct chain_node *node = chain_each(&x->puts, NULL);
    while (node) {
        struct put *put = (struct put *)node;
        node = chain_each(&x->puts, node);
        put_free(x, put);
    }
    chain_release(&x->puts);
    chain_release(&x->tokens);
}
