/* The place of this process in its job: see place.h. */
#include "sdk/place.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t sdk_number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return -1;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return errno || *end ? -1 : (int64_t)value;
}

/* FNV-1a of 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/); never 0. sdk/python/mltrain has
 * the same. */
static uint64_t hash(const char *text)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        value = (value ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return value ? value : 1;
}

/* False when mpirun has not started this process. */
static bool find_in_world(struct sdk_place *place)
{
    const char *world = getenv("MLTRAIN_WORLD"), *name = getenv("PMIX_NAMESPACE");
    char text[512];
    if (!world || !world[0] || getenv("TORCHELASTIC_RUN_ID"))
        return false;
    bool open_mpi = sdk_number_of("PMIX_RANK") >= 0 && sdk_number_of("OMPI_COMM_WORLD_SIZE") > 0;
    place->rank = sdk_number_of(open_mpi ? "OMPI_COMM_WORLD_RANK" : "PMI_RANK");
    place->size = sdk_number_of(open_mpi ? "OMPI_COMM_WORLD_SIZE" : "PMI_SIZE");
    place->local_rank = sdk_number_of(open_mpi ? "OMPI_COMM_WORLD_LOCAL_RANK" : "MPI_LOCALRANKID");
    place->local_size = sdk_number_of(open_mpi ? "OMPI_COMM_WORLD_LOCAL_SIZE" : "MPI_LOCALNRANKS");
    if (place->rank < 0 || place->rank >= place->size || place->local_rank < 0 ||
        place->local_rank >= place->local_size || place->local_size > place->size)
        return false;
    /* Two runs of mpirun are two worlds, and so are those that MPI_Comm_spawn makes. */
    (void)snprintf(text, sizeof text, "%s/%s/%lld", world, open_mpi && name ? name : "",
                   (long long)place->size);
    place->world = hash(text);
    return true;
}

void sdk_place_find(struct sdk_place *ret)
{
    /* Hydra passes on the variables of the pod in which it runs; this one is of its daemons'. */
    const char *pods = getenv("MLTRAIN_POD_SOCKET");
    struct sdk_place place = {.socket = pods && pods[0] ? pods : getenv("MLTRAIN_SOCKET"),
                              .attempt = sdk_number_of("MLTRAIN_ATTEMPT")};
    if (!find_in_world(&place)) {
        place.rank = sdk_number_of("RANK");
        place.size = sdk_number_of("WORLD_SIZE");
        place.local_rank = sdk_number_of("LOCAL_RANK");
        place.local_size = 0;
    }
    *ret = place;
}

void sdk_place_hello(const struct sdk_place *place, struct sdk_message *ret)
{
    *ret = (struct sdk_message){.kind = SDK_HELLO,
                                .version = SDK_VERSION,
                                .rank = place->local_rank,
                                .attempt = place->attempt,
                                .world = place->world,
                                .world_rank = place->rank,
                                .world_size = place->size,
                                .local_size = place->local_size};
}

int64_t sdk_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
