/* The creation of a pod that outlives its controller: it is on its way to the API server when the
 * controller dies, and comes there after the next one has created what it found missing. It has to
 * meet a pod of the same name. That no slot has two pods that live is checked at each creation. */
#include <string.h>
#include "world_internal.h"

#define DEATHS_MAX 400 /* effects of a story, and then some */

struct story {
    void (*begin)(struct world *w); /* up to the moment from which on the controller may die */
    void (*go_on)(struct world *w); /* what happens then */
};

static void no_pod_that_has_ended_stays(struct world *w)
{
    struct world_object *o, *next;
    HASH_ITER(hh, w->objects, o, next)
    {
        const char *phase = json_string(o->json, "status.phase", "");
        if (strncmp(o->key, "pods/", 5) == 0 && strcmp(phase, "Failed") == 0)
            world_delete(w, o->key);
    }
}

/* False when the story has fewer effects. */
static bool tell(const struct story *story, int death)
{
    struct world w;
    world_init(&w, 3, 1);
    w.late_choice = 1000000; /* when everything else is quiet */
    story->begin(&w);
    w.drop_after = death;
    w.stop_at_drop = true;
    story->go_on(&w);
    bool died = w.dropped;
    w.stop_at_drop = false;
    w.drop_after = 0;
    w.reject_on = NULL;
    no_pod_that_has_ended_stays(&w);
    world_advance(&w, 120000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_release(&w);
    return died;
}

static void tell_with_each_death(const struct story *story)
{
    int death = 1;
    while (death < DEATHS_MAX && tell(story, death))
        death++;
    assert_in_range(death, 10, DEATHS_MAX - 1);
}

/* Attempt 1 runs in a-worker-0-r2. */
static void runs_in_its_second_pod(struct world *w)
{
    w->reject_on = "node001";
    world_submit(w, "a", 1, NULL);
    world_advance(w, 100);
    w->reject_on = NULL;
    assert_string_equal(world_status(w, "a", "placement.podCreations"), "2");
    no_pod_that_has_ended_stays(w);
    world_run(w);
}

static void the_pod_is_deleted(struct world *w)
{
    world_delete(w, "pods/team/a-worker-0-r2");
    world_advance(w, 10000);
}

static void test_a_pod_is_not_created_under_a_number_that_the_attempt_has_had(void **state)
{
    (void)state;
    tell_with_each_death(
        &(struct story){.begin = runs_in_its_second_pod, .go_on = the_pod_is_deleted});
}

static void runs(struct world *w)
{
    world_submit(w, "a", 1, NULL);
    assert_string_equal(world_phase(w, "a"), "Running");
    w->reject_on = json_string(world_object(w, "pods/team/a-worker-0"), "spec.nodeName", "");
    w->reject_on = strcmp(w->reject_on, "node001") == 0 ? "node001" : "node002";
}

/* What comes in its place is refused, and so is the next. */
static void its_pods_are_refused(struct world *w)
{
    world_delete(w, "pods/team/a-worker-0");
    world_advance(w, 60000);
}

static void test_nor_is_one_after_several_that_no_attempt_was_started_in(void **state)
{
    (void)state;
    tell_with_each_death(&(struct story){.begin = runs, .go_on = its_pods_are_refused});
}

static void exists(struct world *w)
{
    w->reject_on = "node001";
}

static void the_gang_is_undone_and_placed_anew(struct world *w)
{
    world_submit(w, "a", 2, NULL); /* one creation is on its way when the other is to follow */
    world_advance(w, 60000);
}

static void test_nor_is_one_after_a_gang_that_was_undone(void **state)
{
    (void)state;
    tell_with_each_death(
        &(struct story){.begin = exists, .go_on = the_gang_is_undone_and_placed_anew});
}

/* Its pods are gone by the time it goes on with another size. */
static void test_a_job_that_was_scaled_while_suspended_goes_on_with_its_numbers(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    runs_in_its_second_pod(&w);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 1500);
    world_delete(&w, "pods/team/a-worker-0-r2");
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"workers\":{\"replicas\":2}}}");
    world_replace_controller(&w);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 1500);
    assert_string_equal(world_status(&w, "a", "placement.podCreations"), "3,1");
    assert_non_null(world_object(&w, "pods/team/a-worker-0-r3"));
    world_release(&w);
}

/* A creation of the gang before, under a name that is free again: the next controller's pod of that
 * name has come and gone. Its container does not start. */
static void a_former_pod_comes(struct world *w)
{
    static const char now[] = "pods/team/a-worker-0-r2", former[] = "pods/team/a-worker-0";
    assert_non_null(world_object(w, now));
    assert_null(world_object(w, former));
    cJSON *pod = cJSON_Duplicate(world_object(w, now), true);
    json_unset(pod, "metadata.uid");
    json_set_string(pod, "metadata.name", "a-worker-0");
    json_set_string(pod, "spec.nodeName", "node001");
    json_set_string(pod, "status.phase", "Pending");
    (void)world_put_new(w, former, pod);
    world_advance(w, 5000);
    assert_null(world_object(w, former));
    assert_non_null(world_object(w, now));
}

static void test_a_pod_that_comes_late_is_removed_while_its_gang_gathers(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    w.no_kubelet = true;
    w.reject_on = "node001";
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 100);
    no_pod_that_has_ended_stays(&w);
    world_run(&w);
    a_former_pod_comes(&w);
    assert_string_equal(world_phase(&w, "a"), "Admitted");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_is_not_created_under_a_number_that_the_attempt_has_had),
        cmocka_unit_test(test_nor_is_one_after_several_that_no_attempt_was_started_in),
        cmocka_unit_test(test_nor_is_one_after_a_gang_that_was_undone),
        cmocka_unit_test(test_a_pod_that_comes_late_is_removed_while_its_gang_gathers),
        cmocka_unit_test(test_a_job_that_was_scaled_while_suspended_goes_on_with_its_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
