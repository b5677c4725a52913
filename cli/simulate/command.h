/* The options of `mltrain simulate`. */
#ifndef CLI_SIMULATE_COMMAND_H
#define CLI_SIMULATE_COMMAND_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include "cli/simulate/engine.h"
#include "cli/simulate/readers.h"

#define SIM_POLICIES 5
#define SIM_WEIGHTS_MAX 4096 /* bytes of --weights */

struct sim_command {
    const char *trace, *nodes, *placements, *report, *weights;
    const struct sim_policy *policies[SIM_POLICIES];
    size_t policies_count;
    bool json;
    bool order_given, half_life_given;
    uint32_t rack_nodes;
    int64_t from_ms, until_ms;
    int64_t pod_max; /* 0: by the trace's format */
    enum sim_queue_by queue_by;
    struct sim_options options; /* without weights */
};

extern const struct argp sim_argp; /* its input is a struct sim_command */
void sim_command_init(struct sim_command *command);

/* "a=2,b=4" over the queues of a trace into `weights` (one for each queue, 1 where none is given).
 * -EINVAL. */
int sim_parse_weights(const char *text, const struct sim_names *queues, int64_t *weights,
                      struct mlt_error *err) MLT_MUST_USE;

#endif
