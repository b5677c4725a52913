/* Tests of localcluster/api/watch.c: watches as cursors into the history. */
#include "tests/unit/localcluster/api_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"

static struct api_watch *watch(struct api_client *c, const char *query)
{
    cleanup_free char *target = mlt_asprintf(CONFIGMAPS "?watch=1&%s", query);
    if (api_client_get(c, target) != 200 || c->kind != API_ANSWER_WATCH)
        fail_msg("no watch: %d %s", c->status, c->text);
    struct api_watch *w = c->watch;
    c->watch = NULL;
    return w;
}

static struct api_watch *watch_from_now(struct api_client *c, const char *more)
{
    cleanup_free char *query =
        mlt_asprintf("resourceVersion=%" PRIu64 "&%s", api_server_revision(c->server), more);
    return watch(c, query);
}

static void make(struct api_client *c, const char *name, const char *label)
{
    cleanup_free char *body =
        mlt_asprintf("{\"metadata\":{\"name\":\"%s\",\"labels\":{\"x\":\"%s\"}}}", name, label);
    assert_int_equal(api_client_post(c, CONFIGMAPS, body), 201);
}

static void test_a_watch_tells_of_additions_changes_and_deletions(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    struct api_watch *w = watch_from_now(&c, "");
    assert_string_equal(api_client_read(&c, w, NULL), "");
    make(&c, "a", "1");
    assert_contains(api_client_read(&c, w, NULL), "{\"type\":\"ADDED\",\"object\":{");
    api_client_merge(&c, CONFIGMAPS "/a", "{\"data\":{\"k\":\"v\"}}");
    assert_contains(api_client_read(&c, w, NULL), "{\"type\":\"MODIFIED\",\"object\":{");
    api_client_delete(&c, CONFIGMAPS "/a");
    cleanup_free char *revision =
        mlt_asprintf("\"resourceVersion\":\"%" PRIu64 "\"", api_server_revision(c.server));
    const char *text = api_client_read(&c, w, NULL);
    assert_contains(text, "{\"type\":\"DELETED\",\"object\":{");
    assert_contains(text, revision);
    assert_string_equal(api_client_read(&c, w, NULL), "");
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_what_leaves_a_selection_is_deleted_for_its_watch(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    make(&c, "a", "1");
    struct api_watch *w = watch_from_now(&c, "labelSelector=x%3D1");
    api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}");
    assert_contains(api_client_read(&c, w, NULL), "\"type\":\"DELETED\"");
    api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"labels\":{\"y\":\"2\"}}}");
    assert_string_equal(api_client_read(&c, w, NULL), "");
    api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}");
    assert_contains(api_client_read(&c, w, NULL), "\"type\":\"ADDED\"");
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_a_watch_of_one_name_sees_only_that(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    struct api_watch *w = watch_from_now(&c, "fieldSelector=metadata.name%3Db");
    make(&c, "a", "1");
    assert_string_equal(api_client_read(&c, w, NULL), "");
    make(&c, "b", "1");
    assert_contains(api_client_read(&c, w, NULL), "\"name\":\"b\"");
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_a_watch_without_a_version_begins_with_what_is_there(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    make(&c, "a", "1");
    struct api_watch *w = watch(&c, "");
    api_client_delete(&c, CONFIGMAPS "/a");
    const char *text = api_client_read(&c, w, NULL);
    assert_contains(text, "{\"type\":\"ADDED\"");
    assert_contains(text, "{\"type\":\"DELETED\"");
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_initial_events_end_with_an_annotated_bookmark(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    make(&c, "a", "1");
    struct api_watch *w = watch(
        &c, "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    const char *text = api_client_read(&c, w, NULL);
    assert_contains(text, "{\"type\":\"ADDED\"");
    assert_contains(text, "\"k8s.io/initial-events-end\":\"true\"");
    api_watch_free(w);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "?watch=1&sendInitialEvents=true"), 422);
    api_client_stop(&c);
}

static void test_bookmarks_come_every_few_seconds_to_those_who_asked(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    struct api_watch *w = watch_from_now(&c, "allowWatchBookmarks=true"),
                     *plain = watch_from_now(&c, "");
    api_client_post(&c, "/api/v1/namespaces", "{\"metadata\":{\"name\":\"other\"}}");
    assert_string_equal(api_client_read(&c, w, NULL), "");
    c.now_ms += API_BOOKMARK_INTERVAL_MS;
    cleanup_free char *revision =
        mlt_asprintf("\"resourceVersion\":\"%" PRIu64 "\"", api_server_revision(c.server));
    const char *text = api_client_read(&c, w, NULL);
    assert_contains(text, "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"ConfigMap\"");
    assert_contains(text, revision);
    assert_string_equal(api_client_read(&c, w, NULL), "");
    /* The others get white space, so that a client that left is noticed. */
    assert_string_equal(api_client_read(&c, plain, NULL), "\n");
    api_watch_free(w);
    api_watch_free(plain);
    api_client_stop(&c);
}

static void test_a_watch_ends_when_its_time_is_over(void **state)
{
    struct api_client c;
    bool over;
    (void)state;
    api_client_start(&c, false);
    struct api_watch *w = watch_from_now(&c, "timeoutSeconds=3");
    (void)api_client_read(&c, w, &over);
    assert_false(over);
    c.now_ms += 3000;
    (void)api_client_read(&c, w, &over);
    assert_true(over);
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_a_version_out_of_the_window_is_410(void **state)
{
    struct api_client c;
    bool over;
    (void)state;
    api_client_start(&c, false);
    make(&c, "a", "1");
    uint64_t old = api_server_revision(c.server);
    struct api_watch *slow = watch_from_now(&c, "");
    for (int i = 0; i <= API_TEST_HISTORY; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"data\":{\"k\":\"%d\"}}", i);
        api_client_merge(&c, CONFIGMAPS "/a", body);
    }
    cleanup_free char *target = mlt_asprintf(CONFIGMAPS "?watch=1&resourceVersion=%" PRIu64, old);
    assert_int_equal(api_client_get(&c, target), 410);
    assert_string_equal(api_client_at(&c, "reason"), "Expired");
    /* A watch that did not read for so long gets it as an event, and ends. */
    assert_contains(api_client_read(&c, slow, &over),
                    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\"");
    assert_true(over);
    api_watch_free(slow);
    api_client_stop(&c);
}

static void test_a_version_of_the_future_is_410(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "?watch=1&resourceVersion=4000"), 410);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "?resourceVersion=4000"), 410);
    assert_int_equal(api_client_get(&c, CONFIGMAPS "?watch=1&resourceVersion=x"), 400);
    api_client_stop(&c);
}

static void test_a_watch_resumes_after_a_restart(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    make(&c, "a", "1");
    uint64_t seen = api_server_revision(c.server);
    api_client_merge(&c, CONFIGMAPS "/a", "{\"metadata\":{\"labels\":{\"x\":\"2\"}}}");
    make(&c, "b", "1");
    api_client_delete(&c, CONFIGMAPS "/b");
    api_client_restart(&c);
    cleanup_free char *query =
        mlt_asprintf("resourceVersion=%" PRIu64 "&labelSelector=x%%3D1", seen);
    struct api_watch *w = watch(&c, query);
    cleanup_free char *text = mlt_strdup(api_client_read(&c, w, NULL));
    const char *first = strstr(text, "\"type\":\"DELETED\""); /* a left the selection */
    assert_non_null(first);
    const char *second = strstr(first, "\"type\":\"ADDED\"");
    assert_non_null(second);
    assert_non_null(strstr(second, "\"type\":\"DELETED\""));
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_a_watch_can_speak_in_tables(void **state)
{
    struct api_client c;
    (void)state;
    api_client_start(&c, false);
    assert_int_equal(api_client_send(&c, "GET", CONFIGMAPS "?watch=1", NULL, API_TABLE, NULL, 0),
                     200);
    struct api_watch *w = c.watch;
    make(&c, "a", "1");
    const char *text = api_client_read(&c, w, NULL);
    assert_contains(text, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Table\"");
    assert_contains(text, "\"cells\":[\"a\",0,\"0s\"]");
    api_watch_free(w);
    api_client_stop(&c);
}

static void test_a_long_answer_is_read_in_pieces(void **state)
{
    struct api_client c;
    struct mlt_text out = MLT_TEXT_INIT(1u << 20);
    (void)state;
    api_client_start(&c, false);
    struct api_watch *w = watch_from_now(&c, "");
    for (int i = 0; i < 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "n%02d", i);
        make(&c, name, "1");
    }
    size_t events = 0, reads = 0;
    for (;;) {
        mlt_text_clear(&out);
        assert_true(api_watch_read(w, c.now_ms, 1000, &out));
        if (!out.length)
            break;
        assert_true(out.length < 3000);
        reads++;
        for (const char *p = strstr(mlt_text_string(&out), "\"ADDED\""); p;
             p = strstr(p + 1, "\"ADDED\""))
            events++;
    }
    assert_int_equal(events, 50);
    assert_true(reads > 5);
    mlt_text_release(&out);
    api_watch_free(w);
    api_client_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_watch_tells_of_additions_changes_and_deletions),
        cmocka_unit_test(test_what_leaves_a_selection_is_deleted_for_its_watch),
        cmocka_unit_test(test_a_watch_of_one_name_sees_only_that),
        cmocka_unit_test(test_a_watch_without_a_version_begins_with_what_is_there),
        cmocka_unit_test(test_initial_events_end_with_an_annotated_bookmark),
        cmocka_unit_test(test_bookmarks_come_every_few_seconds_to_those_who_asked),
        cmocka_unit_test(test_a_watch_ends_when_its_time_is_over),
        cmocka_unit_test(test_a_version_out_of_the_window_is_410),
        cmocka_unit_test(test_a_version_of_the_future_is_410),
        cmocka_unit_test(test_a_watch_resumes_after_a_restart),
        cmocka_unit_test(test_a_watch_can_speak_in_tables),
        cmocka_unit_test(test_a_long_answer_is_read_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
