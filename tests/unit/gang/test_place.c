/* Placement: each rule of gang/README.md "Placement" by itself. */
#include "tests/unit/gang/small.h"

#include <stdlib.h>
#include "lib/base/random.h"

static const char *const level_names[] = {"zone", "rack"};

static struct gang *leveled_new(uint32_t levels)
{
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_config config = {
        .device_names = devices, .devices = 1, .level_names = level_names, .levels = levels};
    struct gang *g = gang_new(&config);
    assert_non_null(g);
    small_feed(g, (struct gang_event){.kind = GANG_QUEUE_SET});
    return g;
}

static void set_node(struct gang *g, uint32_t node, int64_t gpus, uint32_t zone, uint32_t rack)
{
    const uint32_t domains[] = {zone, rack};
    struct gang_event event = small_node(node, gpus);
    event.domains = domains;
    small_feed(g, event);
}

/* Two zones of two racks of two nodes with 4 GPUs each. */
static struct gang *two_zones(void)
{
    struct gang *g = leveled_new(2);
    for (uint32_t n = 0; n < 8; n++)
        set_node(g, n, 4, n / 4, n / 2);
    return g;
}

static void refuse_node(struct gang *g, uint32_t node, const uint32_t *domains, const char *words)
{
    struct mlt_error err = {0};
    struct gang_event event = small_node(node, 4);
    event.domains = domains;
    uint64_t before = gang_hash(g);
    assert_int_equal(gang_event(g, &event, 0, &err), -EINVAL);
    assert_string_equal(err.text, words);
    assert_true(gang_hash(g) == before);
}

static void place(struct gang *g, uint64_t job, struct gang_job_request request, const char *words)
{
    small_submit(g, job, request);
    small_plan(g, 0);
    assert_string_equal(small_next(g), words);
}

/* ---- what the host says ---- */

static void test_a_rack_lies_in_one_zone(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    const uint32_t elsewhere[] = {1, 0}, nowhere[] = {GANG_NO_DOMAIN, 0}, far[] = {0, 1000000};
    refuse_node(g, 8, elsewhere, "node 8: rack 0 lies in zone 0 for other nodes, here in 1");
    refuse_node(g, 1, nowhere, "node 1: rack 0 lies in zone 0 for other nodes, here in none");
    refuse_node(g, 8, far, "node 8: rack 1000000: numbers go up to 999999");
    set_node(g, 1, 4, 1, 3); /* one may move */
    set_node(g, 0, 4, 1, 0); /* and take its rack along, when it is alone there */
    gang_free(g);
}

static void test_a_rack_may_move_when_no_known_node_is_left_in_it(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 0});
    small_feed(g, (struct gang_event){.kind = GANG_NODE_REMOVED, .node = 1});
    set_node(g, 8, 4, 1, 0);
    struct gang_job_request request = small_request(1, 4, 0, 1);
    request.required_level = 2;
    place(g, 1, request, "place 1: 2");
    gang_free(g);
}

static void test_a_level_that_there_is_not_is_refused(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    struct mlt_error err = {0};
    struct gang_job_request request = small_request(1, 1, 0, 1);
    request.required_level = 3;
    const struct gang_event event = {.kind = GANG_JOB_SUBMITTED, .job = 1, .request = &request};
    assert_int_equal(gang_event(g, &event, 0, &err), -EINVAL);
    assert_string_equal(err.text, "level 3: there are 2 levels");
    gang_free(g);
}

/* ---- which domain ---- */

static void test_a_gang_takes_the_narrowest_domain_that_has_room(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    place(g, 1, small_request(4, 1, 0, 1), "place 1: 0 0 0 0");
    small_remove(g, 1);
    place(g, 2, small_request(2, 3, 0, 2), "place 2: 0 1");
    gang_free(g);
}

static void test_of_equal_levels_the_domain_with_the_least_left_over_is_taken(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    small_submit(g, 1, small_request(2, 1, 0, 1));
    small_placed(g, 1, 2, 5, 6);
    /* 6 of racks 2 and 3 are free, 8 of the others. */
    place(g, 2, small_request(3, 2, 0, 2), "place 2: 4 4 5");
    gang_free(g);
}

static void test_children_are_filled_fullest_first_and_the_last_one_tight(void **state)
{
    (void)state;
    struct gang *g = leveled_new(2);
    const int64_t gpus[] = {2, 5, 3, 4, 1};
    for (uint32_t n = 0; n < 5; n++)
        set_node(g, n, gpus[n], 0, 0);
    /* 5 and 4, and the rest of 2 tight on node 0, not on node 2. Numbered along the nodes. */
    place(g, 1, small_request(11, 1, 0, 1), "place 1: 0 0 1 1 1 1 1 3 3 3 3");
    gang_free(g);
}

static void test_a_gang_that_no_domain_holds_spreads_over_the_fewest(void **state)
{
    (void)state;
    struct gang *g = leveled_new(1);
    const uint32_t zones[] = {0, 0, 1, 1, 1, 2, 2};
    for (uint32_t n = 0; n < 7; n++)
        set_node(g, n, 4, zones[n], 0);
    place(g, 1, small_request(4, 4, 0, 1), "place 1: 0 2 3 4");
    gang_free(g);
}

/* ---- levels that jobs want ---- */

static void test_a_required_level_is_one_domain_or_nothing(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    struct gang_job_request request = small_request(3, 4, 0, 1);
    request.required_level = 2;
    place(g, 1, request, "never 1");
    assert_string_equal(small_reason(),
                        "needs 3 pods x 4 nvidia.com/gpu; all pods have to be in one "
                        "rack, and rack 0, which has the most room, holds 2 of them "
                        "when it is empty");
    request.required_level = 1;
    place(g, 1, request, "place 1: 0 1 2");
    gang_free(g);
}

static void test_a_job_waits_for_room_in_one_domain(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    for (uint64_t job = 1; job <= 4; job++) {
        small_submit(g, job, small_request(1, 2, 0, (int64_t)job));
        small_placed(g, job, 1, (uint32_t)(2 * job - 2));
    }
    struct gang_job_request request = small_request(2, 4, 0, 9);
    request.required_level = 2;
    place(g, 9, request, "wait 9 at 1");
    assert_string_equal(
        small_reason(),
        "needs 2 pods x 4 nvidia.com/gpu; 24 of 32 free; all pods have to be in one "
        "rack, and rack 0, which has the most room, holds 1 of them; 8 held by 4 "
        "jobs (job 1: 2, job 2: 2, job 3: 2, job 4: 2)");
    small_remove(g, 3);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "place 9: 4 5");
    gang_free(g);
}

static void test_a_node_in_no_domain_is_not_used_by_jobs_that_require_one(void **state)
{
    (void)state;
    struct gang *g = leveled_new(2);
    set_node(g, 0, 8, 0, GANG_NO_DOMAIN);
    set_node(g, 1, 4, 0, 7);
    set_node(g, 2, 4, GANG_NO_DOMAIN, GANG_NO_DOMAIN);
    struct gang_job_request request = small_request(2, 4, 0, 1);
    request.required_level = 2;
    place(g, 1, request, "never 1");
    request = small_request(1, 4, 0, 1);
    request.required_level = 2;
    place(g, 1, request, "place 1: 1");
    request.required_level = 0;
    request.roles[0].pods = 4;
    place(g, 1, request, "place 1: 1 0 0 2");
    gang_free(g);
}

static void test_a_preferred_level_is_required_for_a_while(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    struct gang_job_request request = small_request(3, 4, 0, 1);
    request.preferred_level = 2;
    request.since_ms = 1000;
    request.preferred_wait_ms = 500;
    small_submit(g, 1, request);
    small_plan(g, 1499);
    assert_string_equal(small_next(g), "wait 1 at 1");
    assert_int_equal(gang_next_wake_ms(g, 1499), 1500);
    small_plan(g, 1500);
    assert_string_equal(small_next(g), "place 1: 0 1 2");
    gang_free(g);
}

static void test_a_lost_member_stays_in_the_domain_of_its_gang(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    struct gang_job_request request = small_request(2, 4, 0, 1);
    request.required_level = 2;
    small_submit(g, 1, request);
    small_placed(g, 1, 2, 4, 5);
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 0});
    small_submit(g, 2, small_request(1, 1, 9, 2));
    small_placed(g, 2, 1, 4);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "wait 1.0");
    small_remove(g, 2);
    small_plan(g, 0);
    assert_string_equal(small_next(g), "replace 1.0: 4");
    gang_free(g);
}

static void test_a_lost_member_stands_near_its_neighbour_in_rank(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    small_submit(g, 1, small_request(3, 3, 0, 1));
    small_placed(g, 1, 3, 0, 4, 6);
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 1});
    small_feed(g, (struct gang_event){.kind = GANG_POD_GONE, .job = 1, .pod = 0});
    small_plan(g, 0);
    assert_string_equal(small_next(g), "replace 1.0: 7");
    assert_string_equal(small_next(g), "replace 1.1: 4");
    gang_free(g);
}

static void test_several_roles_stand_in_one_domain_when_one_has_room(void **state)
{
    (void)state;
    struct gang *g = two_zones();
    struct gang_job_request request = small_request(2, 3, 0, 1);
    request.roles_count = 2;
    request.roles[1] = request.roles[0];
    request.roles[1].request[GANG_DEVICE_0] = 1;
    small_submit(g, 1, small_request(1, 1, 0, 0));
    small_placed(g, 1, 1, 0);
    place(g, 2, request, "place 2: 2 3 2 3");
    gang_free(g);
}

/* ---- against the rule, written once more ---- */

#define NODES 9000
#define LEVELS 2

struct reference {
    uint32_t nodes;
    uint32_t domains[NODES][LEVELS + 1]; /* in domain order; the last is the node itself */
    int64_t fit[NODES], taken[NODES];    /* in that order, too */
};

static struct reference reference;

static int by_domains(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    for (uint32_t l = 0; l <= LEVELS; l++)
        if (x[l] != y[l])
            return x[l] < y[l] ? -1 : 1;
    return 0;
}

static uint32_t part_end(const struct reference *r, uint32_t begin, uint32_t end, uint32_t level)
{
    uint32_t at = begin;
    while (at < end &&
           memcmp(r->domains[at], r->domains[begin], level * sizeof r->domains[0][0]) == 0)
        at++;
    return at;
}

static int64_t room(const struct reference *r, uint32_t begin, uint32_t end)
{
    int64_t sum = 0;
    for (uint32_t i = begin; i < end; i++)
        sum += r->fit[i];
    return sum;
}

static void fill(struct reference *r, uint32_t begin, uint32_t end, uint32_t level, int64_t pods)
{
    if (level == LEVELS + 1) {
        r->taken[begin] = pods;
        return;
    }
    uint32_t *begins = calloc(end - begin + 1, sizeof *begins), count = 0;
    for (uint32_t at = begin; at < end; at = part_end(r, at, end, level + 1))
        begins[count++] = at;
    begins[count] = end;
    bool *used = calloc(count, sizeof *used);
    while (pods > 0) {
        uint32_t most = count, tight = count;
        for (uint32_t i = 0; i < count; i++) {
            int64_t its = room(r, begins[i], begins[i + 1]);
            if (used[i])
                continue;
            if (most == count || its > room(r, begins[most], begins[most + 1]))
                most = i;
            if (its >= pods && (tight == count || its < room(r, begins[tight], begins[tight + 1])))
                tight = i;
        }
        uint32_t next = tight < count ? tight : most;
        int64_t its = room(r, begins[next], begins[next + 1]);
        fill(r, begins[next], begins[next + 1], level + 1, its < pods ? its : pods);
        pods -= its < pods ? its : pods;
        used[next] = true;
    }
    free(begins);
    free(used);
}

/* Whether there is a place; what each node gets is in r->taken. */
static bool choose(struct reference *r, int64_t pods, uint32_t required)
{
    memset(r->taken, 0, sizeof r->taken);
    for (uint32_t level = LEVELS + 1; level >= 1 && level >= required; level--) {
        uint32_t best = r->nodes;
        int64_t least = INT64_MAX;
        for (uint32_t at = 0; at < r->nodes; at = part_end(r, at, r->nodes, level)) {
            int64_t its = room(r, at, part_end(r, at, r->nodes, level));
            bool real = r->domains[at][level - 1] != GANG_NO_DOMAIN &&
                        (!required || r->domains[at][required - 1] != GANG_NO_DOMAIN);
            if (real && its >= pods && its < least) {
                best = at;
                least = its;
            }
        }
        if (best == r->nodes)
            continue;
        fill(r, best, part_end(r, best, r->nodes, level), level, pods);
        return true;
    }
    if (required || room(r, 0, r->nodes) < pods)
        return false;
    fill(r, 0, r->nodes, 0, pods);
    return true;
}

struct cluster {
    struct gang *g;
    struct mlt_random random;
    uint32_t nodes, racks, largest; /* largest: pods that a node holds */
    uint64_t next, oldest;
    uint32_t domains[NODES][LEVELS]; /* by node */
};

static struct cluster cluster;

static uint32_t below(struct cluster *c, uint32_t bound)
{
    return (uint32_t)mlt_random_below(&c->random, bound);
}

static void change_node(struct cluster *c, uint32_t node)
{
    uint32_t rack = below(c, c->racks + 1);
    const uint32_t domains[] = {rack % 7 ? rack / 5 : GANG_NO_DOMAIN,
                                rack < c->racks ? rack : GANG_NO_DOMAIN};
    struct gang_event event = small_node(node, 1 + below(c, c->largest));
    struct mlt_error err;
    event.capacity[GANG_PODS] = c->largest;
    event.schedulable = below(c, 20) > 0;
    event.domains = domains;
    memcpy(c->domains[node], domains, sizeof domains);
    assert_int_equal(gang_event(c->g, &event, 0, &err), 0);
}

static void drop(struct cluster *c, uint64_t job)
{
    struct mlt_error err;
    const struct gang_event event = {.kind = GANG_JOB_REMOVED, .job = job};
    int rc = gang_event(c->g, &event, 0, &err);
    assert_true(rc == 0 || rc == -EINVAL); /* it may be gone already */
}

static void look(struct cluster *c, int64_t gpus)
{
    struct reference *r = &reference;
    r->nodes = c->nodes;
    uint32_t(*keys)[LEVELS + 1] = r->domains;
    for (uint32_t n = 0; n < c->nodes; n++) {
        memcpy(keys[n], c->domains[n], sizeof c->domains[n]);
        keys[n][LEVELS] = n;
    }
    qsort(keys, c->nodes, sizeof *keys, by_domains);
    for (uint32_t i = 0; i < c->nodes; i++) {
        struct gang_node_view v;
        gang_node(c->g, keys[i][LEVELS], &v);
        int64_t free = v.capacity[GANG_DEVICE_0] - v.used_by_gangs[GANG_DEVICE_0];
        int64_t pods = v.capacity[GANG_PODS] - v.used_by_gangs[GANG_PODS];
        int64_t fit = free / gpus < pods ? free / gpus : pods;
        r->fit[i] = v.schedulable && fit > 0 ? fit : 0;
    }
}

static void compare(struct cluster *c)
{
    int64_t gpus = 1 + below(c, 3);
    uint32_t pods = 1 + below(c, below(c, 4) ? 2 * c->largest : c->largest * c->nodes / 4);
    pods = pods < GANG_PODS_PER_JOB_MAX ? pods : GANG_PODS_PER_JOB_MAX;
    struct gang_job_request request = small_request(pods, gpus, 0, 0);
    struct gang_decision d;
    struct mlt_error err;
    request.required_level = below(c, 3);
    look(c, gpus);
    bool fits = choose(&reference, pods, request.required_level);
    const struct gang_event event = {
        .kind = GANG_JOB_SUBMITTED, .job = ++c->next, .request = &request};
    assert_int_equal(gang_event(c->g, &event, 0, &err), 0);
    assert_int_equal(gang_plan(c->g, 0, &err), 0);
    assert_true(gang_decision_next(c->g, &d));
    assert_true(fits == (d.kind == GANG_PLACE));
    if (!fits) {
        drop(c, c->next);
        return;
    }
    for (uint32_t i = 0, pod = 0; i < c->nodes; i++)
        for (int64_t k = 0; k < reference.taken[i]; k++, pod++)
            assert_int_equal(d.nodes[pod], reference.domains[i][LEVELS]);
    const struct gang_event placed = {
        .kind = GANG_JOB_PLACED, .job = c->next, .nodes = d.nodes, .nodes_count = d.nodes_count};
    assert_int_equal(gang_event(c->g, &placed, 0, &err), 0);
}

static void compare_often(uint32_t nodes, uint32_t racks, uint32_t largest, uint32_t times,
                          uint64_t seed)
{
    struct mlt_error err;
    struct cluster *c = &cluster;
    *c = (struct cluster){
        .g = leveled_new(LEVELS), .nodes = nodes, .racks = racks, .largest = largest};
    mlt_random_init(&c->random, seed);
    for (uint32_t n = 0; n < nodes; n++)
        change_node(c, n);
    for (uint32_t i = 0; i < times; i++) {
        if (below(c, 4) == 0)
            change_node(c, below(c, nodes));
        compare(c);
        while (c->oldest < c->next && below(c, 3) == 0)
            drop(c, ++c->oldest);
        if (i % 16 == 0 && gang_check(c->g, &err) < 0)
            fail_msg("%s", err.text);
    }
    gang_free(c->g);
}

static void test_small_clusters_are_filled_as_the_rule_says(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++)
        compare_often(1 + (uint32_t)seed % 13, 1 + (uint32_t)seed % 6, 4, 60, seed);
}

static void test_large_clusters_are_filled_as_the_rule_says(void **state)
{
    (void)state;
    compare_often(NODES, 1, 70, 60, 1);   /* nearly all in one rack: nodes are found by the index */
    compare_often(NODES, 400, 20, 60, 2); /* many racks */
    compare_often(700, 3, 300, 300, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rack_lies_in_one_zone),
        cmocka_unit_test(test_a_rack_may_move_when_no_known_node_is_left_in_it),
        cmocka_unit_test(test_a_level_that_there_is_not_is_refused),
        cmocka_unit_test(test_a_gang_takes_the_narrowest_domain_that_has_room),
        cmocka_unit_test(test_of_equal_levels_the_domain_with_the_least_left_over_is_taken),
        cmocka_unit_test(test_children_are_filled_fullest_first_and_the_last_one_tight),
        cmocka_unit_test(test_a_gang_that_no_domain_holds_spreads_over_the_fewest),
        cmocka_unit_test(test_a_required_level_is_one_domain_or_nothing),
        cmocka_unit_test(test_a_job_waits_for_room_in_one_domain),
        cmocka_unit_test(test_a_node_in_no_domain_is_not_used_by_jobs_that_require_one),
        cmocka_unit_test(test_a_preferred_level_is_required_for_a_while),
        cmocka_unit_test(test_a_lost_member_stays_in_the_domain_of_its_gang),
        cmocka_unit_test(test_a_lost_member_stands_near_its_neighbour_in_rank),
        cmocka_unit_test(test_several_roles_stand_in_one_domain_when_one_has_room),
        cmocka_unit_test(test_small_clusters_are_filled_as_the_rule_says),
        cmocka_unit_test(test_large_clusters_are_filled_as_the_rule_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
