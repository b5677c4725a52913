/* What a pod's object says about why it does not start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "controller/pod_trouble.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

#define INIT "{\"name\":\"mltrain-launcher-copy\",\"image\":\"registry/launcher:1\",\"state\":"
#define TRAINER "{\"name\":\"trainer\",\"image\":\"registry/train:2\",\"state\":"
#define WAITING(reason, message) \
    "{\"waiting\":{\"reason\":\"" reason "\",\"message\":\"" message "\"}}}"

static const struct row {
    const char *status, *reason, *words; /* reason NULL: none */
} rows[] = {
    {"{}", NULL, NULL},
    {"{\"containerStatuses\":[" TRAINER WAITING("ContainerCreating", "") "]}", NULL, NULL},
    {"{\"initContainerStatuses\":[" INIT
     "{\"running\":{}}}],\"containerStatuses\":[" TRAINER WAITING("PodInitializing", "") "]}",
     NULL, NULL},
    {"{\"containerStatuses\":[" TRAINER WAITING("ImagePullBackOff", "Back-off pulling") "]}",
     "ImagePullBackOff",
     "container trainer (image registry/train:2): ImagePullBackOff: Back-off pulling"},
    {"{\"initContainerStatuses\":[" INIT WAITING(
         "ErrImagePull", "not found") "],\"containerStatuses\":[" TRAINER WAITING("PodInitializing",
                                                                                  "") "]}",
     "ErrImagePull",
     "mltrain's own init container mltrain-launcher-copy (image registry/launcher:1): "
     "ErrImagePull: "
     "not found"},
    {"{\"containerStatuses\":[" TRAINER WAITING("odd reason, no word", "") "]}", "Waiting",
     "container trainer (image registry/train:2): odd reason, no word"},
    {"{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":"
     "\"Unschedulable\",\"message\":\"0/3 nodes are available\"}]}",
     "Unschedulable", "no node takes it: 0/3 nodes are available"},
    {"{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\"}]}", NULL, NULL},
    {"{\"containerStatuses\":[7,null,{\"state\":{\"waiting\":[]}}],\"conditions\":\"no\"}", NULL,
     NULL},
};

static void test_what_keeps_a_pod_from_starting_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct pod_trouble trouble;
        cleanup_json cJSON *pod = cJSON_CreateObject();
        json_set(pod, "status", cJSON_Parse(rows[i].status));
        assert_non_null(json_find(pod, "status"));
        assert_int_equal(pod_trouble_find(pod, &trouble), rows[i].reason != NULL);
        if (!rows[i].reason)
            continue;
        assert_string_equal(trouble.reason, rows[i].reason);
        assert_string_equal(trouble.words, rows[i].words);
    }
}

/* The kubelet tells of the volume's image in the status of the container that mounts it. */
#define OF_VOLUME "mltrain's own image volume mltrain-launcher (image reg/launcher:1): "
static const struct row volume_rows[] = {
    {"{\"containerStatuses\":[" TRAINER WAITING(
         "ImagePullBackOff", "Back-off pulling image \\\"reg/launcher:1\\\": not found") "]}",
     "ImagePullBackOff",
     OF_VOLUME "ImagePullBackOff: Back-off pulling image \"reg/launcher:1\": not found"},
    {"{\"containerStatuses\":[" TRAINER WAITING(
         "ErrImagePull",
         "failed to pull and unpack image \\\"docker.io/reg/launcher:1\\\": x") "]}",
     "ErrImagePull",
     OF_VOLUME "ErrImagePull: failed to pull and unpack image \"docker.io/reg/launcher:1\": x"},
    {"{\"containerStatuses\":[" TRAINER WAITING("ErrImagePull",
                                                "pull \\\"registry/train:2\\\": x") "]}",
     "ErrImagePull",
     "container trainer (image registry/train:2): ErrImagePull: pull "
     "\"registry/train:2\": x"},
    {"{\"containerStatuses\":[" TRAINER WAITING("ErrImagePull",
                                                "pull \\\"reg/launcher:12\\\": x") "]}",
     "ErrImagePull",
     "container trainer (image registry/train:2): ErrImagePull: pull "
     "\"reg/launcher:12\": x"},
    {"{\"containerStatuses\":[" TRAINER WAITING(
         "CreateContainerError",
         "failed to generate spec: failed to mkdir \\\"\\\": mkdir : no") "]}",
     "CreateContainerError",
     "the node's container runtime cannot mount an image, which brings mltrain's launcher "
     "(--launcher-delivery initContainer does without): CreateContainerError: failed to generate "
     "spec: failed to mkdir \"\": mkdir : no"},
};

static void test_what_is_wrong_with_the_image_volume_is_told_as_such(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(volume_rows); i++) {
        struct pod_trouble trouble;
        cleanup_json cJSON *pod = cJSON_Parse(
            "{\"spec\":{\"volumes\":[{\"name\":\"other\",\"image\":{\"reference\":\"x\"}},"
            "{\"name\":\"mltrain-launcher\",\"image\":{\"reference\":\"reg/launcher:1\"}}]}}");
        json_set(pod, "status", cJSON_Parse(volume_rows[i].status));
        assert_non_null(json_find(pod, "status"));
        assert_true(pod_trouble_find(pod, &trouble));
        assert_string_equal(trouble.reason, volume_rows[i].reason);
        assert_string_equal(trouble.words, volume_rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_keeps_a_pod_from_starting_is_told),
        cmocka_unit_test(test_what_is_wrong_with_the_image_volume_is_told_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
