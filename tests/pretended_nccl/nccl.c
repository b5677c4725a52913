/* A pretended libnccl.so.2 for tests: the binary interface that libmltrain uses, without a GPU.
 * Ranks of a communicator find each other by files in the folder PRETENDED_NCCL_DIR. A communicator
 * is in progress until all of its ranks have come. ncclAllReduce() adds 64-bit integers.
 *
 * PRETENDED_NCCL (words, in one variable): `version=N`; `no-id`, `no-start` (calls that fail);
 * `no-progress` (it stays in progress), `breaks` (it fails while in progress). With
 * PRETENDED_NCCL_LACKS defined at build time a function is missing. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sdk/nccl_abi.h"

#define EXPORT __attribute__((visibility("default")))
#define VERSION 22304
#define SYSTEM_ERROR 2
#define INVALID_ARGUMENT 4
#define INVALID_USAGE 5

struct ncclComm {
    char folder[200];
    int size, rank;
    bool stuck, broken, ended;
    int reduced;
};

int ncclGetVersion(int *version);
int ncclGetUniqueId(struct nccl_abi_id *id);
int ncclCommInitRankConfig(struct ncclComm **comm, int size, struct nccl_abi_id id, int rank,
                           struct nccl_abi_config *config);
int ncclCommInitRankScalable(struct ncclComm **comm, int size, int rank, int ids,
                             struct nccl_abi_id *id, struct nccl_abi_config *config);
int ncclCommGetAsyncError(struct ncclComm *comm, int *state);
int ncclCommFinalize(struct ncclComm *comm);
int ncclCommDestroy(struct ncclComm *comm);
int ncclCommAbort(struct ncclComm *comm);
int ncclCommUserRank(const struct ncclComm *comm, int *rank);
int ncclCommCount(const struct ncclComm *comm, int *size);
int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation,
                  struct ncclComm *comm, void *stream);
const char *ncclGetErrorString(int result);
const char *ncclGetLastError(const struct ncclComm *comm);

static bool told(const char *word)
{
    const char *words = getenv("PRETENDED_NCCL");
    return words && strstr(words, word);
}

EXPORT int ncclGetVersion(int *version)
{
    const char *words = getenv("PRETENDED_NCCL"), *at = words ? strstr(words, "version=") : NULL;
    *version = at ? (int)strtol(at + 8, NULL, 10) : VERSION;
    return 0;
}

EXPORT int ncclGetUniqueId(struct nccl_abi_id *id)
{
    static int count;
    struct timespec now;
    if (told("no-id"))
        return SYSTEM_ERROR;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    memset(id, 0, sizeof *id);
    (void)snprintf(id->bytes, sizeof id->bytes, "%d-%d-%lld", (int)getpid(), ++count,
                   (long long)now.tv_nsec);
    return 0;
}

static bool is_there(const struct ncclComm *c, const char *what, int rank)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/%s-%d", c->folder, what, rank);
    return access(path, F_OK) == 0;
}

static bool all_there(const struct ncclComm *c, const char *what)
{
    for (int i = 0; i < c->size; i++)
        if (!is_there(c, what, i))
            return false;
    return true;
}

static int leave(const struct ncclComm *c, const char *what, const void *data, size_t size)
{
    char path[300], temporary[320];
    (void)snprintf(path, sizeof path, "%s/%s-%d", c->folder, what, c->rank);
    (void)snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *file = fopen(temporary, "we");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0 ||
        rename(temporary, path) < 0)
        return SYSTEM_ERROR;
    return 0;
}

static int start(struct ncclComm **comm, int size, const struct nccl_abi_id *id, int rank,
                 const struct nccl_abi_config *config)
{
    const char *folder = getenv("PRETENDED_NCCL_DIR");
    *comm = NULL;
    if (config->magic != NCCL_ABI_MAGIC || config->version < 21400 || config->size < 20 ||
        config->blocking != 0 || rank < 0 || rank >= size || !id->bytes[0])
        return INVALID_ARGUMENT;
    if (told("no-start"))
        return INVALID_USAGE;
    struct ncclComm *c = calloc(1, sizeof *c);
    if (!c)
        return SYSTEM_ERROR;
    *c = (struct ncclComm){
        .size = size, .rank = rank, .stuck = told("no-progress"), .broken = told("breaks")};
    (void)snprintf(c->folder, sizeof c->folder, "%s/%.60s", folder ? folder : "/tmp", id->bytes);
    if ((mkdir(c->folder, 0777) < 0 && errno != EEXIST) || leave(c, "rank", "", 0) != 0) {
        free(c);
        return SYSTEM_ERROR;
    }
    *comm = c;
    return NCCL_ABI_IN_PROGRESS;
}

#ifndef PRETENDED_NCCL_LACKS
EXPORT int ncclCommInitRankConfig(struct ncclComm **comm, int size, struct nccl_abi_id id, int rank,
                                  struct nccl_abi_config *config)
{
    return start(comm, size, &id, rank, config);
}
#endif

EXPORT int ncclCommInitRankScalable(struct ncclComm **comm, int size, int rank, int ids,
                                    struct nccl_abi_id *id, struct nccl_abi_config *config)
{
    for (int i = 0; i < ids; i++)
        for (int j = 0; j < i; j++)
            if (memcmp(&id[i], &id[j], sizeof id[i]) == 0)
                return INVALID_ARGUMENT;
    return ids > 0 ? start(comm, size, id, rank, config) : INVALID_ARGUMENT;
}

EXPORT int ncclCommGetAsyncError(struct ncclComm *comm, int *state)
{
    *state = comm->broken                              ? INVALID_USAGE
             : comm->stuck || !all_there(comm, "rank") ? NCCL_ABI_IN_PROGRESS
             : comm->ended && !all_there(comm, "end")  ? NCCL_ABI_IN_PROGRESS
                                                       : NCCL_ABI_SUCCESS;
    return 0;
}

EXPORT int ncclCommFinalize(struct ncclComm *comm)
{
    comm->ended = true;
    return leave(comm, "end", "", 0) ? SYSTEM_ERROR : NCCL_ABI_IN_PROGRESS;
}

/* Counted, so that a test sees that none is left. */
static int give_back(struct ncclComm *comm, const char *how)
{
    (void)leave(comm, how, "", 0);
    free(comm);
    return 0;
}

EXPORT int ncclCommDestroy(struct ncclComm *comm)
{
    return give_back(comm, "destroyed");
}

EXPORT int ncclCommAbort(struct ncclComm *comm)
{
    return give_back(comm, "aborted");
}

EXPORT int ncclCommUserRank(const struct ncclComm *comm, int *rank)
{
    *rank = comm->rank;
    return 0;
}

EXPORT int ncclCommCount(const struct ncclComm *comm, int *size)
{
    *size = comm->size;
    return 0;
}

/* Waits itself: a pretended device has no stream. */
EXPORT int ncclAllReduce(const void *from, void *to, size_t count, int type, int operation,
                         struct ncclComm *comm, void *stream)
{
    char what[32];
    int64_t value;
    (void)stream;
    if (type != 4 || operation != 0)
        return INVALID_ARGUMENT;
    (void)snprintf(what, sizeof what, "reduce-%d", ++comm->reduced);
    if (leave(comm, what, from, count * sizeof value) != 0)
        return SYSTEM_ERROR;
    for (int i = 0; i < 3000 && !all_there(comm, what); i++)
        (void)usleep(10000);
    int64_t *sum = calloc(count, sizeof *sum);
    for (int rank = 0; sum && rank < comm->size; rank++) {
        char path[300];
        (void)snprintf(path, sizeof path, "%s/%s-%d", comm->folder, what, rank);
        FILE *file = fopen(path, "re");
        for (size_t i = 0; file && i < count && fread(&value, sizeof value, 1, file) == 1; i++)
            sum[i] += value;
        if (!file || fclose(file) != 0) {
            free(sum);
            return SYSTEM_ERROR;
        }
    }
    if (sum)
        memcpy(to, sum, count * sizeof *sum);
    free(sum);
    return sum ? 0 : SYSTEM_ERROR;
}

EXPORT const char *ncclGetErrorString(int result)
{
    return result == SYSTEM_ERROR       ? "unhandled system error"
           : result == INVALID_ARGUMENT ? "invalid argument"
           : result == INVALID_USAGE    ? "invalid usage"
                                        : "no error";
}

EXPORT const char *ncclGetLastError(const struct ncclComm *comm)
{
    (void)comm;
    return "Duplicate GPU detected (pretended)";
}
