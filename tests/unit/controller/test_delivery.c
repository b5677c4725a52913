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
    assert_int_equal(delivery_read("auto", &delivery, &err), 0);
    assert_int_equal(delivery, DELIVERY_AUTO);
    assert_int_equal(delivery_read("imagevolume", &delivery, &err), -EINVAL);
    assert_int_equal(delivery, DELIVERY_AUTO);
    assert_string_equal(err.text, "`imagevolume` is not initContainer, imageVolume or auto");
}

#define CAN_KUBELET "v1.35.0"
#define CAN_RUNTIME "containerd://2.1.4"

static void test_a_node_is_read_by_the_first_two_numbers_of_its_versions(void **state)
{
    static const char *const kubelets[] = {
        CAN_KUBELET,        "v1.35.1-eks-1a2b3c4",
        "v1.35.0+k3s1",     "v1.35.2-gke.1616000",
        "v1.36.0-rc.1",     "1.35.0",
        "v1.100.0",         "v2.0.0",
        "v1.35.4+rke2r1~x", "v1.35",
        "v1.35.0.1",
    };
    static const char *const others[] = {
        "v1.34.9",
        "v1.34.4+k3s1",
        "v1.3.5",
        "v0.99.0",
        "",
        "v",
        "v1",
        "v1.",
        "v1.x",
        "latest",
        "vv1.35.0",
        "1",
        "v1.35x",
        "v1,35",
        "v1.-35.0",
        "v+1.35.0",
        " v1.35.0",
        "v1.35 ",
        "v-1.35",
        "v1.+35",
        "v1. 35",
        "v.35.0",
        "v1..35",
        "V1.35.0",
        "v1.99999.0",
        "v1e9.0",
        "0x1.35.0",
        "v1.35/2",
        "v340282366920938463463374607431768211456.35",
    };
    static const char *const runtimes[] = {
        CAN_RUNTIME,           "containerd://2.1.0",       "containerd://2.1.6-1",
        "containerd://v2.1.9", "containerd://2.2.0+azure", "containerd://2.10.0-k3s1",
        "containerd://3.0.0",
    };
    static const char *const other_runtimes[] = {
        "containerd://2.0.7",
        "containerd://1.7.27",
        "containerd://1.7.27+bottlerocket",
        "containerd://",
        "containerd://Unknown",
        "containerd:/2.1.0",
        "containerd2.1.0",
        "2.1.4",
        "",
        "cri-o://1.35.0",
        "docker://28.3.0",
        "CONTAINERD://2.1.4",
        "mltrain://2.1.4",
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(kubelets); i++)
        if (delivery_node_lacks(kubelets[i], CAN_RUNTIME) != DELIVERY_LACKS_NOTHING)
            fail_msg("kubelet `%s` is taken for an old one", kubelets[i]);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(others); i++)
        if (delivery_node_lacks(others[i], CAN_RUNTIME) != DELIVERY_LACKS_KUBELET)
            fail_msg("kubelet `%s` is taken for one that can", others[i]);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(runtimes); i++)
        if (delivery_node_lacks(CAN_KUBELET, runtimes[i]) != DELIVERY_LACKS_NOTHING)
            fail_msg("runtime `%s` is taken for one that cannot", runtimes[i]);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(other_runtimes); i++)
        if (delivery_node_lacks(CAN_KUBELET, other_runtimes[i]) != DELIVERY_LACKS_RUNTIME)
            fail_msg("runtime `%s` is taken for one that can", other_runtimes[i]);
}

static void test_what_a_node_lacks_has_words(void **state)
{
    (void)state;
    assert_non_null(strstr(delivery_lack_words(DELIVERY_LACKS_KUBELET), "1.35"));
    assert_non_null(strstr(delivery_lack_words(DELIVERY_LACKS_RUNTIME), "containerd 2.1"));
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
        cmocka_unit_test(test_a_node_is_read_by_the_first_two_numbers_of_its_versions),
        cmocka_unit_test(test_what_a_node_lacks_has_words),
        cmocka_unit_test(test_a_refusal_that_is_about_the_volume_names_the_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
