/* What JobSet's suites expect of the life of a job (pkg/controllers/..._test.go, test/integration,
 * test/e2e, as of November 2026), told of one TrainingJob: README.md says which case is which, and
 * what differs. */
#include <stdio.h>
#include <string.h>
#include "tests/unit/controller/world.h"

#define RULES(rules) "{\"spec\":{\"backoffLimit\":1,\"failurePolicy\":{\"rules\":[" rules "]}}}"
#define CODES(action, codes) \
    "{\"action\":\"" action "\",\"onExitCodes\":{\"operator\":\"In\",\"values\":[" codes "]}}"

/* Rank `rank` of job a ends with this code after a step, so that the next restart is at once. */
static void fails(struct world *w, uint32_t rank, int code)
{
    static int64_t step;
    world_progress(w, world_launcher(w, "a", 0), ++step, 1000);
    world_rank_exits(w, world_launcher(w, "a", rank), 0, code, 0, 1000);
    world_advance(w, 300);
}

static void expect(struct world *w, const char *phase, int64_t restarts, int64_t charged)
{
    assert_string_equal(world_phase(w, "a"), phase);
    assert_int_equal(world_number(w, "a", "restarts"), restarts);
    assert_int_equal(world_number(w, "a", "restartsCharged"), charged);
}

/* "jobset should successfully create jobs", "succeeds from first run" */
static void test_all_pods_come_and_the_job_succeeds_when_all_ranks_have(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 4, NULL);
    expect(&w, "Running", 0, 0);
    assert_int_equal(w.pods_created, 4);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

/* "jobset should not succeed if any job is not completed", "success policy 'all'" */
static void test_one_rank_that_still_runs_is_enough_to_go_on(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 3, NULL);
    for (uint32_t slot = 0; slot < 2; slot++)
        world_rank_exits(&w, world_launcher(&w, "a", slot), 0, 0, 0, 1000);
    world_advance(&w, 60000);
    expect(&w, "Running", 0, 0);
    world_rank_exits(&w, world_launcher(&w, "a", 2), 0, 0, 0, 70000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

/* "success policy 'any' with replicated job specified", "active jobs are deleted after jobset
 * succeeds". Differs: any is rank 0, the one that has the model. */
static void test_rank_0_may_decide_alone_and_the_others_are_stopped(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 3, "{\"spec\":{\"successPolicy\":\"Rank0\"}}");
    world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 0, 0, 1000);
    expect(&w, "Running", 0, 0);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 0, 0, 1000);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_null(world_launcher(&w, "a", slot));
    world_release(&w);
}

/* "[failure policy] jobset with no failure policy should fail if any jobs fail", "fails from first
 * run, no restarts", "active jobs are deleted after jobset fails". Differs: backoffLimit is 3
 * (JobSet: 0 restarts) unless the job says 0. */
static void test_without_retries_the_first_failure_ends_the_job_and_all_its_ranks(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 3, "{\"spec\":{\"backoffLimit\":0}}");
    fails(&w, 1, 7);
    expect(&w, "Failed", 0, 0);
    world_advance(&w, 20000);
    for (uint32_t slot = 0; slot < 3; slot++)
        assert_null(world_launcher(&w, "a", slot));
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 7);
    world_release(&w);
}

/* "jobset fails after reaching max restarts" */
static void test_the_second_failure_ends_a_job_with_one_retry(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"backoffLimit\":1}}");
    fails(&w, 0, 1);
    expect(&w, "Running", 1, 1);
    fails(&w, 1, 1);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "BackoffLimitExceeded");
    world_release(&w);
}

/* "job succeeds after one failure": what had succeeded already runs again with the others. */
static void test_a_job_succeeds_after_one_failure_and_all_ranks_have_run_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"backoffLimit\":1}}");
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 0, 0, 500);
    fails(&w, 1, 1);
    expect(&w, "Running", 1, 1);
    assert_int_equal(w.starts, 4);
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

/* "[failure policy] jobset fails immediately with FailJobSet failure policy action" */
static void test_a_rule_fails_the_job_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, RULES(CODES("FailJob", "3")));
    fails(&w, 1, 3);
    expect(&w, "Failed", 0, 0);
    assert_string_equal(world_reason(&w, "a", "Failed"), "FailurePolicy");
    world_release(&w);
}

/* "... does not fail immediately with FailJobSet failure policy action as the rule is not matched"
 */
static void test_a_rule_that_does_not_match_leaves_the_usual(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, RULES(CODES("FailJob", "3")));
    fails(&w, 1, 4);
    expect(&w, "Running", 1, 1);
    world_release(&w);
}

/* "[failure policy] jobset restarts with RestartJobSet failure policy action" */
static void test_a_rule_that_restarts_is_charged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, RULES(CODES("Restart", "3") "," CODES("FailJob", "4")));
    fails(&w, 0, 3);
    expect(&w, "Running", 1, 1);
    fails(&w, 0, 4);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    world_release(&w);
}

/* "[failure policy] jobset restarts with RestartJobSetAndIgnoreMaxRestarts failure policy action",
 * "failure policy rules order verification test 3" */
static void test_a_rule_that_ignores_is_never_charged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, RULES(CODES("Ignore", "3") "," CODES("FailJob", "1,2,4")));
    for (int64_t n = 1; n <= 3; n++) {
        fails(&w, 0, 3);
        expect(&w, "Running", n, 0);
    }
    fails(&w, 1, 4);
    expect(&w, "Failed", 3, 0);
    world_release(&w);
}

/* "[failure policy] failure policy rules order verification test 1" and "2", and
 * TestFindFirstFailedPolicyRuleAndJob: the first rule that matches decides. */
static void test_the_first_of_two_rules_that_match_decides(void **state)
{
    static const struct {
        const char *patch, *phase;
    } rows[] = {
        {RULES(CODES("FailJob", "3") "," CODES("Restart", "3")), "Failed"},
        {RULES(CODES("Restart", "3") "," CODES("FailJob", "3")), "Running"},
        {RULES(CODES("FailJob", "4") "," CODES("Restart", "3")), "Running"},
        {RULES(CODES("Restart", "4") "," CODES("FailJob", "3")), "Failed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, 1, 2);
        world_submit(&w, "a", 2, rows[i].patch);
        fails(&w, 1, 3);
        assert_string_equal(world_phase(&w, "a"), rows[i].phase);
        world_release(&w);
    }
}

/* TestFindFirstFailedJob "Multiple failed jobs, earliest first" */
static void test_of_several_that_failed_the_earliest_is_judged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 3);
    world_submit(&w, "a", 3, RULES(CODES("FailJob", "5") "," CODES("Restart", "6")));
    world_channel_breaks(&w, world_launcher(&w, "a", 0));
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 6, 0, 3000); /* first, and told last */
    world_rank_exits(&w, world_launcher(&w, "a", 1), 0, 5, 0, 5000);
    world_launcher_connects(&w, world_launcher(&w, "a", 0));
    world_advance(&w, 500);
    expect(&w, "Running", 1, 1);
    assert_int_equal(world_number(&w, "a", "failures[0].rank"), 0);
    world_release(&w);
}

/* "[failure policy] jobs are recreated after all Jobs are deleted with BlockingRecreate strategy"
 * and in_place_restart_test.go. Differs: by default pods stay, and no rank starts before all have
 * stopped; with inPlace false all pods are new ones. */
static void test_no_rank_starts_again_before_all_have_stopped(void **state)
{
    static const char *const patches[] = {NULL,
                                          "{\"spec\":{\"failurePolicy\":{\"inPlace\":false}}}"};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 1, 3);
        world_submit(&w, "a", 3, patches[i]);
        world_channel_breaks(&w, world_launcher(&w, "a", 2));
        world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 1000);
        world_advance(&w, 500);
        assert_int_equal(w.starts, 3);
        world_launcher_connects(&w, world_launcher(&w, "a", 2));
        world_advance(&w, 15000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(w.starts, 6);
        assert_int_equal(w.pods_created, i ? 6 : 3);
        world_release(&w);
    }
}

/* "jobset created in suspended state", "startupPolicy ...; suspend should keep jobs suspended" */
static void test_a_job_created_suspended_has_no_pods_and_no_place(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_string_equal(world_condition(&w, "a", "Suspended"), "True");
    assert_int_equal(w.pods_created, 0);
    world_submit(&w, "b", 2, NULL);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

/* "resume a suspended jobset", e2e "should allow to resume JobSet after updating PodTemplate" */
static void test_a_suspended_job_is_resumed_with_a_template_that_was_changed_meanwhile(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_patch(&w, "nodes//node002", "{\"metadata\":{\"labels\":{\"pool\":\"b\"}}}");
    world_submit(&w, "a", 2, "{\"spec\":{\"suspend\":true}}");
    world_patch(&w, "trainingjobs/team/a",
                "{\"spec\":{\"workers\":{\"template\":{\"spec\":{\"nodeSelector\":{\"pool\":"
                "\"none\"}}}}}}");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_int_equal(w.pods_created, 0);
    world_patch(&w, "trainingjobs/team/a",
                "{\"spec\":{\"suspend\":true,\"workers\":{\"template\":{\"spec\":{"
                "\"nodeSelector\":{\"pool\":\"b\"}}}}}}");
    world_run(&w);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[002,002]");
    assert_string_equal(world_condition(&w, "a", "Suspended"), "False");
    assert_string_equal(world_reason(&w, "a", "Suspended"), "Resumed");
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_release(&w);
}

/* "suspend a running jobset" */
static void test_a_running_job_that_is_suspended_gives_its_place_back_uncharged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "a"), "Suspended");
    assert_null(world_launcher(&w, "a", 0));
    world_submit(&w, "b", 2, NULL);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_job_ends_well(&w, "b");
    world_advance(&w, 1000);
    expect(&w, "Running", 0, 0);
    assert_int_equal(world_number(&w, "a", "attempt"), 2);
    world_release(&w);
}

/* active_deadline_test.go: the deadline fails a running job, and does not count while it waits. */
static void test_a_deadline_fails_a_job_that_runs_and_none_that_waits(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"activeDeadlineSeconds\":60}}");
    world_submit(&w, "b", 2, "{\"spec\":{\"activeDeadlineSeconds\":60}}");
    world_advance(&w, 59000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_reason(&w, "a", "Failed"), "DeadlineExceeded");
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

/* ttl_after_finished_test.go */
static void test_a_finished_job_is_deleted_after_its_time_and_no_other(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, "{\"spec\":{\"ttlSecondsAfterFinished\":10}}");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_job_ends_well(&w, "a");
    world_advance(&w, 8000);
    assert_int_equal(world_count(&w, "trainingjobs"), 1);
    world_advance(&w, 4000);
    assert_int_equal(world_count(&w, "trainingjobs"), 0);
    world_release(&w);
}

/* TestReconcile "finished JobSet": an end is final. */
static void test_a_finished_job_does_not_run_again_whatever_becomes_of_its_pods(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 2, NULL);
    world_job_ends_well(&w, "a");
    world_delete(&w, "pods/team/a-worker-0");
    world_replace_controller(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    assert_int_equal(w.pods_created, 2);
    world_release(&w);
}

/* "a JobSet is managed by another controller", startupPolicy, dependsOn, coordinator, more than one
 * replicated job: not in the product, and none of it is taken silently. */
static void test_what_is_not_in_the_product_is_refused_by_name(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 2);
    world_submit(&w, "a", 1, "{\"spec\":{\"elastic\":{\"minReplicas\":1}}}");
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_non_null(strstr(world_message(&w, "a", "Failed"), "spec.elastic"));
    assert_int_equal(w.pods_created, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pods_come_and_the_job_succeeds_when_all_ranks_have),
        cmocka_unit_test(test_one_rank_that_still_runs_is_enough_to_go_on),
        cmocka_unit_test(test_rank_0_may_decide_alone_and_the_others_are_stopped),
        cmocka_unit_test(test_without_retries_the_first_failure_ends_the_job_and_all_its_ranks),
        cmocka_unit_test(test_the_second_failure_ends_a_job_with_one_retry),
        cmocka_unit_test(test_a_job_succeeds_after_one_failure_and_all_ranks_have_run_again),
        cmocka_unit_test(test_a_rule_fails_the_job_at_once),
        cmocka_unit_test(test_a_rule_that_does_not_match_leaves_the_usual),
        cmocka_unit_test(test_a_rule_that_restarts_is_charged),
        cmocka_unit_test(test_a_rule_that_ignores_is_never_charged),
        cmocka_unit_test(test_the_first_of_two_rules_that_match_decides),
        cmocka_unit_test(test_of_several_that_failed_the_earliest_is_judged),
        cmocka_unit_test(test_no_rank_starts_again_before_all_have_stopped),
        cmocka_unit_test(test_a_job_created_suspended_has_no_pods_and_no_place),
        cmocka_unit_test(
            test_a_suspended_job_is_resumed_with_a_template_that_was_changed_meanwhile),
        cmocka_unit_test(test_a_running_job_that_is_suspended_gives_its_place_back_uncharged),
        cmocka_unit_test(test_a_deadline_fails_a_job_that_runs_and_none_that_waits),
        cmocka_unit_test(test_a_finished_job_is_deleted_after_its_time_and_no_other),
        cmocka_unit_test(test_a_finished_job_does_not_run_again_whatever_becomes_of_its_pods),
        cmocka_unit_test(test_what_is_not_in_the_product_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
