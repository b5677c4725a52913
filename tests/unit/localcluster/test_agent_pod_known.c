/* Knowledge of a pod as it changes and comes back from disk, and the status made of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "agent_fixture.h"
#include "lib/json/json.h"
#include "localcluster/agent/pod_status.h"

#define ALWAYS "{'initContainers':[{'name':'i'}],'containers':[{'name':'a','image':'img'}]}"

static struct pod_known known, back;

static void report(size_t i, enum shim_state state, int code, int64_t at_ms)
{
    struct shim_report r = known.containers[i].current;
    r.state = state;
    r.exit_code = code;
    r.started_ms = r.started_ms ? r.started_ms : at_ms;
    r.finished_ms = state == SHIM_TERMINATED ? at_ms : 0;
    assert_true(pod_known_report(&known, &r, at_ms));
}

static void run_once(size_t i, int code, int64_t from_ms, int64_t to_ms)
{
    pod_known_starting(&known, i);
    report(i, SHIM_RUNNING, 0, from_ms);
    report(i, SHIM_TERMINATED, code, to_ms);
}

static void test_restarts_wait_longer_and_longer_and_a_long_run_starts_over(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1);
    static const int64_t delays[] = {0, 10000, 20000, 40000, 80000, 160000, 300000, 300000};
    int64_t now = 1000;
    for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
        run_once(1, 1, now, now + 10);
        assert_int_equal(known.containers[1].retry_ms - (now + 10), delays[i]);
        assert_int_equal(known.containers[1].restarts, i);
        now = known.containers[1].retry_ms;
    }
    run_once(1, 1, now, now + POD_BACKOFF_RESET_MS);
    assert_int_equal(known.containers[1].retry_ms, now + POD_BACKOFF_RESET_MS);
    assert_true(known.containers[1].has_last);
    pod_spec_free(spec);
}

static void test_the_report_of_an_earlier_run_changes_nothing(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1);
    run_once(1, 1, 10, 20);
    struct shim_report old = known.containers[1].current;
    pod_known_starting(&known, 1);
    assert_false(pod_known_report(&known, &old, 30));
    assert_int_equal(known.containers[1].state, POD_CONTAINER_STARTING);
    (void)snprintf(old.name, sizeof old.name, "%s", "nobody");
    assert_false(pod_known_report(&known, &old, 30));
    pod_spec_free(spec);
}

static void test_a_lost_sandbox_counts_what_ran_as_killed_and_leaves_the_rest(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1);
    known.sandbox = true;
    run_once(0, 0, 10, 20);
    pod_known_starting(&known, 1);
    report(1, SHIM_RUNNING, 0, 30);
    pod_known_lost(&known, "why", 99, 99);
    assert_false(known.sandbox);
    assert_int_equal(known.containers[0].current.exit_code, 0);
    assert_int_equal(known.containers[1].current.exit_code, 137);
    assert_int_equal(known.containers[1].current.finished_ms, 99);
    assert_string_equal(known.containers[1].current.message, "why");
    pod_spec_free(spec);
}

static void test_a_start_that_never_reached_the_shim_is_made_again_without_counting(void **state)
{
    (void)state;
    static const bool reported[] = {false, false};
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1);
    run_once(1, 1, 10, 20);
    pod_known_starting(&known, 1);
    pod_known_synced(&known, reported);
    assert_int_equal(known.containers[1].state, POD_CONTAINER_WAITING);
    pod_known_starting(&known, 1);
    assert_int_equal(known.containers[1].restarts, 1);
    pod_spec_free(spec);
}

static void test_knowledge_comes_back_from_disk_as_it_was(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1795809437092);
    known.gpu_count = 2;
    known.gpus[1] = 5;
    known.term_sent = true;
    known.kill_ms = 123456789012345;
    known.shim = (struct shim_process){4711, UINT64_C(99999999999)};
    (void)snprintf(known.address, sizeof known.address, "%s", "127.1.2.3");
    run_once(0, 0, 10, 20);
    run_once(1, 9, 10, 20);
    pod_known_starting(&known, 1);
    cJSON *object = pod_known_to_json(&known);
    assert_int_equal(pod_known_from_json(object, &back, NULL), 0);
    cJSON *again = pod_known_to_json(&back);
    assert_true(json_equal(object, again));
    assert_int_equal(back.containers[1].last.exit_code, 9);
    assert_int_equal(back.kill_ms, 123456789012345);
    cJSON_Delete(object);
    cJSON_Delete(again);
    pod_spec_free(spec);
}

static void test_damaged_knowledge_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{'containers':[{'state':'sleeping'}]}",
        "{'containers':[{'state':'running','current':{}}]}",
        "{'gpus':[64]}",
        "{'gpus':['a']}",
        "{'killMs':-1}",
        "{'address':'127.100.100.100.100'}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        cJSON *object = fixture_json(texts[i]);
        struct mlt_error err = {0};
        if (pod_known_from_json(object, &back, &err) >= 0 || err.text[0] == '\0')
            fail_msg("accepted: %s", texts[i]);
        cJSON_Delete(object);
    }
}

/* ---- status ---- */

static const struct pod_now now = {.mono_ms = 50, .wall_ms = 1795809437092};

static void expect(const cJSON *status, const char *path, const char *value)
{
    const char *got = json_string(status, path, "nothing");
    if (strcmp(got, value) != 0)
        fail_msg("%s: expected `%s`, got `%s`", path, value, got);
}

static void test_a_new_pod_waits(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, now.wall_ms);
    cJSON *status = pod_status_build(spec, &known, NULL, "127.0.0.1", now);
    expect(status, "phase", "Pending");
    expect(status, "startTime", "2026-11-27T19:57:17Z");
    expect(status, "initContainerStatuses[0].state.waiting.reason", "ContainerCreating");
    expect(status, "containerStatuses[0].state.waiting.reason", "PodInitializing");
    expect(status, "conditions[1].type", "Initialized");
    expect(status, "conditions[1].status", "False");
    expect(status, "conditions[1].message", "containers with incomplete status: [i]");
    expect(status, "hostIP", "127.0.0.1");
    assert_null(json_member(status, "podIP"));
    cJSON_Delete(status);
    pod_spec_free(spec);
}

static void test_a_running_pod_is_ready_and_its_conditions_keep_their_times(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    fixture_known(spec, "t0 r", &known);
    (void)snprintf(known.address, sizeof known.address, "%s", "127.1.2.3");
    cJSON *before = fixture_json(
        "{'conditions':[{'type':'Ready','status':'True','lastTransitionTime':'2020-01-01T00:00:00Z'"
        "},"
        "{'type':'Initialized','status':'False','lastTransitionTime':'2020-01-01T00:00:00Z'},"
        "{'type':'DisruptionTarget','status':'True'}]}");
    cJSON *status = pod_status_build(spec, &known, before, "127.0.0.1", now);
    expect(status, "phase", "Running");
    expect(status, "podIPs[0].ip", "127.1.2.3");
    expect(status, "conditions[2].type", "Ready");
    expect(status, "conditions[2].status", "True");
    expect(status, "conditions[2].lastTransitionTime", "2020-01-01T00:00:00Z");
    expect(status, "conditions[1].lastTransitionTime", "2026-11-27T19:57:17Z");
    expect(status, "conditions[5].type", "DisruptionTarget");
    expect(status, "containerStatuses[0].imageID", "host");
    expect(status, "containerStatuses[0].image", "img");
    assert_true(json_bool(status, "containerStatuses[0].ready", false));
    cJSON_Delete(before);
    cJSON_Delete(status);
    pod_spec_free(spec);
}

static void test_a_container_that_backs_off_shows_why(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    pod_known_init(&known, spec, 1);
    known.sandbox = true;
    run_once(0, 0, 10, 20);
    run_once(1, 1, 10, 20);
    run_once(1, 2, 30, 40);
    cJSON *status = pod_status_build(spec, &known, NULL, "127.0.0.1", now);
    expect(status, "phase", "Running");
    expect(status, "containerStatuses[0].state.waiting.reason", "CrashLoopBackOff");
    assert_int_equal(json_integer(status, "containerStatuses[0].lastState.terminated.exitCode", -1),
                     2);
    assert_int_equal(json_integer(status, "containerStatuses[0].restartCount", -1), 1);
    cJSON_Delete(status);
    pod_spec_free(spec);
}

static const struct reason_row {
    const char *sentence;
    struct shim_report report;
    const char *reason;
} reasons[] = {
    {"an exit with 0", {.exit_code = 0}, "Completed"},
    {"another exit", {.exit_code = 1}, "Error"},
    {"killed for memory", {.exit_code = 137, .out_of_memory = true}, "OOMKilled"},
    {"a child was killed for memory and the container got over it",
     {.exit_code = 0, .out_of_memory = true},
     "Completed"},
    {"the command does not exist", {.exit_code = 128, .start_error = true}, "StartError"},
};

static void test_reasons_are_containerds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (strcmp(pod_end_reason(&reasons[i].report), reasons[i].reason) != 0)
            fail_msg("%s: %s", reasons[i].sentence, pod_end_reason(&reasons[i].report));
    }
}

static void test_equal_knowledge_gives_equal_status(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(ALWAYS, NULL);
    fixture_known(spec, "t0 r", &known);
    cJSON *first = pod_status_build(spec, &known, NULL, "127.0.0.1", now);
    struct pod_now later = {now.mono_ms + 5000, now.wall_ms + 5000};
    cJSON *second = pod_status_build(spec, &known, first, "127.0.0.1", later);
    assert_true(json_equal(first, second));
    cJSON_Delete(first);
    cJSON_Delete(second);
    pod_spec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restarts_wait_longer_and_longer_and_a_long_run_starts_over),
        cmocka_unit_test(test_the_report_of_an_earlier_run_changes_nothing),
        cmocka_unit_test(test_a_lost_sandbox_counts_what_ran_as_killed_and_leaves_the_rest),
        cmocka_unit_test(test_a_start_that_never_reached_the_shim_is_made_again_without_counting),
        cmocka_unit_test(test_knowledge_comes_back_from_disk_as_it_was),
        cmocka_unit_test(test_damaged_knowledge_is_refused),
        cmocka_unit_test(test_a_new_pod_waits),
        cmocka_unit_test(test_a_running_pod_is_ready_and_its_conditions_keep_their_times),
        cmocka_unit_test(test_a_container_that_backs_off_shows_why),
        cmocka_unit_test(test_reasons_are_containerds),
        cmocka_unit_test(test_equal_knowledge_gives_equal_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
