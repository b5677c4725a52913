/* TrainingQueues: who waits for one, and what the leader writes into their status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "world.h"

#define IN(queue) "{\"spec\":{\"queue\":\"" queue "\"}}"

static const cJSON *queue_status(struct world *w, const char *name)
{
    char key[128];
    (void)snprintf(key, sizeof key, "trainingqueues//%s", name);
    return json_member(world_object(w, key), "status");
}

/* Of the queue's status. */
static int64_t number(struct world *w, const char *name, const char *path)
{
    return json_integer(queue_status(w, name), path, -1);
}

static const char *text(struct world *w, const char *name, const char *path)
{
    return json_string(queue_status(w, name), path, "");
}

static uint64_t version(struct world *w, const char *name)
{
    char key[128];
    (void)snprintf(key, sizeof key, "trainingqueues//%s", name);
    return (uint64_t)strtoull(json_string(world_object(w, key), "metadata.resourceVersion", "0"),
                              NULL, 10);
}

static void test_a_job_whose_queue_is_not_there_waits_until_it_is(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_queue(&w, "other", "{}");
    world_submit(&w, "a", 1, IN("team-a"));
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_status(&w, "a", "queue.reason"), "Unschedulable");
    assert_string_equal(world_status(&w, "a", "queue.explanation"),
                        "there is no TrainingQueue team-a");
    world_queue(&w, "team-a", "{}");
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_delete(&w, "trainingqueues//team-a"); /* what runs, runs on */
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
}

static void test_a_queue_tells_what_it_uses_when_that_changes(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 2);
    world_queue(&w, "q", "{}");
    world_advance(&w, 20000);
    assert_int_equal(number(&w, "q", "running"), 0);
    world_submit(&w, "a", 3, IN("q"));
    world_submit(&w, "b", 2, IN("q"));
    world_advance(&w, 70000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(number(&w, "q", "running"), 1);
    assert_int_equal(number(&w, "q", "pending"), 1);
    assert_string_equal(text(&w, "q", "usage[nvidia.com/gpu]"), "3");
    assert_string_equal(text(&w, "q", "requested[nvidia.com/gpu]"), "2");
    assert_true(*text(&w, "q", "waitingSince") != 0);
    uint64_t before = version(&w, "q");
    world_advance(&w, 600000);
    assert_int_equal(version(&w, "q"), before); /* time alone is no news */
    world_job_ends_well(&w, "a");
    world_advance(&w, 80000);
    assert_int_equal(number(&w, "q", "pending"), 0);
    assert_string_equal(text(&w, "q", "usage[nvidia.com/gpu]"), "2");
    assert_string_equal(text(&w, "q", "requested[nvidia.com/gpu]"), "");
    assert_string_equal(text(&w, "q", "waitingSince"), "");
    world_job_ends_well(&w, "b");
    world_advance(&w, 80000);
    assert_int_equal(number(&w, "q", "running"), 0);
    assert_string_equal(text(&w, "q", "usage[nvidia.com/gpu]"), "");
    assert_null(json_find(queue_status(&w, "q"), "usageHistory"));
    world_release(&w);
}

static void test_a_status_is_written_at_most_once_a_minute(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    world_queue(&w, "q", "{}");
    unsigned writes = 0;
    uint64_t last = version(&w, "q");
    for (int second = 0; second < 600; second++) {
        if (second % 7 == 0) {
            char name[16];
            (void)snprintf(name, sizeof name, "j%d", second);
            world_submit(&w, name, 2, IN("q")); /* never fits */
        }
        world_advance(&w, 1000);
        writes += version(&w, "q") != last;
        last = version(&w, "q");
    }
    assert_in_range(writes, 9, 11);
    world_release(&w);
}

static void test_past_use_outlives_the_controller(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_queue(&w, "root", "{\"order\":\"FairShare\"}");
    world_queue(&w, "greedy", "{\"parent\":\"root\"}");
    world_queue(&w, "modest", "{\"parent\":\"root\"}");
    world_submit(&w, "a", 2, IN("greedy"));
    world_advance(&w, 3600000);
    double used = json_number(queue_status(&w, "greedy"), "usageHistory.clusterSeconds", 0);
    assert_in_range((uint64_t)used, 3300, 3610); /* the whole cluster for an hour */
    assert_int_equal(json_number(queue_status(&w, "modest"), "usageHistory.clusterSeconds", 0), 0);
    /* Both wait; the first by age is greedy's. */
    world_submit(&w, "b", 2, IN("greedy"));
    world_advance(&w, 2000);
    world_submit(&w, "c", 2, IN("modest"));
    world_replace_controller(&w);
    world_advance(&w, 20000);
    assert_int_equal(world_number(&w, "c", "queue.position"), 1);
    world_job_ends_well(&w, "a");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "c"), "Running");
    assert_string_equal(world_phase(&w, "b"), "Queued");
    world_release(&w);
}

/* Of each of twenty queues time alone makes something new. */
static void test_while_nothing_happens_queues_write_one_status_in_ten_seconds(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 20, 1);
    world_queue(&w, "root", "{\"order\":\"FairShare\"}");
    for (int i = 0; i < 20; i++) {
        char name[16], patch[64];
        (void)snprintf(name, sizeof name, "q%d", i);
        (void)snprintf(patch, sizeof patch, "{\"spec\":{\"queue\":\"%s\"}}", name);
        world_queue(&w, name, "{\"parent\":\"root\"}");
        world_submit(&w, name, 1, patch);
    }
    world_advance(&w, 300000);
    unsigned before = w.status_writes;
    world_advance(&w, 600000);
    assert_in_range(w.status_writes - before, 50, 61);
    for (int i = 0; i < 20; i++) { /* everybody's turn comes */
        char name[16];
        (void)snprintf(name, sizeof name, "q%d", i);
        int64_t as_of = number(&w, name, "usageHistory.asOf");
        assert_in_range(w.wall_ms / 1000 - as_of, 0, 220);
    }
    world_release(&w);
}

/* Its pods end a moment after its success is known: until then they are its own, and not somebody
 * else's for whom nothing is kept. */
static void
test_while_the_pods_of_a_job_end_nobody_slips_in_before_who_waits_for_its_place(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 4);
    w.strict = true; /* else it starts early, on condition */
    world_replace_controller(&w);
    world_run(&w);
    world_submit(&w, "a", 3, NULL);
    world_submit(&w, "b", 4, NULL);
    world_submit(&w, "c", 1, NULL);
    for (uint32_t slot = 0; slot < 3; slot++)
        world_launcher(&w, "a", slot)->ignores_exit = true;
    world_job_ends_well(&w, "a");
    assert_string_equal(world_phase(&w, "a"), "Succeeded");
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "b"), "Queued");
    assert_string_equal(world_phase(&w, "c"), "Queued");
    world_advance(&w, 10000);
    assert_string_equal(world_phase(&w, "b"), "Running");
    assert_string_equal(world_phase(&w, "c"), "Queued");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_while_the_pods_of_a_job_end_nobody_slips_in_before_who_waits_for_its_place),
        cmocka_unit_test(test_a_job_whose_queue_is_not_there_waits_until_it_is),
        cmocka_unit_test(test_a_queue_tells_what_it_uses_when_that_changes),
        cmocka_unit_test(test_a_status_is_written_at_most_once_a_minute),
        cmocka_unit_test(test_past_use_outlives_the_controller),
        cmocka_unit_test(test_while_nothing_happens_queues_write_one_status_in_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
