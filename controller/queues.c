/* See queues.h. */
#include "controller/queues.h"

#include <stdlib.h>
#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/json/json.h"

struct queue {
    char *name;
    unsigned list_seen;
    UT_hash_handle hh;
};

static struct queue *queue_find(const struct controller *c, const char *name)
{
    struct queue *q;
    HASH_FIND_STR(c->view.queues, name, q);
    return q;
}

void queue_seen(struct view_source *s, const cJSON *object)
{
    struct controller *c = s->controller;
    const char *name = json_string(object, "metadata.name", "");
    struct queue *q = queue_find(c, name);
    if (!q) {
        q = mlt_calloc(1, sizeof *q);
        q->name = mlt_strdup(name);
        HASH_ADD_KEYPTR(hh, c->view.queues, q->name, strlen(q->name), q);
    }
    q->list_seen = s->list_round;
    ledger_queue(c->ledger, object);
}

static void queue_free(struct view *v, struct queue *q)
{
    HASH_DEL(v->queues, q);
    free(q->name);
    free(q);
}

static void queue_gone(struct controller *c, struct queue *q)
{
    ledger_queue_gone(c->ledger, q->name);
    queue_free(&c->view, q);
}

void queue_deleted(struct controller *c, const char *name)
{
    struct queue *q = queue_find(c, name);
    if (q)
        queue_gone(c, q);
}

void queues_listed(struct view_source *s)
{
    struct controller *c = s->controller;
    struct queue *q, *next;
    HASH_ITER(hh, c->view.queues, q, next)
    if (q->list_seen != s->list_round)
        queue_gone(c, q);
}

void queues_release(struct view *v)
{
    struct queue *q, *next;
    HASH_ITER(hh, v->queues, q, next)
    queue_free(v, q);
}
