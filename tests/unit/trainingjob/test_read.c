/* trainingjob/read.c, ask.c and names.c. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

static void read_job(cJSON *object, struct trainingjob *job)
{
    struct mlt_error err = {0};
    if (trainingjob_read(object, job, &err) != 0)
        fail_msg("%s", err.text);
    cJSON_Delete(object); /* the job keeps its own copy */
}

static void test_every_field_is_read(void **state)
{
    (void)state;
    cleanup_trainingjob struct trainingjob job = {0};
    read_job(full_job(), &job);
    const struct trainingjob_spec *s = &job.spec;
    assert_string_equal(job.metadata.name, "llama-8b");
    assert_string_equal(job.metadata.namespace_, "research");
    assert_string_equal(job.metadata.uid, "0a1b2c3d-4e5f");
    assert_string_equal(job.metadata.resource_version, "17");
    assert_int_equal(job.metadata.generation, 3);
    assert_int_equal(job.metadata.creation_ms, 1795540196000);
    assert_int_equal(job.metadata.deletion_ms, 0);
    assert_string_equal(json_string(job.metadata.labels, "team", ""), "a");
    assert_string_equal(json_string(job.metadata.annotations, "note", ""), "b");
    assert_string_equal(s->queue, "research");
    assert_string_equal(s->priority_class, "high");
    assert_false(s->suspend);
    assert_int_equal(s->framework, TRAININGJOB_FRAMEWORK_PLAIN);
    assert_int_equal(s->nproc_per_node, 2);
    assert_string_equal(s->workers.name, "worker");
    assert_int_equal(s->workers.replicas, 4);
    assert_int_equal(s->workers.min_replicas, 0);
    assert_int_equal(json_size(s->workers.template_, "spec.containers"), 2);
    assert_string_equal(s->checkpoint.path, "/ckpt");
    assert_int_equal(s->checkpoint.format, TRAININGJOB_FORMAT_PATTERN);
    assert_string_equal(s->checkpoint.pattern, "ckpt-{step}.pt");
    assert_int_equal(s->checkpoint.grace_period_seconds, 120);
    assert_int_equal(s->checkpoint.signal, SIGUSR1);
    assert_int_equal(s->backoff_limit, 10);
    assert_int_equal(s->failure_policy.rules_count, 3);
    assert_int_equal(s->failure_policy.rules[1].signals[1], SIGBUS);
    assert_string_equal(s->progress.pattern, "step (?<step>\\d+)");
    assert_int_equal(s->progress.total_steps, 10000);
    assert_int_equal(s->active_deadline_seconds, 86400);
    assert_int_equal(s->ttl_seconds_after_finished, 0);
    assert_int_equal(s->clean_pod_policy, TRAININGJOB_CLEAN_ALL);
    assert_int_equal(s->success_policy, TRAININGJOB_SUCCESS_RANK0);
}

static void test_a_slim_job_has_all_but_its_template_which_is_text(void **state)
{
    (void)state;
    cleanup_json cJSON *object = full_job();
    cleanup_json cJSON *wanted = json_copy(json_find(object, "spec.workers.template"));
    cleanup_json cJSON *got = NULL;
    cleanup_trainingjob struct trainingjob job = {0};
    json_set_string(object, "metadata.annotations[mltrain.io/cancel]", "now");
    assert_int_equal(trainingjob_read_spec(object, &job, NULL), 0);
    assert_null(job.status);
    cleanup_free char *text = trainingjob_slim(&job);
    const struct trainingjob_spec *s = &job.spec;
    assert_null(s->workers.template_);
    assert_int_equal(json_parse(text, strlen(text), &got, NULL), 0);
    assert_true(json_equal(got, wanted));
    assert_string_equal(job.metadata.name, "llama-8b");
    assert_string_equal(job.metadata.namespace_, "research");
    assert_string_equal(job.metadata.uid, "0a1b2c3d-4e5f");
    assert_string_equal(job.metadata.resource_version, "");
    assert_int_equal(job.metadata.creation_ms, 1795540196000);
    assert_string_equal(json_string(job.metadata.labels, "team", ""), "a");
    assert_null(json_find(job.metadata.annotations, "note"));
    assert_string_equal(trainingjob_cancel(&job), TRAININGJOB_CANCEL_NOW);
    assert_string_equal(trainingjob_queue(&job), "research");
    assert_string_equal(s->priority_class, "high");
    assert_int_equal(s->workers.replicas, 4);
    assert_string_equal(s->checkpoint.path, "/ckpt");
    assert_string_equal(s->checkpoint.pattern, "ckpt-{step}.pt");
    assert_string_equal(s->progress.pattern, "step (?<step>\\d+)");
    assert_int_equal(s->failure_policy.rules[1].signals[1], SIGBUS);
}

static void test_absent_fields_have_their_defaults(void **state)
{
    (void)state;
    cleanup_trainingjob struct trainingjob job = {0};
    read_job(small_job(), &job);
    const struct trainingjob_spec *s = &job.spec;
    assert_string_equal(job.metadata.uid, "");
    assert_null(job.metadata.labels);
    assert_null(s->queue);
    assert_null(s->priority_class);
    assert_int_equal(s->framework, TRAININGJOB_FRAMEWORK_PYTORCH);
    assert_int_equal(s->workers.replicas, 1);
    assert_null(s->checkpoint.path);
    assert_int_equal(s->checkpoint.format, TRAININGJOB_FORMAT_AUTO);
    assert_int_equal(s->checkpoint.grace_period_seconds, 30);
    assert_int_equal(s->checkpoint.signal, SIGTERM);
    assert_int_equal(s->backoff_limit, 6);
    assert_true(s->failure_policy.in_place);
    assert_int_equal(s->failure_policy.start_timeout_seconds, 600);
    assert_int_equal(s->active_deadline_seconds, 0);
    assert_int_equal(s->ttl_seconds_after_finished, TRAININGJOB_NONE);
    assert_int_equal(s->clean_pod_policy, TRAININGJOB_CLEAN_RUNNING);
    assert_int_equal(s->success_policy, TRAININGJOB_SUCCESS_ALL_RANKS);
    assert_int_equal(job.status->phase, TRAININGJOB_PHASE_NONE);
    assert_false(trainingjob_finished(&job));
}

static void test_a_failed_read_leaves_the_output_alone(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    struct trainingjob job = {.spec.backoff_limit = 77};
    cleanup_json cJSON *full = full_job();
    cleanup_json cJSON *bad = with(full, "/spec/failurePolicy/rules/2/action", "\"Explode\"");
    assert_int_equal(trainingjob_read(bad, &job, &err), -EINVAL);
    assert_string_equal(err.text, "spec.failurePolicy.rules[2].action: expected one of FailJob, "
                                  "Restart, RestartOnNewNode, Ignore, got `Explode`");
    assert_int_equal(job.spec.backoff_limit, 77);
}

static void test_names_that_look_like_paths_are_only_names(void **state)
{
    (void)state;
    cleanup_json cJSON *object = small_job();
    (void)cJSON_AddItemToObject(object, "", cJSON_CreateString("empty"));
    (void)cJSON_AddItemToObject(object, "spec.queue", cJSON_CreateString("not-this"));
    (void)cJSON_AddItemToObject(object, "metadata[uid]", cJSON_CreateString("not-this"));
    cleanup_trainingjob struct trainingjob job = {0};
    read_job(steal_ptr(&object), &job);
    assert_null(job.spec.queue);
    assert_string_equal(job.metadata.uid, "");
    assert_string_equal(json_member(job.object, "spec.queue")->valuestring, "not-this");
}

static void test_ranks_per_pod_follow_the_gpus_of_the_trainer(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *pointer, *value;
        int64_t nproc, world, gpus;
    } rows[] = {
        {"the number that was asked for", "/spec/nprocPerNode", "2", 2, 8, 32},
        {"its GPUs", "/spec/nprocPerNode", NULL, 8, 32, 32},
        {"one without GPUs", "/spec/workers/template/spec/containers/1/resources", "{}", 2, 8, 0},
    };
    cleanup_json cJSON *full = full_job();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_trainingjob struct trainingjob job = {0};
        read_job(with(full, rows[i].pointer, rows[i].value), &job);
        if (trainingjob_nproc(&job) != rows[i].nproc ||
            trainingjob_world_size(&job) != rows[i].world || trainingjob_gpus(&job) != rows[i].gpus)
            fail_msg("%s", rows[i].sentence);
    }
    cleanup_trainingjob struct trainingjob small = {0};
    read_job(small_job(), &small);
    assert_int_equal(trainingjob_nproc(&small), 1);
    assert_string_equal(json_string(trainingjob_trainer(small.spec.workers.template_), "name", ""),
                        "main");
    assert_null(trainingjob_trainer(NULL));
}

static void test_the_queue_is_the_field_then_the_label_then_default(void **state)
{
    (void)state;
    cleanup_json cJSON *small = small_job();
    cleanup_json cJSON *labelled =
        with(small, "/metadata/labels", "{\"kueue.x-k8s.io/queue-name\":\"team-a\"}");
    cleanup_json cJSON *both = with(labelled, "/spec/queue", "\"b\"");
    cleanup_trainingjob struct trainingjob a = {0}, b = {0}, c = {0};
    read_job(json_copy(small), &a);
    read_job(json_copy(labelled), &b);
    read_job(json_copy(both), &c);
    assert_string_equal(trainingjob_queue(&a), "default");
    assert_string_equal(trainingjob_queue(&b), "team-a");
    assert_string_equal(trainingjob_queue(&c), "b");
}

static void test_a_job_is_cancelled_by_an_annotation(void **state)
{
    (void)state;
    static const struct {
        const char *value, *expected;
    } rows[] = {{"{}", NULL},
                {"{\"mltrain.io/cancel\":\"now\"}", "now"},
                {"{\"mltrain.io/cancel\":\"graceful\"}", "graceful"},
                {"{\"mltrain.io/cancel\":\"yes\"}", "graceful"}};
    cleanup_json cJSON *small = small_job();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_trainingjob struct trainingjob job = {0};
        read_job(with(small, "/metadata/annotations", rows[i].value), &job);
        const char *cancel = trainingjob_cancel(&job);
        assert_string_equal(cancel ? cancel : "-", rows[i].expected ? rows[i].expected : "-");
    }
}

static void test_the_first_matching_rule_decides(void **state)
{
    (void)state;
    static const struct {
        const char *sentence;
        int exit_code, signal, action;
    } rows[] = {
        {"a listed exit code", 42, 0, TRAININGJOB_ACTION_FAIL_JOB},
        {"an exit code that is not in the list of NotIn", 7, 0, TRAININGJOB_ACTION_RESTART},
        {"an exit code that no rule wants", 1, 0, TRAININGJOB_NONE},
        {"success matches nothing", 0, 0, TRAININGJOB_NONE},
        {"a signal that is not in the list of NotIn", 0, SIGKILL, TRAININGJOB_ACTION_IGNORE},
        {"a signal that is in the list of NotIn", 0, SIGSEGV, TRAININGJOB_NONE},
        {"the exit code does not count beside a signal", 42, SIGBUS, TRAININGJOB_NONE},
    };
    cleanup_trainingjob struct trainingjob job = {0};
    read_job(full_job(), &job);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        int action = trainingjob_match_rule(&job.spec, rows[i].exit_code, rows[i].signal);
        if (action != rows[i].action)
            fail_msg("%s: %d", rows[i].sentence, action);
    }
}

static void test_pods_have_names_that_tell_their_creation(void **state)
{
    (void)state;
    char name[TRAININGJOB_POD_NAME_MAX];
    assert_int_equal(trainingjob_pod_name("llama", "worker", 3, 1, name, NULL), 0);
    assert_string_equal(name, "llama-worker-3");
    assert_int_equal(trainingjob_pod_name("llama", "worker", 3, 2, name, NULL), 0);
    assert_string_equal(name, "llama-worker-3-r2");
    assert_int_equal(trainingjob_pod_creation("llama-worker-3", "llama", "worker", 3), 1);
    assert_int_equal(trainingjob_pod_creation("llama-worker-3-r17", "llama", "worker", 3), 17);
    static const char *const others[] = {"llama-worker-31",
                                         "llama-worker-3-r1",
                                         "llama-worker-3-r",
                                         "llama-worker-3-rx",
                                         "llama-worker-3-r2x",
                                         "x",
                                         ""};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(others); i++)
        assert_int_equal(trainingjob_pod_creation(others[i], "llama", "worker", 3), 0);
    /* The longest names that the limits allow fit into 63 characters. */
    const char *job = "a23456789012345678901234567890123456", *role = "r23456789012345";
    assert_int_equal(trainingjob_pod_name(job, role, TRAININGJOB_REPLICAS_MAX - 1, 99, name, NULL),
                     0);
    assert_true(strlen(name) <= 63);
    struct mlt_error err = {0};
    assert_int_equal(trainingjob_pod_name(job, role, 99999, 99999, name, &err), -EINVAL);
    assert_non_null(strstr(err.text, "more than 63 characters"));
}

static void test_secret_selector_and_labels(void **state)
{
    (void)state;
    char secret[TRAININGJOB_SECRET_NAME_MAX], selector[TRAININGJOB_SELECTOR_MAX];
    trainingjob_secret_name("llama-8b", "0a1b2c3d-4e5f", secret);
    assert_string_equal(secret, "llama-8b-mltrain-key-0a1b2c3d");
    trainingjob_selector("llama-8b", selector);
    assert_string_equal(selector, "mltrain.io/job-name=llama-8b,mltrain.io/role=worker");
    cleanup_trainingjob struct trainingjob job = {0};
    read_job(full_job(), &job);
    cleanup_json cJSON *pod = parse_json("{\"metadata\":{\"labels\":{\"app\":\"x\"}}}");
    trainingjob_label_pod(pod, &job, "worker", 7);
    cleanup_free char *text = json_print(pod);
    assert_string_equal(text, "{\"metadata\":{\"labels\":{\"app\":\"x\",\"mltrain.io/job-name\":"
                              "\"llama-8b\",\"mltrain.io/job-uid\":\"0a1b2c3d-4e5f\","
                              "\"mltrain.io/role\":\"worker\",\"mltrain.io/index\":\"7\"}}}");
}

static void test_signals_have_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int number;
    } rows[] = {{"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGHUP", SIGHUP},
                {"SIGQUIT", SIGQUIT}, {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2},
                {"SIGKILL", SIGKILL}, {"SIGSEGV", SIGSEGV}, {"SIGBUS", SIGBUS},
                {"SIGABRT", SIGABRT}, {"SIGFPE", SIGFPE},   {"SIGILL", SIGILL},
                {"SIGPIPE", SIGPIPE}, {"SIGALRM", SIGALRM}, {"SIGTRAP", SIGTRAP},
                {"SIGSYS", SIGSYS},   {"SIGXCPU", SIGXCPU}, {"SIGXFSZ", SIGXFSZ}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        assert_int_equal(trainingjob_signal_number(rows[i].name), rows[i].number);
        assert_string_equal(trainingjob_signal_name(rows[i].number), rows[i].name);
    }
    assert_int_equal(trainingjob_signal_number("SIGNOPE"), 0);
    assert_null(trainingjob_signal_name(0));
}

static void test_defaults_are_written_where_their_object_is(void **state)
{
    (void)state;
    cleanup_json cJSON *job = small_job();
    json_set(job, "spec.checkpoint", parse_json("{\"path\":\"/c\",\"signal\":null}"));
    json_set(job, "spec.roles", parse_json("[{\"name\":\"a\"}]"));
    trainingjob_default(job);
    json_unset(job, "spec.workers.template");
    cleanup_free char *text = json_print(json_member(job, "spec"));
    assert_string_equal(
        text,
        "{\"workers\":{\"replicas\":1},\"checkpoint\":{\"path\":\"/c\",\"signal\":\"SIGTERM\","
        "\"format\":\"auto\",\"gracePeriodSeconds\":30,\"repair\":false},\"roles\":[{\"name\":"
        "\"a\",\"replicas\":1,\"restartsGang\":true}],\"suspend\":false,\"framework\":"
        "\"pytorch\",\"backoffLimit\":6,\"cleanPodPolicy\":\"Running\",\"successPolicy\":"
        "\"AllRanks\"}");
    cleanup_json cJSON *once = json_copy(job);
    trainingjob_default(job);
    assert_true(json_equal(once, job));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_field_is_read),
        cmocka_unit_test(test_a_slim_job_has_all_but_its_template_which_is_text),
        cmocka_unit_test(test_absent_fields_have_their_defaults),
        cmocka_unit_test(test_a_failed_read_leaves_the_output_alone),
        cmocka_unit_test(test_names_that_look_like_paths_are_only_names),
        cmocka_unit_test(test_ranks_per_pod_follow_the_gpus_of_the_trainer),
        cmocka_unit_test(test_the_queue_is_the_field_then_the_label_then_default),
        cmocka_unit_test(test_a_job_is_cancelled_by_an_annotation),
        cmocka_unit_test(test_the_first_matching_rule_decides),
        cmocka_unit_test(test_pods_have_names_that_tell_their_creation),
        cmocka_unit_test(test_secret_selector_and_labels),
        cmocka_unit_test(test_signals_have_names),
        cmocka_unit_test(test_defaults_are_written_where_their_object_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
