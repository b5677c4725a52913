/* trainingjob/status.c, status_read.c and status_json.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

#define cleanup_status __attribute__((cleanup(trainingjob_status_release)))
#define T0 INT64_C(1795540196000) /* 2026-11-24T17:09:56Z */

static void test_a_status_is_read_written_and_copied_without_loss(void **state)
{
    (void)state;
    cleanup_json cJSON *full = full_status();
    cleanup_status struct trainingjob_status status, copy;
    trainingjob_status_read(full, &status);
    trainingjob_status_copy(&status, &copy);
    cleanup_json cJSON *a = trainingjob_status_json(&status), *b = trainingjob_status_json(&copy);
    assert_true(json_equal(full, a));
    assert_true(json_equal(full, b));
    assert_int_equal(status.phase, TRAININGJOB_PHASE_RESTARTING);
    assert_int_equal(status.failures_count, 2);
    assert_int_equal(status.failures[1].exit_code, TRAININGJOB_NONE);
    assert_int_equal(status.failures[1].rank, TRAININGJOB_NONE);
    assert_int_equal(status.recovery.charged_at_step, 0);
    assert_int_equal(status.conditions[0].last_transition_ms, T0);
    assert_null(trainingjob_status_patch(&status, &copy, "1"));
}

static void test_an_empty_status_says_that_all_is_absent(void **state)
{
    (void)state;
    cleanup_status struct trainingjob_status status;
    trainingjob_status_read(NULL, &status);
    assert_int_equal(status.phase, TRAININGJOB_PHASE_NONE);
    assert_int_equal(status.checkpoint.step, TRAININGJOB_NONE);
    assert_int_equal(status.recovery.resume_step, TRAININGJOB_NONE);
    cleanup_json cJSON *json = trainingjob_status_json(&status);
    cleanup_free char *text = json_print(json);
    assert_string_equal(text, "{\"restarts\":0,\"gpus\":0,\"replicas\":0,\"readyReplicas\":0}");
}

static void test_a_broken_status_is_read_as_far_as_it_goes(void **state)
{
    (void)state;
    cleanup_json cJSON *broken = parse_yaml(
        "{phase: Dancing, attempt: two, restarts: 4, failures: {a: b}, conditions: [5, {type: "
        "7}],\n"
        "recovery: {avoidNodes: [{}, {node: a}], skippedCheckpoints: [1, x, 2]}, progress: [],\n"
        "startTime: yesterday, newField: {x: 1}, placement: {workers: 5}}");
    cleanup_status struct trainingjob_status status;
    trainingjob_status_read(broken, &status);
    assert_int_equal(status.phase, TRAININGJOB_PHASE_NONE);
    assert_int_equal(status.attempt, 0);
    assert_int_equal(status.restarts, 4);
    assert_int_equal(status.failures_count, 0);
    assert_int_equal(status.recovery.avoid_count, 1);
    assert_int_equal(status.recovery.skipped_count, 2);
    assert_int_equal(status.start_ms, 0);
    assert_null(status.placement);
}

static void test_a_patch_holds_what_changed_and_the_resource_version(void **state)
{
    (void)state;
    cleanup_json cJSON *full = full_status();
    cleanup_status struct trainingjob_status before, after;
    trainingjob_status_read(full, &before);
    trainingjob_status_copy(&before, &after);
    after.phase = TRAININGJOB_PHASE_RUNNING;
    after.progress.step = 121;
    after.recovery.pending_stop[0] = '\0';
    after.recovery.pending_stop_ms = 0;
    after.recovery.next_attempt_ms = 0;
    trainingjob_set_text(&after.placement, NULL, 10);
    trainingjob_set_text(&after.pod_creations, NULL, 10);
    cleanup_json cJSON *patch = trainingjob_status_patch(&before, &after, "17");
    cleanup_json cJSON *expected =
        parse_json("{\"metadata\":{\"resourceVersion\":\"17\"},\"status\":{\"phase\":\"Running\","
                   "\"placement\":null,\"progress\":{\"step\":121},\"recovery\":"
                   "{\"nextAttemptTime\":null,\"pendingStop\":null}}}");
    assert_true(json_equal(patch, expected));
    /* Applied to the object, the patch gives the new status, and foreign fields stay. */
    cleanup_json cJSON *object = parse_json("{\"metadata\":{\"name\":\"x\"}}");
    json_set(object, "status", json_copy(full));
    json_set_string(object, "status.foreign", "kept");
    json_merge_patch(&object, patch);
    assert_string_equal(json_string(object, "status.foreign", ""), "kept");
    json_unset(object, "status.foreign");
    cleanup_json cJSON *written = trainingjob_status_json(&after);
    assert_true(json_equal(json_member(object, "status"), written));
}

static void test_a_condition_keeps_its_time_until_its_status_turns(void **state)
{
    (void)state;
    cleanup_status struct trainingjob_status s;
    trainingjob_status_init(&s);
    s.observed_generation = 5;
    assert_true(
        trainingjob_set_condition(&s, TRAININGJOB_CONDITION_RUNNING, true, "Started", "a", 1000));
    assert_false(
        trainingjob_set_condition(&s, TRAININGJOB_CONDITION_RUNNING, true, "Started", "a", 2000));
    assert_true(
        trainingjob_set_condition(&s, TRAININGJOB_CONDITION_RUNNING, true, "Started", "b", 3000));
    const struct trainingjob_condition *c =
        trainingjob_find_condition(&s, TRAININGJOB_CONDITION_RUNNING);
    assert_int_equal(c->last_transition_ms, 1000);
    assert_string_equal(c->message, "b");
    assert_int_equal(c->observed_generation, 5);
    assert_true(trainingjob_condition_is_true(&s, TRAININGJOB_CONDITION_RUNNING));
    assert_true(
        trainingjob_set_condition(&s, TRAININGJOB_CONDITION_RUNNING, false, "Stopped", NULL, 4000));
    c = trainingjob_find_condition(&s, TRAININGJOB_CONDITION_RUNNING);
    assert_int_equal(c->last_transition_ms, 4000);
    assert_false(trainingjob_condition_is_true(&s, TRAININGJOB_CONDITION_RUNNING));
    assert_null(trainingjob_find_condition(&s, TRAININGJOB_CONDITION_FAILED));
    assert_int_equal(s.conditions_count, 1);
}

static void test_lists_keep_their_limits(void **state)
{
    (void)state;
    cleanup_status struct trainingjob_status s;
    char text[32];
    trainingjob_status_init(&s);
    for (int64_t i = 0; i < TRAININGJOB_FAILURES_MAX + 5; i++) {
        struct trainingjob_failure failure = {.attempt = i, .node = text};
        (void)snprintf(text, sizeof text, "node%lld", (long long)i);
        trainingjob_add_failure(&s, &failure);
    }
    assert_int_equal(s.failures_count, TRAININGJOB_FAILURES_MAX);
    assert_int_equal(s.failures[0].attempt, 5);
    assert_string_equal(s.failures[TRAININGJOB_FAILURES_MAX - 1].node, "node24");
    for (int64_t i = 0; i < TRAININGJOB_SKIPPED_MAX + 5; i++)
        trainingjob_skip_checkpoint(&s, i);
    trainingjob_skip_checkpoint(&s, TRAININGJOB_SKIPPED_MAX);
    assert_int_equal(s.recovery.skipped_count, TRAININGJOB_SKIPPED_MAX);
    assert_false(trainingjob_skips(&s, 4));
    assert_true(trainingjob_skips(&s, 5));
    assert_true(trainingjob_skips(&s, TRAININGJOB_SKIPPED_MAX + 4));
    for (int i = 0; i < TRAININGJOB_AVOID_MAX + 5; i++) {
        (void)snprintf(text, sizeof text, "node%d", i);
        trainingjob_avoid_node(&s, text, T0 + i, 1000, 60000);
    }
    assert_int_equal(s.recovery.avoid_count, TRAININGJOB_AVOID_MAX);
    assert_false(trainingjob_avoids(&s, "node4", T0));
    assert_true(trainingjob_avoids(&s, "node68", T0));
    /* A list that is longer than the limit is cut at its end that counts. */
    cleanup_json cJSON *json = parse_json("{\"failures\":[]}");
    for (int i = 0; i < 30; i++) {
        cJSON *item = cJSON_CreateObject();
        json_set_integer(item, "attempt", i);
        json_append(json_set_array(json, "failures"), item);
    }
    cleanup_status struct trainingjob_status read;
    trainingjob_status_read(json, &read);
    assert_int_equal(read.failures_count, TRAININGJOB_FAILURES_MAX);
    assert_int_equal(read.failures[TRAININGJOB_FAILURES_MAX - 1].attempt, 29);
}

static void test_a_node_is_avoided_twice_as_long_each_time(void **state)
{
    (void)state;
    static const int64_t waits[] = {30000, 60000, 120000, 240000, 300000, 300000};
    cleanup_status struct trainingjob_status s;
    trainingjob_status_init(&s);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(waits); i++) {
        trainingjob_avoid_node(&s, "n1", T0, 30000, 300000);
        assert_true(trainingjob_avoids(&s, "n1", T0 + waits[i] - 1));
        assert_false(trainingjob_avoids(&s, "n1", T0 + waits[i]));
    }
    assert_false(trainingjob_avoids(&s, "n2", T0));
}

static void test_texts_are_cut_between_characters(void **state)
{
    (void)state;
    cleanup_free char *text = NULL;
    trainingjob_set_text(&text, "ab\xC3\xA9", 3);
    assert_string_equal(text, "ab");
    trainingjob_set_text(&text, "ab\xC3\xA9", 4);
    assert_string_equal(text, "ab\xC3\xA9");
    trainingjob_set_text(&text, NULL, 4);
    assert_null(text);
}

static void test_a_row_of_faults_ends_and_a_time_can_be_cut(void **state)
{
    struct trainingjob_status s;
    (void)state;
    trainingjob_status_init(&s);
    trainingjob_avoid_node(&s, "n", 0, 30000, 100000);
    trainingjob_avoid_node(&s, "n", 30000, 30000, 100000);
    assert_int_equal(s.recovery.avoid[0].until_ms, 90000);
    assert_true(trainingjob_avoid_at_most(&s, 30000, 5000)); /* two faults: doubled once */
    assert_int_equal(s.recovery.avoid[0].until_ms, 40000);
    assert_false(trainingjob_avoid_at_most(&s, 35000, 5000)); /* never longer */
    assert_int_equal(s.recovery.avoid[0].until_ms, 40000);
    trainingjob_avoid_node(&s, "n", 140001, 30000, 100000);
    assert_int_equal(s.recovery.avoid[0].faults, 1);
    assert_int_equal(s.recovery.avoid[0].until_ms, 170001);
    trainingjob_status_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_of_faults_ends_and_a_time_can_be_cut),
        cmocka_unit_test(test_a_status_is_read_written_and_copied_without_loss),
        cmocka_unit_test(test_an_empty_status_says_that_all_is_absent),
        cmocka_unit_test(test_a_broken_status_is_read_as_far_as_it_goes),
        cmocka_unit_test(test_a_patch_holds_what_changed_and_the_resource_version),
        cmocka_unit_test(test_a_condition_keeps_its_time_until_its_status_turns),
        cmocka_unit_test(test_lists_keep_their_limits),
        cmocka_unit_test(test_a_node_is_avoided_twice_as_long_each_time),
        cmocka_unit_test(test_texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
