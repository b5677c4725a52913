/* What is kept of dry runs: for how long, how much, and who is told. */
#include "controller/probe_share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

static cJSON *pod_named(const char *name)
{
    cJSON *pod = cJSON_CreateObject();
    json_set_string(pod, "spec.name", name);
    return pod;
}

/* The name in the pod that is known; "" when none is, "?" when it was only asked about. */
static const char *known(struct probe_share *s, const char *text, int64_t now_ms)
{
    const cJSON *pod = NULL;
    uint32_t id = 0;
    switch (probe_share_find(s, text, now_ms, &id, &pod)) {
    case PROBE_SHARE_KNOWN:
        assert_true(id != 0);
        return json_string(pod, "spec.name", "");
    case PROBE_SHARE_ASKED:
        assert_true(id != 0);
        return "?";
    case PROBE_SHARE_UNKNOWN:
        break;
    }
    return "";
}

static void tell(struct probe_share *s, const char *text, const char *namespace_, int64_t now_ms)
{
    cleanup_json cJSON *pod = pod_named(text);
    uint32_t id = probe_share_ask(s, text, namespace_);
    assert_true(id != 0);
    assert_false(probe_share_told(s, id, pod, now_ms));
}

static void test_an_answer_is_kept_for_a_moment(void **state)
{
    struct probe_share s = {0};
    (void)state;
    assert_string_equal(known(&s, "a", 0), "");
    uint32_t id = probe_share_ask(&s, "a", "n");
    assert_string_equal(known(&s, "a", 1000000), "?"); /* however long that takes */
    assert_string_equal(known(&s, "b", 1000000), "");
    cleanup_json cJSON *pod = pod_named("one");
    assert_false(probe_share_told(&s, id, pod, 1000000));
    assert_string_equal(known(&s, "a", 1000000 + PROBE_SHARE_MS - 1), "one");
    assert_string_equal(known(&s, "a", 1000000 + PROBE_SHARE_MS), "");
    assert_int_equal(s.bytes, 0);
    probe_share_release(&s);
}

static void test_who_waits_is_told_of_once(void **state)
{
    struct probe_share s = {0};
    cleanup_json cJSON *pod = pod_named("one");
    (void)state;
    uint32_t first = probe_share_ask(&s, "a", "n"), second = probe_share_ask(&s, "b", "n");
    assert_int_not_equal(first, second);
    probe_share_wait(&s, first);
    probe_share_wait(&s, second);
    assert_true(probe_share_told(&s, first, pod, 0));
    assert_false(probe_share_told(&s, first, pod, 0));
    assert_true(probe_share_drop(&s, second));
    assert_false(probe_share_drop(&s, second));
    assert_string_equal(known(&s, "b", 0), "");
    probe_share_release(&s);
}

static void test_distrust_takes_the_answers_of_one_namespace(void **state)
{
    struct probe_share s = {0};
    (void)state;
    tell(&s, "a", "n", 0);
    tell(&s, "b", "m", 0);
    assert_true(probe_share_ask(&s, "c", "n") != 0);
    probe_share_distrust(&s, "n");
    assert_string_equal(known(&s, "a", 0), "");
    assert_string_equal(known(&s, "b", 0), "b");
    assert_string_equal(known(&s, "c", 0), "?");
    probe_share_release(&s);
}

static void test_the_oldest_answer_makes_room(void **state)
{
    struct probe_share s = {0};
    char text[16];
    (void)state;
    for (int i = 0; i <= PROBE_SHARE_MAX; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        tell(&s, text, "n", 0);
    }
    assert_string_equal(known(&s, "0", 0), "");
    assert_string_equal(known(&s, "1", 0), "1");
    probe_share_release(&s);
}

static void test_what_is_asked_about_makes_no_room(void **state)
{
    struct probe_share s = {0};
    char text[16];
    (void)state;
    for (int i = 0; i < PROBE_SHARE_MAX; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        assert_true(probe_share_ask(&s, text, "n") != 0);
    }
    assert_int_equal(probe_share_ask(&s, "one more", "n"), 0);
    assert_string_equal(known(&s, "0", 0), "?");
    probe_share_release(&s);
}

static void test_long_texts_are_bounded_together(void **state)
{
    struct probe_share s = {0};
    size_t half = PROBE_SHARE_BYTES_MAX / 2 + 1;
    cleanup_free char *a = mlt_calloc(1, half + 1), *b = mlt_calloc(1, half + 1);
    cleanup_free char *c = mlt_calloc(1, 2 * half + 1);
    (void)state;
    memset(a, 'a', half);
    memset(b, 'b', half);
    memset(c, 'c', 2 * half);
    tell(&s, a, "n", 0);
    tell(&s, b, "n", 0);
    assert_string_equal(known(&s, a, 0), "");
    assert_int_equal(s.bytes, half);
    assert_int_equal(probe_share_ask(&s, c, "n"), 0);
    assert_int_equal(s.bytes, half); /* nothing was dropped for what does not fit at all */
    probe_share_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_kept_for_a_moment),
        cmocka_unit_test(test_who_waits_is_told_of_once),
        cmocka_unit_test(test_distrust_takes_the_answers_of_one_namespace),
        cmocka_unit_test(test_the_oldest_answer_makes_room),
        cmocka_unit_test(test_what_is_asked_about_makes_no_room),
        cmocka_unit_test(test_long_texts_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
