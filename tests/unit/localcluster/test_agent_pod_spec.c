/* Pods as they are read, what they ask for, and whether they fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "agent_fixture.h"
#include "lib/json/json.h"
#include "localcluster/agent/admission.h"

static const struct bad_row {
    const char *sentence, *spec, *error; /* error: a part of the message */
} bad[] = {
    {"no containers", "{'containers':[]}", "spec.containers: a pod has at least one container"},
    {"a name that is a path", "{'containers':[{'name':'../a'}]}",
     "spec.containers[0].name: `../a`"},
    {"a policy nobody knows", "{'restartPolicy':'Maybe','containers':[{'name':'a'}]}",
     "spec.restartPolicy: `Maybe`"},
    {"a word that is a number", "{'containers':[{'name':'a','command':['x',1]}]}",
     "spec.containers[0].command[1]: expected a string"},
    {"a variable without name", "{'containers':[{'name':'a','env':[{'value':'x'}]}]}",
     "spec.containers[0].env[0].name"},
    {"a source nobody knows",
     "{'containers':[{'name':'a','env':[{'name':'A','valueFrom':{'fileKeyRef':{}}}]}]}",
     "spec.containers[0].env[0].valueFrom: expected fieldRef"},
    {"a quantity that is none",
     "{'containers':[{'name':'a','resources':{'limits':{'memory':'many'}}}]}",
     "spec.containers[0].resources.limits[memory]"},
    {"a mount that climbs",
     "{'containers':[{'name':'a','volumeMounts':[{'name':'v','mountPath':'/a/../b'}]}],"
     "'volumes':[{'name':'v','emptyDir':{}}]}",
     "`/a/../b` is not an absolute path"},
    {"a subPath that climbs",
     "{'containers':[{'name':'a','volumeMounts':[{'name':'v','mountPath':'/a','subPath':'../x'}]}],"
     "'volumes':[{'name':'v','emptyDir':{}}]}",
     "`../x` is not a relative path"},
    {"a mount of no volume",
     "{'containers':[{'name':'a','volumeMounts':[{'name':'v','mountPath':'/a'}]}]}",
     "no volume `v`"},
    {"a volume of another kind",
     "{'containers':[{'name':'a'}],'volumes':[{'name':'v','nfs':{'server':'s'}}]}",
     "spec.volumes[0]: this cluster's agent knows"},
    {"a key's path that climbs",
     "{'containers':[{'name':'a'}],'volumes':[{'name':'v','configMap':{'name':'c','items':"
     "[{'key':'k','path':'../../etc/x'}]}}]}",
     "`../../etc/x` is not a relative path"},
    {"a mode beyond octal 777",
     "{'containers':[{'name':'a'}],'volumes':[{'name':'v','secret':{'secretName':'s',"
     "'defaultMode':4095}}]}",
     "spec.volumes[0].defaultMode"},
};

static void test_a_pod_that_cannot_be_acted_on_is_refused_with_the_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pod_spec *spec = NULL;
        struct mlt_error err = {0};
        cJSON *object = fixture_json("{'metadata':{'name':'p','namespace':'ns','uid':'u'}}");
        json_set(object, "spec", fixture_json(bad[i].spec));
        if (pod_spec_read(object, &spec, &err) != -EINVAL || !strstr(err.text, bad[i].error))
            fail_msg("%s: `%s`", bad[i].sentence, err.text);
        assert_null(spec);
        cJSON_Delete(object);
    }
}

static void test_a_uid_that_is_a_path_is_refused(void **state)
{
    (void)state;
    struct pod_spec *spec = NULL;
    cJSON *object = fixture_json("{'metadata':{'name':'p','namespace':'ns','uid':'../../etc'},"
                                 "'spec':{'containers':[{'name':'a'}]}}");
    assert_int_equal(pod_spec_read(object, &spec, NULL), -EINVAL);
    cJSON_Delete(object);
}

static const struct request_row {
    const char *sentence, *spec;
    int64_t cpu_milli, gpus;
    const char *qos;
} requests[] = {
    {"nothing asked", "{'containers':[{'name':'a'}]}", 0, 0, "BestEffort"},
    {"containers add up",
     "{'containers':[{'name':'a','resources':{'requests':{'cpu':'500m'}}},"
     "{'name':'b','resources':{'requests':{'cpu':1}}}]}",
     1500, 0, "Burstable"},
    {"a limit alone is a request",
     "{'containers':[{'name':'a','resources':{'limits':{'nvidia.com/gpu':'2'}}}]}", 0, 2,
     "BestEffort"},
    {"an init container counts where it is larger",
     "{'initContainers':[{'name':'i','resources':{'requests':{'cpu':'3'}}}],"
     "'containers':[{'name':'a','resources':{'requests':{'cpu':'1'}}}]}",
     3000, 0, "Burstable"},
    {"a sidecar runs beside the containers",
     "{'initContainers':[{'name':'s','restartPolicy':'Always','resources':{'requests':{'cpu':'1'}}}"
     "],"
     "'containers':[{'name':'a','resources':{'requests':{'cpu':'1'}}}]}",
     2000, 0, "Burstable"},
    {"limits that equal requests guarantee",
     "{'containers':[{'name':'a','resources':{'limits':{'cpu':'1','memory':'1Gi'}}}]}", 1000, 0,
     "Guaranteed"},
};

static void test_requests_are_what_kubernetes_counts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const struct request_row *r = &requests[i];
        struct pod_spec *spec = fixture_pod(r->spec, NULL);
        if (pod_request(spec, "cpu") != r->cpu_milli ||
            pod_request(spec, NODE_GPU_RESOURCE) != r->gpus ||
            strcmp(pod_qos_class(spec), r->qos) != 0)
            fail_msg("%s: cpu %d gpus %d %s", r->sentence, (int)pod_request(spec, "cpu"),
                     (int)pod_request(spec, NODE_GPU_RESOURCE), pod_qos_class(spec));
        pod_spec_free(spec);
    }
}

static void test_fields_that_are_not_acted_on_are_named(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(
        "{'hostPID':true,'hostIPC':false,'dnsPolicy':'Default','containers':[{'name':'a',"
        "'livenessProbe':{'exec':{}},'readinessProbe':null,'tty':false,'ports':[{'containerPort':1}"
        "],"
        "'securityContext':{'privileged':true,'runAsUser':5}}],"
        "'volumes':[{'name':'v','emptyDir':{'sizeLimit':'1Gi'}}]}",
        NULL);
    assert_string_equal(
        spec->ignored,
        "spec.hostPID, spec.containers[0].livenessProbe, "
        "spec.containers[0].securityContext.privileged, spec.volumes[0].emptyDir.sizeLimit");
    assert_int_equal(spec->containers[0].run_as_user, 5);
    pod_spec_free(spec);
}

static const struct admit_row {
    const char *sentence, *resources;
    struct node_resources used;
    const char *reason, *message; /* NULL: admitted */
} admissions[] = {
    {"it fits exactly", "{'limits':{'nvidia.com/gpu':4,'cpu':'2'}}", {2000, 0, 1, 4}, NULL, NULL},
    {"one GPU too many",
     "{'limits':{'nvidia.com/gpu':5}}",
     {0, 0, 1, 4},
     "OutOfnvidia.com/gpu",
     "Node didn't have enough resource: nvidia.com/gpu, requested: 5, used: 4, capacity: 8"},
    {"a thousandth of a CPU too much",
     "{'requests':{'cpu':'2001m'}}",
     {2000, 0, 1, 0},
     "OutOfcpu",
     "Node didn't have enough resource: cpu, requested: 2001, used: 2000, capacity: 4000"},
    {"memory",
     "{'requests':{'memory':'2Ki'}}",
     {0, 1024, 1, 0},
     "OutOfmemory",
     "Node didn't have enough resource: memory, requested: 2048, used: 1024, capacity: 2048"},
    {"one pod too many",
     "{}",
     {0, 0, 2, 0},
     "OutOfpods",
     "Node didn't have enough resource: pods, requested: 1, used: 2, capacity: 2"},
    {"what the node does not have is not looked at",
     "{'limits':{'amd.com/gpu':100}}",
     {0, 0, 0, 0},
     NULL,
     NULL},
};

static void test_admission_speaks_the_kubelets_words(void **state)
{
    (void)state;
    static const struct node_resources node = {4000, 2048, 2, 8};
    for (size_t i = 0; i < sizeof admissions / sizeof *admissions; i++) {
        const struct admit_row *r = &admissions[i];
        char reason[64] = "", message[512] = "", text[512];
        (void)snprintf(text, sizeof text, "{'containers':[{'name':'a','resources':%s}]}",
                       r->resources);
        struct pod_spec *spec = fixture_pod(text, NULL);
        bool fits =
            pod_admit(spec, &node, &r->used, reason, sizeof reason, message, sizeof message);
        if (fits != (r->reason == NULL) ||
            (r->reason && (strcmp(reason, r->reason) != 0 || strcmp(message, r->message) != 0)))
            fail_msg("%s: %d %s `%s`", r->sentence, fits, reason, message);
        pod_spec_free(spec);
    }
}

static void test_devices_are_distinct_and_the_lowest_free(void **state)
{
    (void)state;
    int picked[64] = {-1, -1, -1};
    assert_true(devices_pick(8, 0x5, 3, picked));
    assert_int_equal(picked[0], 1);
    assert_int_equal(picked[1], 3);
    assert_int_equal(picked[2], 4);
    assert_false(devices_pick(4, 0x7, 2, picked));
    assert_int_equal(picked[0], 1); /* untouched */
    assert_true(devices_pick(64, ~UINT64_C(0) >> 1, 1, picked));
    assert_int_equal(picked[0], 63);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pod_that_cannot_be_acted_on_is_refused_with_the_path),
        cmocka_unit_test(test_a_uid_that_is_a_path_is_refused),
        cmocka_unit_test(test_requests_are_what_kubernetes_counts),
        cmocka_unit_test(test_fields_that_are_not_acted_on_are_named),
        cmocka_unit_test(test_admission_speaks_the_kubelets_words),
        cmocka_unit_test(test_devices_are_distinct_and_the_lowest_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
