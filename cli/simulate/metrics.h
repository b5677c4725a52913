/* What the field measures of a schedule, worked out when a simulation is over.
 *
 * Queueing is all time that a job did not advance: its end minus its submission minus its recorded
 * run time, so restarts and work lost count. Bounded slowdown is max((w + r) / max(r, 10 s), 1)
 * (Feitelson). GFR is the share of nodes that are partly used (Kant, arXiv 2510.01256). Fairness is
 * Jain's index over what queues held per weight while jobs of theirs waited. */
#ifndef CLI_SIMULATE_METRICS_H
#define CLI_SIMULATE_METRICS_H

#include <stdint.h>
#include "cli/simulate/engine.h"

#define SIM_SIZES 5        /* buckets by devices of a job */
#define SIM_SERIES_MAX 90u /* points of waits over time */
#define SIM_CDF_POINTS 200u
#define SIM_QUEUES_SHOWN 20

/* Of a set of times, in ms. Percentiles are the nearest rank. */
struct sim_spread {
    uint64_t count;
    double mean;
    int64_t p50, p90, p99, p999, max;
};

struct sim_wait_point {
    uint64_t jobs;
    int64_t p50, p90, max; /* queueing of jobs submitted in this part of the trace, ms */
};

struct sim_queue_result {
    uint32_t queue;
    uint64_t jobs;
    int64_t weight;
    double device_hours, mean_wait_ms;
    double held;             /* mean devices held while jobs of it waited */
    double backlogged_hours; /* how long that was */
};

struct sim_result {
    const char *policy, *words;
    bool recorded; /* it is what the trace says of its own time: only queueing and slowdown */
    uint64_t jobs, not_played;
    struct sim_spread queueing, first_start, completion, by_size[SIM_SIZES];
    double slowdown;            /* mean bounded slowdown */
    int64_t makespan_ms;        /* from the first submission to the last end */
    double allocation;          /* share of device time held, up to makespan */
    double allocation_arriving; /* the same up to the last submission */
    double fragmentation;       /* GFR, mean over time */
    double nodes_ratio;         /* nodes spanned by the fewest possible; 0: nobody needs several */
    double racks_ratio;         /* the same for racks; 0: none, or nobody needs several nodes */
    double racks_best;          /* share of such starts in the fewest racks */
    double jain;                /* 0: no queue ever waited */
    uint32_t queues_waited;
    uint64_t starts, asked, decisions, events;
    double lost_hours, useful_hours; /* device hours */
    double cpu_seconds;
    /* For pictures. */
    struct sim_timeline timeline;
    struct sim_wait_point series[SIM_SERIES_MAX];
    int64_t series_ms; /* width of a point */
    uint32_t series_count;
    int64_t *sorted;                 /* queueing of all jobs in ms, ascending; owned */
    struct sim_queue_result *queues; /* the largest by device hours; owned */
    uint32_t queues_count;
};

/* The upper end of each bucket of sizes, and its words: "2-4". */
extern const int64_t sim_size_end[SIM_SIZES];
extern const char *const sim_size_words[SIM_SIZES];

/* Sorts `times`. */
struct sim_spread sim_spread_of(int64_t *times, size_t count);
/* (sum x)^2 / (n * sum x^2); 0 for none. */
double sim_jain(const double *x, size_t count);

void sim_measure(const struct sim *sim, double cpu_seconds, struct sim_result *ret);
void sim_result_release(struct sim_result *result); /* twice is fine */

/* What the trace says about its own time, as a result with `recorded`: false when it says nothing.
 */
bool sim_measure_recorded(const struct sim_trace *trace, struct sim_result *ret);

#endif
