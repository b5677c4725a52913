/* Label and field selectors: tables of what they match and of what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "lib/json/json.h"
#include "lib/kube/selector.h"

static cJSON *parse(const char *text)
{
    cJSON *node = NULL;
    struct mlt_error err = {0};
    if (json_parse(text, strlen(text), &node, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    return node;
}

static void test_a_selector_matches_labels(void **state)
{
    (void)state;
    static const struct {
        const char *selector, *labels;
        bool matches;
    } rows[] = {
        {"", "{}", true},
        {"  ", "{\"a\":\"b\"}", true},
        {"a=b", "{\"a\":\"b\"}", true},
        {"a==b", "{\"a\":\"b\"}", true},
        {" a = b ", "{\"a\":\"b\"}", true},
        {"a=b", "{\"a\":\"c\"}", false},
        {"a=b", "{\"A\":\"b\"}", false},
        {"a=b", "{}", false},
        {"a=", "{\"a\":\"\"}", true},
        {"a=", "{}", false},
        {"a!=b", "{\"a\":\"c\"}", true},
        {"a!=b", "{\"a\":\"b\"}", false},
        {"a!=b", "{}", true},
        {"a", "{\"a\":\"\"}", true},
        {"a", "{\"b\":\"a\"}", false},
        {"!a", "{\"b\":\"a\"}", true},
        {"! a", "{\"a\":\"a\"}", false},
        {"a in (b,c)", "{\"a\":\"c\"}", true},
        {"a in (b,c)", "{\"a\":\"d\"}", false},
        {"a in (b,c)", "{}", false},
        {"a in(b)", "{\"a\":\"b\"}", true},
        {"a in ()", "{\"a\":\"\"}", true},
        {"a in (,b)", "{\"a\":\"\"}", true},
        {"a notin ( b , c )", "{\"a\":\"d\"}", true},
        {"a notin (b,c)", "{\"a\":\"b\"}", false},
        {"a notin (b,c)", "{}", true},
        {"a>5", "{\"a\":\"6\"}", true},
        {"a>5", "{\"a\":\"5\"}", false},
        {"a<5", "{\"a\":\"4\"}", true},
        {"a<5", "{\"a\":\"x\"}", false},
        {"a<5", "{}", false},
        {"a=b,c!=d,e in (f,g),h notin (i),j,!k", "{\"a\":\"b\",\"e\":\"g\",\"j\":\"\"}", true},
        {"a=b,c!=d,e in (f,g),h notin (i),j,!k", "{\"a\":\"b\",\"e\":\"g\",\"j\":\"\",\"k\":\"\"}",
         false},
        {"in in (in)", "{\"in\":\"in\"}", true},
        {"notin=in", "{\"notin\":\"in\"}", true},
        {"mltrain.io/job-name=llama-8b", "{\"mltrain.io/job-name\":\"llama-8b\"}", true},
        {"a=b", "null", false},
        {"!a", "null", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_selector *s = NULL;
        struct mlt_error err = {0};
        cleanup_json cJSON *labels = parse(rows[i].labels);
        if (kube_selector_parse(rows[i].selector, &s, &err) < 0)
            fail_msg("`%s`: %s", rows[i].selector, err.text);
        if (kube_selector_matches(s, labels) != rows[i].matches)
            fail_msg("`%s` and %s", rows[i].selector, rows[i].labels);
        kube_selector_free(s);
    }
}

static void test_no_labels_at_all_are_no_labels(void **state)
{
    (void)state;
    struct kube_selector *s = NULL;
    assert_int_equal(kube_selector_parse("!a,b!=c", &s, NULL), 0);
    assert_true(kube_selector_matches(s, NULL));
    kube_selector_free(s);
    kube_selector_free(NULL);
}

static void test_text_that_is_no_selector_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        ",",          "a,",
        "a,,b",       "=b",
        "!",          "!a=b",
        "a=b c",      "a in",
        "a in b",     "a in (b",
        "a in (b c)", "a notin",
        "a=b=c",      "a!b",
        "a=>b",       "a>b",
        "a>",         "-a=b",
        "a-=b",       "a/b/c=d",
        "/a=b",       "a/=b",
        "a=-b",       "a=\xc3\xa9",
        "a b",        "(a)",
        "a in (b))",  "a=0123456789012345678901234567890123456789012345678901234567890123",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_selector *s = NULL;
        struct mlt_error err = {0};
        int r = kube_selector_parse(rows[i], &s, &err);
        if (r != -EINVAL || !err.text[0])
            fail_msg("`%s`: %d %s", rows[i], r, err.text);
        assert_null(s);
    }
}

static void test_a_label_selector_object_matches(void **state)
{
    (void)state;
    static const struct {
        const char *selector, *labels;
        bool matches;
    } rows[] = {
        {"{}", "{}", true},
        {"{\"matchLabels\":{\"a\":\"b\"}}", "{\"a\":\"b\"}", true},
        {"{\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}", "{\"a\":\"b\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\",\"c\"]}]}",
         "{\"a\":\"c\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"b\"]}]}", "{}",
         true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\",\"values\":[]}]}",
         "{}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"7\"]}]}",
         "{\"a\":\"8\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Lt\",\"values\":[\"7\"]}]}",
         "{\"a\":\"8\"}", false},
        {"{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"c\",\"operator\":"
         "\"Exists\"}]}",
         "{\"a\":\"b\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"metadata.name\",\"operator\":\"In\","
         "\"values\":[\"ip-10-0-0-1.eu-west-1.compute.internal\"]}]}",
         "{\"metadata.name\":\"ip-10-0-0-1.eu-west-1.compute.internal\"}", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_selector *s = NULL;
        struct mlt_error err = {0};
        cleanup_json cJSON *object = parse(rows[i].selector), *labels = parse(rows[i].labels);
        if (kube_selector_from_object(object, &s, &err) < 0)
            fail_msg("%s: %s", rows[i].selector, err.text);
        if (kube_selector_matches(s, labels) != rows[i].matches)
            fail_msg("%s and %s", rows[i].selector, rows[i].labels);
        kube_selector_free(s);
    }
}

static void test_objects_that_are_no_selector_are_refused_with_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *object, *words;
    } rows[] = {
        {"{\"matchLabels\":[]}", "matchLabels"},
        {"{\"matchLabels\":{\"a\":1}}", "matchLabels: a"},
        {"{\"matchLabels\":{\"-\":\"b\"}}", "matchLabels: `-`"},
        {"{\"matchExpressions\":{}}", "matchExpressions"},
        {"{\"matchExpressions\":[{\"operator\":\"Exists\"}]}", "matchExpressions[0]"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"},"
         "{\"key\":\"a\",\"operator\":\"is\"}]}",
         "matchExpressions[1]: operator: `is`"},
        {"{\"matchExpressions\":[{\"key\":\"a\"}]}", "operator"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}", "values"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[1]}]}", "values"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"b\"]}]}",
         "values"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\",\"2\"]}]}",
         "values"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"x\"]}]}",
         "values"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_selector *s = NULL;
        struct mlt_error err = {0};
        cleanup_json cJSON *object = parse(rows[i].object);
        int r = kube_selector_from_object(object, &s, &err);
        if (r != -EINVAL || !strstr(err.text, rows[i].words))
            fail_msg("%s: %d %s", rows[i].object, r, err.text);
        assert_null(s);
    }
}

static void test_a_field_selector_looks_at_paths(void **state)
{
    (void)state;
    static const char object[] = "{\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"},"
                                 "\"spec\":{\"nodeName\":\"node1\",\"unschedulable\":true},"
                                 "\"status\":{\"phase\":\"Running\"}}";
    static const struct {
        const char *selector;
        bool matches;
    } rows[] = {
        {"", true},
        {"metadata.name=a", true},
        {"metadata.name==a", true},
        {"metadata.name=b", false},
        {"metadata.name!=b", true},
        {"spec.nodeName=node1,status.phase!=Failed,status.phase!=Succeeded", true},
        {"spec.nodeName=node1,status.phase!=Running", false},
        {"spec.nodeName=", false},
        {"spec.hostname=", true},
        {"spec.hostname!=", false},
        {"spec.unschedulable=true", true},
        {"involvedObject.name=a", false},
    };
    cleanup_json cJSON *node = parse(object);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_selector *s = NULL;
        struct mlt_error err = {0};
        if (kube_field_selector_parse(rows[i].selector, &s, &err) < 0)
            fail_msg("`%s`: %s", rows[i].selector, err.text);
        if (kube_field_selector_matches(s, node) != rows[i].matches)
            fail_msg("`%s`", rows[i].selector);
        kube_selector_free(s);
    }
    static const char *const bad[] = {"a", "=b", "!=b", "a!b", "a=b,c"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct kube_selector *s = NULL;
        if (kube_field_selector_parse(bad[i], &s, NULL) != -EINVAL)
            fail_msg("`%s` was accepted", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_selector_matches_labels),
        cmocka_unit_test(test_no_labels_at_all_are_no_labels),
        cmocka_unit_test(test_text_that_is_no_selector_is_refused),
        cmocka_unit_test(test_a_label_selector_object_matches),
        cmocka_unit_test(test_objects_that_are_no_selector_are_refused_with_the_field),
        cmocka_unit_test(test_a_field_selector_looks_at_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
