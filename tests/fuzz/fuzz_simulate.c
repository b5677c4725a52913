/* Traces and lists of nodes as `mltrain simulate` reads them. The first byte says what the rest is:
 * 'n' nodes, anything else a trace whose format its own first bytes tell. What was taken keeps to
 * its limits; what was not is refused with words; a small one is played to its end. */
#include "tests/fuzz/fuzz.h"

#include "cli/simulate/engine.h"
#include "cli/simulate/readers.h"

#define PLAYED_MAX 64     /* jobs */
#define DEVICES_MAX 10000 /* of one job that is played */

static void check_trace(const struct sim_trace *t)
{
    char name[SIM_NAME_MAX];
    for (size_t i = 0; i < t->count; i++) {
        const struct sim_job *job = &t->jobs[i];
        REQUIRE(job->run_ms > 0 && job->shape < t->shapes_count && job->queue < t->queues.count);
        REQUIRE(i == 0 || job->submit_ms >= t->jobs[i - 1].submit_ms);
        const struct sim_shape *shape = &t->shapes[job->shape];
        REQUIRE(shape->roles <= SIM_ROLES_MAX && shape->pods <= SIM_PODS_MAX);
        REQUIRE(shape->pods > 0 && shape->devices > 0);
        sim_trace_job_name(t, i, name);
        REQUIRE(strlen(name) < SIM_NAME_MAX);
    }
}

static void play(const struct sim_trace *t, const struct sim_policy *policy)
{
    const struct sim_options options = {.restart_ms = 60000, .leave_ms = 10000};
    struct sim_nodes nodes;
    struct sim sim;
    for (size_t i = 0; i < t->count; i++)
        if (t->shapes[t->jobs[i].shape].devices > DEVICES_MAX)
            return;
    REQUIRE(sim_nodes_parse("3x8", &nodes, NULL) == 0);
    REQUIRE(sim_init(&sim, t, &nodes, &options, policy, NULL) == 0);
    REQUIRE(sim_run(&sim, NULL) == 0);
    REQUIRE(sim.pool.free == nodes.devices);
    for (size_t i = 0; i < t->count; i++)
        REQUIRE(sim.state[i].phase == SIM_ENDED || sim.state[i].phase == SIM_NOT_PLAYED);
    sim_release(&sim);
    sim_nodes_release(&nodes);
}

static void read_trace(const char *data, size_t size)
{
    struct sim_trace t;
    struct mlt_error err = {0};
    const struct sim_read_options options = {.pod_max = 8, .queue_by = SIM_QUEUE_BY_GROUP};
    sim_reader_f *reader = sim_reader_for(data, size);
    if (!reader)
        return;
    sim_trace_init(&t);
    if (reader(data, size, &options, &t, &err) < 0) {
        REQUIRE(err.text[0]);
    } else {
        sim_trace_finish(&t, INT64_MIN, INT64_MAX);
        check_trace(&t);
        if (t.count > 0 && t.count <= PLAYED_MAX) {
            play(&t, &sim_policy_fifo);
            play(&t, &sim_policy_easy);
            play(&t, &sim_policy_sjf);
        }
    }
    sim_trace_release(&t);
}

static void read_nodes(const char *data, size_t size)
{
    struct sim_nodes nodes;
    struct sim_names models = {0};
    struct mlt_error err = {0};
    if (sim_nodes_read(data, size, &models, &nodes, &err) < 0) {
        REQUIRE(err.text[0]);
    } else {
        int64_t devices = 0;
        for (uint32_t i = 0; i < nodes.count; i++) {
            const struct sim_node *node = &nodes.node[i];
            REQUIRE(node->devices > 0 && node->devices <= nodes.largest);
            REQUIRE(node->rack == SIM_NO_RACK || node->rack < nodes.racks);
            REQUIRE(node->model == SIM_NO_MODEL || node->model < models.count);
            devices += node->devices;
        }
        REQUIRE(devices == nodes.devices && nodes.largest <= SIM_NODE_DEVICES_MAX);
        sim_nodes_release(&nodes);
    }
    sim_names_release(&models);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 16)
        return 0;
    char *text = fuzz_text(data + 1, size - 1);
    if (data[0] == 'n')
        read_nodes(text, size - 1);
    else
        read_trace(text, size - 1);
    free(text);
    return 0;
}
