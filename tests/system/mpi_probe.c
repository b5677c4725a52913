/* An MPI program for test_mpi_*.sh that goes wrong as it is told:
 *     mpi_probe abort CODE | leave | never | sleep | die | spawn | twice
 *     mpi_probe stay S | late S | idle S      S seconds within MPI, before it, without it */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *attempt = getenv("MLTRAIN_ATTEMPT");
    int rank, size, sum = 0, done = 0;
    MPI_Initialized(&done); /* so that the library is linked */
    if (strcmp(what, "never") == 0)
        return 0;
    if (strcmp(what, "sleep") == 0)
        sleep(120);
    unsigned seconds = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    if (strcmp(what, "late") == 0 || strcmp(what, "idle") == 0)
        sleep(seconds);
    if (strcmp(what, "idle") == 0) {
        (void)printf("idle ends\n");
        return 0;
    }
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Barrier(MPI_COMM_WORLD);
    if (strcmp(what, "stay") == 0)
        sleep(seconds);
    if (strcmp(what, "abort") == 0 && rank == 1)
        MPI_Abort(MPI_COMM_WORLD, argc > 2 ? atoi(argv[2]) : 1);
    if (strcmp(what, "leave") == 0 && rank == 1)
        _exit(0);
    if (strcmp(what, "die") == 0 && rank == size - 1 && attempt && strcmp(attempt, "1") == 0)
        (void)kill(getpid(), SIGKILL);
    if (strcmp(what, "spawn") == 0) {
        MPI_Comm other;
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        int rc = MPI_Comm_spawn("true", MPI_ARGV_NULL, 1, MPI_INFO_NULL, 0, MPI_COMM_WORLD, &other,
                                MPI_ERRCODES_IGNORE);
        printf("rank %d: spawn %s\n", rank, rc == MPI_SUCCESS ? "worked" : "was refused");
    }
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    printf("rank %d of %d, sum %d, attempt %s\n", rank, size, sum, attempt ? attempt : "?");
    MPI_Finalize();
    return sum == size * (size - 1) / 2 ? 0 : 1;
}
