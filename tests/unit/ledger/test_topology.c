/* Labels of nodes become domains; a job's words about topology become levels. */
#include "ledger/internal.h"
#include "tests/unit/ledger/objects.h"

/* The paths of a node's domains, "-" where it lies in none. */
static const char *domains_of(struct ledger *l, const char *name)
{
    static char text[256];
    uint32_t domains[GANG_LEVELS_MAX];
    const struct ledger_node *node = ledger_map_find(&l->nodes, name);
    assert_non_null(node);
    assert_true(ledger_topology_of(l, node, domains));
    const char *zone = ledger_topology_name(l, 1, domains[0]);
    const char *rack = ledger_topology_name(l, 2, domains[1]);
    (void)snprintf(text, sizeof text, "%s %s", zone ? zone : "-", rack ? rack : "-");
    return text;
}

static void test_a_domain_is_its_path(void **state)
{
    (void)state;
    static const struct {
        const char *name, *labels, *domains;
    } rows[] = {
        {"n1", "zone: a, example.com/rack: r1", "a a/r1"},
        {"n2", "zone: b, example.com/rack: r1", "b b/r1"},
        {"n3", "zone: a", "a -"},
        {"n4", "example.com/rack: r1", "- -/r1"},
        {"n5", "zone: '', example.com/rack: r1", "- -/r1"},
        {"n6", "zone: a, example.com/rack: r10", "a a/r10"},
        {"n7", "zone: a/r2", "- -"},
        {"n8", NULL, "- -"},
    };
    struct ledger *l = objects_ledger_with_levels();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        objects_node(l, rows[i].name, 8, rows[i].labels, NULL);
    objects_plan(l, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(domains_of(l, rows[i].name), rows[i].domains);
    ledger_free(l);
}

static void test_domains_are_numbered_in_the_order_of_their_paths(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger_with_levels();
    objects_node(l, "n1", 8, "zone: z10", NULL);
    objects_plan(l, 0);
    objects_node(l, "n2", 8, "zone: z9", NULL); /* before the other: all is made anew */
    objects_node(l, "n3", 8, "zone: z11", NULL);
    objects_plan(l, 0);
    objects_node(l, "n4", 8, "zone: z12", NULL); /* after all: appended */
    objects_plan(l, 0);
    assert_string_equal(ledger_topology_name(l, 1, 0), "z9");
    assert_string_equal(ledger_topology_name(l, 1, 1), "z10");
    assert_string_equal(ledger_topology_name(l, 1, 2), "z11");
    assert_string_equal(ledger_topology_name(l, 1, 3), "z12");
    assert_null(ledger_topology_name(l, 1, 4));
    assert_null(ledger_topology_name(l, GANG_NO_LEVEL, 0));
    assert_null(ledger_topology_name(l, 3, 0));
    ledger_free(l);
}

static void test_a_level_that_is_not_there_is_refused_in_words(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    struct ledger *none = objects_ledger(), *two = objects_ledger_with_levels();
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 8, 1, NULL);
    objects_node(two, "n1", 8, NULL, NULL);
    job.spec.scheduling.topology_required = "rack";
    assert_int_equal(ledger_job_waits(none, &job, NULL, 0, &err), -EINVAL);
    assert_string_equal(err.text, "spec.scheduling.topology.required: there is no topology level "
                                  "`rack`; none is configured here");
    assert_int_equal(ledger_job_waits(two, &job, NULL, 0, &err), 0);
    job.spec.scheduling.topology_required = "example.com/rack";
    assert_int_equal(ledger_job_waits(two, &job, NULL, 0, &err), 0);
    job.spec.scheduling.topology_required = NULL;
    job.spec.scheduling.topology_preferred = "row";
    static const char words[] =
        "spec.scheduling.topology.preferred: there is no topology level `row`; the levels are zone "
        "(zone), rack (example.com/rack)";
    assert_int_equal(ledger_job_waits(two, &job, NULL, 0, &err), -EINVAL);
    assert_string_equal(err.text, words);
    assert_int_equal(ledger_could_fit(two, &job, &err), -EINVAL);
    assert_string_equal(err.text, words);
    /* What a job holds is a fact, whatever the configuration says now. */
    const char *const nodes[] = {"n1"};
    assert_int_equal(ledger_job_holds(two, &job, NULL, nodes, 1, 0, &err), 0);
    objects_plan(two, 0);
    ledger_free(none);
    ledger_free(two);
}

static void test_the_end_of_a_wait_for_a_preferred_level_wakes(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    struct ledger *l = objects_ledger_with_levels();
    cleanup_trainingjob struct trainingjob job = objects_job("a", 1, 8, 1, NULL);
    job.spec.scheduling.topology_preferred = "rack";
    job.spec.scheduling.topology_max_wait_seconds = 60;
    assert_int_equal(ledger_job_waits(l, &job, NULL, 0, &err), 0);
    ledger_job_since(l, "a", 1000);
    assert_int_equal(ledger_next_wake_ms(l, 2000), 61000);
    assert_int_equal(ledger_next_wake_ms(l, 61000), INT64_MAX);
    ledger_job_since(l, "a", 5000);
    assert_int_equal(ledger_next_wake_ms(l, 2000), 65000);
    ledger_job_gone(l, "a", 0);
    assert_int_equal(ledger_next_wake_ms(l, 2000), INT64_MAX);
    ledger_free(l);
}

static void waits(struct ledger *l, const char *name, int pods, const char *required,
                  const char *preferred, int64_t max_wait_seconds)
{
    struct mlt_error err = {0};
    cleanup_trainingjob struct trainingjob job = objects_job(name, pods, 8, 1, NULL);
    job.spec.scheduling.topology_required = required;
    job.spec.scheduling.topology_preferred = preferred;
    job.spec.scheduling.topology_max_wait_seconds = max_wait_seconds;
    if (ledger_job_waits(l, &job, NULL, 0, &err) < 0)
        fail_msg("%s", err.text);
}

/* Racks a/r1 (n1 n2), a/r2 (n3 n4 n5), b/r1 (n6 n7). */
static struct ledger *three_racks(void)
{
    struct ledger *l = objects_ledger_with_levels();
    for (int i = 1; i <= 7; i++) {
        char name[16], labels[64];
        (void)snprintf(name, sizeof name, "n%d", i);
        (void)snprintf(labels, sizeof labels, "zone: %s, example.com/rack: %s", i < 6 ? "a" : "b",
                       i < 3 || i > 5 ? "r1" : "r2");
        objects_node(l, name, 8, labels, NULL);
    }
    return l;
}

static void test_a_gang_stands_in_one_rack_and_says_why_not(void **state)
{
    (void)state;
    struct ledger *l = three_racks();
    waits(l, "a", 3, "rack", NULL, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n3 n4 n5");
    waits(l, "a", 4, "example.com/rack", NULL, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "never a");
    assert_string_equal(objects_reason(),
                        "needs 4 pods x 8 nvidia.com/gpu; all pods have to be in one rack, and "
                        "rack a/r2, which has the most room, holds 3 of them when it is empty");
    waits(l, "a", 4, "zone", NULL, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1 n3 n4 n5");
    objects_holds(l, "b", 2, 8, 1, "n4 n7");
    waits(l, "a", 3, "rack", NULL, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "wait a at 1");
    assert_string_equal(objects_reason(),
                        "needs 3 pods x 8 nvidia.com/gpu; 40 of 56 free; all pods have to be in "
                        "one rack, and rack a/r1, which has the most room, holds 2 of them; 16 "
                        "held by 1 job (ns/b 16)");
    ledger_free(l);
}

static void test_a_preferred_rack_is_waited_for_as_long_as_the_job_says(void **state)
{
    (void)state;
    struct ledger *l = three_racks();
    objects_holds(l, "b", 1, 8, 1, "n4");
    waits(l, "a", 3, NULL, "rack", 60);
    ledger_job_since(l, "a", 1000);
    objects_plan(l, 2000);
    assert_string_equal(objects_next(l), "wait a at 1");
    assert_int_equal(ledger_next_wake_ms(l, 2000), 61000);
    objects_plan(l, 61000);
    assert_string_equal(objects_next(l), "place a: n1 n2 n3");
    ledger_free(l);
}

static void test_without_any_label_the_reason_says_so(void **state)
{
    (void)state;
    struct ledger *l = objects_ledger_with_levels();
    objects_node(l, "n1", 8, "zone: a", NULL);
    waits(l, "a", 1, "rack", NULL, 0);
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "never a");
    assert_string_equal(objects_reason(),
                        "needs 1 pod x 8 nvidia.com/gpu; all pods have to be in one rack, and none "
                        "has room for one of them when it is empty; no node has the label "
                        "example.com/rack");
    objects_node(l, "n1", 8, "zone: a, example.com/rack: r", NULL); /* labelled while it waits */
    objects_plan(l, 0);
    assert_string_equal(objects_next(l), "place a: n1");
    ledger_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_domain_is_its_path),
        cmocka_unit_test(test_domains_are_numbered_in_the_order_of_their_paths),
        cmocka_unit_test(test_a_level_that_is_not_there_is_refused_in_words),
        cmocka_unit_test(test_the_end_of_a_wait_for_a_preferred_level_wakes),
        cmocka_unit_test(test_a_gang_stands_in_one_rack_and_says_why_not),
        cmocka_unit_test(test_a_preferred_rack_is_waited_for_as_long_as_the_job_says),
        cmocka_unit_test(test_without_any_label_the_reason_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
