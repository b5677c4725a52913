/* sdk/place.c: whose rank a process is, by its environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>

#include "sdk/place.h"

static void set(const char *const *pairs)
{
    assert_int_equal(clearenv(), 0);
    for (; *pairs; pairs += 2)
        assert_int_equal(setenv(pairs[0], pairs[1], 1), 0);
}
#define SET(...) set((const char *const[]){__VA_ARGS__, NULL})

static struct sdk_place place(void)
{
    struct sdk_place ret;
    sdk_place_find(&ret);
    return ret;
}

static void expect(int64_t rank, int64_t size, int64_t local_rank, int64_t local_size)
{
    struct sdk_place p = place();
    assert_int_equal(p.rank, rank);
    assert_int_equal(p.size, size);
    assert_int_equal(p.local_rank, local_rank);
    assert_int_equal(p.local_size, local_size);
}

static void test_a_rank_of_mltrain_is_what_its_variables_say(void **state)
{
    (void)state;
    SET("RANK", "2", "WORLD_SIZE", "4", "LOCAL_RANK", "0", "MLTRAIN_SOCKET", "/s",
        "MLTRAIN_ATTEMPT", "3", "OMPI_COMM_WORLD_RANK", "1", "OMPI_COMM_WORLD_SIZE", "2");
    expect(2, 4, 0, 0);
    assert_string_equal(place().socket, "/s");
    assert_true(place().world == 0);
    assert_int_equal(clearenv(), 0);
    expect(-1, -1, -1, 0);
    assert_null(place().socket);
}

#define HYDRA                                                                                   \
    "MLTRAIN_WORLD", "pod-0-17-4711", "PMI_RANK", "5", "PMI_SIZE", "6", "MPI_LOCALRANKID", "1", \
        "MPI_LOCALNRANKS", "2"
#define OPEN_MPI(size)                                                                           \
    "MLTRAIN_WORLD", "pod-0-17-4711", "PMIX_RANK", "0", "PMIX_NAMESPACE", "prterun-vm-1@1",      \
        "OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_SIZE", size, "OMPI_COMM_WORLD_LOCAL_RANK", \
        "0", "OMPI_COMM_WORLD_LOCAL_SIZE", "1"

static void test_a_rank_of_mpirun_has_a_world(void **state)
{
    (void)state;
    SET(HYDRA, "RANK", "0", "WORLD_SIZE", "4", "MLTRAIN_SOCKET", "/0", "MLTRAIN_POD_SOCKET", "/1");
    expect(5, 6, 1, 2);
    assert_string_equal(place().socket, "/1");
    assert_true(place().world == UINT64_C(0xaa219926c385f1b0));
    SET(OPEN_MPI("1"), HYDRA); /* the one who has started it last */
    expect(0, 1, 0, 1);
    assert_true(place().world == UINT64_C(0xaa00784544bac058));
    SET(OPEN_MPI("2"));
    assert_true(place().world != UINT64_C(0xaa00784544bac058));
}

static void test_what_is_no_rank_of_mpirun_is_none(void **state)
{
    (void)state;
    SET(HYDRA, "MLTRAIN_WORLD", "");
    expect(-1, -1, -1, 0);
    SET(HYDRA, "PMI_RANK", "6");
    expect(-1, -1, -1, 0);
    SET(HYDRA, "MPI_LOCALRANKID", "2");
    expect(-1, -1, -1, 0);
    SET(HYDRA, "MPI_LOCALNRANKS", "7");
    expect(-1, -1, -1, 0);
    SET(HYDRA, "TORCHELASTIC_RUN_ID", "1", "RANK", "3", "WORLD_SIZE", "4", "LOCAL_RANK", "1");
    expect(3, 4, 1, 0);
    SET("MLTRAIN_WORLD", "w", "RANK", "3", "WORLD_SIZE", "4", "LOCAL_RANK", "1");
    expect(3, 4, 1, 0);
}

static void test_hello_says_it(void **state)
{
    struct sdk_message m;
    (void)state;
    SET(HYDRA, "MLTRAIN_ATTEMPT", "3");
    struct sdk_place p = place();
    sdk_place_hello(&p, &m);
    assert_int_equal(m.kind, SDK_HELLO);
    assert_int_equal(m.rank, 1);
    assert_int_equal(m.attempt, 3);
    assert_true(m.world == p.world);
    assert_int_equal(m.world_rank, 5);
    assert_int_equal(m.world_size, 6);
    assert_int_equal(m.local_size, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rank_of_mltrain_is_what_its_variables_say),
        cmocka_unit_test(test_a_rank_of_mpirun_has_a_world),
        cmocka_unit_test(test_what_is_no_rank_of_mpirun_is_none),
        cmocka_unit_test(test_hello_says_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
