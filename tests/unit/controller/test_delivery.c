/* Which words choose a way of delivery, and which refusals are about the image volume. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "controller/delivery.h"
#include "lib/base/cleanup.h"

static void test_a_way_has_one_word(void **state)
{
    enum delivery delivery = DELIVERY_COUNT;
    struct mlt_error err = {0};
    (void)state;
    assert_int_equal(delivery_read("imageVolume", &delivery, &err), 0);
    assert_int_equal(delivery, DELIVERY_IMAGE_VOLUME);
    assert_int_equal(delivery_read("initContainer", &delivery, &err), 0);
    assert_int_equal(delivery, DELIVERY_INIT_CONTAINER);
    assert_int_equal(delivery_read("imagevolume", &delivery, &err), -EINVAL);
    assert_int_equal(delivery, DELIVERY_INIT_CONTAINER);
    assert_string_equal(err.text, "`imagevolume` is not initContainer or imageVolume");
}

static void assert_explained(enum delivery delivery, const char *words, bool is_about_it)
{
    cleanup_free char *told = delivery_refusal(delivery, words);
    assert_int_equal(strncmp(told, words, strlen(words)), 0);
    if ((strstr(told, "--launcher-delivery") != NULL) != is_about_it)
        fail_msg("`%s` is told as `%s`", words, told);
}

static void test_a_refusal_that_is_about_the_volume_names_the_option(void **state)
{
    /* Of API servers before 1.31 (the field), and of Pod Security before 1.33 (the kind). */
    static const char field[] =
        "pods is invalid: strict decoding error: unknown field \"spec.volumes[3].image\"";
    static const char kind[] =
        "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": restricted volume "
        "types (volume \"mltrain-launcher\" uses restricted volume type \"unknown\")";
    static const char other[] = "exceeded quota: tight, requested: pods=1";
    (void)state;
    assert_explained(DELIVERY_IMAGE_VOLUME, field, true);
    assert_explained(DELIVERY_IMAGE_VOLUME, kind, true);
    assert_explained(DELIVERY_IMAGE_VOLUME, other, false);
    assert_explained(DELIVERY_INIT_CONTAINER, field, false);
    assert_explained(DELIVERY_INIT_CONTAINER, kind, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_way_has_one_word),
        cmocka_unit_test(test_a_refusal_that_is_about_the_volume_names_the_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
