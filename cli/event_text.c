/* Events in words: see event_text.h. */
#include "cli/event_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cell_text.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/number.h"
#include "lib/json/json.h"
#include "lib/kube/resource.h"
#include "trainingjob/trainingjob.h"

static const char *const headings[] = {
#define XX(name, heading) [EVENT_COLUMN_##name] = (heading),
    EVENT_COLUMN_MAP(XX)
#undef XX
};
_Static_assert(MLT_ARRAY_LENGTH(headings) == EVENT_COLUMN_COUNT, "each column has a heading");

const char *event_column_heading(enum event_column column)
{
    return headings[column];
}

/* Of both forms of Events: v1's own, and what events.k8s.io writes, read through v1. */
static int64_t time_of(const cJSON *event)
{
    int64_t at = cell_time(event, "series.lastObservedTime");
    if (!at)
        at = cell_time(event, "lastTimestamp");
    return at ? at : cell_time(event, "eventTime");
}

static void message_text(const cJSON *event, char *cell)
{
    const char *message = json_string(event, "message", "");
    int64_t count = json_integer(event, "series.count", json_integer(event, "count", 1));
    if (count > 1)
        (void)snprintf(cell, EVENT_CELL_MAX, "%.*s (%" PRId64 " times)", EVENT_CELL_MAX - 64,
                       message, count);
    else
        (void)snprintf(cell, EVENT_CELL_MAX, "%s", message);
}

static void object_text(const cJSON *event, char *cell)
{
    size_t length;
    (void)snprintf(cell, EVENT_CELL_MAX, "%.256s/%.256s",
                   json_string(event, "involvedObject.kind", "?"),
                   json_string(event, "involvedObject.name", "?"));
    length = strcspn(cell, "/");
    for (size_t i = 0; i < length; i++)
        if (cell[i] >= 'A' && cell[i] <= 'Z')
            cell[i] = (char)(cell[i] - 'A' + 'a');
}

void event_cell(const cJSON *event, enum event_column column, int64_t now_ms, char *cell)
{
    cell[0] = '\0';
    switch (column) {
    case EVENT_COLUMN_LAST_SEEN:
        cell_age(time_of(event), now_ms, cell);
        break;
    case EVENT_COLUMN_TYPE:
        (void)snprintf(cell, EVENT_CELL_MAX, "%s", json_string(event, "type", ""));
        break;
    case EVENT_COLUMN_REASON:
        (void)snprintf(cell, EVENT_CELL_MAX, "%s", json_string(event, "reason", ""));
        break;
    case EVENT_COLUMN_OBJECT:
        object_text(event, cell);
        break;
    case EVENT_COLUMN_MESSAGE:
        message_text(event, cell);
        break;
    case EVENT_COLUMN_COUNT:
        break;
    }
    cell_make_harmless(cell);
    for (char *end = strchr(cell, '\n'); end; end = strchr(end, '\n'))
        *end = ' ';
}

static bool is_pod_of_role(const char *pod, const char *job, const char *role)
{
    size_t begin = strlen(job) + strlen(role) + 2; /* JOB-ROLE-INDEX, or JOB-ROLE-INDEX-rCREATION */
    char digits[16];
    int64_t index;
    if (strlen(pod) <= begin)
        return false;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)strspn(pod + begin, "0123456789"),
                   pod + begin);
    return mlt_parse_integer(digits, 0, INT32_MAX, &index, NULL) == 0 &&
           trainingjob_pod_creation(pod, job, role, index) > 0;
}

static bool is_pod_of(const char *pod, const cJSON *job)
{
    const char *name = json_string(job, "metadata.name", "");
    const cJSON *role;
    if (is_pod_of_role(pod, name, TRAININGJOB_ROLE_WORKER))
        return true;
    cJSON_ArrayForEach(role, json_find(job, "spec.roles"))
    {
        if (is_pod_of_role(pod, name, json_string(role, "name", "?")))
            return true;
    }
    return false;
}

static bool is_kind(const cJSON *event, enum kube_resource resource)
{
    return strcmp(json_string(event, "involvedObject.kind", ""),
                  kube_resource_info(resource)->kind) == 0;
}

bool event_is_about(const cJSON *event, const cJSON *job)
{
    if (!job)
        return is_kind(event, KUBE_TRAININGJOB) || is_kind(event, KUBE_TRAININGQUEUE);
    const char *uid = json_string(job, "metadata.uid", "?");
    if (strcmp(json_string(event, "involvedObject.uid", ""), uid) == 0)
        return true;
    return is_kind(event, KUBE_POD) &&
           strcmp(json_string(event, "involvedObject.namespace", ""),
                  json_string(job, "metadata.namespace", "")) == 0 &&
           is_pod_of(json_string(event, "involvedObject.name", ""), job) &&
           time_of(event) >= cell_time(job, "metadata.creationTimestamp");
}

/* Times have seconds; resourceVersions are decimal numbers of any length that grow. */
static int by_version(const cJSON *x, const cJSON *y)
{
    const char *left = json_string(x, "metadata.resourceVersion", ""),
               *right = json_string(y, "metadata.resourceVersion", "");
    size_t left_length = strlen(left), right_length = strlen(right);
    if (left_length != right_length)
        return left_length < right_length ? -1 : 1;
    return strcmp(left, right);
}

static int by_time(const void *a, const void *b)
{
    const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;
    int64_t left = time_of(x), right = time_of(y);
    if (left != right)
        return left < right ? -1 : 1;
    int order = by_version(x, y);
    return order ? order
                 : strcmp(json_string(x, "metadata.name", ""), json_string(y, "metadata.name", ""));
}

size_t events_sorted(const cJSON *events, const cJSON ***ret_sorted)
{
    const cJSON *event;
    size_t used = 0;
    const cJSON **sorted = mlt_calloc(json_size(events, "") + 1, sizeof *sorted);
    cJSON_ArrayForEach(event, events) sorted[used++] = event;
    qsort(sorted, used, sizeof *sorted, by_time);
    *ret_sorted = sorted;
    return used;
}
