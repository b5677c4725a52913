/* Events in words: the columns of `mltrain events`, the last part of `describe`. Pure: the time
 * comes in. Control characters are shown as `?`: a terminal would obey them. */
#ifndef CLI_EVENT_TEXT_H
#define CLI_EVENT_TEXT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/text.h"

#define EVENT_CELL_MAX 2048 /* the API server takes messages of 1,024 bytes */

/* XX(NAME, heading): those of `kubectl events`. */
#define EVENT_COLUMN_MAP(XX)   \
    XX(LAST_SEEN, "LAST SEEN") \
    XX(TYPE, "TYPE")           \
    XX(REASON, "REASON")       \
    XX(OBJECT, "OBJECT")       \
    XX(MESSAGE, "MESSAGE")

enum event_column {
#define XX(name, heading) EVENT_COLUMN_##name,
    EVENT_COLUMN_MAP(XX)
#undef XX
        EVENT_COLUMN_COUNT
};

const char *event_column_heading(enum event_column column);

/* The text of one cell; `cell` holds EVENT_CELL_MAX bytes. */
void event_cell(const cJSON *event, enum event_column column, int64_t now_ms, char *cell);

/* Whether it is about this TrainingJob (by its UID: an earlier job of the same name has events of
 * its own), or about a pod of it: by the pod's name, since most of the pods that events tell of are
 * gone, and not older than the job. `job` NULL: whether it is about any TrainingJob or
 * TrainingQueue. */
bool event_is_about(const cJSON *event, const cJSON *job);

/* An array of Events, oldest first as they happened. The caller frees *ret_sorted; the events stay
 * those of the array. */
size_t events_sorted(const cJSON *events, const cJSON ***ret_sorted);

#endif
