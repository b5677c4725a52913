/* Numbers of pods as a short text, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/cleanup.h"
#include "trainingjob/pod_creations.h"

static void assert_round(const int64_t *numbers, uint32_t count, const char *expected)
{
    int64_t read[8];
    struct mlt_text text = MLT_TEXT_INIT(256);
    trainingjob_pod_creations_write(numbers, count, &text);
    assert_string_equal(mlt_text_string(&text), expected);
    assert_int_equal(trainingjob_pod_creations_read(expected, read, count), count);
    assert_memory_equal(read, numbers, count * sizeof read[0]);
    mlt_text_release(&text);
}

static void test_runs_are_short(void **state)
{
    (void)state;
    assert_round((int64_t[]){1}, 1, "1");
    assert_round((int64_t[]){3, 3, 3}, 3, "3*3");
    assert_round((int64_t[]){1, 1, 5, 1}, 4, "1*2,5,1");
    assert_round((int64_t[]){1, 2, 3}, 3, "1,2,3");
    assert_round((int64_t[]){0, 0, 2}, 3, "0*2,2");
}

static void test_a_text_of_another_count_tells_its_own(void **state)
{
    (void)state;
    int64_t read[3] = {0};
    assert_int_equal(trainingjob_pod_creations_read("4,2", read, 3), 2);
    assert_memory_equal(read, ((int64_t[]){4, 2, 0}), sizeof read);
    assert_int_equal(trainingjob_pod_creations_read("5*2,6*2000000000", read, 3), 2000000002);
    assert_memory_equal(read, ((int64_t[]){5, 5, 6}), sizeof read);
}

static void test_what_is_not_well_formed_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "1,1,",
        "1,1,1,",
        ",1,1,1",
        "1,,1",
        "x*3",
        "1*3x",
        "1*,3",
        "1*0",
        "1*",
        "*3",
        "-1*3",
        "1* 3",
        " 1*3",
        "1*3 ",
        "99999999999999999999*3",
        "1*99999999999999999999",
        "1*4294967295,1",
    };
    int64_t read[3];
    (void)state;
    assert_int_equal(trainingjob_pod_creations_read(NULL, read, 3), 0);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(texts); i++)
        if (trainingjob_pod_creations_read(texts[i], read, 3) > 0)
            fail_msg("`%s` was taken", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_are_short),
        cmocka_unit_test(test_a_text_of_another_count_tells_its_own),
        cmocka_unit_test(test_what_is_not_well_formed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
