/* Events: what each does to the sums, and what contradicts the state and must change nothing. */
#include "gang/internal.h"
#include "tests/unit/gang/small.h"

static void test_facts_are_taken_even_when_they_oversubscribe(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_job_request request = small_request(2, 8, 0, 1);
    uint32_t nodes[] = {0, 0};
    small_feed(g, (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = 1,
                                      .request = &request,
                                      .nodes = nodes,
                                      .nodes_count = 2}); /* before its node is known */
    small_feed(g, small_node(0, 8));
    assert_int_equal(small_free_gpus(g, 0), -8);
    small_submit(g, 2, small_request(1, 0, 0, 2)); /* wants no GPU, so the debt is not its own */
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0");
    gang_free(g);
}

static void test_use_survives_a_node_that_goes_and_comes_back(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 6, 0, 1));
    small_placed(g, 1, 1, 0);
    uint64_t before = gang_hash(g);
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 0});
    assert_int_equal(small_free_gpus(g, 0), -6);
    small_feed(g, small_node(0, 8));
    assert_int_equal(small_free_gpus(g, 0), 2);
    assert_true(gang_hash(g) == before);
    small_remove(g, 1);
    assert_int_equal(small_free_gpus(g, 0), 8);
    gang_free(g);
}

static void test_a_released_gang_waits_again_in_its_old_turn(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 8, 0, 1));
    small_placed(g, 1, 1, 0);
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_feed(g, (struct gang_event){.kind = GANG_JOB_RELEASED, .job = 1});
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 1: 0");
    assert_string_equal(small_next(g), "wait 2 at 1");
    gang_free(g);
}

static void test_a_waiting_job_may_change(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(1, 64, 0, 1));
    small_submit(g, 2, small_request(1, 8, 0, 2));
    small_submit(g, 1, small_request(2, 4, -1, 1));
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 2: 0");
    assert_string_equal(small_next(g), "wait 1 at 1");
    gang_free(g);
}

static void test_a_second_placement_replaces_the_first(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_feed(g, small_node(1, 8));
    small_submit(g, 1, small_request(2, 4, 0, 1));
    small_placed(g, 1, 2, 0, 0);
    small_placed(g, 1, 2, 1, GANG_NO_NODE);
    assert_int_equal(small_free_gpus(g, 0), 8);
    assert_int_equal(small_free_gpus(g, 1), 4);
    struct gang_job_request smaller = small_request(1, 2, 0, 1);
    uint32_t node = 0;
    small_feed(g, (struct gang_event){.kind = GANG_JOB_PLACED,
                                      .job = 1,
                                      .request = &smaller,
                                      .nodes = &node,
                                      .nodes_count = 1});
    assert_int_equal(small_free_gpus(g, 0), 6);
    assert_int_equal(small_free_gpus(g, 1), 8);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "");
    gang_free(g);
}

static void test_a_job_remembers_a_limited_number_of_nodes_to_avoid(void **state)
{
    (void)state;
    struct gang *g = small_new();
    small_submit(g, 1, small_request(1, 8, 0, 1));
    for (uint32_t n = 0; n <= GANG_AVOID_MAX; n++) {
        small_feed(g, small_node(n, 8));
        small_feed(g, (struct gang_event){
                          .kind = GANG_JOB_AVOID, .job = 1, .node = n, .until_ms = 100 + n});
    }
    small_plan(g, 10);
    assert_string_equal(small_next(g), "place 1: 0"); /* the one that would have ended first */
    small_feed(g,
               (struct gang_event){.kind = GANG_JOB_AVOID, .job = 1, .node = 1, .until_ms = 900});
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 1});
    small_feed(g, small_node(1, 8)); /* a new node under an old number is not avoided */
    struct gang_event closed = small_node(0, 8);
    closed.schedulable = false;
    small_feed(g, closed);
    small_plan(g, 10);
    assert_string_equal(small_next(g), "place 1: 1");
    gang_free(g);
}

struct contradiction {
    const char *what;
    struct gang_event event;
    const char *words;
};

/* A cluster of one node, on which job 1 stands and for which job 2 waits; each event must be
 * refused and change nothing. */
static void are_refused(const struct contradiction *rows, size_t count)
{
    struct gang *g = small_new();
    small_feed(g, small_node(0, 8));
    small_submit(g, 1, small_request(2, 4, 0, 1));
    small_placed(g, 1, 2, 0, 0);
    small_submit(g, 2, small_request(1, 8, 0, 2));
    uint64_t before = gang_hash(g);
    for (size_t i = 0; i < count; i++) {
        struct mlt_error err = {0};
        if (gang_event(g, &rows[i].event, 0, &err) != -EINVAL)
            fail_msg("%s: taken", rows[i].what);
        assert_string_equal(err.text, rows[i].words);
        if (gang_hash(g) != before)
            fail_msg("%s: changed the state", rows[i].what);
    }
    gang_free(g);
}

static void test_an_event_that_contradicts_the_state_changes_nothing(void **state)
{
    (void)state;
    uint32_t nodes[] = {0, GANG_NODES_MAX};
    struct gang_job_request good = small_request(1, 1, 0, 1);
    const struct contradiction rows[] = {
        {"an unknown kind", {.kind = (enum gang_event_kind)99}, "event kind 99 is not known"},
        {"removing an unknown node", {.kind = GANG_NODE_REMOVED, .node = 5}, "node 5 is not known"},
        {"a node number too high",
         {.kind = GANG_NODE_SET, .node = GANG_NODES_MAX},
         "node 1000000: numbers go up to 999999"},
        {"negative capacity", small_node(1, -1),
         "node 1: resource 3: -1 with 0 used by others: expected 0 to 1125899906842624"},
        {"more that ends than others use",
         {.kind = GANG_NODE_SET, .node = 1, .used_by_others = {0, 0, 0, 2}, .ending = {0, 0, 0, 3}},
         "node 1: resource 3: 3 of 2 used by others end: expected 0 to all of that"},
        {"a queue number too high",
         {.kind = GANG_QUEUE_SET, .queue = GANG_QUEUES_MAX},
         "queue 65536: numbers go up to 65535"},
        {"submitting a placed job",
         {.kind = GANG_JOB_SUBMITTED, .job = 1, .request = &good},
         "job 1 holds a place: release or remove it first"},
        {"placing on too few nodes",
         {.kind = GANG_JOB_PLACED, .job = 1, .nodes = nodes, .nodes_count = 1},
         "job 1: 1 nodes for 2 pods"},
        {"placing on an impossible node",
         {.kind = GANG_JOB_PLACED, .job = 1, .nodes = nodes, .nodes_count = 2},
         "node 1000000: numbers go up to 999999"},
        {"placing an unknown job",
         {.kind = GANG_JOB_PLACED, .job = 3, .nodes = nodes, .nodes_count = 1},
         "the request is missing"},
        {"releasing a waiting job", {.kind = GANG_JOB_RELEASED, .job = 2}, "job 2 holds no place"},
        {"a lost pod of a waiting job", {.kind = GANG_POD_GONE, .job = 2}, "job 2 holds no place"},
        {"a pod that does not exist",
         {.kind = GANG_POD_MOVED, .job = 1, .pod = 2},
         "job 1: pod 2 of 2"},
        {"removing an unknown job", {.kind = GANG_JOB_REMOVED, .job = 3}, "job 3 is not known"},
        {"avoiding for an unknown job", {.kind = GANG_JOB_AVOID, .job = 3}, "job 3 is not known"},
    };
    are_refused(rows, sizeof rows / sizeof rows[0]);
}

static void test_a_request_that_is_none_is_refused(void **state)
{
    (void)state;
    struct gang_job_request good = small_request(1, 1, 0, 1), no_roles = good, no_pods = good,
                            two = good, negative = good, unknown_queue = good, huge = good,
                            fourth = good;
    no_roles.roles_count = 0;
    no_pods.roles[0].pods = 0;
    huge.roles[0].pods = GANG_PODS_PER_JOB_MAX + 1;
    two.roles[0].request[GANG_PODS] = 2;
    negative.roles[0].request[GANG_DEVICE_0] = -1;
    fourth.roles[0].request[GANG_DEVICE_0 + 3] = 1;
    unknown_queue.queue = 7;
#define SUBMIT(r)                                            \
    {                                                        \
        .kind = GANG_JOB_SUBMITTED, .job = 3, .request = (r) \
    }
    const struct contradiction rows[] = {
        {"no request", SUBMIT(NULL), "the request is missing"},
        {"no roles", SUBMIT(&no_roles), "0 roles, expected 1 to 16"},
        {"no pods", SUBMIT(&no_pods), "0 pods, expected 1 to 65536"},
        {"too many pods", SUBMIT(&huge), "65537 pods, expected 1 to 65536"},
        {"a pod that counts twice", SUBMIT(&two), "role 0: a pod counts as 1 pod, not 2"},
        {"a negative request", SUBMIT(&negative),
         "role 0: resource 3: -1 is not from 0 to 1125899906842624"},
        {"a device that is not there", SUBMIT(&fourth),
         "role 0: resource 6: there are only 5 resources"},
        {"an unknown queue", SUBMIT(&unknown_queue), "queue 7 is not known"},
    };
#undef SUBMIT
    are_refused(rows, sizeof rows / sizeof rows[0]);
}

static void test_who_may_leave_before_its_limit_is_known(void **state)
{
    (void)state;
    struct gang *g = small_new();
    struct gang_job_request limited = small_request(1, 1, 0, 1);
    struct mlt_error err = {0};
    limited.time_limit_ms = 60000;
    small_feed(g, small_node(0, 8));
    for (uint64_t id = 1; id <= 3; id++) {
        small_submit(g, id, limited);
        small_start(g, id, 0, 0);
    }
    assert_int_equal(g->unsteady.count, 0);
    small_submit(g, 4, small_request(1, 1, 0, 4));
    small_start(g, 4, 0, 0);
    assert_int_equal(g->unsteady.count, 1);
    small_feed(g, (struct gang_event){.kind = GANG_JOB_STOPPING, .job = 2, .for_job = 9});
    assert_int_equal(g->unsteady.count, 2);
    g->unsteady.jobs[1] = g->unsteady.jobs[0];
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    g->unsteady.jobs[1] = gang_job_find(g, 2);
    small_remove(g, 4);
    assert_int_equal(g->unsteady.count, 1);
    small_remove(g, 2);
    assert_int_equal(g->unsteady.count, 0);
    gang_free(g);
}

static void test_the_hash_tells_states_apart_and_not_the_ways_to_them(void **state)
{
    (void)state;
    struct gang *a = small_new(), *b = small_new();
    small_feed(a, small_node(0, 8));
    for (uint64_t job = 1; job < 100; job++)
        small_submit(a, job, small_request(1, 1, 0, (int64_t)job));
    for (uint64_t job = 99; job > 0; job--)
        small_submit(b, job, small_request(1, 1, 0, (int64_t)job));
    assert_false(gang_hash(a) == gang_hash(b));
    small_feed(b, small_node(0, 8));
    assert_true(gang_hash(a) == gang_hash(b));
    small_submit(b, 50, small_request(1, 2, 0, 50));
    assert_false(gang_hash(a) == gang_hash(b));
    gang_free(a);
    gang_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_are_taken_even_when_they_oversubscribe),
        cmocka_unit_test(test_use_survives_a_node_that_goes_and_comes_back),
        cmocka_unit_test(test_a_released_gang_waits_again_in_its_old_turn),
        cmocka_unit_test(test_a_waiting_job_may_change),
        cmocka_unit_test(test_a_second_placement_replaces_the_first),
        cmocka_unit_test(test_a_job_remembers_a_limited_number_of_nodes_to_avoid),
        cmocka_unit_test(test_an_event_that_contradicts_the_state_changes_nothing),
        cmocka_unit_test(test_a_request_that_is_none_is_refused),
        cmocka_unit_test(test_who_may_leave_before_its_limit_is_known),
        cmocka_unit_test(test_the_hash_tells_states_apart_and_not_the_ways_to_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
