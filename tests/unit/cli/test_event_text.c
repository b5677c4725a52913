/* Events as rows: whose they are, in which order, what each cell says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/event_text.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define NOW_MS INT64_C(1764000120000) /* 2025-11-24T16:02:00Z */

static cJSON *parse(const char *yaml)
{
    cJSON *documents = NULL;
    struct mlt_error err = {0};
    if (json_parse_yaml(yaml, strlen(yaml), &documents, &err) < 0)
        fail_msg("%s", err.text);
    cJSON *first = cJSON_DetachItemFromArray(documents, 0);
    cJSON_Delete(documents);
    return first;
}

static void test_rows_come_in_order_and_say_what_happened(void **state)
{
    (void)state;
    cJSON *events cleanup_json = parse(
        "- {metadata: {name: c}, type: Warning, reason: Later, message: \"two\\nlines\\e[2J\", "
        "count: 3, lastTimestamp: '2025-11-24T16:01:30Z', "
        "involvedObject: {kind: TrainingJob, name: a}}\n"
        "- {metadata: {name: b}, type: Normal, reason: Micro, message: m, "
        "eventTime: '2025-11-24T16:00:00.000000Z', series: {count: 7, "
        "lastObservedTime: '2025-11-24T16:01:50.000000Z'}, involvedObject: {kind: Pod, name: p}}\n"
        "- {metadata: {name: a}, type: Normal, reason: First, message: m, "
        "lastTimestamp: '2025-11-24T16:00:00Z', involvedObject: {kind: TrainingQueue, name: q}}\n"
        "- {metadata: {name: d}, message: without a time}\n");
    const cJSON **sorted;
    size_t count = events_sorted(events, &sorted);
    struct mlt_text text cleanup_text = MLT_TEXT_INIT(10000);
    for (size_t i = 0; i < count; i++)
        for (int column = 0; column < EVENT_COLUMN_COUNT; column++) {
            char cell[EVENT_CELL_MAX];
            event_cell(sorted[i], (enum event_column)column, NOW_MS, cell);
            mlt_text_printf(&text, "%s%s", cell, column + 1 < EVENT_COLUMN_COUNT ? "|" : "\n");
        }
    free(sorted);
    assert_string_equal(mlt_text_string(&text),
                        "||"
                        "|?/?|without a time\n"
                        "2m|Normal|First|trainingqueue/q|m\n"
                        "30s|Warning|Later|trainingjob/a|two lines?[2J (3 times)\n"
                        "10s|Normal|Micro|pod/p|m (7 times)\n");
}

static void test_events_of_one_second_come_in_the_order_of_their_versions(void **state)
{
    (void)state;
    cJSON *events cleanup_json =
        parse("- {metadata: {name: b, resourceVersion: '10'}, reason: Second}\n"
              "- {metadata: {name: c, resourceVersion: '9'}, reason: First}\n"
              "- {metadata: {name: a, resourceVersion: '11'}, reason: Third}\n");
    const cJSON **sorted;
    assert_int_equal(events_sorted(events, &sorted), 3);
    assert_string_equal(json_string(sorted[0], "reason", ""), "First");
    assert_string_equal(json_string(sorted[1], "reason", ""), "Second");
    assert_string_equal(json_string(sorted[2], "reason", ""), "Third");
    free(sorted);
}

static void test_a_message_of_any_length_fits_into_its_cell(void **state)
{
    (void)state;
    char message[3 * EVENT_CELL_MAX], cell[EVENT_CELL_MAX];
    memset(message, 'm', sizeof message);
    message[sizeof message - 1] = '\0';
    cJSON *event cleanup_json = parse("{count: 2, involvedObject: {kind: Pod}}");
    json_set_string(event, "message", message);
    json_set_string(event, "involvedObject.name", message);
    event_cell(event, EVENT_COLUMN_MESSAGE, NOW_MS, cell);
    assert_string_equal(cell + strlen(cell) - 10, " (2 times)");
    event_cell(event, EVENT_COLUMN_OBJECT, NOW_MS, cell);
    assert_int_equal(strlen(cell), strlen("pod/") + 256);
}

static void expect_about(bool expected, const char *object, const char *time)
{
    cJSON *job cleanup_json = parse(
        "{metadata: {name: a, namespace: ns, uid: u1, creationTimestamp: '2025-11-24T16:00:00Z'}, "
        "spec: {roles: [{name: server}]}}");
    cJSON *event cleanup_json = cJSON_CreateObject(), *involved = parse(object);
    json_set(event, "involvedObject", involved);
    json_set_string(event, "lastTimestamp", time);
    if (event_is_about(event, job) != expected)
        fail_msg("%s at %s: expected %d", object, time, expected);
}

static void test_a_job_has_its_own_events_and_those_of_its_pods(void **state)
{
    (void)state;
    static const char now[] = "2025-11-24T16:01:00Z";
    expect_about(true, "{kind: TrainingJob, namespace: ns, name: a, uid: u1}", now);
    expect_about(false, "{kind: TrainingJob, namespace: ns, name: a, uid: u0}", now);
    expect_about(true, "{kind: Pod, namespace: ns, name: a-worker-0}", now);
    expect_about(true, "{kind: Pod, namespace: ns, name: a-worker-11-r2}", now);
    expect_about(true, "{kind: Pod, namespace: ns, name: a-server-0}", now);
    expect_about(false, "{kind: Pod, namespace: other, name: a-worker-0}", now);
    expect_about(false, "{kind: Pod, namespace: ns, name: a-worker-0}", "2025-11-24T15:59:59Z");
    /* Of the job `a-worker-1`, of a Deployment `a`, of nobody. */
    expect_about(false, "{kind: Pod, namespace: ns, name: a-worker-1-worker-0}", now);
    expect_about(false, "{kind: Pod, namespace: ns, name: a-worker-0-r1x}", now);
    expect_about(false, "{kind: Pod, namespace: ns, name: a-7d8f9-x2x2x}", now);
    expect_about(false, "{kind: Pod, namespace: ns, name: a-worker-}", now);
    expect_about(false, "{kind: Secret, namespace: ns, name: a-worker-0}", now);
}

static void test_without_a_job_all_jobs_and_queues_are_meant(void **state)
{
    (void)state;
    cJSON *job cleanup_json = parse("{involvedObject: {kind: TrainingJob}}"),
               *queue cleanup_json = parse("{involvedObject: {kind: TrainingQueue}}"),
               *pod cleanup_json = parse("{involvedObject: {kind: Pod}}");
    assert_true(event_is_about(job, NULL));
    assert_true(event_is_about(queue, NULL));
    assert_false(event_is_about(pod, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_in_order_and_say_what_happened),
        cmocka_unit_test(test_events_of_one_second_come_in_the_order_of_their_versions),
        cmocka_unit_test(test_a_message_of_any_length_fits_into_its_cell),
        cmocka_unit_test(test_a_job_has_its_own_events_and_those_of_its_pods),
        cmocka_unit_test(test_without_a_job_all_jobs_and_queues_are_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
