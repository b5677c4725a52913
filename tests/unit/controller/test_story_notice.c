/* What launchers and the kubelet know better than the controller: notices, and containers that ran
 * out of memory. */
#include "world_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static void say_notice(struct world *w, const struct world_launcher *l,
                       enum rendezvous_severity severity, const char *reason, const char *words)
{
    const struct rendezvous_message m = {
        .type = RENDEZVOUS_NOTICE,
        .attempt = l->attempt,
        .notice = {.severity = (uint8_t)severity, .reason = reason, .words = words}};
    struct mlt_text text = MLT_TEXT_INIT(RENDEZVOUS_PAYLOAD_MAX);
    rendezvous_message_write(&text, &m);
    assert_false(text.failed);
    struct world_event *e = world_push(w, CONTROLLER_CHANNEL_FRAME, l->channel);
    e->data = mlt_memdup(text.data + RENDEZVOUS_HEADER_SIZE, text.length - RENDEZVOUS_HEADER_SIZE);
    e->frame =
        (struct rendezvous_frame){.version = RENDEZVOUS_VERSION,
                                  .type = RENDEZVOUS_NOTICE,
                                  .attempt = l->attempt,
                                  .payload = (const unsigned char *)e->data,
                                  .length = (uint32_t)(text.length - RENDEZVOUS_HEADER_SIZE)};
    mlt_text_release(&text);
    world_run(w);
}

static void test_a_notice_becomes_an_event_of_the_job(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 2, NULL);
    const struct world_launcher *l = world_launcher(&w, "a", 1);
    say_notice(&w, l, RENDEZVOUS_SEVERITY_WARNING, "CheckpointFolder", "\xff does not answer");
    world_advance(&w, 100);
    assert_string_equal(world_event_message(&w, "CheckpointFolder"), "? does not answer");
    say_notice(&w, l, RENDEZVOUS_SEVERITY_NORMAL, "no word", "refused");
    world_advance(&w, 100);
    assert_false(world_has_event(&w, "no word"));
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_reserved_names_of_the_template_are_told_once(void **state)
{
    static const struct {
        const char *sentence, *patch, *reason, *other;
    } rows[] = {
        {"in the template",
         "{\"spec\":{\"workers\":{\"template\":{\"spec\":{\"containers\":[{\"name\":"
         "\"trainer\",\"image\":\"i\",\"command\":[\"c\"],\"env\":[{\"name\":\"RANK\","
         "\"value\":\"7\"}],\"resources\":{\"limits\":{\"nvidia.com/gpu\":1}}}]}}}}}",
         "ReservedVariable", "ReservedEnvironment"},
        {"in the image", NULL, "ReservedEnvironment", "ReservedVariable"},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct world w;
        world_init(&w, 2, 2);
        world_submit(&w, "a", 1, rows[i].patch);
        say_notice(&w, world_launcher(&w, "a", 0), RENDEZVOUS_SEVERITY_WARNING,
                   "ReservedEnvironment", "overridden: RANK");
        world_advance(&w, 100);
        if (!world_has_event(&w, rows[i].reason) || world_has_event(&w, rows[i].other))
            fail_msg("%s", rows[i].sentence);
        world_release(&w);
    }
}

/* As the kubelet reports it on cgroup v2: the launcher was killed with its ranks. */
static void test_a_container_that_was_oom_killed_is_out_of_memory_and_charged(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_submit(&w, "a", 3, NULL);
    struct world_launcher *l = world_launcher(&w, "a", 1);
    cleanup_free char *key = mlt_strdup(l->pod);
    world_launcher_dies(&w, l);
    world_rank_exits(&w, world_launcher(&w, "a", 0), 0, 1, 0, 70); /* the echo comes first */
    world_run(&w);
    world_patch(&w, key,
                "{\"status\":{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"trainer\","
                "\"state\":{\"terminated\":{\"exitCode\":137,\"reason\":\"OOMKilled\"}}}]}}");
    world_run(&w);
    world_advance(&w, 100);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "failures[0].cause"), "OutOfMemory");
    assert_int_equal(world_number(&w, "a", "failures[0].exitCode"), 137);
    assert_int_equal(world_number(&w, "a", "restartsCharged"), 1);
    world_release(&w);
}

static void assert_waits_for(struct world *w, const char *reason, const char *words)
{
    assert_string_equal(world_condition(w, "a", "PodsReady"), "False");
    assert_string_equal(world_reason(w, "a", "PodsReady"), reason);
    assert_string_equal(world_message(w, "a", "PodsReady"), words);
}

static void test_a_gang_whose_pods_do_not_start_says_why(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.no_kubelet = true;
    world_submit(&w, "a", 2, "{\"spec\":{\"failurePolicy\":{\"startTimeoutSeconds\":90}}}");
    world_advance(&w, 14000);
    assert_string_equal(world_condition(&w, "a", "PodsReady"), "");
    world_advance(&w, 2000);
    assert_waits_for(&w, "PodsStarting",
                     "2 of 2 pods are not ready; worker 0 on node001: it has not started yet");
    assert_false(world_has_event(&w, "PodsNotReady"));
    world_patch(&w, "pods/team/a-worker-1",
                "{\"status\":{\"containerStatuses\":[{\"name\":\"trainer\",\"image\":\"i:1\","
                "\"state\":{\"waiting\":{\"reason\":\"ErrImagePull\",\"message\":\"no\"}}}]}}");
    world_advance(&w, 2000);
    assert_waits_for(&w, "ErrImagePull",
                     "2 of 2 pods are not ready; worker 1 on node002: container trainer (image "
                     "i:1): ErrImagePull: no");
    assert_true(world_has_event(&w, "PodsNotReady"));
    w.no_kubelet = false;
    world_advance(&w, 80000);
    assert_non_null(strstr(world_event_message(&w, "Requeued"),
                           "within startTimeoutSeconds: 2 of 2 pods are not ready; worker 1"));
    world_advance(&w, 120000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_reason(&w, "a", "PodsReady"), "AllReady");
    world_release(&w);
}

static void test_a_launcher_that_never_comes_is_told_with_the_address(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.no_kubelet = true;
    world_submit(&w, "a", 1, NULL);
    world_patch(&w, "pods/team/a-worker-0", "{\"status\":{\"phase\":\"Running\"}}");
    world_advance(&w, 59000);
    assert_string_equal(world_reason(&w, "a", "PodsReady"), "PodsStarting");
    world_advance(&w, 2000);
    assert_string_equal(world_reason(&w, "a", "PodsReady"), "ChannelUnreachable");
    assert_non_null(strstr(world_event_message(&w, "PodsNotReady"), "NetworkPolicy"));
    world_release(&w);
}

/* The dry run had passed: the webhook has failed since. */
static void test_a_webhook_that_fails_at_the_pod_itself_is_told_in_its_own_words(void **state)
{
    static const char down[] =
        "Internal error occurred: failed calling webhook \"w.example\": connection refused";
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.refuse_pod = down;
    w.fails_pod = true;
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    assert_waits_for(&w, "FailedCreate",
                     "1 of 1 pods are not ready; worker 0 on node001: it cannot be created: "
                     "Internal error occurred: failed calling webhook \"w.example\": connection "
                     "refused");
    assert_non_null(strstr(world_event_message(&w, "PodsNotReady"), down));
    world_advance(&w, 60000);
    assert_int_equal(world_events(&w, "PodsNotReady"), 1);
    w.refuse_pod = NULL;
    world_advance(&w, 31000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_reason(&w, "a", "PodsReady"), "AllReady");
    world_release(&w);
}

static void test_a_server_that_fails_once_is_no_news(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.no_kubelet = true;
    w.refuse_pod = "etcdserver: leader changed";
    w.fails_pod = true;
    world_submit(&w, "a", 1, NULL);
    w.refuse_pod = NULL;
    world_advance(&w, 5000);
    assert_int_equal(w.pods_created, 1);
    assert_string_equal(world_condition(&w, "a", "PodsReady"), "");
    world_release(&w);
}

static void test_a_limit_between_steps_that_nobody_makes_is_told_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1, "{\"spec\":{\"progress\":{\"stallTimeoutSeconds\":60}}}");
    world_advance(&w, 58000);
    assert_false(world_has_event(&w, "NoProgress"));
    assert_string_equal(world_message(&w, "a", "Running"), "all ranks run");
    world_advance(&w, 4000);
    assert_non_null(strstr(world_message(&w, "a", "Running"), "stallTimeoutSeconds has no effect"));
    assert_string_equal(world_condition(&w, "a", "Running"), "True");
    world_replace_controller(&w);
    world_advance(&w, 300000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    assert_int_equal(world_events(&w, "NoProgress"), 1);
    world_progress(&w, world_launcher(&w, "a", 0), 1, 100);
    world_advance(&w, 12000);
    assert_string_equal(world_message(&w, "a", "Running"), "all ranks run");
    world_release(&w);
}

static void test_where_the_first_step_is_waited_for_nothing_is_said(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"progress\":{\"stallTimeoutSeconds\":60,"
                 "\"startupTimeoutSeconds\":600}}}");
    world_advance(&w, 300000);
    assert_false(world_has_event(&w, "NoProgress"));
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gang_whose_pods_do_not_start_says_why),
        cmocka_unit_test(test_a_launcher_that_never_comes_is_told_with_the_address),
        cmocka_unit_test(test_a_webhook_that_fails_at_the_pod_itself_is_told_in_its_own_words),
        cmocka_unit_test(test_a_server_that_fails_once_is_no_news),
        cmocka_unit_test(test_a_limit_between_steps_that_nobody_makes_is_told_once),
        cmocka_unit_test(test_where_the_first_step_is_waited_for_nothing_is_said),
        cmocka_unit_test(test_a_notice_becomes_an_event_of_the_job),
        cmocka_unit_test(test_reserved_names_of_the_template_are_told_once),
        cmocka_unit_test(test_a_container_that_was_oom_killed_is_out_of_memory_and_charged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
