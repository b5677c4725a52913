/* Each allocation of a history fails once: the call says so, nothing has changed, and the same call
 * succeeds when there is memory again. Ends with the state of a history without failures. */
#include "gang/internal.h"
#include "tests/unit/gang/small.h"

#include <stdlib.h>

struct meter {
    long until_failure; /* allocations before one fails; negative: none does */
    long live;
};

static void *metered_realloc(void *arg, void *old, size_t size)
{
    struct meter *m = arg;
    if (m->until_failure == 0) {
        m->until_failure = -1; /* only this one */
        return NULL;
    }
    if (m->until_failure > 0)
        m->until_failure--;
    void *memory = realloc(old, size);
    m->live += memory && !old;
    return memory;
}

static void metered_free(void *arg, void *memory)
{
    ((struct meter *)arg)->live--;
    free(memory);
}

static struct gang *metered_new(struct meter *m)
{
    static const char *const devices[] = {"nvidia.com/gpu"};
    const struct gang_memory memory = {.realloc = metered_realloc, .free = metered_free, .arg = m};
    static const char *const levels[] = {"zone", "rack"};
    const struct gang_config config = {
        .device_names = devices,
        .devices = 1,
        .level_names = levels,
        .levels = 2,
        .reservations = 1,
        .patience_ms = 3600000,
        .shares_first = true,
    };
    return gang_new_with_memory(&memory, &config);
}

/* Feeds an event; whether it failed. A failed one must have changed nothing, and is fed again. */
static bool feed_failing(struct gang *g, const struct gang_event *event)
{
    struct mlt_error err = {0};
    uint64_t before = gang_hash(g);
    int rc = gang_event(g, event, 0, &err);
    if (rc == 0)
        return false;
    assert_int_equal(rc, -ENOMEM);
    assert_string_equal(err.text, "gang: out of memory");
    assert_true(gang_hash(g) == before);
    assert_int_equal(gang_check(g, &err), 0);
    assert_int_equal(gang_event(g, event, 0, &err), 0);
    return true;
}

static bool plan_failing(struct gang *g)
{
    struct mlt_error err = {0};
    struct gang_decision d;
    uint64_t before = gang_hash(g);
    int rc = gang_plan(g, 0, &err);
    assert_true(gang_hash(g) == before);
    if (rc == 0)
        return false;
    assert_int_equal(rc, -ENOMEM);
    assert_false(gang_decision_next(g, &d));
    assert_int_equal(gang_plan(g, 0, &err), 0);
    return true;
}

static bool history(struct gang *g, uint64_t *ret_hash)
{
    bool failed = false;
    struct mlt_error err;
    failed |= feed_failing(g, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = 1});
    for (uint32_t n = 0; n < 40; n++) {
        const uint32_t domains[] = {n / 8, n / 2};
        struct gang_event node = small_node(n, 8);
        node.domains = domains;
        failed |= feed_failing(g, &node);
    }
    for (uint64_t job = 1; job <= 40; job++) {
        struct gang_job_request request = small_request(6, 2, 0, (int64_t)job);
        request.queue = 1;
        failed |= feed_failing(
            g, &(struct gang_event){.kind = GANG_JOB_SUBMITTED, .job = job, .request = &request});
    }
    failed |= plan_failing(g);
    for (uint32_t queue = 20; queue <= 60; queue += 20) /* more than there is room for */
        failed |= feed_failing(g, &(struct gang_event){.kind = GANG_QUEUE_SET, .queue = queue});
    failed |= plan_failing(g);
    uint32_t nodes[6] = {50, 1, 1, GANG_NO_NODE, 2, 2};
    struct gang_event placed = {
        .kind = GANG_JOB_PLACED, .job = 3, .nodes = nodes, .nodes_count = 6};
    failed |= feed_failing(g, &placed);
    struct gang_job_request found = small_request(6, 1, 0, 3);
    found.queue = 1;
    placed.request = &found;
    failed |= feed_failing(g, &placed);
    placed.job = 77;
    failed |= feed_failing(g, &placed);
    failed |= feed_failing(
        g, &(struct gang_event){.kind = GANG_POD_MOVED, .job = 3, .pod = 3, .node = 200});
    failed |= feed_failing(
        g, &(struct gang_event){.kind = GANG_JOB_AVOID, .job = 3, .node = 1, .until_ms = 10});
    failed |= feed_failing(g, &(struct gang_event){.kind = GANG_JOB_RELEASED, .job = 77});
    failed |= plan_failing(g);
    int rc = gang_could_fit(g, &found, NULL, &err);
    assert_true(rc == 0 || rc == -ENOMEM);
    *ret_hash = gang_hash(g);
    return failed || rc < 0;
}

static void test_each_allocation_may_fail(void **state)
{
    (void)state;
    struct meter m = {.until_failure = -1};
    struct gang *g = metered_new(&m);
    uint64_t expected, hash;
    assert_false(history(g, &expected));
    gang_free(g);
    assert_int_equal(m.live, 0);
    long n = 0;
    for (bool failed = true; failed; n++) {
        m.until_failure = n;
        g = metered_new(&m);
        if (!g) {
            assert_int_equal(m.live, 0);
            continue;
        }
        failed = history(g, &hash);
        assert_true(hash == expected);
        gang_free(g);
        assert_int_equal(m.live, 0);
    }
    assert_true(n > 100); /* or the history would allocate hardly anything */
    printf("%ld allocations failed in turn\n", n - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
