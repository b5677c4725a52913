/* A TrainingQueue in words: see queue_text.h. */
#include "cli/queue_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cell_text.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define DEPTH_SHOWN_MAX 16 /* of the tree, indented */

enum about { ABOUT_QUEUE, ABOUT_RESOURCE };

static const struct {
    const char *heading;
    enum about about;
} columns[] = {
#define XX(name, heading, about) [QUEUE_COLUMN_##name] = {heading, ABOUT_##about},
    QUEUE_COLUMN_MAP(XX)
#undef XX
};

const char *queue_column_heading(enum queue_column column)
{
    return columns[column].heading;
}

/* ---- rows ---- */

struct rows {
    struct queue_row *list;
    size_t count, capacity;
    const cJSON **queues; /* by name */
    bool *taken;
    size_t queues_count;
    bool every_resource;
};

static const char *name_of(const cJSON *queue)
{
    return json_string(queue, "metadata.name", "");
}

static int by_name(const void *a, const void *b)
{
    const cJSON *const *x = a, *const *y = b;
    return strcmp(name_of(*x), name_of(*y));
}

static void add_resource(struct rows *r, size_t first, const cJSON *queue, const char *resource,
                         size_t depth)
{
    if (!resource || (!r->every_resource && !strchr(resource, '/')))
        return;
    for (size_t i = first; i < r->count; i++)
        if (strcmp(r->list[i].resource, resource) == 0)
            return;
    MLT_GROW(r->list, r->count, r->capacity);
    r->list[r->count] = (struct queue_row){
        .queue = queue, .resource = resource, .depth = depth, .first = r->count == first};
    r->count++;
}

static void add_queue(struct rows *r, const cJSON *queue, size_t depth)
{
    static const char *const amounts[] = {"status.usage", "status.requested", "status.lent",
                                          "status.borrowed"};
    size_t first = r->count;
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(queue, "spec.quota"))
    {
        add_resource(r, first, queue, json_string(item, "resource", NULL), depth);
    }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(amounts); i++)
        cJSON_ArrayForEach(item, json_find(queue, amounts[i]))
        {
            add_resource(r, first, queue, item->string, depth);
        }
    if (r->count > first)
        return;
    MLT_GROW(r->list, r->count, r->capacity);
    r->list[r->count++] = (struct queue_row){.queue = queue, .depth = depth, .first = true};
}

static const cJSON *parent_of(const struct rows *r, const cJSON *queue)
{
    const char *parent = json_string(queue, "spec.parent", "");
    for (size_t i = 0; i < r->queues_count; i++)
        if (strcmp(name_of(r->queues[i]), parent) == 0)
            return r->queues[i];
    return NULL;
}

/* NOLINTNEXTLINE(misc-no-recursion): each queue is taken once. */
static void add_tree(struct rows *r, size_t at, size_t depth)
{
    if (r->taken[at])
        return;
    r->taken[at] = true;
    add_queue(r, r->queues[at], depth);
    for (size_t i = 0; i < r->queues_count; i++)
        if (parent_of(r, r->queues[i]) == r->queues[at])
            add_tree(r, i, depth + 1);
}

size_t queue_rows(const cJSON *queues, bool every_resource, struct queue_row **ret_rows)
{
    struct rows r = {.every_resource = every_resource};
    size_t count = json_size(queues, "");
    r.queues = mlt_calloc(count + 1, sizeof *r.queues);
    r.taken = mlt_calloc(count + 1, sizeof *r.taken);
    const cJSON *queue;
    cJSON_ArrayForEach(queue, queues)
    {
        r.queues[r.queues_count++] = queue;
    }
    qsort(r.queues, r.queues_count, sizeof *r.queues, by_name);
    for (size_t i = 0; i < r.queues_count; i++)
        if (!parent_of(&r, r.queues[i]))
            add_tree(&r, i, 0);
    for (size_t i = 0; i < r.queues_count; i++)
        add_tree(&r, i, 0); /* circles */
    free(r.queues);
    free(r.taken);
    *ret_rows = r.list;
    return r.count;
}

/* ---- cells ---- */

/* A quantity, which JSON may hold as text or as a number. */
static void quantity(const cJSON *value, const char *absent, char *cell)
{
    int64_t number;
    if (cJSON_IsString(value))
        (void)snprintf(cell, QUEUE_CELL_MAX, "%s", value->valuestring);
    else if (json_is_integer(value, &number))
        (void)snprintf(cell, QUEUE_CELL_MAX, "%" PRId64, number);
    else
        (void)snprintf(cell, QUEUE_CELL_MAX, "%s", absent);
}

static const cJSON *quota_of(const struct queue_row *row)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(row->queue, "spec.quota"))
    {
        if (strcmp(json_string(item, "resource", ""), row->resource) == 0)
            return item;
    }
    return NULL;
}

static void resource_cell(const struct queue_row *row, enum queue_column column, char *cell)
{
    static const char *const from[QUEUE_COLUMN_COUNT] = {
        [QUEUE_COLUMN_USED] = "usage",
        [QUEUE_COLUMN_BORROWED] = "borrowed",
        [QUEUE_COLUMN_LENT] = "lent",
        [QUEUE_COLUMN_PENDING] = "requested",
    };
    const cJSON *status = json_member(row->queue, "status");
    if (column == QUEUE_COLUMN_RESOURCE)
        (void)snprintf(cell, QUEUE_CELL_MAX, "%s", row->resource);
    else if (column == QUEUE_COLUMN_NOMINAL)
        quantity(json_member(quota_of(row), "nominal"), "no limit", cell);
    else
        quantity(json_member(json_member(status, from[column]), row->resource), "0", cell);
}

static void since_cell(const struct queue_row *row, int64_t now_ms, char *cell)
{
    cell_age(cell_time(row->queue, "status.waitingSince"), now_ms, cell);
}

static void own_cell(const struct queue_row *row, enum queue_column column, int64_t now_ms,
                     char *cell)
{
    size_t depth = row->depth < DEPTH_SHOWN_MAX ? row->depth : DEPTH_SHOWN_MAX;
    if (column == QUEUE_COLUMN_QUEUE)
        (void)snprintf(cell, QUEUE_CELL_MAX, "%*s%s", (int)(2 * depth), "", name_of(row->queue));
    else if (column == QUEUE_COLUMN_LONGEST)
        since_cell(row, now_ms, cell);
    else
        quantity(json_find(row->queue,
                           column == QUEUE_COLUMN_RUNNING ? "status.running" : "status.pending"),
                 "", cell);
}

void queue_cell(const struct queue_row *row, enum queue_column column, int64_t now_ms, char *cell)
{
    cell[0] = '\0';
    if (columns[column].about == ABOUT_RESOURCE) {
        if (row->resource)
            resource_cell(row, column, cell);
    } else if (row->first) {
        own_cell(row, column, now_ms, cell);
    }
    for (char *c = cell; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
}
