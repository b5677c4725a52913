/* A small MPI program that checks what it does: sums over the world and over halves of it, a
 * broadcast, an exchange of all with all, and messages around a ring. It knows nothing of mltrain.
 *
 *     allreduce [COUNT]       numbers that are summed (default 100,000) */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int rank, size;

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "rank %d: wrong: %s\n", rank, what);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

static void check_sum(MPI_Comm comm, int count, const char *what)
{
    int members, own;
    double *numbers = malloc((size_t)count * sizeof *numbers);
    MPI_Comm_size(comm, &members);
    MPI_Comm_rank(comm, &own);
    check(numbers != NULL, "memory");
    for (int i = 0; i < count; i++)
        numbers[i] = own + i;
    MPI_Allreduce(MPI_IN_PLACE, numbers, count, MPI_DOUBLE, MPI_SUM, comm);
    for (int i = 0; i < count; i++)
        check(numbers[i] == members * (members - 1) / 2.0 + (double)members * i, what);
    free(numbers);
}

static void check_halves(int count)
{
    MPI_Comm half, copy;
    MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
    check_sum(half, count, "sum over half of the world");
    MPI_Comm_dup(half, &copy);
    check_sum(copy, 1, "sum over a copy of half of the world");
    MPI_Comm_free(&copy);
    MPI_Comm_free(&half);
}

static void check_all_to_all(void)
{
    int *out = malloc((size_t)size * sizeof *out), *in = malloc((size_t)size * sizeof *in);
    check(out && in, "memory");
    for (int i = 0; i < size; i++)
        out[i] = rank * 1000 + i;
    MPI_Alltoall(out, 1, MPI_INT, in, 1, MPI_INT, MPI_COMM_WORLD);
    for (int i = 0; i < size; i++)
        check(in[i] == i * 1000 + rank, "all to all");
    free(out);
    free(in);
}

static void check_ring(void)
{
    int next = (rank + 1) % size, before = (rank + size - 1) % size, got = -1;
    MPI_Sendrecv(&rank, 1, MPI_INT, next, 7, &got, 1, MPI_INT, before, 7, MPI_COMM_WORLD,
                 MPI_STATUS_IGNORE);
    check(got == before, "ring");
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 100000, token = 0, in_pod;
    MPI_Comm pod;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    check_sum(MPI_COMM_WORLD, count, "sum over the world");
    check_halves(count);
    if (rank == 0)
        token = 4711;
    MPI_Bcast(&token, 1, MPI_INT, 0, MPI_COMM_WORLD);
    check(token == 4711, "broadcast");
    check_all_to_all();
    check_ring();
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &pod);
    MPI_Comm_size(pod, &in_pod);
    MPI_Comm_free(&pod);
    MPI_Barrier(MPI_COMM_WORLD);
    printf("rank %d of %d: all sums are right; %d ranks share memory\n", rank, size, in_pod);
    MPI_Finalize();
    return 0;
}
