/* TrainingQueue objects as rows of a table: the tree in order, a row for each resource. Pure: the
 * time comes in. Control characters are shown as `?`: a terminal would obey them. */
#ifndef CLI_QUEUE_TEXT_H
#define CLI_QUEUE_TEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_CELL_MAX 512

/* XX(NAME, heading, what it is about: the queue's own are said once, in its first row) */
#define QUEUE_COLUMN_MAP(XX)           \
    XX(QUEUE, "QUEUE", QUEUE)          \
    XX(RESOURCE, "RESOURCE", RESOURCE) \
    XX(NOMINAL, "NOMINAL", RESOURCE)   \
    XX(USED, "USED", RESOURCE)         \
    XX(BORROWED, "BORROWED", RESOURCE) \
    XX(LENT, "LENT", RESOURCE)         \
    XX(PENDING, "PENDING", RESOURCE)   \
    XX(RUNNING, "RUNNING", QUEUE)      \
    XX(WAITING, "WAITING", QUEUE)      \
    XX(LONGEST, "LONGEST WAIT", QUEUE)

enum queue_column {
#define XX(name, heading, about) QUEUE_COLUMN_##name,
    QUEUE_COLUMN_MAP(XX)
#undef XX
        QUEUE_COLUMN_COUNT
};

struct queue_row {
    const cJSON *queue;
    const char *resource; /* NULL: none is named anywhere */
    size_t depth;         /* below its root */
    bool first;           /* of its queue */
};

const char *queue_column_heading(enum queue_column column);

/* All rows of an array of TrainingQueues: parents before children, siblings by name; what has no
 * parent here, or is its own ancestor, is a root. Without `every_resource` only devices ("GPUs":
 * names with a slash). The caller frees *ret_rows; texts are those of `queues`. */
size_t queue_rows(const cJSON *queues, bool every_resource, struct queue_row **ret_rows);

/* The text of one cell; `cell` holds QUEUE_CELL_MAX bytes. */
void queue_cell(const struct queue_row *row, enum queue_column column, int64_t now_ms, char *cell);

#endif
