/* A gang goes where its volumes are, and waits for a claim that is not there or not bound, saying
 * so. */
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "world_internal.h"

#define MOUNTS_DATA                                                      \
    "{\"spec\":{\"workers\":{\"template\":{\"spec\":{\"volumes\":[{\"name\":\"data\"," \
    "\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]}}}}}"

static void put(struct world *w, const char *key, const char *json)
{
    cJSON *object = NULL;
    assert_int_equal(json_parse(json, strlen(json), &object, NULL), 0);
    json_set_string(object, "metadata.name", strrchr(key, '/') + 1);
    world_put_new(w, key, object);
}

/* A volume that one node alone can mount. */
static void put_volume(struct world *w, const char *node)
{
    cleanup_free char *json = mlt_asprintf(
        "{\"spec\":{\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchFields\":[{"
        "\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"%s\"]}]}]}}}}",
        node);
    put(w, "persistentvolumes//disk", json);
}

static void put_claim(struct world *w, const char *phase, const char *spec)
{
    cleanup_free char *json =
        mlt_asprintf("{\"spec\":{%s},\"status\":{\"phase\":\"%s\"}}", spec, phase);
    put(w, "persistentvolumeclaims/team/data", json);
}

static void put_class(struct world *w, const char *mode)
{
    cleanup_free char *json = mlt_asprintf("{\"volumeBindingMode\":\"%s\"}", mode);
    put(w, "storageclasses//fast", json);
}

static void bind(struct world *w)
{
    world_patch(w, "persistentvolumeclaims/team/data",
                "{\"spec\":{\"volumeName\":\"disk\"},\"status\":{\"phase\":\"Bound\"}}");
}

static void test_a_gang_goes_to_its_bound_volume_at_once(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 2);
    put_volume(&w, "node003");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_submit(&w, "a", 2, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node[003,003]");
    assert_false(world_has_event(&w, "Requeued"));
    world_advance(&w, 3600 * 1000);
    assert_int_equal(w.volumes_read, 2); /* what is bound is not asked for again */
    world_release(&w);
}

static void test_a_gang_whose_volume_no_node_can_mount_waits_and_says_so(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    put_volume(&w, "node007");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_string_equal(world_status(&w, "a", "queue.explanation"),
                        "none of the 2 nodes may be used: ruled out are 2 by volumes that only "
                        "other nodes can mount");
    world_release(&w);
}

static void test_a_volume_without_node_affinity_is_everywhere(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    put(&w, "persistentvolumes//disk", "{\"spec\":{}}");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    world_release(&w);
}

static void waits_with(struct world *w, const char *reason, const char *words)
{
    world_advance(w, 5000);
    assert_string_equal(world_phase(w, "a"), "Queued");
    assert_string_equal(world_reason(w, "a", "Queued"), reason);
    assert_string_equal(world_message(w, "a", "Queued"), words);
    assert_string_equal(world_status(w, "a", "queue.explanation"), words);
    assert_true(world_has_event(w, reason));
    assert_int_equal(w->pods_created, 0);
}

static void test_a_claim_that_does_not_exist_is_waited_for_by_name(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    world_submit(&w, "a", 1, MOUNTS_DATA);
    waits_with(&w, "VolumeMissing", "PersistentVolumeClaim data does not exist");
    put_volume(&w, "node002");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_advance(&w, 10000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    assert_string_equal(world_condition(&w, "a", "Queued"), "False");
    world_release(&w);
}

static void test_a_claim_that_is_to_be_bound_at_once_is_waited_for(void **state)
{
    const struct {
        const char *phase, *spec, *mode, *reason, *words;
    } rows[] = {
        {"Pending", "\"storageClassName\":\"fast\"", "Immediate", "VolumeNotBound",
         "PersistentVolumeClaim data is not bound to a volume yet (StorageClass fast)"},
        {"Pending", "\"storageClassName\":\"none\"", "WaitForFirstConsumer", "VolumeNotBound",
         "PersistentVolumeClaim data is not bound to a volume yet (StorageClass none)"},
        {"Pending", "\"storageClassName\":\"\"", "Immediate", "VolumeNotBound",
         "PersistentVolumeClaim data is not bound to a volume yet"},
        {"Pending", "\"storageClassName\":\"fast\",\"volumeName\":\"disk\"", "WaitForFirstConsumer",
         "VolumeNotBound",
         "PersistentVolumeClaim data is not bound to a volume yet (PersistentVolume disk)"},
        {"Lost", "\"volumeName\":\"disk\"", "Immediate", "VolumeLost",
         "PersistentVolumeClaim data has lost its volume (PersistentVolume disk)"},
        {"Bound", "\"volumeName\":\"other\"", "Immediate", "VolumeLost",
         "PersistentVolumeClaim data has lost its volume (PersistentVolume other)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w;
        world_init(&w, 2, 1);
        put_class(&w, rows[i].mode);
        put_volume(&w, "node002");
        put_claim(&w, rows[i].phase, rows[i].spec);
        world_submit(&w, "a", 1, MOUNTS_DATA);
        waits_with(&w, rows[i].reason, rows[i].words);
        bind(&w);
        world_advance(&w, 10000);
        assert_string_equal(world_phase(&w, "a"), "Running");
        assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
        world_release(&w);
    }
}

static void test_a_claim_that_is_being_deleted_is_not_planned_with(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 1, 1);
    put_volume(&w, "node001");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_patch(&w, "persistentvolumeclaims/team/data",
                "{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    waits_with(&w, "VolumeMissing", "PersistentVolumeClaim data is being deleted");
    world_release(&w);
}

static void test_a_claim_that_is_bound_late_goes_to_the_scheduler(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    put_class(&w, "WaitForFirstConsumer");
    put_claim(&w, "Pending", "\"storageClassName\":\"fast\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_non_null(json_find(world_object(&w, "pods/team/a-worker-0"), "spec.affinity"));
    world_release(&w);
}

static void test_who_leaves_the_scheduler_out_is_told_that_it_binds_the_claim(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    put_class(&w, "WaitForFirstConsumer");
    put_claim(&w, "Pending", "\"storageClassName\":\"fast\"");
    world_submit(&w, "a", 1,
                 "{\"spec\":{\"scheduling\":{\"binding\":\"node\"},\"workers\":{\"template\":{"
                 "\"spec\":{\"volumes\":[{\"name\":\"data\",\"persistentVolumeClaim\":{"
                 "\"claimName\":\"data\"}}]}}}}}");
    waits_with(&w, "VolumeNotBound",
               "PersistentVolumeClaim data is bound by the scheduler (WaitForFirstConsumer), which "
               "scheduling.binding `node` leaves out");
    world_release(&w);
}

/* The claim is bound with the first pod: who is replaced later goes to where it is. */
static void test_what_is_bound_with_the_first_pod_counts_for_the_next(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    put_class(&w, "WaitForFirstConsumer");
    put_volume(&w, "node003");
    put_claim(&w, "Pending", "\"storageClassName\":\"fast\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    bind(&w);
    world_advance(&w, 20000);
    assert_int_equal(world_number(&w, "a", "attempt"), 1);
    world_node_ready(&w, "node001", false);
    world_kubelets_die(&w, "node001");
    world_channel_breaks(&w, world_launcher(&w, "a", 0));
    world_advance(&w, 60000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node003");
    world_release(&w);
}

static void test_so_does_it_under_the_next_controller(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 3, 1);
    put_volume(&w, "node003");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node003");
    world_replace_controller(&w);
    world_advance(&w, 5000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    world_node_ready(&w, "node003", false);
    world_kubelets_die(&w, "node003");
    world_channel_breaks(&w, world_launcher(&w, "a", 0));
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Queued");
    assert_int_equal(w.pods_created, 1);
    world_release(&w);
}

/* Rights that were not given yet, or were taken away: as it was before there were any. */
static void test_a_controller_that_may_not_read_claims_plans_without(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    w.refuse_volumes = "persistentvolumeclaims is forbidden";
    put_volume(&w, "node002");
    put_claim(&w, "Bound", "\"volumeName\":\"disk\"");
    world_submit(&w, "a", 1, MOUNTS_DATA);
    world_advance(&w, 2000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node001");
    /* Once it may, whoever is placed from then on goes to where the volume is. */
    w.refuse_volumes = NULL;
    world_advance(&w, 20000);
    world_delete(&w, "pods/team/a-worker-0");
    world_advance(&w, 60000);
    assert_string_equal(world_phase(&w, "a"), "Running");
    assert_string_equal(world_status(&w, "a", "placement.workers"), "node002");
    world_release(&w);
}

static void test_claims_are_asked_for_once_for_all_jobs_and_ever_more_rarely(void **state)
{
    struct world w;
    (void)state;
    world_init(&w, 2, 1);
    char name[8] = "a";
    for (; name[0] < 'k'; name[0]++)
        world_submit(&w, name, 1, MOUNTS_DATA);
    world_advance(&w, 5000);
    w.volumes_read = 0;
    world_advance(&w, 600 * 1000);
    assert_in_range(w.volumes_read, 8, 20);
    for (name[0] = 'a'; name[0] < 'k'; name[0]++) {
        char key[64];
        (void)snprintf(key, sizeof key, "trainingjobs/team/%s", name);
        world_delete(&w, key);
    }
    world_advance(&w, 1000);
    w.volumes_read = 0;
    world_advance(&w, 600 * 1000);
    assert_int_equal(w.volumes_read, 0);
    world_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gang_goes_to_its_bound_volume_at_once),
        cmocka_unit_test(test_a_gang_whose_volume_no_node_can_mount_waits_and_says_so),
        cmocka_unit_test(test_a_volume_without_node_affinity_is_everywhere),
        cmocka_unit_test(test_a_claim_that_does_not_exist_is_waited_for_by_name),
        cmocka_unit_test(test_a_claim_that_is_to_be_bound_at_once_is_waited_for),
        cmocka_unit_test(test_a_claim_that_is_being_deleted_is_not_planned_with),
        cmocka_unit_test(test_a_claim_that_is_bound_late_goes_to_the_scheduler),
        cmocka_unit_test(test_who_leaves_the_scheduler_out_is_told_that_it_binds_the_claim),
        cmocka_unit_test(test_what_is_bound_with_the_first_pod_counts_for_the_next),
        cmocka_unit_test(test_so_does_it_under_the_next_controller),
        cmocka_unit_test(test_a_controller_that_may_not_read_claims_plans_without),
        cmocka_unit_test(test_claims_are_asked_for_once_for_all_jobs_and_ever_more_rarely),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
