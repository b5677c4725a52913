/* Values that are put and got, and gets that are passed on to the member that has the value. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/collective_internal.h"

#define SHOWN_MAX 80 /* bytes of a name in words */

/* ---- answers ---- */

static void answer(struct collective *c, uint32_t to, uint64_t token,
                   enum rendezvous_outcome outcome, const char *words, const unsigned char *data,
                   uint32_t length)
{
    collective_send(c, to,
                    &(struct rendezvous_message){
                        .type = RENDEZVOUS_VALUE,
                        .attempt = c->config.attempt,
                        .value = {.token = token,
                                  .outcome = (uint8_t)outcome,
                                  .words = outcome == RENDEZVOUS_OUTCOME_OK ? "" : words,
                                  .data = data,
                                  .data_length = length}});
}

static void answer_words(struct collective *c, uint32_t to, uint64_t token,
                         enum rendezvous_outcome outcome, const char *name, const char *what)
{
    char shown[SHOWN_MAX];
    (void)snprintf(c->reason, sizeof c->reason, "%s: %s",
                   collective_clean(name, shown, sizeof shown), what);
    answer(c, to, token, outcome, c->reason, NULL, 0);
}

static void answer_gone(struct collective *c, uint32_t to, uint64_t token, const char *name,
                        uint32_t owner)
{
    char who[RENDEZVOUS_NAME_MAX + 16], words[RENDEZVOUS_NAME_MAX + 64];
    c->config.name(c->config.arg, owner, who, sizeof who);
    (void)snprintf(words, sizeof words, "%.200s has ended", who);
    answer_words(c, to, token, RENDEZVOUS_OUTCOME_MEMBER_LOST, name, words);
}

/* ---- values ---- */

static struct value *value_find(const struct collective *c, const char *name)
{
    struct chain_node *node = chain_find(&c->values, chain_hash(name));
    while (node && strcmp(((struct value *)node)->name, name) != 0)
        node = chain_more(node);
    return (struct value *)node;
}

/* Finds or makes it; NULL: no room, or memory is exhausted. */
static struct value *value_of(struct collective *c, const char *name)
{
    struct value *v = value_find(c, name);
    size_t size = sizeof *v + strlen(name) + 1;
    if (v)
        return v;
    if (c->values.count >= COLLECTIVE_VALUES_MAX || !collective_charge(c, size))
        return NULL;
    v = calloc(1, size);
    if (v)
        memcpy(v->name, name, strlen(name));
    if (!v || !chain_add(&c->values, &v->node, chain_hash(name))) {
        free(v);
        collective_discharge(c, size);
        return NULL;
    }
    v->bytes = size;
    TAILQ_INIT(&v->waiting);
    return v;
}

static void value_free(struct collective *c, struct value *v)
{
    chain_remove(&c->values, &v->node);
    collective_discharge(c, v->bytes);
    free(v->data);
    free(v);
}

/* Nothing was put, and nobody waits for it. */
static void value_drop_unused(struct collective *c, struct value *v)
{
    if (!v->is_put && TAILQ_EMPTY(&v->waiting))
        value_free(c, v);
}

static bool value_keep(struct collective *c, struct value *v, uint32_t writer,
                       const unsigned char *data, uint32_t length)
{
    if (!collective_charge(c, length))
        return false;
    v->data = length ? malloc(length) : NULL;
    if (length && !v->data) {
        collective_discharge(c, length);
        return false;
    }
    if (length)
        memcpy(v->data, data, length);
    v->length = length;
    v->bytes += length;
    v->writer = writer;
    v->is_put = true;
    return true;
}

/* ---- those that wait ---- */

static uint64_t waiting_key(uint32_t asker, uint64_t token)
{
    return token ^ (uint64_t)asker << 40;
}

static struct waiting *waiting_find(const struct collective *c, uint32_t asker, uint64_t token)
{
    struct chain_node *node = chain_find(&c->waiting, waiting_key(asker, token));
    while (node &&
           (((struct waiting *)node)->asker != asker || ((struct waiting *)node)->token != token))
        node = chain_more(node);
    return (struct waiting *)node;
}

static bool need_askers(struct collective *c)
{
    size_t size = c->config.members * sizeof *c->askers;
    if (c->askers)
        return true;
    if (!collective_charge(c, size))
        return false;
    c->askers = calloc(c->config.members, sizeof *c->askers);
    if (!c->askers) {
        collective_discharge(c, size);
        return false;
    }
    for (uint32_t i = 0; i < c->config.members; i++) {
        LIST_INIT(&c->askers[i].asks);
        TAILQ_INIT(&c->askers[i].asked);
    }
    return true;
}

/* In no list of a target yet. `name`: "" with a value. NULL: no room, or memory is exhausted. */
static struct waiting *waiting_new(struct collective *c, uint32_t asker, uint64_t token,
                                   const char *name)
{
    size_t size = sizeof(struct waiting) + strlen(name) + 1;
    if (c->waiting.count >= COLLECTIVE_WAITING_MAX || !need_askers(c) ||
        !collective_charge(c, size))
        return NULL;
    struct waiting *w = calloc(1, size);
    if (!w || !chain_add(&c->waiting, &w->node, waiting_key(asker, token))) {
        free(w);
        collective_discharge(c, size);
        return NULL;
    }
    w->asker = asker;
    w->token = token;
    w->bytes = size;
    memcpy(w->name, name, strlen(name));
    LIST_INSERT_HEAD(&c->askers[asker].asks, w, of_asker);
    return w;
}

static void ask_on(struct collective *c, uint32_t owner);

static void waiting_free(struct collective *c, struct waiting *w)
{
    LIST_REMOVE(w, of_asker);
    if (w->value) {
        TAILQ_REMOVE(&w->value->waiting, w, of_target);
    } else {
        TAILQ_REMOVE(&c->askers[w->owner].asked, w, of_target);
        c->askers[w->owner].asked_count -= w->asked;
    }
    chain_remove(&c->waiting, &w->node);
    collective_discharge(c, w->bytes);
    free(w);
}

/* Somebody gives up, or is gone. */
static void waiting_drop(struct collective *c, struct waiting *w)
{
    struct value *v = w->value;
    uint32_t owner = w->owner;
    waiting_free(c, w);
    if (v)
        value_drop_unused(c, v);
    else
        ask_on(c, owner);
}

/* A member is asked for a few values at a time, so that what it sends up never fills its channel.
 */
static void ask_on(struct collective *c, uint32_t owner)
{
    struct asker *a = &c->askers[owner];
    struct waiting *w = TAILQ_FIRST(&a->asked);
    for (uint32_t i = 0; w && i < a->asked_count; i++)
        w = TAILQ_NEXT(w, of_target);
    for (; w && a->asked_count < COLLECTIVE_ASKED_MAX; w = TAILQ_NEXT(w, of_target)) {
        w->asked = true;
        a->asked_count++;
        collective_send(c, owner,
                        &(struct rendezvous_message){.type = RENDEZVOUS_GET,
                                                     .attempt = c->config.attempt,
                                                     .get = {.token = w->id,
                                                             .name = w->name,
                                                             .of_member = true,
                                                             .node_rank = w->asker,
                                                             .sequence = w->sequence}});
    }
}

/* ---- in ---- */

bool value_take_put(struct collective *c, uint32_t node_rank, const struct rendezvous_put *m,
                    const char **ret_why)
{
    if (!m->name[0]) {
        *ret_why = "PUT without a name";
        answer(c, node_rank, m->token, RENDEZVOUS_OUTCOME_REFUSED, *ret_why, NULL, 0);
        return false;
    }
    struct value *v = value_of(c, m->name);
    if (v && v->is_put) {
        bool same = v->writer == node_rank && v->length == m->data_length &&
                    (v->length == 0 || memcmp(v->data, m->data, v->length) == 0);
        if (same)
            answer(c, node_rank, m->token, RENDEZVOUS_OUTCOME_OK, "", NULL, 0);
        else
            answer_words(c, node_rank, m->token, RENDEZVOUS_OUTCOME_EXISTS, m->name,
                         "another value was put under this name");
        return true;
    }
    if (!v || !value_keep(c, v, node_rank, m->data, m->data_length)) {
        answer_words(c, node_rank, m->token, RENDEZVOUS_OUTCOME_NO_ROOM, m->name,
                     "the controller has no room for this value");
        if (v)
            value_drop_unused(c, v);
        return true;
    }
    answer(c, node_rank, m->token, RENDEZVOUS_OUTCOME_OK, "", NULL, 0);
    while (!TAILQ_EMPTY(&v->waiting)) {
        struct waiting *w = TAILQ_FIRST(&v->waiting);
        answer(c, w->asker, w->token, RENDEZVOUS_OUTCOME_OK, "", v->data, v->length);
        waiting_free(c, w);
    }
    return true;
}

static void give_up(struct collective *c, uint32_t node_rank, const struct rendezvous_get *m)
{
    struct waiting *w = waiting_find(c, node_rank, m->token);
    char who[RENDEZVOUS_NAME_MAX + 16], words[RENDEZVOUS_NAME_MAX + 64];
    if (m->of_member && set_has(c->gone, m->node_rank)) {
        answer_gone(c, node_rank, m->token, m->name, m->node_rank);
        return; /* nobody waits for one that is gone */
    }
    if (m->of_member) {
        c->config.name(c->config.arg, m->node_rank, who, sizeof who);
        (void)snprintf(words, sizeof words, "%.200s has not answered", who);
    } else {
        (void)snprintf(words, sizeof words, "nobody has put it");
    }
    answer_words(c, node_rank, m->token, RENDEZVOUS_OUTCOME_TIMED_OUT, m->name, words);
    if (w)
        waiting_drop(c, w);
}

static void no_room_to_wait(struct collective *c, uint32_t node_rank,
                            const struct rendezvous_get *m)
{
    answer_words(c, node_rank, m->token, RENDEZVOUS_OUTCOME_NO_ROOM, m->name,
                 "the controller has no room for one more that waits");
}

static void get_of_member(struct collective *c, uint32_t node_rank, const struct rendezvous_get *m)
{
    if (set_has(c->gone, m->node_rank)) {
        answer_gone(c, node_rank, m->token, m->name, m->node_rank);
        return;
    }
    struct waiting *w = waiting_new(c, node_rank, m->token, m->name);
    if (!w) {
        no_room_to_wait(c, node_rank, m);
        return;
    }
    w->owner = m->node_rank;
    w->sequence = m->sequence;
    w->id = ++c->last_id;
    TAILQ_INSERT_TAIL(&c->askers[w->owner].asked, w, of_target);
    ask_on(c, w->owner);
}

static void get_put(struct collective *c, uint32_t node_rank, const struct rendezvous_get *m)
{
    struct value *v = value_find(c, m->name);
    if (v && v->is_put) {
        answer(c, node_rank, m->token, RENDEZVOUS_OUTCOME_OK, "", v->data, v->length);
        return;
    }
    if (m->mode == RENDEZVOUS_GET_NOW) {
        answer_words(c, node_rank, m->token, RENDEZVOUS_OUTCOME_NOT_FOUND, m->name,
                     "nobody has put it");
        return;
    }
    v = value_of(c, m->name);
    struct waiting *w = v ? waiting_new(c, node_rank, m->token, "") : NULL;
    if (!w) {
        no_room_to_wait(c, node_rank, m);
        if (v)
            value_drop_unused(c, v);
        return;
    }
    w->value = v;
    TAILQ_INSERT_TAIL(&v->waiting, w, of_target);
}

bool value_take_get(struct collective *c, uint32_t node_rank, const struct rendezvous_get *m,
                    const char **ret_why)
{
    if (!m->name[0] || (m->of_member && m->node_rank >= c->config.members)) {
        *ret_why = "GET without a name, or of a member that is none";
        answer(c, node_rank, m->token, RENDEZVOUS_OUTCOME_REFUSED, *ret_why, NULL, 0);
        return false;
    }
    struct value *v = m->of_member ? NULL : value_find(c, m->name);
    if (m->mode == RENDEZVOUS_GET_GIVE_UP && !(v && v->is_put))
        give_up(c, node_rank, m); /* a put that came first has answered, or does now */
    else if (waiting_find(c, node_rank, m->token))
        return true; /* a repetition */
    else if (m->of_member)
        get_of_member(c, node_rank, m);
    else
        get_put(c, node_rank, m);
    return true;
}

bool value_take_answer(struct collective *c, uint32_t node_rank, const struct rendezvous_value *m,
                       const char **ret_why)
{
    (void)ret_why;
    struct waiting *w = c->askers ? TAILQ_FIRST(&c->askers[node_rank].asked) : NULL;
    while (w && w->asked && w->id != m->token)
        w = TAILQ_NEXT(w, of_target);
    if (!w || !w->asked)
        return true; /* who asked is gone, or has given up */
    answer(c, w->asker, w->token, (enum rendezvous_outcome)m->outcome, m->words, m->data,
           m->data_length);
    waiting_drop(c, w);
    return true;
}

void value_member_joined(struct collective *c, uint32_t node_rank)
{
    if (!c->askers)
        return;
    struct asker *a = &c->askers[node_rank];
    while (!LIST_EMPTY(&a->asks))
        waiting_drop(c, LIST_FIRST(&a->asks));
    struct waiting *w;
    TAILQ_FOREACH(w, &a->asked, of_target)
    w->asked = false;
    a->asked_count = 0;
    ask_on(c, node_rank);
}

void value_member_gone(struct collective *c, uint32_t node_rank)
{
    while (c->askers && !TAILQ_EMPTY(&c->askers[node_rank].asked)) {
        struct waiting *w = TAILQ_FIRST(&c->askers[node_rank].asked);
        answer_gone(c, w->asker, w->token, w->name, node_rank);
        waiting_free(c, w);
    }
}

void value_release_all(struct collective *c)
{
    for (uint32_t i = 0; c->askers && i < c->config.members; i++)
        while (!LIST_EMPTY(&c->askers[i].asks))
            waiting_free(c, LIST_FIRST(&c->askers[i].asks));
    struct chain_node *node = chain_each(&c->values, NULL);
    while (node) {
        struct value *v = (struct value *)node;
        node = chain_each(&c->values, node);
        value_free(c, v);
    }
    chain_release(&c->values);
    chain_release(&c->waiting);
    if (c->askers)
        collective_discharge(c, c->config.members * sizeof *c->askers);
    free(c->askers);
}

/* ---- invariants ---- */

void value_check(const struct collective *c)
{
    size_t waiting = 0;
    for (struct chain_node *node = chain_each(&c->values, NULL); node;
         node = chain_each(&c->values, node)) {
        struct value *v = (struct value *)node;
        struct waiting *w;
        TAILQ_FOREACH(w, &v->waiting, of_target)
        {
            assert(w->value == v && !w->asked);
            waiting++;
        }
        assert(v->is_put == TAILQ_EMPTY(&v->waiting));
    }
    for (uint32_t i = 0; c->askers && i < c->config.members; i++) {
        const struct waiting *w;
        uint32_t asked = 0;
        bool all = true;
        TAILQ_FOREACH(w, &c->askers[i].asked, of_target)
        {
            assert(w->owner == i && !w->value && (all || !w->asked));
            all = w->asked;
            asked += w->asked;
            waiting++;
        }
        assert(asked == c->askers[i].asked_count && asked <= COLLECTIVE_ASKED_MAX);
    }
    assert(waiting == c->waiting.count && waiting <= COLLECTIVE_WAITING_MAX);
}
