/* A member's pod, field by field as design section 7 says, and the job's Secret. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "controller/job_key.h"
#include "controller/pod_build.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define UID "12345678-aaaa"

static void make_job(const char *template_, const char *spec, struct trainingjob *ret)
{
    cleanup_json cJSON *object = NULL;
    cleanup_free char *text = mlt_asprintf(
        "{\"apiVersion\":\"mltrain.io/"
        "v1alpha1\",\"kind\":\"TrainingJob\",\"metadata\":{\"name\":\"llama\","
        "\"namespace\":\"team\",\"uid\":\"" UID "\"},\"spec\":{%s\"workers\":{\"replicas\":4,"
        "\"template\":%s}}}",
        spec, template_);
    struct mlt_error err = {0};
    if (json_parse(text, strlen(text), &object, &err) < 0 ||
        trainingjob_read(object, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static cJSON *build_by(enum delivery delivery, const struct trainingjob *tj, const char *node,
                       int binding)
{
    cJSON *pod = NULL;
    struct mlt_error err = {0};
    struct pod_build b = {
        .tj = tj,
        .role = &tj->spec.workers,
        .index = 2,
        .creation = 3,
        .node = node,
        .binding = binding,
        .channel_address = "10.0.0.1:7000",
        .delivery = delivery,
        .launcher_image = "launcher:1",
        .launcher_command = "/mltrain-launcher",
    };
    if (pod_build(&b, &pod, &err) < 0)
        fail_msg("%s", err.text);
    return pod;
}

static cJSON *build(const struct trainingjob *tj, const char *node, int binding)
{
    return build_by(DELIVERY_INIT_CONTAINER, tj, node, binding);
}

static const char simple[] =
    "{\"spec\":{\"containers\":[{\"name\":\"side\",\"image\":\"s\"},{\"name\":\"trainer\","
    "\"image\":\"i\","
    "\"command\":[\"python3\",\"t.py\"],\"args\":[\"--x\"],\"env\":[{\"name\":\"A\",\"value\":"
    "\"1\"},"
    "{\"name\":\"MLTRAIN_JOB\",\"value\":\"mine\"},{\"name\":\"MLTRAIN_NCCL_OFF\",\"value\":"
    "\"all\"},{\"name\":\"MLTRAIN_MPI_WORLD_CHECK\",\"value\":\"warn\"}],\"resources\":{\"limits\":"
    "{\"cpu\":\"4\","
    "\"memory\":\"8Gi\","
    "\"nvidia.com/gpu\":\"8\"}},\"securityContext\":{\"runAsUser\":1000}}],"
    "\"terminationGracePeriodSeconds\":10}}";

/* A path of the pod and what stands there. */
static const struct {
    const char *sentence, *path, *value;
} rows[] = {
    {"the name has the creation", "metadata.name", "llama-worker-2-r3"},
    {"the hostname has not", "spec.hostname", "llama-worker-2"},
    {"the job's name is a label", "metadata.labels[mltrain.io/job-name]", "llama"},
    {"the job's UID is a label", "metadata.labels[mltrain.io/job-uid]", UID},
    {"the role is a label", "metadata.labels[mltrain.io/role]", "worker"},
    {"the index is a label", "metadata.labels[mltrain.io/index]", "2"},
    {"the job owns it", "metadata.ownerReferences[0].uid", UID},
    {"autoscalers leave it alone",
     "metadata.annotations[cluster-autoscaler.kubernetes.io/safe-to-evict]", "false"},
    {"karpenter too", "metadata.annotations[karpenter.sh/do-not-disrupt]", "true"},
    {"the kubelet does not restart it", "spec.restartPolicy", "Never"},
    {"it is bound", "spec.nodeName", "node001"},
    {"its priority is the job's", "spec.priorityClassName", "high"},
    {"the launcher is PID 1", "spec.containers[1].command[0]", "/mltrain/bin/mltrain-launcher"},
    {"it runs", "spec.containers[1].command[1]", "run"},
    {"what follows --", "spec.containers[1].command[2]", "--"},
    {"which is the user's command", "spec.containers[1].command[3]", "python3"},
    {"whole", "spec.containers[1].command[4]", "t.py"},
    {"arguments stay", "spec.containers[1].args[0]", "--x"},
    {"the user's variables stay", "spec.containers[1].env[0].name", "A"},
    {"those about NCCL too", "spec.containers[1].env[1].name", "MLTRAIN_NCCL_OFF"},
    {"and how MPI worlds are looked at", "spec.containers[1].env[2].value", "warn"},
    {"but not one with a name of ours", "spec.containers[1].env[3].name", "MLTRAIN_CHANNEL"},
    {"the channel's address is told", "spec.containers[1].env[3].value", "10.0.0.1:7000"},
    {"the init container comes first", "spec.initContainers[0].name", "mltrain-launcher-copy"},
    {"copies the launcher", "spec.initContainers[0].command[1]", "copy"},
    {"asks for the trainer's cpu", "spec.initContainers[0].resources.limits.cpu", "4"},
    {"the launcher's folder is mounted", "spec.containers[1].volumeMounts[0].mountPath",
     "/mltrain"},
    {"the key is mounted", "spec.containers[1].volumeMounts[1].mountPath", "/mltrain-key"},
    {"shared memory is mounted", "spec.containers[1].volumeMounts[2].mountPath", "/dev/shm"},
    {"in memory", "spec.volumes[2].emptyDir.medium", "Memory"},
    {"the Secret is the job's", "spec.volumes[1].secret.secretName", "llama-mltrain-key-12345678"},
};

static void test_the_pod_is_the_template_and_what_the_contract_adds(void **state)
{
    struct trainingjob tj;
    (void)state;
    make_job(simple, "\"priorityClassName\":\"high\",", &tj);
    cJSON *pod = build(&tj, "node001", TRAININGJOB_BINDING_NODE);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (strcmp(json_string(pod, rows[i].path, "(absent)"), rows[i].value) != 0)
            fail_msg("%s: %s is `%s` instead of `%s`", rows[i].sentence, rows[i].path,
                     json_string(pod, rows[i].path, "(absent)"), rows[i].value);
    /* 30 s of the job and 15 s for the launcher are more than the template's 10 s. */
    assert_int_equal(json_integer(pod, "spec.terminationGracePeriodSeconds", 0), 45);
    assert_int_equal(json_integer(pod, "spec.volumes[1].secret.defaultMode", 0), 0444);
    assert_int_equal(json_integer(pod, "spec.initContainers[0].securityContext.runAsUser", 0),
                     1000);
    assert_null(json_find(pod, "spec.initContainers[0].resources.limits[nvidia.com/gpu]"));
    assert_null(json_find(pod, "spec.containers[0].command"));
    cJSON_Delete(pod);
    trainingjob_release(&tj);
}

/* All else is as with the init container: the same paths, the same variables. */
static void
test_an_image_volume_takes_the_place_of_the_init_container_and_of_nothing_else(void **state)
{
    struct trainingjob tj;
    (void)state;
    make_job(simple, "", &tj);
    cleanup_json cJSON *copied = build(&tj, "n", TRAININGJOB_BINDING_NODE);
    cleanup_json cJSON *mounted =
        build_by(DELIVERY_IMAGE_VOLUME, &tj, "n", TRAININGJOB_BINDING_NODE);
    assert_null(json_find(mounted, "spec.initContainers"));
    assert_int_equal(json_size(mounted, "spec.volumes"), 4);
    assert_string_equal(json_string(mounted, "spec.volumes[3].name", ""), "mltrain-launcher");
    assert_string_equal(json_string(mounted, "spec.volumes[3].image.reference", ""), "launcher:1");
    const cJSON *entry = json_find(mounted, "spec.containers[1].volumeMounts[3]");
    assert_string_equal(json_string(entry, "name", ""), "mltrain-launcher");
    assert_string_equal(json_string(entry, "mountPath", ""), "/mltrain/bin");
    assert_true(json_bool(entry, "readOnly", false));
    assert_true(delivery_is_kept(mounted));
    assert_false(delivery_is_kept(copied));
    json_unset(copied, "spec.initContainers");
    cJSON_DeleteItemFromArray(json_find(mounted, "spec.volumes"), 3);
    assert_false(delivery_is_kept(mounted));
    cJSON_DeleteItemFromArray(json_find(mounted, "spec.containers[1].volumeMounts"), 3);
    assert_true(json_equal(copied, mounted));
    trainingjob_release(&tj);
}

static void test_what_the_template_says_itself_is_kept(void **state)
{
    static const char template_[] =
        "{\"metadata\":{\"annotations\":{\"karpenter.sh/"
        "do-not-disrupt\":\"false\"},\"labels\":{\"team\":\"x\"}},"
        "\"spec\":{\"initContainers\":[{\"name\":\"first\",\"image\":\"f\"}],\"containers\":[{"
        "\"name\":\"c\",\"image\":\"i\","
        "\"command\":[\"x\"],\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/dev/shm\"}]}],"
        "\"terminationGracePeriodSeconds\":600,\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}";
    struct trainingjob tj;
    (void)state;
    make_job(template_, "", &tj);
    cJSON *pod = build(&tj, "node001", TRAININGJOB_BINDING_NODE);
    assert_string_equal(json_string(pod, "metadata.annotations[karpenter.sh/do-not-disrupt]", ""),
                        "false");
    assert_string_equal(json_string(pod, "metadata.labels.team", ""), "x");
    assert_int_equal(json_integer(pod, "spec.terminationGracePeriodSeconds", 0), 600);
    assert_int_equal(json_size(pod, "spec.volumes"), 3); /* no second /dev/shm */
    assert_string_equal(json_string(pod, "spec.initContainers[1].name", ""), "first");
    cJSON_Delete(pod);
    trainingjob_release(&tj);
}

static void test_with_affinity_the_node_is_required_in_every_term(void **state)
{
    static const char template_[] =
        "{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
        "\"requiredDuringSchedulingIgnoredDuringExecution\":{"
        "\"nodeSelectorTerms\":[{\"matchExpressions\":[]},{\"matchExpressions\":[]}]}}},"
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"command\":[\"x\"]}]}}";
    static const char terms[] =
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
        "nodeSelectorTerms";
    struct trainingjob tj;
    (void)state;
    make_job(template_, "", &tj);
    cJSON *pod = build(&tj, "node007", TRAININGJOB_BINDING_AFFINITY);
    assert_null(json_find(pod, "spec.nodeName"));
    assert_int_equal(json_size(pod, terms), 2);
    const cJSON *term;
    cJSON_ArrayForEach(term, json_find(pod, terms))
    {
        assert_string_equal(json_string(term, "matchFields[0].key", ""), "metadata.name");
        assert_string_equal(json_string(term, "matchFields[0].values[0]", ""), "node007");
    }
    cJSON_Delete(pod);
    trainingjob_release(&tj);
}

static void test_auto_leaves_to_the_scheduler_what_only_it_can_decide(void **state)
{
    static const struct {
        const char *sentence, *more;
        int binding;
    } cases[] = {
        {"a plain pod is bound", "", TRAININGJOB_BINDING_NODE},
        {"node affinity is the ledger's", ",\"affinity\":{\"nodeAffinity\":{}}",
         TRAININGJOB_BINDING_NODE},
        {"pod affinity is not", ",\"affinity\":{\"podAffinity\":{}}", TRAININGJOB_BINDING_AFFINITY},
        {"nor anti-affinity", ",\"affinity\":{\"podAntiAffinity\":{}}",
         TRAININGJOB_BINDING_AFFINITY},
        {"nor spreading", ",\"topologySpreadConstraints\":[{}]", TRAININGJOB_BINDING_AFFINITY},
        {"nor resource claims", ",\"resourceClaims\":[{}]", TRAININGJOB_BINDING_AFFINITY},
        {"nor volume claims", ",\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{}}]",
         TRAININGJOB_BINDING_AFFINITY},
        {"host paths are", ",\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}]",
         TRAININGJOB_BINDING_NODE},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(cases); i++) {
        struct trainingjob tj;
        cleanup_free char *template_ = mlt_asprintf(
            "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"command\":[\"x\"]}]%s}}",
            cases[i].more);
        make_job(template_, "", &tj);
        if (pod_build_binding(&tj, NULL) != cases[i].binding)
            fail_msg("%s", cases[i].sentence);
        trainingjob_release(&tj);
    }
}

static void test_a_container_without_a_command_is_refused_with_its_name(void **state)
{
    struct trainingjob tj;
    struct mlt_error err = {0};
    cJSON *pod = NULL;
    (void)state;
    make_job("{\"spec\":{\"containers\":[{\"name\":\"bare\",\"image\":\"i\"}]}}", "", &tj);
    struct pod_build b = {.tj = &tj,
                          .role = &tj.spec.workers,
                          .creation = 1,
                          .channel_address = "a:1",
                          .launcher_image = "l",
                          .launcher_command = "/l"};
    assert_int_equal(pod_build(&b, &pod, &err), -EINVAL);
    assert_non_null(strstr(err.text, "bare"));
    assert_null(pod);
    trainingjob_release(&tj);
}

static void test_pull_secrets_of_the_launcher_join_those_of_the_pod(void **state)
{
    static const char *const secrets[] = {"mine", "launcher"};
    static const char template_[] =
        "{\"spec\":{\"imagePullSecrets\":[{\"name\":\"mine\"}],\"containers\":[{\"name\":\"c\","
        "\"image\":\"i\",\"command\":[\"x\"]}]}}";
    struct trainingjob tj;
    cJSON *pod = NULL;
    (void)state;
    make_job(template_, "", &tj);
    struct pod_build b = {.tj = &tj,
                          .role = &tj.spec.workers,
                          .creation = 1,
                          .channel_address = "a:1",
                          .launcher_image = "l",
                          .launcher_command = "/l",
                          .pull_secrets = secrets,
                          .pull_secrets_count = 2};
    assert_int_equal(pod_build(&b, &pod, NULL), 0);
    assert_int_equal(json_size(pod, "spec.imagePullSecrets"), 2);
    assert_string_equal(json_string(pod, "spec.imagePullSecrets[0].name", ""), "mine");
    assert_string_equal(json_string(pod, "spec.imagePullSecrets[1].name", ""), "launcher");
    cJSON_Delete(pod);
    trainingjob_release(&tj);
}

static void test_reserved_variables_are_found(void **state)
{
    cleanup_json cJSON *template_ = NULL;
    static const char text[] = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"env\":[{\"name\":"
                               "\"PATH\"},{\"name\":\"RANK\"}]}]}}";
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), &template_, NULL), 0);
    assert_string_equal(pod_build_reserved(template_), "RANK");
}

static void test_the_secret_is_immutable_owned_and_holds_the_key(void **state)
{
    struct trainingjob tj;
    unsigned char key[CONTROLLER_KEY_SIZE];
    (void)state;
    memset(key, 0, sizeof key);
    make_job(simple, "", &tj);
    cleanup_json cJSON *secret = job_key_secret(&tj, key);
    assert_string_equal(json_string(secret, "metadata.name", ""), "llama-mltrain-key-12345678");
    assert_true(json_bool(secret, "immutable", false));
    assert_string_equal(json_string(secret, "metadata.ownerReferences[0].uid", ""), UID);
    assert_string_equal(json_string(secret, "data.psk", ""),
                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    trainingjob_release(&tj);
}

static void test_of_a_completed_pod_only_what_planning_reads_is_kept(void **state)
{
    static const char text[] =
        "{\"metadata\":{\"name\":\"p\",\"managedFields\":[{\"manager\":\"m\"}]},\"status\":{"
        "\"phase\":"
        "\"Pending\"},\"spec\":{\"tolerations\":[{\"key\":\"k\"}],\"overhead\":{\"cpu\":\"1\"},"
        "\"initContainers\":[{\"name\":\"i\",\"restartPolicy\":\"Always\",\"args\":[\"a\"],"
        "\"resources\":"
        "{\"requests\":{\"cpu\":\"2\"}}}],\"containers\":[{\"name\":\"trainer\",\"command\":[\"c\"]"
        ","
        "\"env\":[{\"name\":\"A\"}],\"livenessProbe\":{},\"image\":\"i\",\"ports\":[{\"hostPort\":"
        "1}],"
        "\"volumeMounts\":[{\"name\":\"v\"}]}],\"hostname\":\"a-worker-0\",\"volumes\":["
        "{\"name\":\"v\",\"secret\":{\"secretName\":\"s\"}},"
        "{\"name\":\"l\",\"image\":{\"reference\":\"i\"}},{\"name\":\"c\","
        "\"persistentVolumeClaim\":{\"claimName\":\"d\"}}]}}";
    static const char kept[] =
        "{\"spec\":{\"tolerations\":[{\"key\":\"k\"}],\"overhead\":{\"cpu\":\"1\"},"
        "\"initContainers\":[{\"name\":\"i\",\"restartPolicy\":\"Always\",\"resources\":"
        "{\"requests\":{\"cpu\":\"2\"}}}],\"containers\":[{\"name\":\"trainer\","
        "\"ports\":[{\"hostPort\":1}],\"volumeMounts\":[{\"name\":\"v\"}]}],"
        "\"volumes\":[{\"name\":\"v\",\"secret\":{}},{\"name\":\"l\",\"image\":{}},{\"name\":\"c\","
        "\"persistentVolumeClaim\":{\"claimName\":\"d\"}}]}}";
    cleanup_json cJSON *pod = NULL;
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), &pod, NULL), 0);
    cleanup_json cJSON *planned = pod_build_planned(pod);
    cleanup_free char *printed = json_print(planned);
    assert_string_equal(printed, kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_pod_is_the_template_and_what_the_contract_adds),
        cmocka_unit_test(
            test_an_image_volume_takes_the_place_of_the_init_container_and_of_nothing_else),
        cmocka_unit_test(test_what_the_template_says_itself_is_kept),
        cmocka_unit_test(test_with_affinity_the_node_is_required_in_every_term),
        cmocka_unit_test(test_auto_leaves_to_the_scheduler_what_only_it_can_decide),
        cmocka_unit_test(test_a_container_without_a_command_is_refused_with_its_name),
        cmocka_unit_test(test_pull_secrets_of_the_launcher_join_those_of_the_pod),
        cmocka_unit_test(test_of_a_completed_pod_only_what_planning_reads_is_kept),
        cmocka_unit_test(test_reserved_variables_are_found),
        cmocka_unit_test(test_the_secret_is_immutable_owned_and_holds_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
