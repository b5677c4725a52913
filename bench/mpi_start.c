/* What bench/mpi starts as a rank, compiled with the mpicc of the MPI that is measured: appends
 * when its main began and when MPI_Init returned, in ns since 1970, to the file that it is given.
 */
#include <fcntl.h>
#include <mpi.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    char line[128];
    int rank, size;
    long long begun = now_ns();
    MPI_Init(&argc, &argv);
    long long ready = now_ns();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int length = snprintf(line, sizeof line, "%d %d %lld %lld\n", rank, size, begun, ready);
    int fd = argc > 1 ? open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        MPI_Abort(MPI_COMM_WORLD, 1);
    (void)close(fd);
    MPI_Finalize();
    return 0;
}
