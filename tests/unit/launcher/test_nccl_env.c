/* What the launcher decides to help NCCL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/nccl_env.h"
#include "lib/base/cleanup.h"
#include "rendezvous/message.h"

static const struct nccl_env_interface interfaces[] = {
    {.name = "lo", .address = {127, 0, 0, 1}, .is_up = true, .is_loopback = true},
    {.name = "down0", .address = {10, 0, 0, 7}},
    {.name = "eth0", .address = {10, 0, 0, 7}, .is_up = true},
    {.name = "eth01", .address = {10, 0, 0, 8}, .is_up = true},
    {.name = "fifteen-letters", .address = {10, 0, 0, 9}, .is_up = true},
    {.name = "six0", .address = {0xfd, [15] = 5}, .is_ipv6 = true, .is_up = true},
};

/* A pod of four ranks with all that is needed. */
static struct nccl_env_input good(void)
{
    return (struct nccl_env_input){.has_gpus = true,
                                   .has_rdma = true,
                                   .pod_ip = "10.0.0.7",
                                   .ranks = 4,
                                   .shm_bytes = INT64_C(8) << 30,
                                   .locked_bytes = NCCL_ENV_UNLIMITED,
                                   .interfaces = interfaces,
                                   .interfaces_count = MLT_ARRAY_LENGTH(interfaces)};
}

static const char *line(const struct nccl_env_input *in, enum nccl_env_decision decision,
                        bool warning)
{
    static struct nccl_env env;
    nccl_env_decide(in, &env);
    if (env.lines[decision].is_warning != warning)
        fail_msg("%s warning: %s", warning ? "no" : "a", env.lines[decision].text);
    return env.lines[decision].text;
}

static void test_the_interface_with_the_pods_address_is_chosen_and_no_other(void **state)
{
    (void)state;
    const struct {
        const char *pod_ip, *chosen;
    } cases[] = {{"10.0.0.7", "=eth0"}, {"10.0.0.8", "=eth01"}, {"10.0.0.9", "=fifteen-letters"},
                 {"127.0.0.1", "=lo"},  {"127.3.0.9", "=lo"},   {"fd00::5", "=six0"},
                 {"fd00::6", ""},       {"10.0.0.1", ""},       {"", ""},
                 {"localhost", ""},     {"10.0.0.7.1", ""}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(cases); i++) {
        struct nccl_env_input in = good();
        struct nccl_env env;
        in.pod_ip = cases[i].pod_ip;
        nccl_env_decide(&in, &env);
        assert_string_equal(env.socket_ifname, cases[i].chosen);
        assert_int_not_equal(env.lines[NCCL_ENV_INTERFACE].text[0], 0); /* said either way */
    }
    struct nccl_env_input in = good();
    assert_string_equal(line(&in, NCCL_ENV_INTERFACE, false),
                        "NCCL_SOCKET_IFNAME==eth0: the interface with the pod's address 10.0.0.7");
}

static void test_what_the_job_says_is_left(void **state)
{
    (void)state;
    struct nccl_env_input in = good();
    struct nccl_env env;
    const char *const values[] = {"ib0", ""};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(values); i++) {
        in.socket_ifname = values[i];
        nccl_env_decide(&in, &env);
        assert_string_equal(env.socket_ifname, "");
        assert_non_null(strstr(env.lines[NCCL_ENV_INTERFACE].text, "as the job says"));
    }
    assert_string_equal(line(&in, NCCL_ENV_DEBUG, false), "");
    in.debug = "info";
    assert_string_equal(line(&in, NCCL_ENV_DEBUG, false), "NCCL_DEBUG=info, as the job says");
    in.debug = "LOUD";
    assert_non_null(strstr(line(&in, NCCL_ENV_DEBUG, true), "NCCL knows VERSION"));
}

static void test_little_shared_memory_is_a_warning_where_ranks_share_a_pod(void **state)
{
    (void)state;
    struct nccl_env_input in = good();
    assert_string_equal(line(&in, NCCL_ENV_SHM, false),
                        "/dev/shm has 8192 MiB for 4 ranks: enough");
    in.shm_bytes = 64 << 20; /* what a container has by default */
    assert_non_null(strstr(line(&in, NCCL_ENV_SHM, true), "of 256 MiB or more"));
    in.shm_bytes = 256 << 20;
    assert_non_null(strstr(line(&in, NCCL_ENV_SHM, false), "enough"));
    in.shm_bytes--;
    (void)line(&in, NCCL_ENV_SHM, true);
    in.ranks = 1;
    in.shm_bytes = 64 << 20;
    assert_string_equal(line(&in, NCCL_ENV_SHM, false), "/dev/shm has 64 MiB for 1 rank: enough");
    in.shm_bytes = NCCL_ENV_UNKNOWN;
    (void)line(&in, NCCL_ENV_SHM, false);
    in.ranks = 2;
    assert_non_null(strstr(line(&in, NCCL_ENV_SHM, true), "is not there"));
}

static void test_a_limit_of_locked_memory_is_a_warning_where_rdma_is(void **state)
{
    (void)state;
    struct nccl_env_input in = good();
    assert_string_equal(line(&in, NCCL_ENV_MEMLOCK, false), "ulimit -l is unlimited: enough");
    in.locked_bytes = 64 << 10;
    assert_non_null(strstr(line(&in, NCCL_ENV_MEMLOCK, true), "ulimit -l is 64 KiB"));
    in.has_rdma = false;
    assert_string_equal(line(&in, NCCL_ENV_MEMLOCK, false),
                        "ulimit -l is 64 KiB: enough, there is no RDMA device");
    in.locked_bytes = NCCL_ENV_UNKNOWN;
    assert_string_equal(line(&in, NCCL_ENV_MEMLOCK, false), "");
}

static void test_each_decision_can_be_turned_off(void **state)
{
    (void)state;
    static const struct {
        const char *off;
        bool made[NCCL_ENV_DECISIONS]; /* interface, debug, shm, memlock */
        const char *unknown;
    } cases[] = {
        {NULL, {true, true, true, true}, ""},
        {"", {true, true, true, true}, ""},
        {"interface", {false, true, true, true}, ""},
        {"shm,memlock", {true, true, false, false}, ""},
        {" debug , shm ", {true, false, false, true}, ""},
        {"all", {false, false, false, false}, ""},
        {"interfaces", {true, true, true, true}, "interfaces"},
        {"shm,never,ever", {true, true, false, true}, "never"},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(cases); i++) {
        struct nccl_env_input in = good();
        struct nccl_env env;
        in.debug = "INFO";
        in.off = cases[i].off;
        nccl_env_decide(&in, &env);
        for (size_t d = 0; d < NCCL_ENV_DECISIONS; d++)
            assert_int_equal(env.lines[d].text[0] != '\0', cases[i].made[d]);
        assert_int_equal(env.socket_ifname[0] != '\0', cases[i].made[NCCL_ENV_INTERFACE]);
        assert_string_equal(env.unknown, cases[i].unknown);
    }
}

static void test_without_a_gpu_nothing_is_decided(void **state)
{
    (void)state;
    struct nccl_env_input in = good();
    struct nccl_env env;
    in.has_gpus = false;
    nccl_env_decide(&in, &env);
    assert_string_equal(env.socket_ifname, "");
    for (size_t d = 0; d < NCCL_ENV_DECISIONS; d++)
        assert_string_equal(env.lines[d].text, "");
}

static void test_only_what_a_controller_takes_is_a_reason(void **state)
{
    (void)state;
    for (int d = 0; d < NCCL_ENV_DECISIONS; d++) {
        assert_true(rendezvous_is_reason(nccl_env_reason((enum nccl_env_decision)d)));
        for (int other = 0; other < d; other++)
            assert_string_not_equal(nccl_env_reason((enum nccl_env_decision)d),
                                    nccl_env_reason((enum nccl_env_decision)other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_interface_with_the_pods_address_is_chosen_and_no_other),
        cmocka_unit_test(test_what_the_job_says_is_left),
        cmocka_unit_test(test_little_shared_memory_is_a_warning_where_ranks_share_a_pod),
        cmocka_unit_test(test_a_limit_of_locked_memory_is_a_warning_where_rdma_is),
        cmocka_unit_test(test_each_decision_can_be_turned_off),
        cmocka_unit_test(test_without_a_gpu_nothing_is_decided),
        cmocka_unit_test(test_only_what_a_controller_takes_is_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
