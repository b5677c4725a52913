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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_keeps_a_pod_from_starting_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
