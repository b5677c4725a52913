/* An MPI program for the tests of launchers and helpers. Built with mpicc of whatever MPI is tested.
 *
 *   mpi_program               collectives, communicators and one-sided operations; says
 *                             "rank 0 of 4: sum 6, 2 share memory, segments 2"
 *   mpi_program abort R CODE  rank R calls MPI_Abort with CODE, the others wait in MPI_Allreduce;
 *                             says "abort at MS" (wall time)
 *   mpi_program wait          MPI_Allreduce until it is ended
 *   mpi_program die R SIGNAL  rank R kills itself in the middle of many MPI_Allreduce
 *   mpi_program session       the same sum in a communicator made of an MPI session (MPI 4, else it
 *                             fails); says "session: rank 0 of 4, sum 6"
 *   mpi_program forget        exits without MPI_Finalize
 * With RMA=0 in the environment one-sided operations are left out. */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int rank, size;

static void abort_now(int code)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)printf("abort at %lld\n", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    (void)fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, code);
}

static void expect(int fact, const char *what)
{
    if (fact)
        return;
    (void)fprintf(stderr, "rank %d: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 99);
}

static int sum_of(MPI_Comm comm, int value)
{
    int sum = 0;
    MPI_Allreduce(&value, &sum, 1, MPI_INT, MPI_SUM, comm);
    return sum;
}

static void communicators(void)
{
    MPI_Comm half, copy;
    int members, members_rank, odd = 0;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, -rank, &half);
    MPI_Comm_size(half, &members);
    MPI_Comm_rank(half, &members_rank);
    expect(sum_of(half, 1) == members, "sum over half");
    expect(members == (size + (rank % 2 == 0)) / 2, "size of half");
    expect(members_rank == members - 1 - rank / 2, "order by key");
    MPI_Comm_dup(MPI_COMM_WORLD, &copy);
    for (int i = 0; i < size; i++)
        odd += i % 2;
    expect(sum_of(copy, rank % 2) == odd, "sum over a copy");
    MPI_Comm_free(&half);
    MPI_Comm_free(&copy);
}

/* Larger than any eager limit, around a ring: each rank speaks with a rank of its own pod and of
 * another. */
static void ring(void)
{
    enum { COUNT = 200000 };
    int *out = malloc(COUNT * sizeof *out), *in = calloc(COUNT, sizeof *in);
    for (int i = 0; i < COUNT; i++)
        out[i] = rank + i;
    MPI_Sendrecv(out, COUNT, MPI_INT, (rank + 1) % size, 7, in, COUNT, MPI_INT,
                 (rank + size - 1) % size, 7, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    int from = (rank + size - 1) % size;
    for (int i = 0; i < COUNT; i++)
        expect(in[i] == from + i, "ring");
    free(out);
    free(in);
}

static void one_sided(void)
{
    MPI_Win window;
    int cell = -1;
    MPI_Win_create(&cell, sizeof cell, sizeof cell, MPI_INFO_NULL, MPI_COMM_WORLD, &window);
    MPI_Win_fence(0, window);
    MPI_Put(&rank, 1, MPI_INT, (rank + 1) % size, 0, 1, MPI_INT, window);
    MPI_Win_fence(0, window);
    expect(cell == (rank + size - 1) % size, "put");
    MPI_Win_free(&window);
}

static int sharing(void)
{
    MPI_Comm node;
    int count;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_size(node, &count);
    MPI_Comm_free(&node);
    return count;
}

/* Segments of Open MPI's shared memory transport that this process has mapped: one for each rank
 * with which it shares memory, itself among them. */
static int segments(void)
{
    char line[4096], last[4096] = "";
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        const char *name = strstr(line, "vader_segment");
        if (!name)
            name = strstr(line, "sm_segment");
        if (!name || strcmp(name, last) == 0)
            continue;
        (void)snprintf(last, sizeof last, "%s", name);
        count++;
    }
    if (maps)
        (void)fclose(maps);
    return count;
}

/* Twice of all ranks, and of half of them: each makes a group, which has a number of its own. */
static int in_session(void)
{
#if MPI_VERSION >= 4 || (defined(OMPI_MAJOR_VERSION) && OMPI_MAJOR_VERSION >= 5)
    MPI_Session session;
    MPI_Group group, part;
    MPI_Session_init(MPI_INFO_NULL, MPI_ERRORS_RETURN, &session);
    if (MPI_Group_from_session_pset(session, "mpi://WORLD", &group) != MPI_SUCCESS)
        return 3;
    MPI_Group_size(group, &size);
    MPI_Group_rank(group, &rank);
    for (int turn = 0; turn < 3; turn++) {
        MPI_Comm comm = MPI_COMM_NULL;
        int range[1][3] = {{turn == 2 ? rank % 2 : 0, size - 1, turn == 2 ? 2 : 1}};
        MPI_Group_range_incl(group, 1, range, &part);
        const char *tag = turn == 2 ? rank % 2 ? "odd" : "even" : turn == 1 ? "again" : "all";
        if (MPI_Comm_create_from_group(part, tag, MPI_INFO_NULL, MPI_ERRORS_RETURN, &comm) !=
            MPI_SUCCESS)
            return 4;
        int sum = sum_of(comm, rank), expected = 0;
        for (int i = 0; i < size; i++)
            expected += turn < 2 || i % 2 == rank % 2 ? i : 0;
        if (sum != expected)
            return 5;
        if (turn == 1)
            (void)printf("session: rank %d of %d, sum %d\n", rank, size, sum);
        MPI_Comm_free(&comm);
        MPI_Group_free(&part);
    }
    MPI_Group_free(&group);
    MPI_Session_finalize(&session);
    return 0;
#else
    return 2;
#endif
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "session") == 0)
        return in_session();
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    expect(sum_of(MPI_COMM_WORLD, rank) == size * (size - 1) / 2, "sum over the world");
    if (strcmp(what, "abort") == 0) {
        (void)sleep(1); /* whoever watches has found all ranks */
        if (rank == atoi(argv[2]))
            abort_now(atoi(argv[3]));
        for (;;)
            (void)sum_of(MPI_COMM_WORLD, 1);
    }
    while (strcmp(what, "wait") == 0)
        (void)sum_of(MPI_COMM_WORLD, 1);
    if (strcmp(what, "die") == 0)
        for (int i = 0; i < 2000000; i++) {
            if (rank == atoi(argv[2]) && i == 20)
                (void)raise(atoi(argv[3]));
            (void)sum_of(MPI_COMM_WORLD, 1);
        }
    if (strcmp(what, "forget") == 0)
        _exit(0);
    communicators();
    ring();
    if (!getenv("RMA") || strcmp(getenv("RMA"), "0") != 0)
        one_sided();
    int shared = sharing();
    (void)printf("rank %d of %d: sum %d, %d share memory, segments %d\n", rank, size,
                 sum_of(MPI_COMM_WORLD, rank), shared, segments());
    MPI_Finalize();
    return 0;
}
