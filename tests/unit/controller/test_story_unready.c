/* Pods that do not come to run: what they need is made again, or the gang says why it gives up. */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

static void test_a_pod_that_no_scheduler_binds_releases_the_gang_and_says_when(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    w.no_scheduler = w.no_kubelet = true;
    world_submit(&w, "a", 1, "{\"spec\":{\"scheduling\":{\"binding\":\"affinity\"}}}");
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_advance(&w, 59000);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_reason(&w, "a", "Admitted"), "StartTimeout");
    assert_non_null(
        strstr(world_message(&w, "a", "Admitted"), "no scheduler bound every pod within 60 s"));
    world_release(&w);
}

/* Unless the user's own limit is shorter. */
static void test_the_users_limit_is_named_when_it_is_over(void **state)
{
    static const char *const patches[] = {
        "{\"spec\":{\"failurePolicy\":{\"startTimeoutSeconds\":30}}}",
        "{\"spec\":{\"failurePolicy\":{\"startTimeoutSeconds\":30},"
        "\"scheduling\":{\"binding\":\"affinity\"}}}",
    };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world w;
        world_init(&w, 1, 1);
        w.no_scheduler = i > 0;
        w.no_kubelet = true;
        world_submit(&w, "a", 1, patches[i]);
        world_advance(&w, 31000);
        assert_string_equal(world_reason(&w, "a", "Admitted"), "StartTimeout");
        assert_non_null(strstr(world_message(&w, "a", "Admitted"),
                               "not every pod was ready within startTimeoutSeconds"));
        world_release(&w);
    }
}

/* A node that has none of the job's pods yet would wait for it for ever. */
static void test_a_secret_that_somebody_deleted_is_there_again_for_the_next_pod(void **state)
{
    char key[128];
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 2000);
    (void)snprintf(
        key, sizeof key, "secrets/team/a-mltrain-key-%.8s",
        json_string(world_object(&w, "trainingjobs/team/a"), "metadata.uid", ""));
    for (int by_another = 0; by_another < 2; by_another++) {
        assert_non_null(world_object(&w, key));
        world_delete(&w, key);
        if (by_another)
            world_replace_controller(&w);
        world_delete(&w, by_another ? "pods/team/a-worker-1-r2" : "pods/team/a-worker-1");
        world_advance(&w, 5000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_int_equal(world_number(&w, "a", "attempt"), by_another ? 3 : 2);
        assert_non_null(world_object(&w, key));
    }
    assert_false(world_has_event(&w, "SecretRefused"));
    world_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_no_scheduler_binds_releases_the_gang_and_says_when),
        cmocka_unit_test(test_the_users_limit_is_named_when_it_is_over),
        cmocka_unit_test(test_a_secret_that_somebody_deleted_is_there_again_for_the_next_pod),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
