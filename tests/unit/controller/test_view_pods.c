/* The table of pods: what a list, a watch and an answer to our own request do to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "controller/internal.h"
#include "controller/view_pods.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static struct controller *c;
static struct view_source *pods;

static void no_key(void *arg, const char *uid, unsigned char key[CONTROLLER_KEY_SIZE])
{
    (void)arg;
    (void)uid;
    memset(key, 0, CONTROLLER_KEY_SIZE);
}

static int start(void **state)
{
    struct controller_config config = {.identity = "t",
                                       .lease_namespace = "n",
                                       .channel_address = "a:1",
                                       .launcher_image = "i",
                                       .launcher_command = "/l",
                                       .version = "1",
                                       .derive_key = no_key};
    (void)state;
    c = controller_new(&config);
    view_start(c);
    pods = &c->view.sources[VIEW_PODS];
    pods->lists_asked = pods->list_round = 1;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    controller_free(c);
    return 0;
}

static cJSON *pod(const char *uid, int version, const char *status)
{
    cJSON *json = NULL;
    cleanup_free char *text = mlt_asprintf(
        "{\"metadata\":{\"name\":\"a-worker-0\",\"namespace\":\"team\",\"uid\":\"%s\","
        "\"resourceVersion\":\"%d\","
        "\"labels\":{\"mltrain.io/job-uid\":\"j\",\"mltrain.io/job-name\":\"a\",\"mltrain.io/"
        "role\":\"worker\","
        "\"mltrain.io/"
        "index\":\"0\"},\"ownerReferences\":[{\"uid\":\"j\",\"controller\":true}]},\"spec\":{"
        "\"nodeName\":\"n1\",\"volumes\":[{\"secret\":{\"secretName\":\"a-mltrain-key-j\"}}],"
        "\"containers\":[{\"name\":\"mesh\"},"
        "{\"name\":\"main\",\"command\":[\"/mltrain/bin/mltrain-launcher\"]}]},\"status\":%s}",
        uid, version, status);
    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static const struct view_pod *only(void)
{
    return view_pods_of(&c->view, "team", "j");
}

static void test_a_list_asked_for_before_an_answer_does_not_take_its_pod_away(void **state)
{
    cleanup_json cJSON *p = pod("u1", 5, "{\"phase\":\"Pending\"}");
    (void)state;
    view_pod_answered(c, p);
    view_pods_listed(pods); /* of the list that was under way */
    assert_non_null(only());
    pods->lists_asked++;
    pods->list_round++;
    view_pods_listed(pods); /* a later one does not hold it: it is gone */
    assert_null(only());
}

static void test_a_pod_that_a_watch_has_shown_goes_with_the_next_list_that_lacks_it(void **state)
{
    cleanup_json cJSON *p = pod("u1", 5, "{\"phase\":\"Pending\"}");
    (void)state;
    view_pod_answered(c, p);
    view_pods_seen(pods, p);
    pods->list_round++;
    view_pods_listed(pods);
    assert_null(only());
}

static void test_an_older_version_changes_nothing(void **state)
{
    cleanup_json cJSON *newer = pod("u1", 9, "{\"phase\":\"Running\"}");
    cleanup_json cJSON *older = pod("u1", 5, "{\"phase\":\"Pending\"}");
    (void)state;
    view_pods_seen(pods, newer);
    view_pods_seen(pods, older);
    assert_int_equal(only()->phase, VIEW_RUNNING);
}

static void test_the_end_of_a_former_pod_does_not_remove_the_next_of_its_name(void **state)
{
    cleanup_json cJSON *former = pod("u1", 5, "{\"phase\":\"Running\"}");
    cleanup_json cJSON *next = pod("u2", 8, "{\"phase\":\"Pending\"}");
    (void)state;
    view_pods_seen(pods, former);
    view_pod_answered(c, next);
    view_pods_deleted(pods, former);
    assert_non_null(only());
    assert_string_equal(only()->uid, "u2");
}

/* Its label was changed by hand: it goes from one list to the other, in either order. */
static void test_a_pod_that_changes_its_list_is_not_lost(void **state)
{
    struct view_source *others = &c->view.sources[VIEW_OTHER_PODS];
    cleanup_json cJSON *own = pod("u1", 5, "{\"phase\":\"Running\"}");
    cleanup_json cJSON *foreign = pod("u1", 6, "{\"phase\":\"Running\"}");
    struct view_pod *found;
    (void)state;
    json_unset(foreign, "metadata.labels");
    view_pods_seen(pods, own);
    view_pods_seen(others, foreign);
    view_pods_deleted(pods, foreign);
    HASH_FIND_STR(c->view.pods, "team/a-worker-0", found);
    assert_non_null(found);
    pods->list_round++;
    view_pods_listed(pods);
    HASH_FIND_STR(c->view.pods, "team/a-worker-0", found);
    assert_non_null(found);
    others->list_round++;
    view_pods_listed(others);
    HASH_FIND_STR(c->view.pods, "team/a-worker-0", found);
    assert_null(found);
}

static const struct {
    const char *sentence, *status;
    bool ended, terminal, rejected;
    int exit_code;
    const char *reason;
} ends[] = {
    {"a running pod has not ended",
     "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"running\":{}}}]"
     "}",
     false, false, false, -1, ""},
    {"the trainer's end counts, though a sidecar runs on",
     "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"mesh\",\"state\":{\"running\":{}}},"
     "{\"name\":\"main\","
     "\"state\":{\"terminated\":{\"exitCode\":3,\"reason\":\"Error\"}}}]}",
     true, false, false, 3, "Error"},
    {"a sidecar's end does not count",
     "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"mesh\",\"state\":{\"terminated\":{"
     "\"exitCode\":1}}}]}",
     false, false, false, -1, ""},
    {"out of memory is told",
     "{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"terminated\":{"
     "\"exitCode\":137,"
     "\"reason\":\"OOMKilled\"}}}]}",
     true, true, false, 137, "OOMKilled"},
    {"the kubelet's refusal", "{\"phase\":\"Failed\",\"reason\":\"OutOfcpu\"}", true, true, true,
     -1, "OutOfcpu"},
    {"an eviction",
     "{\"phase\":\"Failed\",\"reason\":\"Evicted\",\"containerStatuses\":[{\"name\":\"main\","
     "\"state\":{\"terminated\":{"
     "\"exitCode\":137}}}]}",
     true, true, true, 137, "Evicted"},
    {"an init container that failed is no refusal",
     "{\"phase\":\"Failed\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"terminated\":{"
     "\"exitCode\":2,"
     "\"reason\":\"Error\"}}}]}",
     true, true, false, 2, "Error"},
    {"a pod that failed without a word was refused", "{\"phase\":\"Failed\"}", true, true, true, -1,
     ""},
};

static void test_how_a_pod_ended_is_told_from_its_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(ends); i++) {
        cleanup_json cJSON *p = pod("u1", 10 + (int)i, ends[i].status);
        view_pods_seen(pods, p);
        const struct view_pod *v = only();
        if (view_pod_ended(v) != ends[i].ended || view_pod_terminal(v) != ends[i].terminal ||
            v->rejected != ends[i].rejected || v->exit_code != ends[i].exit_code ||
            strcmp(v->reason, ends[i].reason) != 0)
            fail_msg("%s: ended %d terminal %d rejected %d code %d reason `%s`", ends[i].sentence,
                     view_pod_ended(v), view_pod_terminal(v), v->rejected, (int)v->exit_code,
                     v->reason);
    }
}

static void test_an_answer_that_comes_after_the_pods_deletion_does_not_bring_it_back(void **state)
{
    cleanup_json cJSON *created = pod("u1", 5, "{\"phase\":\"Pending\"}");
    cleanup_json cJSON *deleted = pod("u1", 6, "{\"phase\":\"Pending\"}");
    cleanup_json cJSON *next = pod("u2", 7, "{\"phase\":\"Pending\"}");
    (void)state;
    view_pods_seen(pods, created);
    view_pods_deleted(pods, deleted);
    view_pod_answered(c, created);
    assert_null(only());
    view_pod_answered(c, next); /* the next of its name is news */
    assert_string_equal(only()->uid, "u2");
    view_pod_answered(c, created);
    assert_string_equal(only()->uid, "u2");
}

static void test_a_container_that_nobody_saw_end_says_so(void **state)
{
    cleanup_json cJSON *p =
        pod("u1", 5,
            "{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{"
            "\"terminated\":{\"exitCode\":137,\"reason\":\"ContainerStatusUnknown\"}}}]}");
    (void)state;
    view_pods_seen(pods, p);
    assert_true(only()->trainer_ended);
    assert_string_equal(only()->reason, "ContainerStatusUnknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FRESH(test) cmocka_unit_test_setup_teardown(test, start, stop)
        FRESH(test_a_pod_that_changes_its_list_is_not_lost),
        FRESH(test_an_answer_that_comes_after_the_pods_deletion_does_not_bring_it_back),
        FRESH(test_a_container_that_nobody_saw_end_says_so),
        FRESH(test_a_list_asked_for_before_an_answer_does_not_take_its_pod_away),
        FRESH(test_a_pod_that_a_watch_has_shown_goes_with_the_next_list_that_lacks_it),
        FRESH(test_an_older_version_changes_nothing),
        FRESH(test_the_end_of_a_former_pod_does_not_remove_the_next_of_its_name),
        FRESH(test_how_a_pod_ended_is_told_from_its_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
