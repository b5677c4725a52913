/* mltrain simulate: traces and nodes from bytes, and the words for what is wrong with them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/simulate/command.h"
#include "cli/simulate/fields.h"
#include "cli/simulate/readers.h"

static const struct sim_read_options eight = {.pod_max = 8};

static int read_text(const char *text, struct sim_trace *t, struct mlt_error *err)
{
    sim_reader_f *reader = sim_reader_for(text, strlen(text));
    assert_non_null(reader);
    sim_trace_init(t);
    return reader(text, strlen(text), &eight, t, err);
}

static struct sim_trace taken(const char *text)
{
    struct sim_trace t;
    struct mlt_error err = {0};
    if (read_text(text, &t, &err) < 0)
        fail_msg("%s", err.text);
    return t;
}

static void assert_refused(const char *text, const char *words)
{
    struct sim_trace t;
    struct mlt_error err = {0};
    assert_true(read_text(text, &t, &err) < 0);
    if (!strstr(err.text, words))
        fail_msg("`%s` does not say `%s`", err.text, words);
    sim_trace_release(&t);
}

#define PHILLY "timestamp,duration,num_gpus,gpu_time,cluster\n"

static void test_philly_has_one_job_a_line_and_a_queue_for_each_cluster(void **state)
{
    (void)state;
    struct sim_trace t = taken(PHILLY "2017-10-09 07:01:55,66.5,1,66.0,11cb48\r\n"
                                      "2017-10-09 06:13:03,2951.0,20,2951.0,6214e9\n"
                                      "2017-10-09 06:13:04,0.0,1,0,6214e9\n"
                                      "2017-10-09 06:13:04,5,0,0,6214e9\n");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.jobs[0].run_ms, 66500);
    assert_int_equal(t.jobs[0].submit_ms, INT64_C(1507532515000));
    assert_int_equal(t.jobs[0].recorded_wait_ms, -1);
    assert_string_equal(t.queues.name[t.jobs[1].queue], "6214e9");
    const struct sim_shape *shape = &t.shapes[t.jobs[1].shape];
    assert_int_equal(shape->roles, 2); /* 20 of at most 8: two full pods and one of 4 */
    assert_int_equal(shape->role[0].pods, 2);
    assert_int_equal(shape->role[0].devices, 8);
    assert_int_equal(shape->role[1].devices, 4);
    assert_int_equal(shape->devices, 20);
    assert_int_equal(t.left_out_count, 2);
    sim_trace_finish(&t, INT64_MIN, INT64_MAX);
    assert_int_equal(t.jobs[0].submit_ms, 0); /* sorted: the later line came first */
    assert_int_equal(t.jobs[0].number, 3);
    assert_int_equal(t.jobs[1].submit_ms, 2932000);
    sim_trace_release(&t);
}

static void test_a_wrong_line_of_philly_is_named_with_field_and_value(void **state)
{
    (void)state;
    assert_refused("timestamp,duration,cluster\n", "line 1: no column `num_gpus`");
    assert_refused(PHILLY "2017-10-09,1,1\n", "line 2: 3 fields, expected at least 5");
    assert_refused(PHILLY "yesterday,1,1,1,a\n", "line 2: timestamp: `yesterday`, expected a time");
    assert_refused(PHILLY "\n2017-10-09,-,1,1,a\n", "line 3: duration: `-`, expected seconds");
    assert_refused(PHILLY "2017-10-09,1,many,1,a\n", "num_gpus: `many`, expected a whole number");
    assert_refused(PHILLY "2017-10-09,1,1000000000,1,a\n", "pods, expected at most 65536");
}

static void test_the_window_takes_what_was_submitted_in_it(void **state)
{
    (void)state;
    struct sim_trace t =
        taken(PHILLY "2017-10-01,1,1,1,a\n2017-10-02,1,1,1,a\n2017-10-03,1,1,1,a\n");
    int64_t from_ms, until_ms;
    assert_int_equal(sim_time((struct sim_piece){"2017-10-02", 10}, "from", &from_ms, NULL), 0);
    assert_int_equal(
        sim_time((struct sim_piece){"2017-10-03 00:00:00", 19}, "until", &until_ms, NULL), 0);
    sim_trace_finish(&t, from_ms, until_ms);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.jobs[0].number, 3);
    assert_int_equal(t.left_out[0].records, 2);
    sim_trace_release(&t);
}

#define SWF "; MaxProcs: 8\n; UnixStartTime: 1000\n"

static void test_a_workload_of_18_fields_gives_estimate_wait_and_user(void **state)
{
    (void)state;
    struct sim_trace t = taken(SWF " 1 0 5 222 80 -1 -1 90 14400 1200 1 7 1 -1 1 -1 -1 -1\n"
                                   "2\t3 -1 9 -1 -1 -1 4 -1 -1 1 8 1 -1 1 -1 -1 -1\n"
                                   "3 4 -1 -1 -1 -1 -1 4 -1 -1 1 8 1 -1 1 -1 -1 -1\n"
                                   "4 4 -1 3 -1 -1 -1 -1 -1 -1 1 8 1 -1 1 -1 -1 -1\n");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.zero_ms, 1000000);
    assert_int_equal(t.jobs[0].limit_ms, 14400000);
    assert_int_equal(t.jobs[0].recorded_wait_ms, 5000);
    assert_int_equal(t.shapes[t.jobs[0].shape].devices, 80); /* allocated, not requested */
    assert_int_equal(t.jobs[1].limit_ms, 0);
    assert_int_equal(t.jobs[1].recorded_wait_ms, -1);
    assert_int_equal(t.shapes[t.jobs[1].shape].devices, 4);
    assert_string_equal(t.queues.name[t.jobs[1].queue], "8");
    assert_string_equal(t.left_out[0].why, "no run time");
    assert_string_equal(t.left_out[1].why, "no processors");
    sim_trace_release(&t);
}

static void test_a_wrong_line_of_a_workload_is_named(void **state)
{
    (void)state;
    assert_refused(SWF "1 0 5 222\n", "line 3: 4 fields, expected 18");
    assert_refused("1 x 5 222 80 -1 -1 90 14400 1200 1 7 1 -1 1 -1 -1 -1\n",
                   "line 1: submit time: `x`, expected seconds");
    char *longest = malloc(SIM_LINE_MAX + 16);
    memset(longest, '1', SIM_LINE_MAX + 15);
    longest[SIM_LINE_MAX + 15] = '\0';
    assert_refused(longest, "line 1: 65551 bytes, expected at most 65536");
    free(longest);
}

#define OPENB                                                                                    \
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_" \
    "time,scheduled_time\n"

static void test_openb_keeps_whole_gpu_pods_and_counts_the_rest(void **state)
{
    (void)state;
    struct sim_trace t = taken(OPENB "a,12000,16384,2,1000,V100M16|V100M32,LS,Running,10,40,15\n"
                                     "b,6000,12288,1,460,,LS,Running,1,9,1\n"
                                     "c,6000,12288,0,0,,BE,Running,1,9,1\n"
                                     "d,6000,12288,1,1000,,BE,Pending,1,9,\n");
    char name[SIM_NAME_MAX];
    assert_int_equal(t.count, 1);
    assert_int_equal(t.jobs[0].run_ms, 25000);
    assert_int_equal(t.jobs[0].recorded_wait_ms, 5000);
    const struct sim_shape *shape = &t.shapes[t.jobs[0].shape];
    assert_int_equal(shape->role[0].memory, INT64_C(16384) << 20);
    assert_int_equal(shape->models, 3);
    assert_string_equal(t.models.name[1], "V100M32");
    sim_trace_job_name(&t, 0, name);
    assert_string_equal(name, "a");
    assert_int_equal(t.left_out_count, 3);
    sim_trace_release(&t);
    assert_refused("name,cpu_milli,memory_mib,num_gpu,gpu_milli,creation_time\n",
                   "no column `deletion_time`");
}

static void test_an_openb_list_without_times_has_a_pod_a_second(void **state)
{
    (void)state;
    struct sim_trace t = taken("name,cpu_milli,memory_mib,num_gpu,gpu_milli\n"
                               "a,12000,16384,2,1000\n"
                               "b,6000,12288,1,460\n"
                               "c,6000,12288,8,1000\n");
    assert_int_equal(t.count, 2);
    assert_int_equal(t.jobs[1].submit_ms, 2000);
    assert_int_equal(t.jobs[1].run_ms, 86400000);
    assert_true(t.shapes[t.jobs[1].shape].models == SIM_ANY_MODEL);
    sim_trace_release(&t);
}

static void test_a_job_number_comes_once(void **state)
{
    (void)state;
    const char *line = " 0 -1 5 1 -1 -1 1 -1 -1 1 1 1 -1 1 1 -1 -1\n";
    char text[512];
    (void)snprintf(text, sizeof text, ";\n7%s5%s7%s", line, line, line);
    assert_refused(text, "line 4: job number: `7`, expected one of its own: line 2 has it");
}

static const char job_text[] =
    "apiVersion: mltrain.io/v1alpha1\nkind: TrainingJob\n"
    "metadata:\n  name: llama\n  creationTimestamp: 2026-01-01T00:00:10Z\n"
    "  annotations: {mltrain.io/simulate-seconds: \"90\", mltrain.io/simulate-priority: \"5\"}\n"
    "spec:\n  queue: research\n  activeDeadlineSeconds: 3600\n  workers:\n    replicas: 3\n"
    "    template:\n      spec:\n        containers:\n        - name: trainer\n          image: x\n"
    "          command: [python3]\n"
    "          resources: {limits: {nvidia.com/gpu: 4, cpu: 500m}}\n";

static void test_a_manifest_says_when_how_long_and_what(void **state)
{
    (void)state;
    struct sim_trace t = taken(job_text);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.jobs[0].run_ms, 90000);
    assert_int_equal(t.jobs[0].limit_ms, 3600000);
    assert_int_equal(t.jobs[0].priority, 5);
    assert_string_equal(t.queues.name[t.jobs[0].queue], "research");
    const struct sim_shape *shape = &t.shapes[t.jobs[0].shape];
    assert_int_equal(shape->role[0].pods, 3);
    assert_int_equal(shape->role[0].devices, 4);
    assert_int_equal(shape->role[0].cpu_milli, 500);
    sim_trace_release(&t);
    assert_refused("apiVersion: mltrain.io/v1alpha1\nkind: TrainingJob\nmetadata: {name: a}\n"
                   "spec: {workers: {replicas: 1, template: {spec: {containers: [{name: c, "
                   "command: [a], image: "
                   "x}]}}}}\n",
                   "document 1: TrainingJob a: neither the annotation");
    assert_refused("kind: TrainingJob\nmetadata: {name: a}\nspec: {nonsense: 1}\n",
                   "document 1: TrainingJob a: ");
}

/* ---- nodes ---- */

static void test_nodes_are_written_as_n_times_m(void **state)
{
    (void)state;
    struct sim_nodes n;
    struct mlt_error err = {0};
    assert_int_equal(sim_nodes_parse("72x8", &n, &err), 0);
    assert_int_equal(n.count, 72);
    assert_int_equal(n.devices, 576);
    sim_nodes_make_racks(&n, 10);
    assert_int_equal(n.racks, 8);
    assert_int_equal(n.node[71].rack, 7);
    sim_nodes_release(&n);
    assert_int_equal(sim_nodes_parse("x8", &n, &err), -EINVAL);
    assert_int_equal(sim_nodes_parse("0x8", &n, &err), -EINVAL);
    assert_int_equal(sim_nodes_parse("8x", &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "`8x`: expected NxM"));
}

static int read_nodes(const char *text, struct sim_names *models, struct sim_nodes *n,
                      struct mlt_error *err)
{
    return sim_nodes_read(text, strlen(text), models, n, err);
}

static void test_nodes_of_openb_have_models(void **state)
{
    (void)state;
    struct sim_names models = {0};
    struct sim_nodes n;
    struct mlt_error err = {0};
    assert_int_equal(read_nodes("sn,cpu_milli,memory_mib,gpu,model\n"
                                "n0,64000,262144,2,P100\nn1,1000,1024,0,\nn2,96000,1024,8,V100\n",
                                &models, &n, &err),
                     0);
    assert_int_equal(n.count, 2);
    assert_int_equal(n.largest, 8);
    assert_int_equal(n.left_out, 1);
    assert_string_equal(models.name[n.node[1].model], "V100");
    assert_string_equal(n.name[1], "n2");
    sim_nodes_release(&n);
    assert_true(read_nodes("sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,two,P100\n", &models,
                           &n, &err) < 0);
    assert_non_null(strstr(err.text, "line 2: gpu: `two`, expected a whole number"));
    assert_true(read_nodes("sn,cpu_milli,memory_mib,gpu,model\n", &models, &n, &err) < 0);
    assert_non_null(strstr(err.text, "no node with a GPU"));
    sim_names_release(&models);
}

static void test_a_name_with_a_nul_byte_is_refused(void **state)
{
    (void)state;
    static const char text[] = "sn,cpu_milli,memory_mib,gpu,model\n"
                               "n0,64000,262144,2,V\0001\nn1,64000,262144,2,V\0001\n";
    struct sim_names models = {0};
    struct sim_nodes n;
    struct mlt_error err = {0};
    assert_int_equal(sim_nodes_read(text, sizeof text - 1, &models, &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "NUL"));
    assert_int_equal(models.count, 0);
    sim_names_release(&models);
}

static const char node_list[] =
    "{\"kind\":\"NodeList\",\"items\":[{\"metadata\":{\"name\":\"a\",\"labels\":{\"mltrain.io/"
    "rack\":\"r7\",\"nvidia.com/"
    "gpu.product\":\"H100\"}},\"status\":{\"allocatable\":{\"cpu\":\"96\","
    "\"memory\":\"1Ti\",\"nvidia.com/gpu\":\"8\"}}},"
    "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"unschedulable\":true},\"status\":{\"allocatable\":{"
    "\"nvidia.com/gpu\":\"8\"}}},"
    "{\"metadata\":{\"name\":\"c\"},\"status\":{\"allocatable\":{\"cpu\":\"4\"}}}]}";

static void test_nodes_of_kubernetes_have_racks_and_those_without_a_gpu_are_left_out(void **state)
{
    (void)state;
    struct sim_names models = {0};
    struct sim_nodes n;
    struct mlt_error err = {0};
    assert_int_equal(read_nodes(node_list, &models, &n, &err), 0);
    assert_int_equal(n.count, 1);
    assert_int_equal(n.left_out, 2);
    assert_int_equal(n.node[0].cpu_milli, 96000);
    assert_int_equal(n.node[0].memory, INT64_C(1) << 40);
    assert_int_equal(n.node[0].devices, 8);
    assert_int_equal(n.racks, 1);
    sim_nodes_release(&n);
    assert_true(read_nodes("kind: Pod\nmetadata: {name: a}\n", &models, &n, &err) < 0);
    assert_non_null(strstr(err.text, "kind: `Pod`, expected Node"));
    assert_true(read_nodes("kind: Node\nmetadata: {name: a}\nstatus: {allocatable: {cpu: much}}\n",
                           &models, &n, &err) < 0);
    assert_non_null(strstr(err.text, "node a: status.allocatable[cpu]"));
    sim_names_release(&models);
}

static void test_weights_name_queues_of_the_trace(void **state)
{
    (void)state;
    struct sim_trace t = taken(PHILLY "2017-10-01,1,1,1,a\n2017-10-02,1,1,1,b\n");
    struct mlt_error err = {0};
    int64_t weights[2];
    assert_int_equal(sim_parse_weights("b=4", &t.queues, weights, &err), 0);
    assert_int_equal(weights[0], 1);
    assert_int_equal(weights[1], 4);
    assert_true(sim_parse_weights("c=4", &t.queues, weights, &err) < 0);
    assert_non_null(strstr(err.text, "no queue `c` in the trace"));
    assert_true(sim_parse_weights("a=0", &t.queues, weights, &err) < 0);
    assert_true(sim_parse_weights("a", &t.queues, weights, &err) < 0);
    sim_trace_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philly_has_one_job_a_line_and_a_queue_for_each_cluster),
        cmocka_unit_test(test_a_wrong_line_of_philly_is_named_with_field_and_value),
        cmocka_unit_test(test_the_window_takes_what_was_submitted_in_it),
        cmocka_unit_test(test_a_workload_of_18_fields_gives_estimate_wait_and_user),
        cmocka_unit_test(test_a_wrong_line_of_a_workload_is_named),
        cmocka_unit_test(test_openb_keeps_whole_gpu_pods_and_counts_the_rest),
        cmocka_unit_test(test_an_openb_list_without_times_has_a_pod_a_second),
        cmocka_unit_test(test_a_job_number_comes_once),
        cmocka_unit_test(test_a_manifest_says_when_how_long_and_what),
        cmocka_unit_test(test_nodes_are_written_as_n_times_m),
        cmocka_unit_test(test_nodes_of_openb_have_models),
        cmocka_unit_test(test_a_name_with_a_nul_byte_is_refused),
        cmocka_unit_test(test_nodes_of_kubernetes_have_racks_and_those_without_a_gpu_are_left_out),
        cmocka_unit_test(test_weights_name_queues_of_the_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
