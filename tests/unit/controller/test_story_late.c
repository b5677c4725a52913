/* What comes late. Launchers of which nobody remembers the gang: it has ended, or was undone, while
 * their node was away. They get an answer, or their ranks would run on for ever. And lists that
 * show a job which is gone: nothing is done for it. */
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "world_internal.h"

/* A launcher of a job's former pod, from a node that was away. A pod that has ended stands in for
 * it in the world. */
static struct world_launcher *comes_late(struct world *w, const char *job, const char *stand_in,
                                         uint64_t attempt)
{
    struct world_launcher *l = NULL;
    for (int i = 0; i < WORLD_LAUNCHERS_MAX && !l; i++)
        if (!w->launchers[i].used)
            l = &w->launchers[i];
    assert_non_null(l);
    *l = (struct world_launcher){.used = true, .nproc = 1, .exit_code = -1, .attempt = attempt};
    l->state = LAUNCHER_RUNNING;
    l->digest = 7;
    l->pod = mlt_strdup(stand_in);
    l->uid = mlt_strdup("uid-former");
    l->job_uid = mlt_strdup(json_string(world_job_object(w, job), "metadata.uid", ""));
    l->ignores_exit = true;
    world_launcher_connects(w, l);
    world_run(w);
    return l;
}

static void ends_with(struct world *w, const char *job, int code)
{
    world_submit(w, job, 1, "{\"spec\":{\"backoffLimit\":0}}");
    world_advance(w, 2000);
    world_rank_exits(w, world_launcher(w, job, 0), 0, code, 0, 500);
    world_advance(w, 20000);
    assert_string_equal(world_phase(w, job), code ? "Failed" : "Succeeded");
}

static void test_a_launcher_that_comes_when_its_job_is_over_is_told_to_exit(void **state)
{
    (void)state;
    for (int code = 0; code <= 3; code += 3)
        for (int controllers = 1; controllers <= 2; controllers++) {
            struct world w;
            world_init(&w, 1, 1);
            ends_with(&w, "a", code);
            if (controllers == 2) /* the next one has never known the gang */
                world_replace_controller(&w);
            struct world_launcher *l = comes_late(&w, "a", "pods/team/a-worker-0", 1);
            assert_int_equal(l->exit_code, code);
            world_release(&w);
        }
}

static void test_so_is_one_that_comes_before_its_job_is_known(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    ends_with(&w, "a", 3);
    struct world_launcher *l = comes_late(&w, "a", "pods/team/a-worker-0", 1);
    l->exit_code = -1;
    world_replace_controller(&w); /* it reconnects at once */
    world_advance(&w, 1000);
    assert_int_equal(l->exit_code, 3);
    world_release(&w);
}

static void test_a_launcher_of_a_gang_that_was_undone_is_refused_while_its_job_waits(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    ends_with(&w, "c", 0);
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 2000);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":true}}");
    world_advance(&w, 20000);
    world_submit(&w, "b", 1, NULL);
    world_advance(&w, 2000);
    world_patch(&w, "trainingjobs/team/a", "{\"spec\":{\"suspend\":false}}");
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    struct world_launcher *l = comes_late(&w, "a", "pods/team/c-worker-0", 1);
    assert_false(l->used); /* for good: it has ended its ranks and itself */
    /* One that runs a later attempt knows more than we, and one that runs none ends nothing. */
    l = comes_late(&w, "a", "pods/team/c-worker-0", 2);
    assert_true(l->used && l->refused);
    l->attempt = 0;
    l->state = LAUNCHER_AWAY;
    l->refused = false;
    world_launcher_connects(&w, l);
    world_run(&w);
    assert_true(l->used && l->refused);
    assert_string_equal(world_phase(&w, "b"), "Running");
    world_release(&w);
}

static void test_a_launcher_that_knows_a_later_leader_is_not_ended(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    ends_with(&w, "a", 0);
    struct world_launcher *l = comes_late(&w, "a", "pods/team/a-worker-0", 1);
    l->exit_code = -1;
    l->lease_transitions = 1000;
    world_launcher_connects(&w, l);
    world_run(&w);
    assert_int_equal(l->exit_code, -1);
    assert_true(l->used && l->refused); /* not for good */
    world_release(&w);
}

/* The watch of jobs has to begin again, with a list. */
static void watch_of_jobs_expires(struct world *w)
{
    static const char gone[] =
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n";
    for (int i = 0; i < WORLD_WATCHES_MAX; i++)
        if (w->watches[i].id && strcmp(w->watches[i].plural, "trainingjobs") == 0) {
            struct world_event *e = world_push(w, CONTROLLER_ANSWER_BODY, w->watches[i].id);
            w->watches[i].id = 0;
            e->data = mlt_strdup(gone);
            e->e.length = strlen(e->data);
        }
    world_advance(w, 5000);
}

/* The job is deleted after the list was made that is on its way. A write says so first. */
static struct world_object *goes_unseen(struct world *w)
{
    struct world_object *o;
    world_init(w, 2, 1);
    world_submit(w, "a", 2, NULL);
    world_advance(w, 2000);
    w->slow_list = "trainingjobs";
    watch_of_jobs_expires(w);
    assert_non_null(w->held);
    struct world_launcher *l = world_launcher(w, "a", 0);
    o = world_find(w, "trainingjobs/team/a");
    HASH_DEL(w->objects, o);
    world_progress(w, l, 5, 100);
    world_advance(w, 20000);
    assert_string_equal(json_string(world_object(w, "pods/team/a-worker-0"), "status.phase", ""),
                        "Failed");
    return o;
}

static void test_a_late_list_does_not_bring_back_a_job_that_is_gone(void **state)
{
    struct world w;
    (void)state;
    struct world_object *o = goes_unseen(&w);
    unsigned writes = w.status_writes;
    world_list_arrives(&w);
    world_advance(&w, 60000);
    assert_int_equal(w.status_writes, writes);
    assert_int_equal(w.pods_created, 2);
    assert_int_equal(w.starts, 2);
    watch_of_jobs_expires(&w); /* the next list lacks it: its place is free */
    world_submit(&w, "b", 2, NULL);
    assert_string_equal(world_phase(&w, "b"), "Running");
    cJSON_Delete(o->json);
    free(o->key);
    free(o);
    world_release(&w);
}

static void test_a_job_that_is_there_after_all_goes_on(void **state)
{
    struct world w;
    (void)state;
    struct world_object *o = goes_unseen(&w);
    world_list_arrives(&w);
    HASH_ADD_KEYPTR(hh, w.objects, o->key, strlen(o->key), o);
    assert_int_equal(w.starts, 2);
    watch_of_jobs_expires(&w);
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_int_equal(w.starts, 4);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_launcher_that_comes_when_its_job_is_over_is_told_to_exit),
        cmocka_unit_test(test_so_is_one_that_comes_before_its_job_is_known),
        cmocka_unit_test(test_a_launcher_of_a_gang_that_was_undone_is_refused_while_its_job_waits),
        cmocka_unit_test(test_a_launcher_that_knows_a_later_leader_is_not_ended),
        cmocka_unit_test(test_a_late_list_does_not_bring_back_a_job_that_is_gone),
        cmocka_unit_test(test_a_job_that_is_there_after_all_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
