/* How many requests jobs cost, and in what order they go: what nobody waits for delays no pod. */
#include <stdio.h>
#include <string.h>
#include "controller/internal.h"
#include "world.h"
#include "world_internal.h"

#define JOBS 40

static void put_jobs(struct world *w, const char *patch)
{
    char name[16];
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(name, sizeof name, "j%d", i);
        world_put_job(w, name, 1, patch);
    }
}

static unsigned count_phase(struct world *w, const char *phase)
{
    char name[16];
    unsigned count = 0;
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(name, sizeof name, "j%d", i);
        count += strcmp(world_phase(w, name), phase) == 0;
    }
    return count;
}

/* ---- the dry run ---- */

static void test_jobs_with_the_same_pods_share_a_dry_run(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    put_jobs(&w, NULL);
    world_run(&w);
    assert_int_equal(w.dry_runs, 1);
    assert_int_equal(count_phase(&w, "Running"), JOBS);
    world_release(&w);
}

/* Each cost a dry run of its own: nothing is taken for equal but the job's name and UID. */
static void test_jobs_with_other_pods_do_not(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 8);
    world_put_job(&w, "a", 1, NULL);
    world_put_job(&w, "b", 1, NULL);
    world_put_job(&w, "c", 1, "{\"spec\":{\"priorityClassName\":\"high\"}}");
    world_put_job(&w, "d", 1,
                  "{\"spec\":{\"workers\":{\"template\":{\"metadata\":{\"labels\":{\"x\":"
                  "\"y\"}}}}}}");
    world_put_job(&w, "e", 1,
                  "{\"spec\":{\"workers\":{\"template\":{\"spec\":{\"serviceAccountName\":"
                  "\"s\"}}}}}");
    world_run(&w);
    assert_int_equal(w.dry_runs, 4);
    world_release(&w);
}

static void test_after_a_moment_the_api_server_is_asked_again(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 8);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 4900);
    world_submit(&w, "b", 1, NULL);
    assert_int_equal(w.dry_runs, 1);
    world_advance(&w, 200);
    world_submit(&w, "c", 1, NULL);
    assert_int_equal(w.dry_runs, 2);
    world_release(&w);
}

/* The words may be about the one whose pod it was. */
static void test_a_refusal_is_nobody_elses(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.refuse_dry_run = "not with that name";
    put_jobs(&w, NULL);
    world_run(&w);
    assert_int_equal(w.dry_runs, JOBS);
    assert_string_equal(world_message(&w, "j7", "Admitted"), "not with that name");
    w.refuse_dry_run = NULL;
    world_advance(&w, 20000);
    assert_int_equal(count_phase(&w, "Running"), JOBS);
    world_release(&w);
}

static void test_who_waits_for_the_dry_run_of_a_job_that_goes_asks_himself(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.unavailable = 1; /* the dry run is tried again after a while, and the job is gone by then */
    put_jobs(&w, NULL);
    world_run(&w);
    assert_int_equal(w.dry_runs, 0);
    world_delete(&w, "trainingjobs/team/j0");
    world_run(&w);
    assert_int_equal(w.dry_runs, 1);
    assert_int_equal(count_phase(&w, "Running"), JOBS - 1);
    world_release(&w);
}

static void test_a_spec_that_changes_during_its_dry_run_is_tried_too(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 8);
    w.unavailable = 1;
    world_submit(&w, "a", 1, NULL);
    world_patch(&w, "trainingjobs/team/a",
                "{\"spec\":{\"workers\":{\"template\":{\"metadata\":{\"labels\":{\"x\":"
                "\"y\"}}}}}}");
    world_advance(&w, 2000);
    assert_int_equal(w.dry_runs, 2);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

/* A quota, for example, that was used up in between. */
static void test_after_a_refused_pod_the_answer_is_not_believed_any_more(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 8);
    w.refuse_pod = "exceeded quota";
    world_submit(&w, "a", 1, NULL);
    assert_int_equal(w.dry_runs, 1);
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    world_submit(&w, "b", 1, NULL);
    assert_int_equal(w.dry_runs, 2);
    world_release(&w);
}

/* What still waits for its turn is not written yet, and not wanted any more. */
static void test_a_refused_pod_saves_the_creation_of_the_others(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.refuse_pod = "exceeded quota";
    world_submit(&w, "a", 40, NULL);
    assert_string_equal(world_reason(&w, "a", "Admitted"), "PodRefused");
    assert_in_range(w.pods_refused, 1, 16); /* the window */
    w.refuse_pod = NULL;
    world_advance(&w, 16000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.pods_created, 40);
    world_release(&w);
}

/* ---- what may wait ---- */

static void test_a_job_that_finds_its_place_at_once_is_placed_by_its_first_write(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 8);
    w.no_kubelet = true;
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    assert_int_equal(w.status_writes, 1);
    assert_string_equal(world_condition(&w, "a", "Queued"), "False");
    world_release(&w);
}

static void test_a_job_whose_dry_run_takes_long_is_told_to_be_queued(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 8);
    w.hangs_dry_run = true;
    world_submit(&w, "a", 1, NULL);
    assert_string_equal(world_phase(&w, "a"), "");
    world_advance(&w, 600);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    world_release(&w);
}

static void test_no_event_goes_before_the_pods(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.no_kubelet = true;
    put_jobs(&w, NULL);
    world_run(&w);
    assert_int_equal(w.pods_created, JOBS);
    assert_true(w.pods_at_first_event >= JOBS - 16); /* the window: the others were under way */
    assert_int_equal(world_events(&w, "Admitted"), JOBS);
    world_release(&w);
}

/* The jobs' condition PodsReady after 15 s: many lazy writes at once. */
static void test_a_new_job_does_not_wait_for_what_is_written_of_others(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 6, 8);
    w.no_kubelet = true;
    put_jobs(&w, NULL);
    world_advance(&w, 15100);
    unsigned writes = w.status_writes;
    w.now_ms += 200; /* all of these are due, and the job comes */
    w.wall_ms += 200;
    world_put_job(&w, "new", 1, NULL);
    world_run(&w);
    assert_int_equal(w.pods_created, JOBS + 1);
    assert_true(w.writes_at_last_pod - writes < JOBS / 2);
    assert_int_equal(w.status_writes - writes, JOBS + 1);
    assert_string_equal(world_reason(&w, "j0", "PodsReady"), "PodsStarting");
    assert_string_equal(world_reason(&w, "j39", "PodsReady"), "PodsStarting");
    world_release(&w);
}

/* Some of these meet a server that has no time for them, and try again by and by. */
static void test_lazy_writes_that_are_tried_again_are_not_in_the_way_of_others(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.no_kubelet = true;
    put_jobs(&w, NULL);
    world_advance(&w, 15100);
    unsigned writes = w.status_writes;
    w.unavailable = 8;
    w.now_ms += 200;
    w.wall_ms += 200;
    world_run(&w);
    assert_int_equal(w.status_writes - writes, JOBS - 8);
    world_advance(&w, 5000);
    assert_int_equal(w.status_writes - writes, JOBS);
    world_release(&w);
}

/* The window is small, so that of what may wait one goes at a time; the first gets no answer. */
static void test_a_lazy_write_without_an_answer_holds_others_back_for_a_while_only(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 5, 8);
    w.no_kubelet = true;
    put_jobs(&w, NULL);
    world_advance(&w, 14000);
    unsigned writes = w.status_writes;
    w.c->apply.window.milli = 4000;
    w.mute = "/j3/status";
    world_advance(&w, 2000);
    assert_null(w.mute);
    assert_true(w.status_writes - writes < JOBS / 2);
    world_advance(&w, APPLY_LAZY_PATIENCE_MS);
    assert_int_equal(w.status_writes - writes, JOBS - 1);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jobs_with_the_same_pods_share_a_dry_run),
        cmocka_unit_test(test_jobs_with_other_pods_do_not),
        cmocka_unit_test(test_after_a_moment_the_api_server_is_asked_again),
        cmocka_unit_test(test_a_refusal_is_nobody_elses),
        cmocka_unit_test(test_who_waits_for_the_dry_run_of_a_job_that_goes_asks_himself),
        cmocka_unit_test(test_a_spec_that_changes_during_its_dry_run_is_tried_too),
        cmocka_unit_test(test_a_refused_pod_saves_the_creation_of_the_others),
        cmocka_unit_test(test_after_a_refused_pod_the_answer_is_not_believed_any_more),
        cmocka_unit_test(test_a_job_that_finds_its_place_at_once_is_placed_by_its_first_write),
        cmocka_unit_test(test_a_job_whose_dry_run_takes_long_is_told_to_be_queued),
        cmocka_unit_test(test_no_event_goes_before_the_pods),
        cmocka_unit_test(test_a_new_job_does_not_wait_for_what_is_written_of_others),
        cmocka_unit_test(test_lazy_writes_that_are_tried_again_are_not_in_the_way_of_others),
        cmocka_unit_test(
            test_a_lazy_write_without_an_answer_holds_others_back_for_a_while_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
