/* Base64: known texts, every byte, and texts that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/kube/base64.h"

/* RFC 4648 section 10, and bytes that use the last two characters of the alphabet. */
static void test_known_texts_encode_and_decode(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xef\xbe", "/+++"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = 0;
        char *data = NULL, *text = kube_base64_encode(rows[i][0], strlen(rows[i][0]));
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(kube_base64_decode(text, &data, &length, NULL), 0);
        assert_string_equal(data, rows[i][0]);
        assert_int_equal(length, strlen(rows[i][0]));
        free(data);
        free(text);
    }
}

static void test_every_byte_survives(void **state)
{
    (void)state;
    unsigned char all[256];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (unsigned char)i;
    size_t length = 0;
    char *data = NULL, *text = kube_base64_encode(all, sizeof all);
    assert_int_equal(kube_base64_decode(text, &data, &length, NULL), 0);
    assert_int_equal(length, sizeof all);
    assert_memory_equal(data, all, sizeof all);
    free(data);
    free(text);
}

static void test_line_breaks_are_skipped(void **state)
{
    (void)state;
    size_t length = 0;
    char *data = NULL;
    assert_int_equal(kube_base64_decode(" Zm9v\r\nYm\nFy\n", &data, &length, NULL), 0);
    assert_string_equal(data, "foobar");
    free(data);
}

static void test_other_text_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"Z",    "Zg",   "Zg=",      "Zg===",    "=",
                                       "====", "Z===", "Zm9v*m==", "Zg==Zg==", "-_-_"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = 0;
        char *data = NULL;
        if (kube_base64_decode(rows[i], &data, &length, NULL) != -EINVAL)
            fail_msg("`%s` was decoded", rows[i]);
        assert_null(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_texts_encode_and_decode),
        cmocka_unit_test(test_every_byte_survives),
        cmocka_unit_test(test_line_breaks_are_skipped),
        cmocka_unit_test(test_other_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
