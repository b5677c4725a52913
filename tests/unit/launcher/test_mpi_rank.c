/* launcher/mpi_rank.c: what the end of an MPI rank means. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/mpi_rank.h"
#include "lib/base/cleanup.h"

static const struct mpi_wireup pmi1 = {.wireup = RENDEZVOUS_WIREUP_PMI1,
                                       .family = MPI_FAMILY_MPICH,
                                       .library = "libmpich.so.12"},
                               pmi1_for_open_mpi = {.wireup = RENDEZVOUS_WIREUP_PMI1,
                                                    .family = MPI_FAMILY_OPEN_MPI,
                                                    .library = "libmpi.so.40"},
                               of_image = {.wireup = RENDEZVOUS_WIREUP_PMIX,
                                           .family = MPI_FAMILY_OPEN_MPI,
                                           .of_image = true,
                                           .library = "/lib/libmpi.so.40"},
                               mpirun = {.wireup = RENDEZVOUS_WIREUP_PMI1,
                                         .family = MPI_FAMILY_MPIRUN},
                               none = {.wireup = RENDEZVOUS_WIREUP_PMI1};

static void test_the_end_of_a_rank_is_judged_by_what_it_has_said(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct mpi_rank rank;
        const struct mpi_wireup *wireup;
        int32_t code, signal, expected_code, expected_signal;
        const char *words; /* that are part of it; NULL: none */
    } rows[] = {
        {"all is well", {.connected = true, .finalized = true}, &pmi1, 0, 0, 0, 0, NULL},
        {"its own failure stands", {.connected = true}, &pmi1, 3, 0, 3, 0, NULL},
        {"its server died",
         {.connected = true, .lost_words = "the server has ended"},
         &of_image,
         0,
         SIGKILL,
         1,
         0,
         "the server has ended"},
        {"its server could not be started in this image",
         {.lost_words = "no libpmix.so.2", .lost_for_good = true},
         &of_image,
         0,
         SIGKILL,
         93,
         0,
         "no libpmix.so.2"},
        {"its server died, and it has failed by itself before",
         {.connected = true, .lost_words = "the server has ended"},
         &of_image,
         3,
         0,
         3,
         0,
         NULL},
        {"a signal stands", {.connected = true}, &pmi1, 0, SIGSEGV, 0, SIGSEGV, NULL},
        {"a failure before MPI_Init stands", {.connected = false}, &pmi1, 2, 0, 2, 0, NULL},
        {"0 without MPI_Finalize", {.connected = true}, &pmi1, 0, 0, 1, 0, "MPI_Finalize"},
        {"0 without MPI_Init", {.connected = false}, &pmi1, 0, 0, 93, 0, "libmpich.so.12"},
        {"0 of the other MPI",
         {.connected = false},
         &pmi1_for_open_mpi,
         0,
         0,
         93,
         0,
         "set spec.mpi.wireup to pmix"},
        {"0 of no MPI", {.connected = false}, &none, 0, 0, 93, 0, "is this an MPI program?"},
        {"0 of no MPI, in an image that has one",
         {.connected = false},
         &of_image,
         0,
         0,
         93,
         0,
         "over pmix (found in the image: libmpi.so.40); is this an MPI program?"},
        {"0 of mpirun",
         {.connected = false},
         &mpirun,
         0,
         0,
         93,
         0,
         "let it be the MPI program itself"},
        {"abort",
         {.connected = true, .aborted = true, .abort_code = 7, .abort_words = "no room"},
         &pmi1,
         7,
         0,
         7,
         0,
         "MPI_Abort with code 7: no room"},
        {"abort with 0 is a failure",
         {.connected = true, .aborted = true, .abort_code = 0},
         &pmi1,
         0,
         0,
         1,
         0,
         "MPI_Abort with code 0"},
        {"abort with a code that exit() cuts to 0",
         {.connected = true, .aborted = true, .abort_code = 256},
         &pmi1,
         0,
         0,
         1,
         0,
         "code 256"},
        {"abort whose process had to be killed",
         {.connected = true, .aborted = true, .abort_code = 7},
         &pmi1,
         0,
         SIGKILL,
         7,
         0,
         "code 7"},
        {"killed as a singleton",
         {.alone = true, .mapped = "/opt/libmpi.so.40"},
         &pmi1,
         0,
         SIGKILL,
         93,
         0,
         "30 s with MPI in memory without MPI_Init over pmi1 (libmpi.so.40); this is Open MPI"},
        {"broken connection",
         {.connected = true, .broken_words = "no such command"},
         &pmi1,
         0,
         0,
         1,
         0,
         "no such command"},
        {"broken connection, and the program has noticed",
         {.connected = true, .broken_words = "no such command"},
         &pmi1,
         15,
         0,
         15,
         0,
         "no such command"},
        {"a second program that could not start",
         {.connected = true, .again = true},
         &of_image,
         1,
         0,
         1,
         0,
         "PMIX_MCA_gds: hash"},
        {"a second program that could not start, and its script does not care",
         {.connected = true, .again = true},
         &of_image,
         0,
         0,
         1,
         0,
         "PMIX_MCA_gds: hash"},
        {"a second program that did well",
         {.connected = true, .again = true, .finalized = true},
         &of_image,
         3,
         0,
         3,
         0,
         NULL},
        {"a second program whose connection the first has shut down",
         {.connected = true, .finalized = true},
         &pmi1,
         128 + SIGPIPE,
         0,
         128 + SIGPIPE,
         0,
         "a second MPI program in this rank?"},
        {"the same, without a shell around",
         {.connected = true, .finalized = true},
         &pmi1,
         0,
         SIGPIPE,
         0,
         SIGPIPE,
         "wireup rsh"},
        {"SIGPIPE before MPI_Finalize", {.connected = true}, &pmi1, 0, SIGPIPE, 0, SIGPIPE, NULL},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mpi_rank_end end = {.code = rows[i].code, .signal = rows[i].signal, .words = "?"};
        mpi_rank_judge(&rows[i].rank, rows[i].wireup, &end);
        if (end.code != rows[i].expected_code || end.signal != rows[i].expected_signal ||
            (rows[i].words ? !strstr(end.words, rows[i].words) : end.words[0] != '\0'))
            fail_msg("%s: code %d signal %d `%s`", rows[i].what, end.code, end.signal, end.words);
    }
}

static void test_a_rank_with_mpi_that_does_not_connect_is_killed_after_its_time(void **state)
{
    (void)state;
    struct mpi_rank rank = {.connected = false};
    assert_false(mpi_rank_mapped(&rank, "libmpi.so.40", 1000));
    assert_false(mpi_rank_mapped(&rank, "libmpi.so.40", 1000 + MPI_RANK_ALONE_MS - 1));
    assert_true(mpi_rank_mapped(&rank, "libmpi.so.40", 1000 + MPI_RANK_ALONE_MS));
    assert_true(rank.alone);
    assert_string_equal(rank.mapped, "libmpi.so.40");
    assert_false(mpi_rank_mapped(&rank, "libmpi.so.40", 2000 + MPI_RANK_ALONE_MS)); /* once */
}

static void test_a_rank_that_has_connected_lives(void **state)
{
    (void)state;
    struct mpi_rank rank = {.connected = false};
    assert_false(mpi_rank_mapped(&rank, "libmpi.so.40", 0));
    rank.connected = true;
    assert_false(mpi_rank_mapped(&rank, "libmpi.so.40", 10 * MPI_RANK_ALONE_MS));
}

static void test_who_begins_a_program_that_another_never_will_is_stranded(void **state)
{
    (void)state;
    uint32_t left = 99;
    struct mpi_rank ranks[] = {{.connected = true, .programs = 2},
                               {.connected = true, .finalized = true, .programs = 1},
                               {.connected = true, .finalized = true, .programs = 2}};
    assert_false(mpi_rank_is_stranded(ranks, 3, 0, &left)); /* it may still begin its second */
    ranks[2].left = true;
    assert_false(mpi_rank_is_stranded(ranks, 3, 0, &left)); /* it has ended with the same one */
    assert_int_equal(left, 99);
    ranks[1].left = true;
    assert_true(mpi_rank_is_stranded(ranks, 3, 0, &left));
    assert_int_equal(left, 1);
    assert_false(mpi_rank_is_stranded(ranks, 3, 1, &left));
    ranks[0].finalized = true; /* the other must have been there after all */
    assert_false(mpi_rank_is_stranded(ranks, 3, 0, &left));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_end_of_a_rank_is_judged_by_what_it_has_said),
        cmocka_unit_test(test_a_rank_with_mpi_that_does_not_connect_is_killed_after_its_time),
        cmocka_unit_test(test_a_rank_that_has_connected_lives),
        cmocka_unit_test(test_who_begins_a_program_that_another_never_will_is_stranded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
