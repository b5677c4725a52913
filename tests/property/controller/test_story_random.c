/* Random troubles, from printed seeds: ranks that die, pods that are deleted, nodes that go and
 * come, suspensions, and controllers that are killed, also in the middle of a step. The world
 * checks after each step that no START went out before its attempt was stored, and at each creation
 * that no slot has two living pods; in the end, when all is quiet, every job must come to its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/random.h"
#include "tests/unit/controller/world.h"

#define STORIES 6 /* a seed as argument tells one story; hundreds were tried by hand */
#define TROUBLES 14
#define JOBS 3

static const char *const names[JOBS] = {"a", "b", "c"};

static struct world_launcher *any_launcher(struct world *w, struct mlt_random *r, const char *job)
{
    return world_launcher(w, job, (uint32_t)mlt_random_below(r, 3));
}

/* Nothing passes between the controller and the launchers of a node, or of all (NULL). */
static void deafen(struct world *w, const char *node, bool deaf)
{
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++) {
        struct world_launcher *l = &w->launchers[i];
        const char *at = l->used ? json_string(world_object(w, l->pod), "spec.nodeName", "") : "";
        if (!l->used || (node && strcmp(at, node) != 0))
            continue;
        l->deaf = deaf;
        if (!deaf)
            world_launcher_hears(w, l);
    }
}

static void node_dies(struct world *w, struct mlt_random *r)
{
    deafen(w, "node003", true);
    world_kubelets_die(w, "node003");
    world_advance(w, mlt_random_between(r, 0, 40000));
    world_kubelets_die(w, NULL);
    deafen(w, "node003", false);
}

static void trouble(struct world *w, struct mlt_random *r)
{
    const char *job = names[mlt_random_below(r, JOBS)];
    struct world_launcher *l = any_launcher(w, r, job);
    char text[128];
    switch (mlt_random_below(r, 14)) {
    case 0:
    case 1:
        if (l && l->state == LAUNCHER_RUNNING && !l->exits_count)
            world_rank_exits(w, l, 0, (int)mlt_random_between(r, 1, 3), 0, 1000);
        break;
    case 2:
        if (l) {
            (void)snprintf(text, sizeof text, "%s", l->pod);
            world_delete(w, text);
        }
        break;
    case 3:
        if (l)
            world_pod_ends(w, l, 137);
        break;
    case 4:
        (void)snprintf(text, sizeof text, "trainingjobs/team/%s", job);
        if (world_object(w, text))
            world_patch(w, text,
                        mlt_random_below(r, 2) ? "{\"spec\":{\"suspend\":true}}"
                                               : "{\"spec\":{\"suspend\":false}}");
        break;
    case 5:
        world_replace_controller(w);
        break;
    case 6:
        w->drop_after = (int)mlt_random_between(r, 1, 40);
        break;
    case 7:
        if (l && l->state == LAUNCHER_RUNNING)
            world_checkpoint(w, l, w->now_ms / 100, -1);
        break;
    case 9: /* until all is quiet, or its pod ends */
        if (l && l->channel)
            world_channel_breaks(w, l);
        break;
    case 10:
        if (l && l->state == LAUNCHER_RUNNING) {
            world_pod_stopped(w, l, mlt_random_below(r, 2) ? "Terminated" : "Evicted");
        }
        break;
    case 11:
        world_node_ready(w, "node002", false);
        world_advance(w, mlt_random_between(r, 0, 20000));
        world_node_ready(w, "node002", true);
        break;
    case 12:
        if (l) /* until its node dies, or all is quiet */
            l->deaf = true;
        break;
    case 13:
        node_dies(w, r);
        break;
    case 8:
        w->conflicts = (int)mlt_random_between(r, 0, 2);
        w->unavailable = (int)mlt_random_between(r, 0, 3);
        break;
    }
    world_advance(w, mlt_random_between(r, 0, 8000));
}

static void quieten(struct world *w)
{
    char key[64];
    w->drop_after = w->conflicts = w->unavailable = 0;
    deafen(w, NULL, false);
    for (int i = 0; i < WORLD_LAUNCHERS_MAX; i++)
        if (w->launchers[i].used && !w->launchers[i].channel)
            world_launcher_connects(w, &w->launchers[i]);
    for (int i = 0; i < JOBS; i++) {
        (void)snprintf(key, sizeof key, "trainingjobs/team/%s", names[i]);
        world_patch(w, key, "{\"spec\":{\"suspend\":false}}");
    }
    for (int round = 0; round < 12; round++) {
        world_advance(w, 120000);
        for (int i = 0; i < JOBS; i++)
            if (strcmp(world_phase(w, names[i]), "Running") == 0)
                world_job_ends_well(w, names[i]);
    }
}

static void tell(uint64_t seed)
{
    struct world w;
    struct mlt_random r;
    mlt_random_init(&r, seed);
    world_init(&w, 3, 2);
    w.leases = seed % 3 != 0;
    for (int i = 0; i < JOBS; i++)
        world_submit(&w, names[i], (int)mlt_random_between(&r, 1, 4),
                     seed % 2 ? "{\"spec\":{\"backoffLimit\":50}}"
                              : "{\"spec\":{\"backoffLimit\":50,"
                                "\"failurePolicy\":{\"fenceSeconds\":20}}}");
    for (int i = 0; i < TROUBLES; i++)
        trouble(&w, &r);
    quieten(&w);
    for (int i = 0; i < JOBS; i++)
        if (strcmp(world_phase(&w, names[i]), "Succeeded") != 0)
            fail_msg("seed %llu: job %s is %s", (unsigned long long)seed, names[i],
                     world_phase(&w, names[i]));
    world_release(&w);
}

static uint64_t first_seed = 1, last_seed = STORIES;

static void test_whatever_happens_jobs_come_to_their_end(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed <= last_seed; seed++)
        tell(seed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_happens_jobs_come_to_their_end),
    };
    if (argc > 1)
        first_seed = last_seed = strtoull(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
