/* trainingjob/validate.c, template.c, fields.c and update.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

static void expect_message(const cJSON *object, const char *message, const char *what)
{
    struct mlt_error err = {0};
    int rc = trainingjob_validate(object, &err);
    if (!message && rc != 0)
        fail_msg("%s: refused: %s", what, err.text);
    if (message && (rc != -EINVAL || strncmp(err.text, message, strlen(message)) != 0))
        fail_msg("%s: expected `%s`, got `%s`", what, message, rc == 0 ? "accepted" : err.text);
}

static void test_good_jobs_are_accepted_with_and_without_defaults(void **state)
{
    (void)state;
    cleanup_json cJSON *full = full_job(), *small = small_job();
    expect_message(full, NULL, "full");
    expect_message(small, NULL, "small");
    trainingjob_default(full);
    trainingjob_default(small);
    expect_message(full, NULL, "full with defaults");
    expect_message(small, NULL, "small with defaults");
    static const struct {
        const char *sentence, *pointer, *value;
    } rows[] = {
        {"a null counts as absent", "/spec/queue", "null"},
        {"a name may be missing (generateName)", "/metadata/name", NULL},
        {"a name of 36 characters", "/metadata/name", "\"a23456789012345678901234567890123456\""},
        {"status is not looked at", "/status", "{\"phase\":5,\"x\":1}"},
        {"unknown fields of a pod stay", "/spec/workers/template/spec/newFeature", "{\"a\":1}"},
        {"the restart policy may be missing", "/spec/workers/template/spec/restartPolicy", NULL},
        {"format auto with a pattern", "/spec/checkpoint/format", "\"auto\""},
        {"a framework's format, with repair", "/spec/checkpoint",
         "{\"path\":\"/c\",\"format\":\"deepspeed\",\"repair\":true}"},
        {"a checkpoint without a path has a grace", "/spec/checkpoint",
         "{\"gracePeriodSeconds\":5}"},
        {"no rules", "/spec/failurePolicy/rules", "[]"},
        {"pods that are created bound", "/spec/scheduling/binding", "\"node\""},
        {"pods that the scheduler binds", "/spec/scheduling/binding", "\"affinity\""},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *changed = with(full, rows[i].pointer, rows[i].value);
        expect_message(changed, NULL, rows[i].sentence);
    }
}

static void test_every_field_wrong_once_is_named(void **state)
{
    (void)state;
    cleanup_json cJSON *full = full_job();
    cleanup_json cJSON *rows = read_yaml_file("tests/unit/trainingjob/invalid.yaml");
    const cJSON *row;
    assert_true(json_size(rows, "") > 100);
    cJSON_ArrayForEach(row, rows)
    {
        cleanup_json cJSON *bad = with_row(full, row);
        const char *message = json_string(row, "message", NULL);
        assert_non_null(message);
        expect_message(bad, message, json_string(row, "at", "?"));
    }
    cleanup_json cJSON *list = parse_json("[]");
    expect_message(list, "expected a TrainingJob object", "a list");
}

static void test_what_is_not_supported_yet_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *pointer, *value, *message;
    } rows[] = {
        {"/spec/framework", "\"jax\"", "spec.framework: `jax` is not supported yet"},
        {"/spec/roles",
         "[{\"name\":\"a\",\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"command\":["
         "\"a\"]}]}}}]",
         "spec.roles: not supported yet"},
        {"/spec/scheduling/spares", "1", "spec.scheduling.spares: not supported yet"},
    };
    cleanup_json cJSON *full = full_job();
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *bad = with(full, rows[i].pointer, rows[i].value);
        expect_message(bad, rows[i].message, rows[i].pointer);
    }
    cleanup_json cJSON *one = with(full, "/spec/workers/minReplicas", "2");
    cleanup_json cJSON *elastic = with(one, "/spec/workers/maxReplicas", "8");
    expect_message(elastic, "spec.workers.minReplicas: not supported yet", "elastic");
    cleanup_json cJSON *outside = with(elastic, "/spec/workers/maxReplicas", "3");
    expect_message(outside, "spec.workers.replicas: expected minReplicas <= replicas", "bounds");
}

static void test_what_may_change_depends_on_the_phase(void **state)
{
    (void)state;
    cleanup_json cJSON *full = full_job();
    cleanup_json cJSON *rows = read_yaml_file("tests/unit/trainingjob/updates.yaml");
    const cJSON *row;
    assert_true(json_size(rows, "") > 20);
    cJSON_ArrayForEach(row, rows)
    {
        struct mlt_error err = {0};
        const char *phase = json_string(row, "phase", "?"), *at = json_string(row, "at", "?");
        const char *message = json_string(row, "message", NULL);
        cleanup_json cJSON *before = json_copy(full);
        json_set_string(before, "status.phase", phase);
        cleanup_json cJSON *after = with_row(before, row);
        int rc = trainingjob_validate_update(before, after, &err);
        if (rc != (message ? -EINVAL : 0) ||
            (message && strncmp(err.text, message, strlen(message)) != 0))
            fail_msg("%s %s: %s", phase, at, rc ? err.text : "accepted");
    }
}

static void test_a_default_that_is_written_out_is_no_change(void **state)
{
    (void)state;
    cleanup_json cJSON *before = small_job();
    json_set_string(before, "status.phase", "Running");
    cleanup_json cJSON *after = json_copy(before);
    trainingjob_default(after);
    assert_int_equal(trainingjob_validate_update(before, after, NULL), 0);
}

static void test_an_elastic_job_may_change_its_size_while_it_runs(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    cleanup_json cJSON *before = full_job();
    json_set_string(before, "status.phase", "Running");
    json_set_integer(before, "spec.workers.minReplicas", 2);
    json_set_integer(before, "spec.workers.maxReplicas", 8);
    cleanup_json cJSON *inside = with(before, "/spec/workers/replicas", "8");
    cleanup_json cJSON *outside = with(before, "/spec/workers/replicas", "9");
    cleanup_json cJSON *bounds = with(before, "/spec/workers/maxReplicas", "9");
    assert_int_equal(trainingjob_validate_update(before, inside, &err), 0);
    assert_int_equal(trainingjob_validate_update(before, outside, &err), -EINVAL);
    assert_int_equal(trainingjob_validate_update(before, bounds, &err), -EINVAL);
    json_set_string(before, "status.phase", "Failed");
    assert_int_equal(trainingjob_validate_update(before, inside, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_jobs_are_accepted_with_and_without_defaults),
        cmocka_unit_test(test_every_field_wrong_once_is_named),
        cmocka_unit_test(test_what_is_not_supported_yet_is_refused_by_name),
        cmocka_unit_test(test_what_may_change_depends_on_the_phase),
        cmocka_unit_test(test_a_default_that_is_written_out_is_no_change),
        cmocka_unit_test(test_an_elastic_job_may_change_its_size_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
