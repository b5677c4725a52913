/* What placement keeps between decisions: columns for more kinds of pods than there is room for,
 * hidden nodes, and what-if with a journal. */
#include "gang/internal.h"
#include "gang/work.h"
#include "tests/unit/gang/small.h"

#include "lib/base/random.h"

#define NODES 200

static void check(const struct gang *g)
{
    struct mlt_error err = {0};
    if (gang_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

static struct gang *many_nodes(void)
{
    struct gang *g = small_new();
    for (uint32_t n = 0; n < NODES; n++)
        small_feed(g, small_node(n, 8));
    return g;
}

static uint64_t fit_one_by_one(const struct gang *g, const struct gang_job *job)
{
    uint64_t sum = 0;
    for (uint32_t n = 0; n < NODES; n++)
        if (!g->hidden[n])
            sum += gang_board_count(g, gang_at(g, GANG_FREE, n), job->shape->roles[0].request);
    return sum;
}

static uint64_t fit(struct gang *g, const struct gang_job *job)
{
    return gang_fit_total(g, job->shape, 0, GANG_NO_LEVEL, 0);
}

static void test_more_kinds_than_columns_are_counted_right(void **state)
{
    (void)state;
    struct gang *g = many_nodes();
    struct mlt_random random;
    mlt_random_init(&random, 1);
    for (uint64_t id = 1; id <= 3 * GANG_COLUMNS_MAX; id++) {
        struct gang_job_request request = small_request(1, 1 + (int64_t)id % 8, 0, (int64_t)id);
        request.roles[0].request[GANG_CPU_MILLI] = (int64_t)id * 100;
        small_submit(g, id, request);
    }
    for (int i = 0; i < 2000; i++) {
        const struct gang_job *job =
            gang_job_find(g, 1 + mlt_random_below(&random, 3 * GANG_COLUMNS_MAX));
        const int64_t *request = job->shape->roles[0].request;
        assert_true(fit(g, job) == fit_one_by_one(g, job));
        uint32_t node = (uint32_t)mlt_random_below(&random, NODES);
        gang_room_take(g, node, request);
        assert_true(fit(g, job) == fit_one_by_one(g, job));
        gang_room_give(g, node, request);
        if (i % 8 == 0)
            small_feed(g, small_node(node, 4 + i % 5));
    }
    check(g);
    gang_free(g);
}

/* Turns are numbered with 16 bits: a node that was added long ago must not seem to be in the log.
 */
static void test_counts_are_right_after_many_turns(void **state)
{
    (void)state;
    struct gang *g = many_nodes();
    small_submit(g, 1, small_request(1, 8, 0, 1));
    const struct gang_job *job = gang_job_find(g, 1);
    const int64_t *request = job->shape->roles[0].request;
    for (uint32_t i = 0; i < 70000; i++) {
        uint32_t node = i % 32768 == 10 ? 1 : 2 + i % 2;
        gang_room_take(g, node, request);
        assert_true(fit(g, job) == NODES - 1);
        gang_room_give(g, node, request);
        assert_true(fit(g, job) == NODES);
    }
    check(g);
    gang_free(g);
}

static void test_a_hidden_node_is_not_used_until_it_is_shown_as_often(void **state)
{
    (void)state;
    struct gang *g = many_nodes();
    small_submit(g, 1, small_request(NODES, 8, 0, 1));
    const struct gang_job *job = gang_job_find(g, 1);
    struct gang_where where = gang_where_now(job, 0);
    uint32_t role;
    gang_room_hide(g, 7);
    gang_room_hide(g, 7);
    gang_room_show(g, 7);
    assert_true(fit(g, job) == NODES - 1);
    assert_true(gang_cannot_fit(g, job->shape));
    assert_false(gang_place(g, &where, job->shape, NULL, &role));
    where.hidden_too = true;
    assert_true(gang_place(g, &where, job->shape, NULL, &role));
    where.hidden_too = false;
    gang_room_show(g, 7);
    assert_false(gang_cannot_fit(g, job->shape));
    assert_true(gang_place(g, &where, job->shape, NULL, &role));
    check(g);
    gang_free(g);
}

static void test_a_trial_is_undone_to_where_it_began(void **state)
{
    (void)state;
    struct gang *g = many_nodes();
    uint32_t role;
    for (uint64_t id = 1; id <= NODES; id++) {
        small_submit(g, id, small_request(1, 8, 0, (int64_t)id));
        small_placed(g, id, 1, (uint32_t)id - 1);
    }
    small_submit(g, 1000, small_request(2, 8, 0, 1000));
    const struct gang_job *waits = gang_job_find(g, 1000);
    const struct gang_where where = gang_where_now(waits, 0);
    uint64_t before = gang_hash(g);
    uint32_t begin = gang_trial_begin(g), nodes[2];
    for (uint64_t id = 5; id <= 6; id++) {
        const struct gang_job *victim = gang_job_find(g, id);
        assert_false(gang_place(g, &where, waits->shape, NULL, &role));
        assert_int_equal(gang_trial_give(g, victim->shape, victim->nodes), 0);
    }
    assert_true(gang_place(g, &where, waits->shape, nodes, &role));
    assert_int_equal(nodes[0], 4);
    assert_int_equal(nodes[1], 5);
    assert_false(gang_place(g, &where, waits->shape, NULL, &role));
    gang_place_undo(g, GANG_FREE, waits->shape, nodes);
    uint32_t inner = gang_trial_begin(g);
    assert_int_equal(gang_trial_take(g, waits->shape, nodes), 0);
    assert_true(fit(g, waits) == 0);
    gang_trial_undo(g, inner);
    assert_true(fit(g, waits) == 2);
    gang_trial_undo(g, begin);
    assert_true(fit(g, waits) == 0);
    assert_true(gang_hash(g) == before);
    check(g);
    gang_free(g);
}

/* A column that is wrong would be found. */
static void test_a_wrong_count_is_found(void **state)
{
    (void)state;
    struct gang *g = many_nodes();
    struct mlt_error err = {0};
    small_submit(g, 1, small_request(1, 8, 0, 1));
    const struct gang_job *job = gang_job_find(g, 1);
    assert_true(fit(g, job) == NODES);
    struct gang_column *c = gang_column_get(g, job->shape->kinds[0], GANG_VIEW_FREE);
    gang_column_set(g, c, 3, 0);
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    assert_string_equal(err.text, "node 3: 1 pods of a kind fit, counted 0");
    gang_column_set(g, c, 3, 1);
    c->sums[0]++;
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    assert_string_equal(err.text, "level 0, cell 0: 200 pods fit, counted 201");
    c->sums[0]--;
    c->blocks[1] = 0;
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    assert_string_equal(err.text, "node 64: the index does not find it");
    gang_free(g);
}

/* Buckets remember them in 32 bits: nobody is taken for refused by an old one. */
static void test_numbers_of_plans_and_gains_begin_again(void **state)
{
    (void)state;
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_config config = {.device_names = devices, .devices = 1, .reservations = 1};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET});
    small_feed(g, small_node(0, 8));
    for (uint64_t job = 1; job <= 3; job++) /* the third is of another bucket than the second */
        small_submit(g, job, small_request(1, 8, job == 3, (int64_t)job));
    small_placed(g, 1, 1, 0);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 3 at 1");
    assert_string_equal(small_next(g), "wait 2 at 2");
    g->plan.number = g->gains = INT32_MAX;
    small_plan(g, 1);
    struct gang_bucket *b = gang_job_find(g, 2)->bucket;
    gang_work_refuse(g, b);
    assert_int_equal(b->refused, g->gains);
    small_remove(g, 1); /* a gain */
    assert_true(g->gains < 10 && g->plan.number < 10);
    assert_int_equal(b->refused, 0);
    small_plan(g, 2);
    assert_string_equal(small_next(g), "place 3: 0");
    small_placed(g, 3, 1, 0);
    small_remove(g, 3);
    small_plan(g, 3);
    assert_string_equal(small_next(g), "place 2: 0");
    gang_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_kinds_than_columns_are_counted_right),
        cmocka_unit_test(test_counts_are_right_after_many_turns),
        cmocka_unit_test(test_a_hidden_node_is_not_used_until_it_is_shown_as_often),
        cmocka_unit_test(test_a_trial_is_undone_to_where_it_began),
        cmocka_unit_test(test_a_wrong_count_is_found),
        cmocka_unit_test(test_numbers_of_plans_and_gains_begin_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
