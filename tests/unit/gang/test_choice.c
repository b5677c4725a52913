/* Which of many queues is next, and whose turn it is by age, against a plain look at all; and
 * queues that come while jobs wait. */
#include "gang/choice.h"
#include "gang/internal.h"
#include "gang/patience.h"
#include "gang/turns.h"
#include "tests/unit/gang/small.h"

#include <stdlib.h>
#include "lib/base/random.h"

#define HOUR INT64_C(3600000)
#define PATIENCE (10 * HOUR)
#define QUEUES 24
#define JOBS 240
#define TOP 0 /* the queue above all others */

static struct mlt_random numbers;

static uint32_t below(uint32_t limit)
{
    return (uint32_t)mlt_random_below(&numbers, limit);
}

static struct gang *new_gang(bool shares_first)
{
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_config config = {.device_names = devices,
                                       .devices = 1,
                                       .reservations = 2,
                                       .may_preempt = true,
                                       .patience_ms = PATIENCE,
                                       .shares_first = shares_first};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    return g;
}

static void set_queue(struct gang *g, uint32_t queue, uint32_t parent, enum gang_queue_order order,
                      uint32_t weight)
{
    struct gang_queue_config c = {.parent = parent, .weight = weight, .order = order};
    for (int r = 0; r < GANG_RESOURCES_MAX; r++)
        c.nominal[r] = c.borrow_limit[r] = c.lend_limit[r] = GANG_UNLIMITED;
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET, .queue = queue, .queue_config = &c});
}

static void submit(struct gang *g, uint64_t id, uint32_t queue)
{
    struct gang_job_request r =
        small_request(1 + below(3), 1 + (int64_t)below(4), (int32_t)below(3), (int64_t)id);
    r.queue = queue;
    r.since_ms = (int64_t)below(40) * HOUR;
    r.time_limit_ms = below(4) ? (int64_t)(1 + below(50)) * HOUR : 0;
    small_submit(g, id, r);
}

/* Queues of both orders, up to three of them one below the other; with jobs, and with past use. */
static struct gang *many_queues(uint64_t seed)
{
    struct gang *g = new_gang(false);
    mlt_random_init(&numbers, seed);
    for (uint32_t n = 0; n < 8; n++)
        small_feed(g, small_node(n, 8));
    set_queue(g, TOP, GANG_NO_QUEUE, GANG_ORDER_FAIR_SHARE, 1);
    for (uint32_t q = 1; q < QUEUES; q++)
        set_queue(g, q, q < 8 || below(2) ? TOP : 1 + below(7),
                  below(2) ? GANG_ORDER_FAIR_SHARE : GANG_ORDER_FIFO, 1 + below(3));
    for (uint64_t id = 1; id <= JOBS; id++)
        submit(g, id, below(QUEUES));
    for (uint32_t q = 0; q < QUEUES; q++)
        small_feed(g, (struct gang_event){
                          .kind = GANG_QUEUE_USAGE, .queue = q, .usage = (int64_t)below(4) * 1000});
    return g;
}

static void use_more(struct gang *g, uint32_t queue, int64_t more)
{
    struct gang_queue *q = gang_queue_of(g, queue);
    gang_usage_set(q, q->usage + more, q->usage_ms);
}

/* ---- the plain look ---- */

static bool offered[JOBS + 1]; /* by the bucket's number */

static bool is_less(const struct gang *g, const struct gang_bucket *a, const struct gang_bucket *b,
                    bool by_work, int64_t now_ms)
{
    return a && (!b || gang_patience_before(g, a, b, by_work, now_ms));
}

/* The first one below a queue, by the words of README "Patience". */
static struct gang_bucket *plain_first(const struct gang *g, uint32_t index, bool by_work,
                                       int64_t now_ms)
{
    struct gang_bucket *best = NULL;
    bool fair = index && g->queues[index].config.order == GANG_ORDER_FAIR_SHARE;
    for (uint32_t at = 0; at < g->bucket_pool.fresh; at++) {
        struct gang_bucket *b = gang_bucket_at(g, at);
        if (offered[at] && gang_bucket_any(b)->queue + 1 == index &&
            is_less(g, b, best, by_work, now_ms))
            best = b;
    }
    if (fair && best)
        return best;
    gang_wide least = 0;
    uint32_t weight = 1;
    for (uint32_t i = 1; i < g->queues_count; i++) {
        if (g->queues[i].parent != index || !g->queues[i].known)
            continue;
        struct gang_bucket *b = plain_first(g, i, by_work, now_ms);
        gang_wide used = gang_queue_counted(g, &g->queues[i], now_ms);
        uint32_t its_weight = g->queues[i].config.weight;
        if (fair ? b && (!best || used * weight < least * its_weight)
                 : is_less(g, b, best, by_work, now_ms)) {
            best = b;
            least = used;
            weight = its_weight;
        }
    }
    return best;
}

static void compare(struct gang *g, bool by_work, int64_t now_ms)
{
    struct mlt_error err = {0};
    if (gang_choice_check(g, &err) < 0) /* with places that are not what they will be */
        fail_msg("%s", err.text);
    assert_ptr_equal(gang_choice_first(g), plain_first(g, 0, by_work, now_ms));
    if (gang_choice_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_the_next_is_the_one_that_a_look_at_all_finds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct gang *g = many_queues(seed);
        gang_choice_begin(g, GANG_CHOICE_BY_WORK, HOUR);
        memset(offered, 0, sizeof offered);
        assert_null(gang_choice_first(g));
        for (int i = 0; i < 400; i++) {
            struct gang_bucket *b = gang_bucket_at(g, below(g->bucket_pool.fresh));
            uint32_t queue = below(QUEUES);
            assert_int_equal(gang_choice_has(g, b), offered[b->at]);
            if (below(4) == 0) {
                use_more(g, queue, below(3) * 500);
                gang_choice_used(g, queue);
            } else if (offered[b->at]) {
                gang_choice_take_back(g, b);
                offered[b->at] = false;
            } else {
                gang_choice_offer(g, b);
                offered[b->at] = true;
            }
            if (below(3))
                compare(g, true, HOUR);
        }
        /* All in order, until nobody is offered. */
        for (struct gang_bucket *b; (b = gang_choice_first(g)) != NULL; offered[b->at] = false) {
            compare(g, true, HOUR);
            gang_choice_take_back(g, b);
        }
        assert_null(plain_first(g, 0, true, HOUR));
        gang_free(g);
    }
}

static void test_the_most_urgent_is_the_one_that_a_look_at_all_finds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct gang *g = many_queues(seed);
        int64_t now_ms = 20 * HOUR;
        gang_turns_begin(g);
        for (int turn = 0; turn < 10; turn++) { /* what an older choice has left is nothing */
            gang_choice_begin(g, GANG_CHOICE_BY_URGENCY, now_ms);
            for (uint32_t at = 0; at < g->bucket_pool.fresh; at++) {
                offered[at] = below((uint32_t)turn + 1) == 0;
                if (offered[at])
                    gang_choice_offer_best(g, gang_bucket_at(g, at));
            }
            compare(g, false, now_ms);
        }
        gang_free(g);
    }
}

static void test_a_wrong_place_is_found(void **state)
{
    (void)state;
    struct gang *g = many_queues(1);
    struct mlt_error err = {0};
    gang_choice_begin(g, GANG_CHOICE_BY_WORK, HOUR);
    for (uint32_t at = 0; at < g->bucket_pool.fresh; at++)
        gang_choice_offer(g, gang_bucket_at(g, at));
    assert_non_null(gang_choice_first(g));
    uint32_t found = 0;
    for (uint32_t at = 0; at < g->bucket_pool.fresh; at++) {
        struct gang_job *job = gang_bucket_head(gang_bucket_at(g, at));
        job->priority -= 10; /* and nobody was told */
        found += gang_choice_check(g, &err) < 0;
        job->priority += 10;
        assert_int_equal(gang_choice_check(g, &err), 0);
    }
    assert_true(found >= QUEUES); /* at least the first of each */
    use_more(g, 1, 1000000);
    assert_int_equal(gang_choice_check(g, &err), -EBADMSG);
    gang_free(g);
}

static void test_a_wrong_past_use_is_found(void **state)
{
    (void)state;
    struct gang *g = many_queues(1);
    struct mlt_error err = {0};
    use_more(g, 1, 1000000);
    assert_true(gang_usage_at(g, gang_queue_of(g, 1), HOUR) >= 1000000);
    assert_int_equal(gang_check(g, &err), 0);
    gang_queue_of(g, 1)->usage += 1000000; /* and what is known stays */
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    gang_free(g);
}

/* ---- turns ---- */

static const struct gang *sorting;
static int64_t sorting_ms;

/* From when on a job has waited too long: here no job is a part of all there is that makes it wide,
 * and the backlog is longer than patience. */
static int64_t end_of(const struct gang_job *job)
{
    return job->since_ms + gang_patience_of_ms(sorting, job->time_limit_ms > 0,
                                               gang_patience_is_wide(sorting, job->shape));
}

static int sign(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

/* By priority; then those that lost patience half of it ago, in that order; the widest, the oldest.
 */
static int by_turn(const void *left, const void *right)
{
    const struct gang_job *a = *(struct gang_job *const *)left,
                          *b = *(struct gang_job *const *)right;
    if (a->priority != b->priority)
        return sign(b->priority, a->priority);
    int64_t end_a = end_of(a), end_b = end_of(b);
    bool late = end_a + PATIENCE / 2 <= sorting_ms || end_b + PATIENCE / 2 <= sorting_ms;
    if ((end_a <= sorting_ms) != (end_b <= sorting_ms))
        return end_a <= sorting_ms ? -1 : 1;
    if (end_a > sorting_ms) { /* its turn has come by its priority alone */
        int work = sign(a->bucket->work, b->bucket->work);
        return work ? work : sign(a->sequence, b->sequence);
    }
    if (late && end_a != end_b)
        return sign(end_a, end_b);
    int wide = sign(gang_share(sorting, b->shape->sum), gang_share(sorting, a->shape->sum));
    int age = sign(a->since_ms, b->since_ms);
    return wide ? wide : age ? age : sign(a->sequence, b->sequence);
}

/* One line, without shares. Whoever has had its turn is taken out, as by a plan. */
static void compare_turns(struct gang *g, int64_t now_ms)
{
    struct gang_job *jobs[JOBS];
    struct gang_bucket *taken[JOBS];
    uint32_t count = 0, turns = 0;
    int32_t lowest = INT32_MAX;
    sorting = g;
    sorting_ms = now_ms;
    for (uint64_t id = 1; id <= JOBS; id++) {
        struct gang_job *job = gang_job_find(g, id);
        if (job && job->bucket && gang_bucket_head(job->bucket) == job)
            jobs[count++] = job;
        lowest = job && job->bucket && job->priority < lowest ? job->priority : lowest;
    }
    qsort(jobs, count, sizeof(struct gang_job *), by_turn);
    g->plan.number++;
    for (struct gang_bucket *b; (b = gang_patience_turn(g, now_ms)) != NULL; turns++) {
        assert_true(turns < count);
        assert_ptr_equal(gang_bucket_head(b), jobs[turns]);
        taken[turns] = b;
        gang_heap_take(g, b);
    }
    for (uint32_t i = turns; i < count; i++) /* the others have none */
        assert_true(jobs[i]->priority == lowest && end_of(jobs[i]) > now_ms);
    while (turns > 0)
        gang_heap_push(g, taken[--turns]);
    struct mlt_error err = {0};
    if (gang_check(g, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_turns_come_in_the_order_that_a_sort_gives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct gang *g = new_gang(false);
        mlt_random_init(&numbers, seed);
        set_queue(g, TOP, GANG_NO_QUEUE, GANG_ORDER_FIFO, 1);
        small_feed(g, small_node(0, 8));
        for (uint64_t id = 1; id <= JOBS / 2; id++)
            submit(g, id, TOP);
        compare_turns(g, 30 * HOUR);
        for (uint32_t n = 1; n < 12; n++) /* who was wide is not any more */
            small_feed(g, small_node(n, 8));
        for (uint64_t id = JOBS / 2 + 1; id <= JOBS; id++)
            submit(g, id, TOP);
        for (int i = 0; i < JOBS / 3; i++) {
            uint64_t id = 1 + below(JOBS);
            if (gang_job_find(g, id))
                small_remove(g, id);
        }
        compare_turns(g, 30 * HOUR);
        compare_turns(g, 45 * HOUR);
        gang_free(g);
    }
}

/* Queues side by side below one that shares; some of them have used nothing. */
static struct gang *flat_queues(uint64_t seed)
{
    struct gang *g = new_gang(false);
    mlt_random_init(&numbers, seed);
    for (uint32_t n = 0; n < 8; n++)
        small_feed(g, small_node(n, 8));
    set_queue(g, TOP, GANG_NO_QUEUE, GANG_ORDER_FAIR_SHARE, 1);
    for (uint32_t q = 1; q < QUEUES; q++)
        set_queue(g, q, TOP, GANG_ORDER_FIFO, 1 + below(3));
    for (uint64_t id = 1; id <= JOBS; id++)
        submit(g, id, 1 + below(QUEUES - 1));
    for (uint32_t q = 1; q < QUEUES; q += 1 + below(2))
        small_feed(g, (struct gang_event){
                          .kind = GANG_QUEUE_USAGE, .queue = q, .usage = (int64_t)below(4) * 1000});
    return g;
}

/* Where queues share. Whoever has had its turn is taken out, and its queue has used more. */
static void compare_turns_by_share(struct gang *g, int64_t now_ms)
{
    struct gang_bucket *taken[JOBS];
    uint32_t turns = 0;
    g->plan.number++;
    for (struct gang_bucket *b; (b = gang_patience_turn(g, now_ms)) != NULL;) {
        for (uint32_t at = 0; at < g->bucket_pool.fresh; at++) {
            const struct gang_turn *turn = &g->turns->turns[at];
            offered[at] =
                at < g->turns->end && turn->waits &&
                (turn->priority > g->waiting_lowest ||
                 gang_patience_ends_ms(g, gang_bucket_head(gang_bucket_at(g, at))) <= now_ms);
        }
        assert_ptr_equal(b, plain_first(g, 0, false, now_ms));
        taken[turns++] = b;
        gang_heap_take(g, b);
        use_more(g, gang_bucket_any(b)->queue, below(3) * 500);
        gang_turns_queue_used(g, gang_bucket_any(b)->queue);
    }
    assert_true(turns > JOBS / 4);
    while (turns > 0)
        gang_heap_push(g, taken[--turns]);
}

static void test_turns_of_queues_that_share_come_as_a_look_at_all_finds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct gang *flat = flat_queues(seed), *tree = many_queues(seed);
        assert_true(gang_choice_is_flat(flat));
        assert_false(gang_choice_is_flat(tree));
        compare_turns_by_share(flat, 30 * HOUR);
        compare_turns_by_share(flat, 45 * HOUR);
        compare_turns_by_share(tree, 30 * HOUR);
        gang_free(flat);
        gang_free(tree);
    }
}

static void test_a_wrong_turn_is_found(void **state)
{
    (void)state;
    struct gang *g = many_queues(3);
    struct mlt_error err = {0};
    const uint32_t at = gang_job_find(g, 1)->bucket->at;
    g->turns->turns[at].since_ms++;
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    g->turns->turns[at].since_ms--;
    assert_int_equal(gang_check(g, &err), 0);
    g->turns->turns[at].waits = false;
    assert_int_equal(gang_check(g, &err), -EBADMSG);
    gang_free(g);
}

/* ---- queues that come ---- */

/* Takes what the plan says, and plans again until there is nothing to do. */
static void plan_and_commit(struct gang *g, int64_t now_ms)
{
    struct mlt_error err = {0};
    struct gang_decision d;
    for (int i = 0; i < 50; i++) {
        uint32_t node[8];
        small_plan(g, now_ms);
        if (gang_check(g, &err) < 0)
            fail_msg("of a plan: %s", err.text);
        if (!gang_action_next(g, &d))
            return;
        if (d.kind == GANG_PREEMPT) {
            small_feed_at(
                g,
                (struct gang_event){.kind = GANG_JOB_STOPPING, .job = d.job, .for_job = d.for_job},
                now_ms);
            small_feed_at(g, (struct gang_event){.kind = GANG_JOB_RELEASED, .job = d.job}, now_ms);
            continue;
        }
        assert_true(d.kind == GANG_PLACE && d.nodes_count <= 8);
        memcpy(node, d.nodes, d.nodes_count * sizeof *node);
        small_feed_at(g,
                      (struct gang_event){.kind = GANG_JOB_PLACED,
                                          .job = d.job,
                                          .nodes = node,
                                          .nodes_count = d.nodes_count,
                                          .revocable = d.revocable,
                                          .started_ms = now_ms},
                      now_ms);
    }
}

/* More queues than there was room for when the first job came, one by one, and in any order. */
static void test_queues_may_come_while_jobs_wait_in_others(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct gang *g = new_gang(kind & 1);
        uint32_t numbers_of[150];
        mlt_random_init(&numbers, 7 + (uint64_t)kind);
        small_feed(g, small_node(0, 8));
        set_queue(g, TOP, GANG_NO_QUEUE, GANG_ORDER_FAIR_SHARE, 1);
        for (uint32_t i = 0; i < 150; i++)
            numbers_of[i] = i + 1;
        for (uint32_t i = 150; kind & 2 && i-- > 1;) {
            uint32_t other = below(i + 1), number = numbers_of[other];
            numbers_of[other] = numbers_of[i];
            numbers_of[i] = number;
        }
        for (uint32_t i = 0; i < 150; i++) {
            int64_t now_ms = i * (HOUR / 10);
            set_queue(g, numbers_of[i], TOP, GANG_ORDER_FIFO, 1 + i % 3);
            plan_and_commit(g, now_ms); /* nobody waits in it yet */
            submit(g, 2 * i + 1, numbers_of[i]);
            submit(g, 2 * i + 2, numbers_of[below(i + 1)]);
            if (i % 10 == 0)
                plan_and_commit(g, now_ms);
        }
        plan_and_commit(g, 60 * HOUR);
        gang_free(g);
    }
}

/* What the queues below it had used, a queue has used. */
static void test_a_queue_that_had_others_below_has_used_something(void **state)
{
    (void)state;
    struct gang *g = new_gang(false);
    small_feed(g, small_node(0, 8));
    set_queue(g, TOP, GANG_NO_QUEUE, GANG_ORDER_FAIR_SHARE, 1);
    set_queue(g, 1, TOP, GANG_ORDER_FIFO, 1);
    set_queue(g, 2, TOP, GANG_ORDER_FIFO, 1);
    set_queue(g, 3, 1, GANG_ORDER_FIFO, 1);
    struct gang_job_request r = small_request(1, 8, 0, 1);
    r.queue = 3;
    small_submit(g, 1, r);
    small_start(g, 1, 0, 0);
    small_feed_at(g, (struct gang_event){.kind = GANG_JOB_REMOVED, .job = 1}, HOUR);
    small_feed_at(g, (struct gang_event){.kind = GANG_QUEUE_REMOVED, .queue = 3}, HOUR);
    r.queue = 1;
    small_submit(g, 2, r);
    r.queue = 2;
    r.sequence = 2;
    small_submit(g, 3, r);
    small_plan(g, PATIENCE + HOUR); /* both have waited too long, and the second has used nothing */
    assert_string_equal(small_next(g), "place 3: 0");
    gang_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_next_is_the_one_that_a_look_at_all_finds),
        cmocka_unit_test(test_the_most_urgent_is_the_one_that_a_look_at_all_finds),
        cmocka_unit_test(test_a_wrong_place_is_found),
        cmocka_unit_test(test_a_wrong_past_use_is_found),
        cmocka_unit_test(test_turns_come_in_the_order_that_a_sort_gives),
        cmocka_unit_test(test_turns_of_queues_that_share_come_as_a_look_at_all_finds),
        cmocka_unit_test(test_a_wrong_turn_is_found),
        cmocka_unit_test(test_queues_may_come_while_jobs_wait_in_others),
        cmocka_unit_test(test_a_queue_that_had_others_below_has_used_something),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
