/* The reflector against a pretended server: every answer, cut at every place, at pretended times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/reflector.h"

#define LIST "/api/v1/pods?limit=500"
#define WATCH "?watch=1&allowWatchBookmarks=true&timeoutSeconds=290&resourceVersion="
#define SHORT_MS 1000 /* a watch that ends sooner is retried with a delay */

struct world {
    struct mlt_random random;
    struct kube_reflector *r;
    struct mlt_text log; /* what the owner was told: "begin a@1 done +b@2 -c@3" */
    int64_t now_ms;
    struct kube_reflector_want want;
};

static void log_object(struct world *w, const char *sign, const cJSON *object)
{
    mlt_text_printf(&w->log, "%s%s@%s ", sign, json_string(object, "metadata.name", "?"),
                    json_string(object, "metadata.resourceVersion", "?"));
}

static void on_list_begin(void *arg)
{
    struct world *w = arg;
    mlt_text_puts(&w->log, "begin ");
}

static void on_listed(void *arg, const cJSON *object)
{
    log_object(arg, "", object);
}

static void on_list_done(void *arg)
{
    struct world *w = arg;
    mlt_text_puts(&w->log, "done ");
}

static void on_changed(void *arg, const cJSON *object)
{
    log_object(arg, "+", object);
}

static void on_deleted(void *arg, const cJSON *object)
{
    log_object(arg, "-", object);
}

static const struct kube_reflector_ops ops = {.list_begin = on_list_begin,
                                              .listed = on_listed,
                                              .list_done = on_list_done,
                                              .changed = on_changed,
                                              .deleted = on_deleted};

static void start(struct world *w, const char *selector)
{
    *w = (struct world){.log = MLT_TEXT_INIT(1000000), .now_ms = 1000};
    mlt_random_init(&w->random, 7);
    w->r = kube_reflector_new("/api/v1/pods", selector, &ops, w, &w->random);
}

static void stop(struct world *w)
{
    kube_reflector_free(w->r);
    mlt_text_release(&w->log);
}

static void poll(struct world *w)
{
    kube_reflector_poll(w->r, w->now_ms, &w->want);
    assert_false(w->want.send && w->want.cancel);
}

/* Polls when asked to, until something is sent; tells how long that took. */
static int64_t wait_send(struct world *w, const char *path)
{
    int64_t begin_ms = w->now_ms;
    poll(w);
    for (int i = 0; i < 10 && !w->want.send; i++) {
        assert_true(w->want.wake_ms < INT64_MAX);
        if (w->want.wake_ms > w->now_ms)
            w->now_ms = w->want.wake_ms;
        poll(w);
    }
    assert_true(w->want.send);
    assert_string_equal(w->want.path, path);
    assert_int_equal(w->want.is_watch, strstr(path, "watch=1") != NULL);
    return w->now_ms - begin_ms;
}

static void answer(struct world *w, int status, int64_t retry_after_ms, const char *body,
                   const char *error)
{
    kube_reflector_status(w->r, w->now_ms, status, retry_after_ms);
    kube_reflector_body(w->r, w->now_ms, body, strlen(body));
    kube_reflector_end(w->r, w->now_ms, error);
}

static void open_watch(struct world *w)
{
    kube_reflector_status(w->r, w->now_ms, 200, 0);
}

static void feed(struct world *w, const char *text)
{
    kube_reflector_body(w->r, w->now_ms, text, strlen(text));
}

#define LIST_OF_A                                                                          \
    "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[{\"metadata\":{\"name\":\"a\"," \
    "\"resourceVersion\":\"3\"}}]}"
#define EVENT(type, name, version)                                      \
    "{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name \
    "\",\"resourceVersion\":\"" version "\"}}}\n"
#define ERROR_EVENT(code)                                                 \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":" #code \
    ",\"message\":\"told so\",\"details\":{\"retryAfterSeconds\":9}}}\n"

/* A reflector that has listed and opened its watch from version 10. */
static void start_watching(struct world *w)
{
    start(w, NULL);
    wait_send(w, LIST);
    answer(w, 200, 0, LIST_OF_A, NULL);
    wait_send(w, "/api/v1/pods" WATCH "10");
    open_watch(w);
    mlt_text_clear(&w->log);
}

static void expect_log(struct world *w, const char *log)
{
    assert_string_equal(mlt_text_string(&w->log), log);
    mlt_text_clear(&w->log);
}

/* ---- the way it goes when all is well ---- */

static void test_it_lists_and_then_watches_from_the_lists_version(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    assert_int_equal(wait_send(&w, LIST), 0);
    assert_false(kube_reflector_synced(w.r));
    answer(&w, 200, 0, LIST_OF_A, NULL);
    assert_true(kube_reflector_synced(w.r));
    assert_int_equal(wait_send(&w, "/api/v1/pods" WATCH "10"), 0);
    expect_log(&w, "begin a@3 done ");
    open_watch(&w);
    feed(&w, EVENT("ADDED", "b", "11") EVENT("MODIFIED", "a", "12") EVENT("DELETED", "b", "13"));
    expect_log(&w, "+b@11 +a@12 -b@13 ");
    assert_string_equal(kube_reflector_trouble(w.r), "");
    stop(&w);
}

#define PAGE(items, next) \
    "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"" next "\"},\"items\":[" items "]}"
#define ITEM(name) "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"1\"}}"

static void test_a_long_list_comes_in_pages(void **state)
{
    struct world w;
    (void)state;
    start(&w, NULL);
    wait_send(&w, LIST);
    answer(&w, 200, 0, PAGE(ITEM("a") "," ITEM("b"), "x=/+y"), NULL);
    assert_false(kube_reflector_synced(w.r));
    assert_int_equal(wait_send(&w, LIST "&continue=x%3D%2F%2By"), 0);
    assert_true(w.want.goes_on);
    answer(&w, 503, 0, "{}", NULL);
    wait_send(&w, LIST "&continue=x%3D%2F%2By");
    answer(&w, 200, 0, PAGE(ITEM("c"), ""), NULL);
    assert_true(kube_reflector_synced(w.r));
    wait_send(&w, "/api/v1/pods" WATCH "10");
    assert_string_equal(mlt_text_string(&w.log), "begin a@1 b@1 c@1 done ");
    stop(&w);
}

static void test_a_page_whose_token_has_expired_begins_the_list_anew(void **state)
{
    struct world w;
    (void)state;
    start(&w, NULL);
    wait_send(&w, LIST);
    answer(&w, 200, 0, PAGE(ITEM("a"), "t"), NULL);
    wait_send(&w, LIST "&continue=t");
    answer(&w, 410, 0, "{\"message\":\"expired\"}", NULL);
    wait_send(&w, LIST);
    answer(&w, 200, 0, PAGE(ITEM("b"), ""), NULL);
    assert_string_equal(mlt_text_string(&w.log), "begin a@1 begin b@1 done ");
    stop(&w);
}

static void test_a_selector_goes_with_list_and_watch(void **state)
{
    (void)state;
    struct world w;
    start(&w, "labelSelector=a%3Db");
    wait_send(&w, "/api/v1/pods?labelSelector=a%3Db&limit=500");
    answer(&w, 200, 0, LIST_OF_A, NULL);
    wait_send(
        &w, "/api/v1/pods?labelSelector=a%3Db&watch=1&allowWatchBookmarks=true&timeoutSeconds=290&"
            "resourceVersion=10");
    stop(&w);
}

static void test_a_want_is_told_once(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    wait_send(&w, LIST);
    poll(&w);
    assert_false(w.want.send || w.want.cancel);
    assert_int_equal(w.want.wake_ms, w.now_ms + KUBE_LIST_TIMEOUT_MS);
    stop(&w);
}

static void test_a_watch_that_ended_in_time_goes_on_at_once_from_the_last_version(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, EVENT("ADDED", "b", "11") EVENT("BOOKMARK", "", "25"));
    w.now_ms += 290000;
    kube_reflector_end(w.r, w.now_ms, NULL);
    assert_int_equal(wait_send(&w, "/api/v1/pods" WATCH "25"), 0);
    expect_log(&w, "+b@11 ");
    stop(&w);
}

static void test_a_server_that_ends_watches_quickly_is_not_hammered(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    int64_t waited_ms = 0;
    for (int i = 0; i < 10; i++) {
        kube_reflector_end(w.r, w.now_ms, NULL);
        waited_ms += wait_send(&w, "/api/v1/pods" WATCH "10");
        open_watch(&w);
    }
    assert_true(waited_ms > 60000);
    stop(&w);
}

static void test_events_seen_again_or_out_of_order_are_handed_on_and_nothing_breaks(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, EVENT("ADDED", "b", "11") EVENT("ADDED", "b", "11") EVENT("MODIFIED", "b", "9"));
    expect_log(&w, "+b@11 +b@11 +b@9 ");
    kube_reflector_end(w.r, w.now_ms + SHORT_MS, NULL);
    wait_send(&w, "/api/v1/pods" WATCH "9"); /* versions are opaque: the last one told counts */
    stop(&w);
}

static void test_versions_are_opaque_and_encoded(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, EVENT("BOOKMARK", "", "a b&c"));
    kube_reflector_end(w.r, w.now_ms + SHORT_MS, NULL);
    wait_send(&w, "/api/v1/pods" WATCH "a%20b%26c");
    stop(&w);
}

static void test_unknown_events_and_empty_lines_are_passed_over(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w,
         "\n\r\n" EVENT("NEWS", "x", "11") "{}\n{\"type\":\"ADDED\"}\n" EVENT("ADDED", "b", "12"));
    expect_log(&w, "+b@12 ");
    poll(&w);
    assert_false(w.want.cancel);
    stop(&w);
}

/* ---- pieces ---- */

static void test_events_may_be_cut_anywhere_also_within_a_letter(void **state)
{
    (void)state;
    static const char text[] = EVENT("ADDED", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "11")
        EVENT("MODIFIED", "b", "12") "\n" EVENT("DELETED", "c\\u00e9\\n", "13");
    for (size_t step = 1; step < sizeof text; step++) {
        struct world w;
        start_watching(&w);
        for (size_t at = 0; at < sizeof text - 1; at += step) {
            size_t left = sizeof text - 1 - at;
            kube_reflector_body(w.r, w.now_ms, text + at, left < step ? left : step);
        }
        expect_log(&w, "+\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80@11 +b@12 -c\xc3\xa9\n@13 ");
        stop(&w);
    }
}

static void test_a_watch_cut_at_any_byte_goes_on_from_the_last_whole_event(void **state)
{
    (void)state;
    static const char text[] = EVENT("ADDED", "b", "11") EVENT("ADDED", "c", "12");
    size_t first = (size_t)(strchr(text, '\n') + 1 - text);
    for (size_t length = 0; length < sizeof text; length++) {
        struct world w;
        start_watching(&w);
        kube_reflector_body(w.r, w.now_ms, text, length);
        kube_reflector_end(w.r, w.now_ms, "connection reset");
        int64_t waited_ms = wait_send(&w, length == sizeof text - 1 ? "/api/v1/pods" WATCH "12"
                                          : length >= first         ? "/api/v1/pods" WATCH "11"
                                                                    : "/api/v1/pods" WATCH "10");
        assert_in_range(waited_ms, 1, 1000);
        open_watch(&w);
        assert_string_equal(kube_reflector_trouble(w.r), "");
        stop(&w);
    }
}

static void test_a_list_cut_at_any_byte_is_asked_for_again(void **state)
{
    (void)state;
    for (size_t length = 0; length < sizeof LIST_OF_A - 1; length++) {
        struct world w;
        start(&w, NULL);
        wait_send(&w, LIST);
        kube_reflector_status(w.r, w.now_ms, 200, 0);
        kube_reflector_body(w.r, w.now_ms, LIST_OF_A, length);
        kube_reflector_end(w.r, w.now_ms, length % 2 ? "connection reset" : NULL);
        assert_false(kube_reflector_synced(w.r));
        assert_string_not_equal(kube_reflector_trouble(w.r), "");
        wait_send(&w, LIST);
        mlt_text_clear(&w.log);
        answer(&w, 200, 0, LIST_OF_A, NULL);
        expect_log(&w, "begin a@3 done ");
        assert_true(kube_reflector_synced(w.r));
        assert_string_equal(kube_reflector_trouble(w.r), "");
        stop(&w);
    }
}

/* ---- versions that the server does not have any more ---- */

static void test_an_error_event_410_lists_again_at_once(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, EVENT("ADDED", "b", "11") ERROR_EVENT(410) EVENT("ADDED", "never", "12"));
    expect_log(&w, "+b@11 ");
    poll(&w);
    assert_true(w.want.cancel);
    assert_int_equal(wait_send(&w, LIST), 0);
    assert_non_null(strstr(kube_reflector_trouble(w.r), "told so"));
    answer(&w, 200, 0, LIST_OF_A, NULL);
    expect_log(&w, "begin a@3 done ");
    wait_send(&w, "/api/v1/pods" WATCH "10");
    stop(&w);
}

static void test_an_error_event_followed_by_the_end_needs_no_cancel(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, ERROR_EVENT(410));
    kube_reflector_end(w.r, w.now_ms, NULL);
    poll(&w);
    assert_false(w.want.cancel);
    wait_send(&w, LIST);
    stop(&w);
}

static void test_http_410_lists_again_and_not_ever_faster(void **state)
{
    (void)state;
    struct world w;
    int64_t waited_ms = 0;
    start(&w, NULL);
    for (int i = 0; i < 10; i++) {
        waited_ms += wait_send(&w, LIST);
        answer(&w, 200, 0, LIST_OF_A, NULL);
        assert_int_equal(wait_send(&w, "/api/v1/pods" WATCH "10"), 0);
        answer(&w, 410, 0, "{\"message\":\"too old\"}", NULL);
    }
    assert_true(waited_ms > 60000);
    assert_non_null(strstr(kube_reflector_trouble(w.r), "too old"));
    stop(&w);
}

static void test_a_version_refused_as_bad_lists_again(void **state)
{
    (void)state;
    static const int statuses[] = {400, 403, 404, 422};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct world w;
        start(&w, NULL);
        wait_send(&w, LIST);
        answer(&w, 200, 0, LIST_OF_A, NULL);
        wait_send(&w, "/api/v1/pods" WATCH "10");
        answer(&w, statuses[i], 0, "not json", NULL);
        assert_in_range(wait_send(&w, LIST), 1, 1000);
        stop(&w);
    }
}

/* ---- trouble that passes ---- */

static void test_429_waits_as_long_as_the_server_says_and_keeps_the_version(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    wait_send(&w, LIST);
    answer(&w, 429, 7000, "{\"message\":\"slow down\"}", NULL);
    assert_non_null(strstr(kube_reflector_trouble(w.r), "429: slow down"));
    assert_int_equal(wait_send(&w, LIST), 7000);
    answer(&w, 200, 0, LIST_OF_A, NULL);
    wait_send(&w, "/api/v1/pods" WATCH "10");
    answer(&w, 429, 5000, "", NULL);
    assert_int_equal(wait_send(&w, "/api/v1/pods" WATCH "10"), 5000);
    open_watch(&w);
    feed(&w, ERROR_EVENT(429));
    poll(&w);
    assert_true(w.want.cancel);
    assert_int_equal(wait_send(&w, "/api/v1/pods" WATCH "10"), 9000);
    stop(&w);
}

static void test_server_errors_and_lost_connections_are_retried_ever_more_slowly(void **state)
{
    (void)state;
    static const int statuses[] = {0, 500, 503, 504, 403, 404};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct world w;
        start(&w, NULL);
        wait_send(&w, LIST);
        int64_t last_ms = 0;
        for (int k = 0; k < 12; k++) {
            if (statuses[i])
                answer(&w, statuses[i], 0, "", NULL);
            else
                kube_reflector_end(w.r, w.now_ms, "connection refused");
            last_ms = wait_send(&w, LIST);
            assert_in_range(last_ms, 250, 30000);
        }
        assert_in_range(last_ms, 15000, 30000);
        stop(&w);
    }
}

static void test_an_event_makes_the_next_delay_short_again(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    for (int k = 0; k < 12; k++) {
        kube_reflector_end(w.r, w.now_ms, "reset");
        wait_send(&w, "/api/v1/pods" WATCH "10");
        open_watch(&w);
    }
    feed(&w, EVENT("BOOKMARK", "", "10"));
    kube_reflector_end(w.r, w.now_ms, "reset");
    assert_in_range(wait_send(&w, "/api/v1/pods" WATCH "10"), 250, 500);
    stop(&w);
}

static void test_an_unknown_error_event_lists_again_after_a_while(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, ERROR_EVENT(500));
    poll(&w);
    assert_true(w.want.cancel);
    assert_int_equal(wait_send(&w, LIST), 9000);
    stop(&w);
}

static void test_a_line_that_is_not_json_lists_again_after_a_while(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    feed(&w, EVENT("ADDED", "b", "11") "{\"type\":\"ADDED\",\n" EVENT("ADDED", "never", "12"));
    expect_log(&w, "+b@11 ");
    poll(&w);
    assert_true(w.want.cancel);
    assert_in_range(wait_send(&w, LIST), 1, 1000);
    stop(&w);
}

static void test_a_line_without_end_is_cut_off_at_the_maximum(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    static char piece[1024 * 1024];
    memset(piece, 'x', sizeof piece);
    for (size_t i = 0; i <= KUBE_WATCH_LINE_MAX / sizeof piece; i++)
        kube_reflector_body(w.r, w.now_ms, piece, sizeof piece);
    poll(&w);
    assert_true(w.want.cancel);
    wait_send(&w, LIST);
    stop(&w);
}

static void test_a_list_that_is_not_a_list_is_cancelled(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    wait_send(&w, LIST);
    kube_reflector_status(w.r, w.now_ms, 200, 0);
    feed(&w, "<html>");
    feed(&w, "more");
    poll(&w);
    assert_true(w.want.cancel);
    assert_false(kube_reflector_synced(w.r));
    wait_send(&w, LIST);
    stop(&w);
}

/* ---- silence ---- */

static void test_a_silent_watch_is_cut_and_goes_on_from_its_version(void **state)
{
    (void)state;
    struct world w;
    start_watching(&w);
    poll(&w);
    assert_int_equal(w.want.wake_ms, w.now_ms + KUBE_WATCH_SILENCE_MS);
    w.now_ms += KUBE_WATCH_SILENCE_MS - 1;
    feed(&w, EVENT("BOOKMARK", "", "20")); /* a byte in time: the clock begins anew */
    w.now_ms += KUBE_WATCH_SILENCE_MS - 1;
    poll(&w);
    assert_false(w.want.cancel);
    w.now_ms += 1;
    poll(&w);
    assert_true(w.want.cancel);
    assert_non_null(strstr(kube_reflector_trouble(w.r), "silent"));
    assert_in_range(wait_send(&w, "/api/v1/pods" WATCH "20"), 1, 500);
    stop(&w);
}

static void test_a_silent_list_is_cut_and_asked_for_again(void **state)
{
    (void)state;
    struct world w;
    start(&w, NULL);
    wait_send(&w, LIST);
    w.now_ms += KUBE_LIST_TIMEOUT_MS;
    poll(&w);
    assert_true(w.want.cancel);
    wait_send(&w, LIST);
    stop(&w);
}

/* ---- chance ---- */

/* A server that does anything at any time: whatever comes, wants keep their form, some request is
 * always under way or planned, and after the trouble the reflector reaches the server's state. */
static void test_after_any_sequence_of_answers_it_synchronises_again(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        LIST_OF_A,        EVENT("ADDED", "b", "11"),   ERROR_EVENT(410), "{", "\n",
        ERROR_EVENT(500), EVENT("BOOKMARK", "", "30"), "\xff\xfe",       ""};
    for (uint64_t seed = 0; seed < 500; seed++) {
        struct world w;
        struct mlt_random chance;
        bool open = false;
        start(&w, NULL);
        mlt_random_init(&chance, seed);
        for (int i = 0; i < 200; i++) {
            uint64_t what = mlt_random_below(&chance, 6);
            const char *piece = pieces[mlt_random_below(&chance, 9)];
            poll(&w);
            assert_false(w.want.send && open);
            assert_false(w.want.cancel && !open);
            open = w.want.send || (open && !w.want.cancel);
            assert_true(open || w.want.wake_ms < INT64_MAX);
            if (what == 0)
                w.now_ms += mlt_random_between(&chance, 1, 500000);
            else if (open && what == 1)
                kube_reflector_status(w.r, w.now_ms, mlt_random_below(&chance, 3) ? 200 : 503, 0);
            else if (open && what <= 4)
                kube_reflector_body(w.r, w.now_ms, piece, strlen(piece));
            else if (open)
                kube_reflector_end(w.r, w.now_ms, mlt_random_below(&chance, 2) ? "lost" : NULL);
            open = open && what != 5;
        }
        if (open)
            kube_reflector_end(w.r, w.now_ms, "lost");
        for (int i = 0; i < 3; i++) { /* the server is well again and forgets old versions */
            poll(&w);
            while (!w.want.send) {
                w.now_ms = w.want.wake_ms > w.now_ms ? w.want.wake_ms : w.now_ms;
                poll(&w);
            }
            mlt_text_clear(&w.log);
            if (!w.want.is_watch)
                break;
            answer(&w, 410, 0, "", NULL);
        }
        answer(&w, 200, 0, LIST_OF_A, NULL);
        expect_log(&w, "begin a@3 done ");
        assert_true(kube_reflector_synced(w.r));
        stop(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_lists_and_then_watches_from_the_lists_version),
        cmocka_unit_test(test_a_long_list_comes_in_pages),
        cmocka_unit_test(test_a_page_whose_token_has_expired_begins_the_list_anew),
        cmocka_unit_test(test_a_selector_goes_with_list_and_watch),
        cmocka_unit_test(test_a_want_is_told_once),
        cmocka_unit_test(test_a_watch_that_ended_in_time_goes_on_at_once_from_the_last_version),
        cmocka_unit_test(test_a_server_that_ends_watches_quickly_is_not_hammered),
        cmocka_unit_test(test_events_seen_again_or_out_of_order_are_handed_on_and_nothing_breaks),
        cmocka_unit_test(test_versions_are_opaque_and_encoded),
        cmocka_unit_test(test_unknown_events_and_empty_lines_are_passed_over),
        cmocka_unit_test(test_events_may_be_cut_anywhere_also_within_a_letter),
        cmocka_unit_test(test_a_watch_cut_at_any_byte_goes_on_from_the_last_whole_event),
        cmocka_unit_test(test_a_list_cut_at_any_byte_is_asked_for_again),
        cmocka_unit_test(test_an_error_event_410_lists_again_at_once),
        cmocka_unit_test(test_an_error_event_followed_by_the_end_needs_no_cancel),
        cmocka_unit_test(test_http_410_lists_again_and_not_ever_faster),
        cmocka_unit_test(test_a_version_refused_as_bad_lists_again),
        cmocka_unit_test(test_429_waits_as_long_as_the_server_says_and_keeps_the_version),
        cmocka_unit_test(test_server_errors_and_lost_connections_are_retried_ever_more_slowly),
        cmocka_unit_test(test_an_event_makes_the_next_delay_short_again),
        cmocka_unit_test(test_an_unknown_error_event_lists_again_after_a_while),
        cmocka_unit_test(test_a_line_that_is_not_json_lists_again_after_a_while),
        cmocka_unit_test(test_a_line_without_end_is_cut_off_at_the_maximum),
        cmocka_unit_test(test_a_list_that_is_not_a_list_is_cancelled),
        cmocka_unit_test(test_a_silent_watch_is_cut_and_goes_on_from_its_version),
        cmocka_unit_test(test_a_silent_list_is_cut_and_asked_for_again),
        cmocka_unit_test(test_after_any_sequence_of_answers_it_synchronises_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
