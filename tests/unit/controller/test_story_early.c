/* Lives of jobs that start before one that waits for room: those that end before its reserved
 * start, and those that start on condition. */
#include <stdio.h>
#include <string.h>
#include "world.h"
#include "world_internal.h"

#define GRACE "\"checkpoint\":{\"path\":\"/c\",\"gracePeriodSeconds\":20}"
#define LIMIT(seconds) "{\"spec\":{\"activeDeadlineSeconds\":" #seconds "," GRACE "}}"
#define NO_LIMIT "{\"spec\":{" GRACE "}}"
#define LEAVES_S 35 /* the grace, and what pods take to be gone */

static int64_t seconds_until(struct world *w, const char *time)
{
    int y, mo, d, h, m, s;
    assert_int_equal(sscanf(time, "%d-%d-%dT%d:%d:%dZ", &y, &mo, &d, &h, &m, &s), 6);
    int64_t in_day = (h * 60 + m) * 60 + s, now = w->wall_ms / 1000 % 86400;
    return (in_day - now + 86400) % 86400;
}

static bool is_revocable(struct world *w, const char *job)
{
    char key[64];
    (void)snprintf(key, sizeof key, "trainingjobs/team/%s", job);
    return json_bool(world_object(w, key), "status.preemption.revocable", false);
}

/* Four GPUs: "a" has two of them for an hour, "big" wants all. */
static void begin(struct world *w)
{
    world_init(w, 1, 4);
    world_submit(w, "a", 2, LIMIT(3600));
    assert_string_equal(world_phase(w, "a"), "Running");
    world_submit(w, "big", 4, NO_LIMIT);
    world_advance(w, 1000);
    assert_string_equal(world_phase(w, "big"), "Queued");
}

static void test_who_ends_before_a_reserved_start_passes_and_who_does_not_waits(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    assert_in_range(seconds_until(&w, world_status(&w, "big", "queue.estimatedStartTime")), 3590,
                    3600);
    world_submit(&w, "long", 1, LIMIT(3590));
    world_submit(&w, "short", 1, LIMIT(600));
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "short"), "Running");
    assert_string_equal(world_phase(&w, "long"), "Queued");
    assert_non_null(strstr(world_status(&w, "long", "queue.explanation"),
                           "there is room, but the start of team/big is reserved there"));
    world_advance(&w, 590000);
    world_job_ends_well(&w, "short");
    world_advance(&w, 3020000); /* past the hour: "a" has been stopped */
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_phase(&w, "big"), "Running");
    assert_int_equal(world_number(&w, "short", "preemption.count"), 0);
    world_release(&w);
}

static void test_who_has_no_limit_starts_on_condition_saves_and_makes_way_in_time(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    world_submit(&w, "open", 2, NO_LIMIT);
    world_advance(&w, 1000);
    assert_string_equal(world_phase(&w, "open"), "Running");
    assert_true(is_revocable(&w, "open"));
    world_replace_controller(&w); /* another leader knows of it */
    world_advance(&w, (3600 - LEAVES_S - 60) * 1000);
    assert_string_equal(world_phase(&w, "open"), "Running");
    world_checkpoint(&w, world_launcher(&w, "open", 0), 40, -1);
    world_launcher(&w, "open", 0)->hold_stop = true;
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "open"), "Preempting");
    assert_string_equal(world_reason(&w, "open", "Preempted"), "BackfillRevoked");
    assert_string_equal(world_status(&w, "open", "preemption.by"), "team/big");
    assert_int_equal(world_launcher(&w, "open", 0)->stop_grace_ms, 20000);
    world_checkpoint(&w, world_launcher(&w, "open", 0), 45, -1);
    world_stopped(&w, world_launcher(&w, "open", 0));
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "big"), "Running");
    assert_string_equal(world_phase(&w, "open"), "Queued");
    assert_int_equal(world_number(&w, "open", "restartsCharged"), 0);
    world_job_ends_well(&w, "big");
    world_advance(&w, 20000);
    assert_string_equal(world_phase(&w, "open"), "Running");
    assert_int_equal(world_launcher(&w, "open", 0)->resume_step, 45);
    assert_false(is_revocable(&w, "open"));
    world_release(&w);
}

/* Its pods come late, so its time begins late: it would end after the reserved start. */
static void test_one_that_was_to_end_before_a_reserved_start_and_begins_late_makes_way(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    w.no_kubelet = true;
    world_submit(&w, "late", 1, LIMIT(3300));
    world_advance(&w, 500000);
    assert_string_equal(world_phase(&w, "late"), "Admitted");
    w.no_kubelet = false;
    world_kubelet_sees(&w, "pods/team/late-worker-0");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "late"), "Running");
    world_advance(&w, (3600 - LEAVES_S - 560 - 20) * 1000);
    assert_string_equal(world_phase(&w, "late"), "Running");
    world_advance(&w, 40000);
    assert_string_equal(world_reason(&w, "late", "Preempted"), "BackfillRevoked");
    world_advance(&w, 40000);
    assert_string_equal(world_phase(&w, "a"), "Failed");
    assert_string_equal(world_phase(&w, "big"), "Running");
    assert_string_equal(world_phase(&w, "late"), "Queued");
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_ends_before_a_reserved_start_passes_and_who_does_not_waits),
        cmocka_unit_test(test_who_has_no_limit_starts_on_condition_saves_and_makes_way_in_time),
        cmocka_unit_test(
            test_one_that_was_to_end_before_a_reserved_start_and_begins_late_makes_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
