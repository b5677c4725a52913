/* The table of rights: which row a request falls under, and that each row is there for a request
 * which the controller really sends. That each request has its row is checked by every story
 * (world.c). */
#include "controller/api_right.h"

#include <string.h>
#include "world_internal.h"

static void assert_right(const char *method, const char *path, const char *resource,
                         const char *verb, enum api_scope scope)
{
    const struct api_right *r = api_right_find(method, path, "home");
    assert_non_null(r);
    assert_string_equal(r->resource, resource);
    assert_string_equal(r->verb, verb);
    assert_int_equal(r->scope, scope);
}

static void test_a_request_falls_under_its_row(void **state)
{
    (void)state;
    assert_right("GET", "/api/v1/pods?limit=500", "pods", "list", API_ANYWHERE);
    assert_right("GET", "/api/v1/pods?limit=1&watch=1", "pods", "watch", API_ANYWHERE);
    assert_right("GET", "/api/v1/namespaces/a/pods/b", "pods", "get", API_ANYWHERE);
    assert_right("POST", "/api/v1/namespaces/a/pods?dryRun=All", "pods", "create", API_ANYWHERE);
    assert_right("PATCH", "/apis/mltrain.io/v1alpha1/namespaces/a/trainingjobs/j/status",
                 "trainingjobs/status", "patch", API_ANYWHERE);
    assert_right("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
                 "leases", "get", API_NODE_LEASE);
    assert_right("PATCH", "/apis/coordination.k8s.io/v1/namespaces/home/leases/mltrain-controller",
                 "leases", "patch", API_HERE);
}

static void test_what_is_in_no_row_is_not_allowed(void **state)
{
    (void)state;
    assert_null(api_right_find("GET", "/api/v1/namespaces/a/secrets/s", "home"));
    assert_null(api_right_find("GET", "/api/v1/secrets", "home"));
    assert_null(
        api_right_find("PATCH", "/apis/mltrain.io/v1alpha1/namespaces/a/trainingjobs/j", "home"));
    assert_null(api_right_find(
        "PATCH", "/apis/coordination.k8s.io/v1/namespaces/other/leases/mltrain-controller",
        "home"));
    assert_null(api_right_find("PATCH",
                               "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/"
                               "leases/n",
                               "home"));
    assert_null(api_right_find("GET", "/version", "home"));
    assert_null(api_right_find("GET", "", "home"));
    assert_null(api_right_find("POST", "/apis/apps/v1/namespaces/a/pods", "home"));
}

static void test_verbs_are_those_of_kubernetes(void **state)
{
    (void)state;
    assert_string_equal(api_verb("GET", "/api/v1/nodes"), "list");
    assert_string_equal(api_verb("GET", "/api/v1/nodes?watch=1"), "watch");
    assert_string_equal(api_verb("GET", "/api/v1/nodes/n"), "get");
    assert_string_equal(api_verb("POST", "/api/v1/nodes"), "create");
    assert_string_equal(api_verb("PUT", "/api/v1/nodes/n"), "update");
    assert_string_equal(api_verb("PATCH", "/api/v1/nodes/n"), "patch");
    assert_string_equal(api_verb("DELETE", "/api/v1/nodes/n"), "delete");
}

/* ---- each row is needed ---- */

/* A job that meets a conflict, ends, and is deleted by its TTL with its pods. */
static uint64_t whole_life(void)
{
    struct world w;
    world_init(&w, 2, 1);
    w.conflicts = 1;
    world_submit(&w, "a", 2,
                 "{\"spec\":{\"cleanPodPolicy\":\"All\",\"ttlSecondsAfterFinished\":2}}");
    world_advance(&w, 2000);
    world_job_ends_well(&w, "a");
    world_advance(&w, 60000);
    assert_int_equal(world_count(&w, "trainingjobs"), 0);
    uint64_t used = w.rights_used;
    world_release(&w);
    return used;
}

/* Pods that are refused again and again. */
static uint64_t refused_twice(void)
{
    struct world w;
    world_init(&w, 1, 1);
    w.refuse_pod = "exceeded quota";
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 60000);
    uint64_t used = w.rights_used;
    world_release(&w);
    return used;
}

/* The controller is dropped while a creation is on its way; the next one creates the same pod. */
static uint64_t name_is_taken(void)
{
    uint64_t used = 0;
    unsigned met = 0;
    for (int i = 0; i < 60 * 60 && !met; i++) {
        struct world w;
        world_init(&w, 2, 2);
        w.late_choice = 1 + i % 60;
        w.drop_after = 12 + i / 60;
        world_submit(&w, "a", 3, NULL);
        world_advance(&w, 3000);
        met = w.already_exists;
        used |= w.rights_used;
        world_release(&w);
    }
    assert_true(met > 0);
    return used;
}

static uint64_t node_dies(void)
{
    struct world w;
    world_init(&w, 3, 1);
    w.leases = true;
    world_submit(&w, "a", 2, NULL);
    world_advance(&w, 12000);
    world_launcher(&w, "a", 1)->deaf = true;
    world_kubelets_die(&w, "node002");
    world_advance(&w, 20000);
    uint64_t used = w.rights_used;
    world_release(&w);
    return used;
}

static uint64_t service_follows_the_leader(void)
{
    struct world w;
    world_init(&w, 1, 1);
    w.has_service = true;
    world_replace_controller(&w);
    world_advance(&w, 2000);
    world_patch(&w, "endpointslices/mltrain-system/mltrain-channel-ipv4", "{\"endpoints\":[]}");
    world_advance(&w, 70000);
    uint64_t used = w.rights_used;
    world_release(&w);
    return used;
}

/* A claim whose class does not exist, and one of a volume that is gone. */
static uint64_t volumes_are_looked_up(void)
{
    static const char *const claims[] = {
        "{\"spec\":{\"storageClassName\":\"none\"},\"status\":{\"phase\":\"Pending\"}}",
        "{\"spec\":{\"volumeName\":\"gone\"},\"status\":{\"phase\":\"Bound\"}}"};
    uint64_t used = 0;
    for (size_t i = 0; i < sizeof claims / sizeof claims[0]; i++) {
        struct world w;
        cJSON *claim = NULL;
        world_init(&w, 1, 1);
        assert_int_equal(json_parse(claims[i], strlen(claims[i]), &claim, NULL), 0);
        world_put_new(&w, "persistentvolumeclaims/team/data", claim);
        world_submit(&w, "a", 1,
                     "{\"spec\":{\"workers\":{\"template\":{\"spec\":{\"volumes\":[{\"name\":\"v\","
                     "\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]}}}}}");
        world_advance(&w, 2000);
        used |= w.rights_used;
        world_release(&w);
    }
    return used;
}

static uint64_t queue_is_used(void)
{
    struct world w;
    world_init(&w, 1, 1);
    world_queue(&w, "default", "{}");
    world_submit(&w, "a", 1, NULL);
    world_advance(&w, 20000);
    uint64_t used = w.rights_used;
    world_release(&w);
    return used;
}

static void test_each_row_is_needed_by_a_request(void **state)
{
    uint64_t used = 0;
    (void)state;
    used |= whole_life();
    used |= volumes_are_looked_up();
    used |= refused_twice();
    used |= name_is_taken();
    used |= node_dies();
    used |= service_follows_the_leader();
    used |= queue_is_used();
    for (size_t i = 0; api_right_at(i); i++) {
        const struct api_right *r = api_right_at(i);
        assert_true(*r->why != 0);
        /* An admission plugin asks for this one when an owner reference blocks deletion. */
        bool is_implied = strcmp(r->resource, "trainingjobs/finalizers") == 0;
        if (!is_implied && !(used >> i & 1))
            fail_msg("no request needs %s %s (%s): take the row out, or show the request here",
                     r->verb, r->resource, r->why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_falls_under_its_row),
        cmocka_unit_test(test_what_is_in_no_row_is_not_allowed),
        cmocka_unit_test(test_verbs_are_those_of_kubernetes),
        cmocka_unit_test(test_each_row_is_needed_by_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
