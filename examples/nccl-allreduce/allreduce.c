/* All ranks add their numbers on their GPUs with NCCL, and check the sums: first all together, then in two
 * groups, then all together again with a new communicator after the first one was aborted. Built without
 * the headers of NCCL and CUDA, whose functions it asks libmltrain for:
 *
 *     cc -O2 -I sdk allreduce.c -o allreduce lib/libmltrain.a -ldl -lpthread */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mltrain.h"
#include "mltrain_nccl.h"

#define COUNT 1000000 /* numbers that each rank gives */

/* Of nccl.h and cuda_runtime_api.h; a program may include those instead. */
enum { NCCL_INT64 = 4, NCCL_SUM = 0, NCCL_IN_PROGRESS = 7, TO_DEVICE = 1, TO_HOST = 2 };

static struct {
    int (*all_reduce)(const void *from, void *to, size_t count, int type, int operation,
                      struct ncclComm *comm, void *stream);
    int (*rank)(const struct ncclComm *comm, int *rank);
    int (*size)(const struct ncclComm *comm, int *size);
    int (*malloc)(void **memory, size_t size);
    int (*free)(void *memory);
    int (*memcpy)(void *to, const void *from, size_t size, int kind);
    int (*synchronize)(void);
} gpu;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, mltrain_error());
    exit(1);
}

static void find(const char *name, void *function)
{
    void *address = mltrain_nccl_symbol(name);
    if (!address)
        fail(name);
    memcpy(function, &address, sizeof address);
}

static void find_functions(void)
{
    find("ncclAllReduce", &gpu.all_reduce);
    find("ncclCommUserRank", &gpu.rank);
    find("ncclCommCount", &gpu.size);
    find("cudaMalloc", &gpu.malloc);
    find("cudaFree", &gpu.free);
    find("cudaMemcpy", &gpu.memcpy);
    find("cudaDeviceSynchronize", &gpu.synchronize);
}

/* Number i of rank r is r + i, so the sum over ranks 0 to n - 1 is n (n - 1) / 2 + n i. */
static void add(const char *whose, struct ncclComm *comm)
{
    int rank, size;
    void *memory;
    int64_t *numbers = malloc(COUNT * sizeof *numbers);
    if (!numbers || gpu.rank(comm, &rank) || gpu.size(comm, &size) ||
        gpu.malloc(&memory, COUNT * sizeof *numbers))
        fail("preparing");
    for (int64_t i = 0; i < COUNT; i++)
        numbers[i] = rank + i;
    if (gpu.memcpy(memory, numbers, COUNT * sizeof *numbers, TO_DEVICE))
        fail("cudaMemcpy");
    int result = gpu.all_reduce(memory, memory, COUNT, NCCL_INT64, NCCL_SUM, comm, NULL);
    if ((result != 0 && result != NCCL_IN_PROGRESS) || mltrain_nccl_wait(comm, 0) < 0)
        fail("ncclAllReduce");
    if (gpu.synchronize() || gpu.memcpy(numbers, memory, COUNT * sizeof *numbers, TO_HOST))
        fail("cudaMemcpy");
    for (int64_t i = 0; i < COUNT; i++)
        if (numbers[i] != (int64_t)size * (size - 1) / 2 + size * i) {
            fprintf(stderr, "sum %lld is %lld\n", (long long)i, (long long)numbers[i]);
            exit(1);
        }
    printf("%s: rank %d of %d: %d sums are right\n", whose, rank, size, COUNT);
    gpu.free(memory);
    free(numbers);
}

int main(void)
{
    struct ncclComm *world, *group;
    const char *rank = getenv("RANK");
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;

    if (mltrain_nccl_init(NULL, &world) < 0)
        fail("the communicator of all ranks");
    find_functions();
    add("world", world);

    options.name = "parity";
    options.split = true;
    options.colour = rank ? atoi(rank) % 2 : 0;
    if (mltrain_nccl_init(&options, &group) < 0)
        fail("the communicator of a group");
    add(options.colour ? "odd" : "even", group);
    if (mltrain_nccl_destroy(group, 0) < 0)
        fail("the end of a group");

    if (mltrain_nccl_abort(world) < 0 || mltrain_nccl_init(NULL, &world) < 0)
        fail("the communicator of all ranks, once more");
    add("once more", world);
    if (mltrain_nccl_destroy(world, 0) < 0)
        fail("the end");
    return 0;
}
