/* Paths of requests, as an API server expects them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "lib/kube/resource.h"

static void test_paths(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum kube_resource resource;
        const char *namespace_, *object, *subresource, *query, *path;
    } rows[] = {
        {"all pods", KUBE_POD, NULL, NULL, NULL, NULL, "/api/v1/pods"},
        {"an empty namespace is none", KUBE_POD, "", NULL, NULL, "", "/api/v1/pods"},
        {"pods of a namespace", KUBE_POD, "ns", NULL, NULL, NULL, "/api/v1/namespaces/ns/pods"},
        {"one pod", KUBE_POD, "ns", "a", NULL, NULL, "/api/v1/namespaces/ns/pods/a"},
        {"its log", KUBE_POD, "ns", "a", "log", "container=c&follow=true",
         "/api/v1/namespaces/ns/pods/a/log?container=c&follow=true"},
        {"a node ignores the namespace", KUBE_NODE, "ns", "n", NULL, NULL, "/api/v1/nodes/n"},
        {"a namespace", KUBE_NAMESPACE, NULL, "ns", NULL, NULL, "/api/v1/namespaces/ns"},
        {"a job's status", KUBE_TRAININGJOB, "ns", "j", "status", NULL,
         "/apis/mltrain.io/v1alpha1/namespaces/ns/trainingjobs/j/status"},
        {"queues", KUBE_TRAININGQUEUE, NULL, NULL, NULL, "watch=1",
         "/apis/mltrain.io/v1alpha1/trainingqueues?watch=1"},
        {"a lease", KUBE_LEASE, "ns", "l", NULL, NULL,
         "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"},
        {"strange names are encoded", KUBE_POD, "a/b", "../c d", NULL, NULL,
         "/api/v1/namespaces/a%2Fb/pods/..%2Fc%20d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
        kube_path(&path, rows[i].resource, rows[i].namespace_, rows[i].object, rows[i].subresource,
                  rows[i].query);
        if (strcmp(mlt_text_string(&path), rows[i].path) != 0)
            fail_msg("%s: %s", rows[i].name, mlt_text_string(&path));
        mlt_text_release(&path);
    }
}

static void test_api_versions(void **state)
{
    (void)state;
    assert_string_equal(kube_api_version(KUBE_POD), "v1");
    assert_string_equal(kube_api_version(KUBE_TRAININGJOB), "mltrain.io/v1alpha1");
    assert_string_equal(kube_resource_info(KUBE_CRD)->kind, "CustomResourceDefinition");
}

static void test_every_byte_but_the_unreserved_is_encoded(void **state)
{
    (void)state;
    struct mlt_text out = MLT_TEXT_INIT(100);
    kube_path_encode(&out, "aZ09-._~=,&?#%+ \xc3\xa9");
    assert_string_equal(mlt_text_string(&out), "aZ09-._~%3D%2C%26%3F%23%25%2B%20%C3%A9");
    mlt_text_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_api_versions),
        cmocka_unit_test(test_every_byte_but_the_unreserved_is_encoded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
