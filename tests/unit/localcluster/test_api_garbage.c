/* Tests of localcluster/api/garbage.c: owners, propagation, namespaces, custom kinds, events. */
#include "tests/unit/localcluster/api_client.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"

/* A config map owned by others; owners are uids, NULL for none. */
static char *make(struct api_client *c, const char *name, const char *owner, const char *other,
                  bool blocks)
{
    cleanup_json cJSON *tree = cJSON_CreateObject();
    const char *const owners[] = {owner, other};
    json_set_string(tree, "metadata.name", name);
    for (size_t i = 0; i < 2; i++) {
        if (!owners[i])
            continue;
        cJSON *reference = cJSON_CreateObject();
        json_set_string(reference, "apiVersion", "v1");
        json_set_string(reference, "kind", "ConfigMap");
        json_set_string(reference, "name", "owner");
        json_set_string(reference, "uid", owners[i]);
        json_set_bool(reference, "blockOwnerDeletion", blocks);
        json_append(json_set_array(tree, "metadata.ownerReferences"), reference);
    }
    cleanup_free char *body = json_print(tree);
    assert_int_equal(api_client_post(c, CONFIGMAPS, body), 201);
    return mlt_strdup(api_client_at(c, "metadata.uid"));
}

static void test_dependents_follow_their_owner(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false), *b = make(&c, "b", a, NULL, false);
    free(make(&c, "d", b, NULL, false));
    assert_int_equal(api_client_delete(&c, CONFIGMAPS "/a"), 200);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/b"), 404);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/d"), 404);
    api_client_stop(&c);
}

static void test_an_object_with_another_owner_stays_and_forgets_the_lost_one(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false), *b = make(&c, "b", NULL, NULL, false);
    free(make(&c, "d", a, b, false));
    api_client_delete(&c, CONFIGMAPS "/a");
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/d"), 200);
    assert_int_equal(json_size(c.tree, "metadata.ownerReferences"), 1);
    assert_string_equal(api_client_at(&c, "metadata.ownerReferences[0].uid"), b);
    api_client_delete(&c, CONFIGMAPS "/b");
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/d"), 404);
    api_client_stop(&c);
}

static void test_an_object_whose_owner_never_was_is_collected(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    free(make(&c, "a", "00000000-0000-4000-8000-000000000000", NULL, false));
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    api_client_stop(&c);
}

static void test_orphans_stay_without_their_owner(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false);
    free(make(&c, "b", a, NULL, false));
    api_client_delete(&c, CONFIGMAPS "/a?propagationPolicy=Orphan");
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/b"), 200);
    assert_null(json_find(c.tree, "metadata.ownerReferences"));
    api_client_stop(&c);
}

static void test_a_foreground_deletion_waits_for_blocking_dependents(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false);
    free(make(&c, "b", a, NULL, true));
    api_client_merge(&c, CONFIGMAPS "/b", "{\"metadata\":{\"finalizers\":[\"x.io/f\"]}}");
    api_client_delete(&c, CONFIGMAPS "/a?propagationPolicy=Foreground");
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 200);
    assert_string_equal(api_client_at(&c, "metadata.finalizers[0]"), "foregroundDeletion");
    api_client_get(&c, CONFIGMAPS "/b");
    assert_string_not_equal(api_client_at(&c, "metadata.deletionTimestamp"), "");
    /* b itself was deleted in the foreground: only the user's finalizer holds it. */
    static const char patch[] = "[{\"op\":\"remove\",\"path\":\"/metadata/finalizers\"}]";
    assert_int_equal(
        api_client_send(&c, "PATCH", CONFIGMAPS "/b", API_JSON_PATCH, NULL, patch, strlen(patch)),
        200);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/b"), 404);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    api_client_stop(&c);
}

static void test_a_deleted_namespace_takes_its_contents_along(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    api_client_post(&c, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
    assert_string_equal(api_client_at(&c, "status.phase"), "Active");
    api_client_post(&c, "/api/v1/namespaces/n/configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    api_client_post(&c, "/api/v1/namespaces/n/configmaps",
                    "{\"metadata\":{\"name\":\"b\",\"finalizers\":[\"x.io/f\"]}}");
    assert_int_equal(api_client_delete(&c, "/api/v1/namespaces/n"), 200);
    assert_string_equal(api_client_at(&c, "status.phase"), "Terminating");
    assert_int_equal(api_client_get(&c, "/api/v1/namespaces/n/configmaps/a"), 404);
    assert_int_equal(api_client_get(&c, "/api/v1/namespaces/n"), 200);
    assert_int_equal(
        api_client_post(&c, "/api/v1/namespaces/n/configmaps", "{\"metadata\":{\"name\":\"c\"}}"),
        403);
    assert_contains(api_client_at(&c, "message"), "because it is being terminated");
    api_client_merge(&c, "/api/v1/namespaces/n/configmaps/b",
                     "{\"metadata\":{\"finalizers\":null}}");
    assert_int_equal(api_client_get(&c, "/api/v1/namespaces/n"), 404);
    assert_int_equal(api_client_delete(&c, "/api/v1/namespaces/default"), 403);
    api_client_stop(&c);
}

static void test_collection_goes_on_after_a_restart(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false);
    free(make(&c, "b", a, NULL, false));
    free(make(&c, "d", a, NULL, false));
    store_memory_fail_after(c.store, 1); /* the owner goes, then the store fails, as in a kill */
    api_client_delete(&c, CONFIGMAPS "/a");
    store_memory_fail_after(c.store, -1);
    api_client_restart(&c);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/a"), 404);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/b"), 404);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "/d"), 404);
    api_client_stop(&c);
}

static void test_old_events_expire(void **state)
{
    static const char body[] =
        "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\"},"
        "\"reason\":\"R\",\"message\":\"m\",\"lastTimestamp\":\"2025-11-24T16:30:00Z\"}";
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_post(&c, "/api/v1/namespaces/default/events", body), 201);
    c.now_ms += API_EVENT_TTL_MS;
    assert_int_equal(api_client_get(&c, "/api/v1/namespaces/default/events/e"), 200);
    c.now_ms += 31 * 60 * 1000;
    (void)api_server_work(c.server, c.now_ms);
    assert_int_equal(api_client_get(&c, "/api/v1/namespaces/default/events/e"), 404);
    api_client_stop(&c);
}

static void test_many_dependents_are_collected(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    cleanup_free char *a = make(&c, "a", NULL, NULL, false);
    for (int i = 0; i < 300; i++) {
        cleanup_free char *name = mlt_asprintf("d%d", i);
        free(make(&c, name, a, NULL, false));
    }
    api_client_delete(&c, CONFIGMAPS "/a");
    api_client_get(&c, CONFIGMAPS);
    assert_int_equal(json_size(c.tree, "items"), 0);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dependents_follow_their_owner),
        cmocka_unit_test(test_an_object_with_another_owner_stays_and_forgets_the_lost_one),
        cmocka_unit_test(test_an_object_whose_owner_never_was_is_collected),
        cmocka_unit_test(test_orphans_stay_without_their_owner),
        cmocka_unit_test(test_a_foreground_deletion_waits_for_blocking_dependents),
        cmocka_unit_test(test_a_deleted_namespace_takes_its_contents_along),
        cmocka_unit_test(test_collection_goes_on_after_a_restart),
        cmocka_unit_test(test_old_events_expire),
        cmocka_unit_test(test_many_dependents_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
