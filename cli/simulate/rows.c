/* The rows of the main table, in words: what tables on the terminal and in HTML share. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/simulate/report.h"
#include "lib/base/cleanup.h"

#define HOUR_MS 3600000.0

const char *sim_number(double value, int decimals, char text[32])
{
    char plain[32];
    (void)snprintf(plain, sizeof plain, "%.*f", decimals, value);
    size_t length = strlen(plain), whole = strcspn(plain, "."), minus = plain[0] == '-' ? 1 : 0;
    size_t to = 0;
    for (size_t i = 0; i < length && to < 30; i++) {
        if (i > minus && i < whole && (whole - i) % 3 == 0)
            text[to++] = ',';
        text[to++] = plain[i];
    }
    text[to] = '\0';
    return text;
}

const char *sim_duration(double ms, char text[32])
{
    int64_t seconds = (int64_t)(ms / 1000 + 0.5);
    if (seconds < 120)
        (void)snprintf(text, 32, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        (void)snprintf(text, 32, "%" PRId64 " min", (seconds + 30) / 60);
    else if (seconds < 48 * 3600)
        (void)snprintf(text, 32, "%.1f h", (double)seconds / 3600);
    else
        (void)snprintf(text, 32, "%.1f d", (double)seconds / 86400);
    return text;
}

enum row {
    ROW_JOBS,
    ROW_NOT_PLAYED,
    ROW_MEAN,
    ROW_P50,
    ROW_P90,
    ROW_P99,
    ROW_P999,
    ROW_MAX,
    ROW_FIRST,
    ROW_SLOWDOWN,
    ROW_JCT,
    ROW_JCT_P50,
    ROW_JCT_P99,
    ROW_MAKESPAN,
    ROW_ALLOCATION,
    ROW_ARRIVING,
    ROW_GFR,
    ROW_NODES,
    ROW_RACKS,
    ROW_RACKS_BEST,
    ROW_JAIN,
    ROW_ASKED,
    ROW_LOST,
    ROW_LOST_SHARE,
    ROW_EVENTS,
    ROW_DECISIONS,
    ROW_CPU,
    ROW_RATE,
    ROW_COUNT
};

static const struct sim_row rows[ROW_COUNT] = {
    [ROW_JOBS] = {"jobs played", "", "Jobs"},
    [ROW_NOT_PLAYED] = {"larger than the cluster", "", NULL},
    [ROW_MEAN] = {"mean", "s", "Queueing (end - submission - run time)"},
    [ROW_P50] = {"p50", "s", NULL},
    [ROW_P90] = {"p90", "s", NULL},
    [ROW_P99] = {"p99", "s", NULL},
    [ROW_P999] = {"p99.9", "s", NULL},
    [ROW_MAX] = {"longest", "h", NULL},
    [ROW_FIRST] = {"mean until the first start", "s", NULL},
    [ROW_SLOWDOWN] = {"mean bounded slowdown", "", NULL},
    [ROW_JCT] = {"mean", "s", "Completion (end - submission)"},
    [ROW_JCT_P50] = {"p50", "s", NULL},
    [ROW_JCT_P99] = {"p99", "s", NULL},
    [ROW_MAKESPAN] = {"makespan", "d", NULL},
    [ROW_ALLOCATION] = {"allocated", "%", "Cluster"},
    [ROW_ARRIVING] = {"allocated until the last submission", "%", NULL},
    [ROW_GFR] = {"nodes partly used (GFR)", "%", NULL},
    [ROW_NODES] = {"nodes spanned / fewest possible", "", NULL},
    [ROW_RACKS] = {"racks spanned / fewest possible", "", NULL},
    [ROW_RACKS_BEST] = {"starts in the fewest racks", "%", NULL},
    [ROW_JAIN] = {"fairness of weighted shares (Jain)", "", NULL},
    [ROW_ASKED] = {"jobs asked to leave", "", "Preemption"},
    [ROW_LOST] = {"device hours lost", "h", NULL},
    [ROW_LOST_SHARE] = {"of all held", "%", NULL},
    [ROW_EVENTS] = {"events", "", "Simulation"},
    [ROW_DECISIONS] = {"decisions", "", NULL},
    [ROW_CPU] = {"CPU time", "s", NULL},
    [ROW_RATE] = {"decisions a second", "", NULL},
};

bool sim_row(size_t number, struct sim_row *ret)
{
    if (number >= ROW_COUNT)
        return false;
    *ret = rows[number];
    return true;
}

static const char *of_waits(enum row row, const struct sim_result *r, char text[32])
{
    switch (row) {
    case ROW_JOBS:
        return sim_number((double)r->jobs, 0, text);
    case ROW_MEAN:
        return sim_number(r->queueing.mean / 1000, 0, text);
    case ROW_P50:
        return sim_number((double)r->queueing.p50 / 1000, 0, text);
    case ROW_P90:
        return sim_number((double)r->queueing.p90 / 1000, 0, text);
    case ROW_P99:
        return sim_number((double)r->queueing.p99 / 1000, 0, text);
    case ROW_P999:
        return sim_number((double)r->queueing.p999 / 1000, 0, text);
    case ROW_MAX:
        return sim_number((double)r->queueing.max / HOUR_MS, 1, text);
    case ROW_SLOWDOWN:
        return sim_number(r->slowdown, 1, text);
    default:
        return "";
    }
}

static const char *of_cluster(enum row row, const struct sim_result *r, char text[32])
{
    switch (row) {
    case ROW_MAKESPAN:
        return sim_number((double)r->makespan_ms / HOUR_MS / 24, 1, text);
    case ROW_ALLOCATION:
        return sim_number(r->allocation * 100, 1, text);
    case ROW_ARRIVING:
        return sim_number(r->allocation_arriving * 100, 1, text);
    case ROW_GFR:
        return sim_number(r->fragmentation * 100, 1, text);
    case ROW_NODES:
        return r->nodes_ratio > 0 ? sim_number(r->nodes_ratio, 3, text) : "";
    case ROW_RACKS:
        return r->racks_ratio > 0 ? sim_number(r->racks_ratio, 3, text) : "";
    case ROW_RACKS_BEST:
        return r->racks_ratio > 0 ? sim_number(r->racks_best * 100, 1, text) : "";
    case ROW_JAIN:
        return r->queues_waited > 0 ? sim_number(r->jain, 3, text) : "";
    default:
        return "";
    }
}

static const char *of_the_rest(enum row row, const struct sim_result *r, char text[32])
{
    double held = r->lost_hours + r->useful_hours;
    switch (row) {
    case ROW_NOT_PLAYED:
        return sim_number((double)r->not_played, 0, text);
    case ROW_FIRST:
        return sim_number(r->first_start.mean / 1000, 0, text);
    case ROW_JCT:
        return sim_number(r->completion.mean / 1000, 0, text);
    case ROW_JCT_P50:
        return sim_number((double)r->completion.p50 / 1000, 0, text);
    case ROW_JCT_P99:
        return sim_number((double)r->completion.p99 / 1000, 0, text);
    case ROW_ASKED:
        return sim_number((double)r->asked, 0, text);
    case ROW_LOST:
        return sim_number(r->lost_hours, 1, text);
    case ROW_LOST_SHARE:
        return sim_number(held > 0 ? r->lost_hours / held * 100 : 0, 2, text);
    case ROW_EVENTS:
        return sim_number((double)r->events, 0, text);
    case ROW_DECISIONS:
        return sim_number((double)r->decisions, 0, text);
    case ROW_CPU:
        return sim_number(r->cpu_seconds, 3, text);
    case ROW_RATE:
        return r->cpu_seconds > 0 ? sim_number((double)r->decisions / r->cpu_seconds, 0, text) : "";
    default:
        return "";
    }
}

const char *sim_row_value(size_t number, const struct sim_result *result, char text[32])
{
    enum row row = (enum row)number;
    const char *words = of_waits(row, result, text);
    if (*words || result->recorded)
        return words;
    words = of_cluster(row, result, text);
    return *words ? words : of_the_rest(row, result, text);
}
