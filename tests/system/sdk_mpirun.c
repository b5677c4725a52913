/* For test_sdk_mpirun.sh: ranks that mpirun has started use libmltrain. Built with mpicc, and with
 * what MPI says of the world everything that libmltrain says is compared.
 *     sdk_mpirun WHAT: all (of a world with as many ranks in each pod, or all in one), part (of
 *     another), twice (two names), missing (the last rank comes too late) */
#include <errno.h>
#include <mltrain.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int rank, size;

static void expect(int fact, const char *what)
{
    if (fact)
        return;
    (void)fprintf(stderr, "rank %d: %s: %s\n", rank, what, mltrain_error());
    MPI_Abort(MPI_COMM_WORLD, 99);
}

/* Each rank gives its number and its name for itself, but every third nothing. */
static void gather(const char *name)
{
    struct mltrain_gathered *got = NULL;
    char mine[32], theirs[32];
    (void)snprintf(mine, sizeof mine, "rank %d", rank);
    expect(mltrain_gather(name, mine, rank % 3 == 2 ? 0 : strlen(mine), 20000, &got) == 0,
           "gather");
    expect(got->ranks == size, "how many ranks");
    for (int i = 0; i < size; i++) {
        (void)snprintf(theirs, sizeof theirs, "rank %d", i);
        size_t length = i % 3 == 2 ? 0 : strlen(theirs);
        expect(got->parts[i].size == length &&
                   memcmp(length ? got->parts[i].data : "", theirs, length) == 0,
               "what a rank gave");
    }
    mltrain_gathered_free(got);
}

static void values(void)
{
    char buffer[32] = "";
    size_t length = 0;
    if (rank == size - 1)
        expect(mltrain_put("address", "10.0.0.7", 8) == 0, "put");
    expect(mltrain_get("address", 20000, buffer, sizeof buffer, &length) == 0, "get");
    expect(length == 8 && memcmp(buffer, "10.0.0.7", 8) == 0, "the value");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "all";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    values();
    if (strcmp(what, "part") == 0) {
        expect(mltrain_barrier("some", 20000) == -EOPNOTSUPP, "a part of the pods");
        expect(strstr(mltrain_error(), "as many in each of the job's") != NULL, "the words");
    } else if (strcmp(what, "missing") == 0) {
        if (rank == size - 1)
            sleep(3);
        expect(mltrain_barrier("late", 1000) == -ETIMEDOUT, "a rank that is late");
        gather("late");
    } else {
        for (int i = 0; i < 5; i++)
            gather("turns");
        expect(mltrain_barrier("end", 20000) == 0, "barrier");
    }
    for (int step = 1; step <= 3; step++) {
        mltrain_report(step, 3);
        (void)mltrain_should_save(step);
    }
    (void)printf("libmltrain: rank %d of %d, attempt %d\n", rank, size, (int)mltrain_attempt());
    (void)fflush(stdout);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}
