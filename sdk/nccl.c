/* NCCL communicators whose id goes through the launchers: see mltrain_nccl.h.
 *
 * The world takes one gather: a rank that makes an id (the first; above 256 ranks several) gives
 * it, a rank that cannot take part gives words, and the others give nothing, so that it stays small
 * at any size. All know then that all have come. Groups take a gather of colours and keys first;
 * the first of each group then puts its id, and the others get it. */
#include "sdk/mltrain_nccl.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/exchange.h"
#include "sdk/mltrain.h"
#include "sdk/nccl_load.h"
#include "sdk/place.h"
#include "sdk/socket_message.h"

#define EXPORT __attribute__((visibility("default")))
#define WORDS_MAX 160  /* bytes of why a rank cannot take part */
#define NUMBERS_SIZE 9 /* bytes before an id or words; of a colour and a key */
#define POLL_MS_MAX 20 /* between two looks at a communicator that is being made */

/* What ranks tell: one byte of kind, two numbers, bytes. */
enum kind {
    KIND_ID = 'i',     /* version, number of ids; an id */
    KIND_GROUP = 'g',  /* colour, key */
    KIND_FAILED = 'e', /* error, 0; words */
};

struct told {
    unsigned char
        bytes[NUMBERS_SIZE + (NCCL_ABI_ID_SIZE > WORDS_MAX ? NCCL_ABI_ID_SIZE : WORDS_MAX)];
    size_t length; /* 0: nothing */
};

static void put_number(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static int32_t number_at(const unsigned char *from)
{
    return (int32_t)((uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 |
                     from[3]);
}

static void tell(struct told *t, enum kind kind, int first, int second, const void *data,
                 size_t length)
{
    t->bytes[0] = (unsigned char)kind;
    put_number(t->bytes + 1, (uint32_t)first);
    put_number(t->bytes + 5, (uint32_t)second);
    memcpy(t->bytes + NUMBERS_SIZE, data, length);
    t->length = NUMBERS_SIZE + length;
}

static void tell_failure(struct told *t, int error)
{
    const char *words = mltrain_error();
    size_t length = strlen(words);
    tell(t, KIND_FAILED, -error, 0, words, length < WORDS_MAX ? length : WORDS_MAX);
}

/* ---- the library ---- */

static int nccl_failed(const struct nccl_library *l, const char *call, int result,
                       struct ncclComm *comm)
{
    const char *last = l->last_error ? l->last_error(comm) : NULL;
    return sdk_fail(EIO, "%s: %s%s%.300s", call, l->error_string(result),
                    last && last[0] ? ": " : "", last && last[0] ? last : "");
}

static int choose_device(int device)
{
    const struct cudart_library *cuda;
    int count = 0;
    struct sdk_place place;
    sdk_place_find(&place);
    int64_t local_rank = place.local_rank;
    if (device == MLTRAIN_NCCL_DEVICE_CURRENT)
        return 0;
    if (device < MLTRAIN_NCCL_DEVICE_CURRENT)
        return sdk_fail(EINVAL, "device %d: 0 and up expected", device);
    int rc = cudart_load(&cuda);
    if (rc < 0)
        return rc;
    int result = cuda->device_count(&count);
    if (result != 0 || count <= 0)
        return sdk_fail(ENODEV, "no CUDA device: %s",
                        result ? cuda->error_string(result) : "none is visible");
    if (device == MLTRAIN_NCCL_DEVICE_AUTO)
        device = local_rank > 0 ? (int)(local_rank % count) : 0;
    result = cuda->set_device(device);
    if (result != 0)
        return sdk_fail(EIO, "cudaSetDevice(%d): %s", device, cuda->error_string(result));
    return 0;
}

/* How many ids `size` ranks have; rank i of them makes one when it is the first of those that go by
 * it: the first size % ids go with one rank more. */
static int ids_of(const struct nccl_library *l, int64_t size)
{
    return l && l->init_scalable ? (int)((size + NCCL_ABI_RANKS_PER_ID - 1) / NCCL_ABI_RANKS_PER_ID)
                                 : 1;
}

static bool makes_id(int64_t rank, int64_t size, int ids)
{
    int64_t each = size / ids, limit = size % ids * (each + 1);
    return rank < limit ? rank % (each + 1) == 0 : (rank - limit) % each == 0;
}

static int make_id(const struct nccl_library *l, int ids, struct told *ret)
{
    struct nccl_abi_id id;
    int result = l->get_unique_id(&id);
    if (result != NCCL_ABI_SUCCESS)
        return nccl_failed(l, "ncclGetUniqueId", result, NULL);
    tell(ret, KIND_ID, l->version, ids, &id, sizeof id);
    return 0;
}

/* ---- what ranks have told ---- */

/* A place in a group, which may be the world. */
struct group {
    int64_t rank, size;
    int ids;
    struct nccl_abi_id *id; /* malloc'ed; `got` of them are there */
    int got;
};

/* Takes what one rank of the world has told, where it must be an id. */
static int take_id(const struct nccl_library *l, int64_t world_rank, const unsigned char *data,
                   size_t length, struct group *g)
{
    if (length > NUMBERS_SIZE && data[0] == KIND_FAILED)
        return sdk_fail(EREMOTEIO, "rank %lld: %.*s", (long long)world_rank,
                        (int)(length - NUMBERS_SIZE), (const char *)data + NUMBERS_SIZE);
    if (length != NUMBERS_SIZE + NCCL_ABI_ID_SIZE || data[0] != KIND_ID)
        return sdk_fail(EPROTO,
                        "rank %lld has called mltrain_nccl_init() with this name and another "
                        "`split`, or something else",
                        (long long)world_rank);
    if (number_at(data + 1) != l->version || number_at(data + 5) != g->ids)
        return sdk_fail(ELIBBAD, "rank %lld has NCCL %d, this one %d: all need the same",
                        (long long)world_rank, number_at(data + 1), l->version);
    if (g->got == g->ids)
        return sdk_fail(EPROTO, "more than %d ids", g->ids);
    memcpy(&g->id[g->got++], data + NUMBERS_SIZE, NCCL_ABI_ID_SIZE);
    return 0;
}

static int reserve_ids(struct group *g)
{
    g->id = malloc((size_t)g->ids * sizeof *g->id);
    return g->id ? 0 : sdk_fail(ENOMEM, "no memory for %d ids", g->ids);
}

/* A failure before the gather is told in it, so that nobody waits for what will not come. */
static int gather(const char *name, struct told *mine, int so_far, int64_t until_ms,
                  const struct sdk_world *world, struct sdk_body *ret)
{
    char own[512] = "", full[SDK_NAME_MAX + 1];
    (void)snprintf(full, sizeof full, "nccl:%s", name);
    if (so_far < 0) {
        (void)snprintf(own, sizeof own, "%s", mltrain_error());
        tell_failure(mine, so_far);
    }
    if (!world->served)
        return so_far;
    int rc = sdk_exchange_gather(full, mine->bytes, mine->length, until_ms, ret);
    if (so_far < 0) {
        if (rc == 0) {
            free(ret->bytes);
            ret->bytes = NULL;
        }
        return sdk_fail(-so_far, "%s", own);
    }
    return rc;
}

static int find_world(const struct mltrain_nccl_options *o, const struct nccl_library *l,
                      const struct sdk_world *world, int so_far, int64_t until_ms, struct group *g)
{
    struct told mine = {0};
    struct sdk_body body = {0};
    struct sdk_part part = {0};
    *g = (struct group){.rank = world->rank, .size = world->size, .ids = ids_of(l, world->size)};
    if (so_far == 0 && makes_id(world->rank, world->size, g->ids))
        so_far = make_id(l, g->ids, &mine);
    int rc = gather(o->name, &mine, so_far, until_ms, world, &body);
    if (rc == 0)
        rc = reserve_ids(g);
    if (rc == 0 && !world->served)
        rc = take_id(l, 0, mine.bytes, mine.length, g);
    int64_t last = -1;
    int more = 0;
    for (size_t at = 0; rc == 0 && body.bytes; last = part.rank) {
        more = sdk_part_next(body.bytes, body.length, &at, last, &part);
        if (more != 1)
            break;
        rc = take_id(l, part.rank, part.data, part.length, g);
    }
    free(body.bytes);
    if (rc == 0 && (more < 0 || g->got != g->ids))
        rc = sdk_fail(EPROTO, "%d of %d ids came", g->got, g->ids);
    return rc;
}

/* ---- groups ---- */

struct member {
    int64_t rank;
    int32_t key;
};

static int by_key(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

/* The members of our colour, in their order. */
static int list_members(const struct sdk_body *body, const struct sdk_world *world, int colour,
                        struct member *members, int64_t *ret_count)
{
    struct sdk_part part = {0};
    int64_t last = -1, told = 0;
    int more = 0;
    *ret_count = 0;
    for (size_t at = 0; (more = sdk_part_next(body->bytes, body->length, &at, last, &part)) == 1;
         last = part.rank, told++) {
        if (part.length > NUMBERS_SIZE && part.data[0] == KIND_FAILED)
            return sdk_fail(EREMOTEIO, "rank %u: %.*s", part.rank, part.length - NUMBERS_SIZE,
                            (const char *)part.data + NUMBERS_SIZE);
        if (part.length != NUMBERS_SIZE || part.data[0] != KIND_GROUP || part.rank >= world->size)
            break;
        if (number_at(part.data + 1) == colour)
            members[(*ret_count)++] =
                (struct member){.rank = part.rank, .key = number_at(part.data + 5)};
    }
    if (more != 0 || told != world->size)
        return sdk_fail(EPROTO,
                        "only %lld of %lld ranks have called mltrain_nccl_init() with this "
                        "name and `split`",
                        (long long)told, (long long)world->size);
    qsort(members, (size_t)*ret_count, sizeof *members, by_key);
    return 0;
}

/* Ids of one group: put by those that make them, got by all. */
static int exchange_ids(const struct mltrain_nccl_options *o, const struct nccl_library *l,
                        uint64_t sequence, const struct member *members, int64_t until_ms,
                        struct group *g)
{
    char name[SDK_NAME_MAX + 1];
    int at = 0, rc = 0;
    for (int64_t i = 0; i < g->size && rc == 0; i++) {
        struct told mine = {0};
        struct sdk_body body = {0};
        if (!makes_id(i, g->size, g->ids))
            continue;
        (void)snprintf(name, sizeof name, "nccl:%s:%llx:%x:%x", o->name,
                       (unsigned long long)sequence, (unsigned)o->colour, (unsigned)at++);
        if (i == g->rank) {
            rc = make_id(l, g->ids, &mine);
            if (rc < 0)
                tell_failure(&mine, rc);
            int put = sdk_exchange_put(name, mine.bytes, mine.length, until_ms);
            rc = rc < 0 ? rc : put;
            if (rc == 0)
                rc = take_id(l, members[i].rank, mine.bytes, mine.length, g);
            continue;
        }
        rc = sdk_exchange_get(name, until_ms, &body);
        if (rc == 0)
            rc = take_id(l, members[i].rank, body.bytes, body.length, g);
        free(body.bytes);
    }
    return rc;
}

/* Of a group of none, g->size is 0. */
static int find_group(const struct mltrain_nccl_options *o, const struct nccl_library *l,
                      const struct sdk_world *world, int so_far, int64_t until_ms, struct group *g)
{
    struct told mine = {0};
    struct sdk_body body = {0};
    int64_t count = 0;
    tell(&mine, KIND_GROUP, o->colour, o->key, "", 0);
    struct member *members = calloc((size_t)world->size, sizeof *members);
    if (so_far == 0 && !members)
        so_far = sdk_fail(ENOMEM, "no memory for %lld ranks", (long long)world->size);
    int rc = gather(o->name, &mine, so_far, until_ms, world, &body);
    if (rc == 0 && world->served)
        rc = list_members(&body, world, o->colour, members, &count);
    else if (rc == 0)
        members[count++] = (struct member){.rank = 0, .key = o->key};
    uint64_t sequence = body.sequence;
    free(body.bytes);
    *g = (struct group){0};
    if (rc == 0 && o->colour != MLTRAIN_NCCL_NO_GROUP) {
        *g = (struct group){.size = count, .ids = ids_of(l, count)};
        for (int64_t i = 0; i < count; i++)
            if (members[i].rank == world->rank)
                g->rank = i;
        rc = reserve_ids(g);
        if (rc == 0 && count == 1) {
            rc = make_id(l, 1, &mine);
            rc = rc < 0 ? rc : take_id(l, world->rank, mine.bytes, mine.length, g);
        } else if (rc == 0) {
            rc = exchange_ids(o, l, sequence, members, until_ms, g);
        }
    }
    free(members);
    return rc;
}

/* ---- communicators ---- */

/* Until the communicator has done what was begun. */
static int await(const struct nccl_library *l, struct ncclComm *comm, const char *call,
                 int64_t until_ms)
{
    for (int pause_ms = 1;; pause_ms += pause_ms < POLL_MS_MAX) {
        int state = NCCL_ABI_SUCCESS;
        int result = l->async_error(comm, &state);
        if (result != NCCL_ABI_SUCCESS && result != NCCL_ABI_IN_PROGRESS)
            return nccl_failed(l, "ncclCommGetAsyncError", result, comm);
        if (state == NCCL_ABI_SUCCESS && result == NCCL_ABI_SUCCESS)
            return 0;
        if (state != NCCL_ABI_IN_PROGRESS && state != NCCL_ABI_SUCCESS)
            return nccl_failed(l, call, state, comm);
        if (sdk_now_ms() >= until_ms)
            return sdk_fail(ETIMEDOUT, "%s has not ended in time", call);
        (void)poll(NULL, 0, pause_ms);
    }
}

static int make_communicator(const struct nccl_library *l, const struct group *g, int64_t until_ms,
                             struct ncclComm **ret)
{
    struct nccl_abi_config config = {.size = NCCL_ABI_CONFIG_SIZE,
                                     .magic = NCCL_ABI_MAGIC,
                                     .version = NCCL_ABI_VERSION_MIN,
                                     .blocking = 0};
    struct ncclComm *comm = NULL;
    const char *call = g->ids > 1 ? "ncclCommInitRankScalable" : "ncclCommInitRankConfig";
    int result = g->ids > 1
                     ? l->init_scalable(&comm, (int)g->size, (int)g->rank, g->ids, g->id, &config)
                     : l->init_rank(&comm, (int)g->size, g->id[0], (int)g->rank, &config);
    int rc = 0;
    if (result != NCCL_ABI_SUCCESS && result != NCCL_ABI_IN_PROGRESS)
        rc = nccl_failed(l, call, result, comm);
    else if (!comm)
        rc = sdk_fail(EIO, "%s gave no communicator", call);
    else
        rc = await(l, comm, call, until_ms);
    if (rc == -ETIMEDOUT)
        rc = sdk_fail(ETIMEDOUT,
                      "%s has not ended in time: all %lld ranks had come, but they do not reach "
                      "each other, or one has gone since. NCCL_DEBUG=INFO tells more, "
                      "NCCL_SOCKET_IFNAME chooses the interface",
                      call, (long long)g->size);
    if (rc < 0 && comm)
        (void)l->abort(comm);
    if (rc == 0)
        *ret = comm;
    return rc;
}

static int check(const struct mltrain_nccl_options *o)
{
    int rc = sdk_check_name(o->name);
    if (rc == 0 && o->split && o->colour < MLTRAIN_NCCL_NO_GROUP)
        rc = sdk_fail(EINVAL, "colour %d: 0 and up, or MLTRAIN_NCCL_NO_GROUP expected", o->colour);
    return rc;
}

EXPORT int mltrain_nccl_init(const struct mltrain_nccl_options *options, struct ncclComm **ret_comm)
{
    static const struct mltrain_nccl_options all = MLTRAIN_NCCL_OPTIONS;
    const struct mltrain_nccl_options *o = options ? options : &all;
    const struct nccl_library *l = NULL;
    struct sdk_world world;
    struct group g = {0};
    struct ncclComm *comm = NULL;
    bool none = o->split && o->colour == MLTRAIN_NCCL_NO_GROUP;
    int64_t until_ms = sdk_until_ms(o->time_ms);
    int rc = until_ms < 0 ? (int)until_ms : check(o);
    if (rc == 0)
        rc = sdk_world_find(&world);
    if (rc == 0 && world.size > INT_MAX)
        rc = sdk_fail(EINVAL, "a world of %lld ranks", (long long)world.size);
    if (rc < 0)
        return rc;
    /* From here on a failure is told to the others. */
    if (!none)
        rc = nccl_load(&l);
    if (rc == 0 && !none)
        rc = choose_device(o->device);
    rc = o->split ? find_group(o, l, &world, rc, until_ms, &g)
                  : find_world(o, l, &world, rc, until_ms, &g);
    if (rc == 0 && g.size > 0)
        rc = make_communicator(l, &g, until_ms, &comm);
    free(g.id);
    if (rc < 0)
        return rc;
    *ret_comm = comm;
    return sdk_succeed();
}

EXPORT int mltrain_nccl_wait(struct ncclComm *comm, int64_t time_ms)
{
    const struct nccl_library *l;
    int64_t until_ms = sdk_until_ms(time_ms);
    int rc = until_ms < 0 ? (int)until_ms : nccl_load(&l);
    if (rc == 0)
        rc = await(l, comm, "what was begun with the communicator", until_ms);
    return rc == 0 ? sdk_succeed() : rc;
}

EXPORT int mltrain_nccl_abort(struct ncclComm *comm)
{
    const struct nccl_library *l;
    int rc = comm ? nccl_load(&l) : 0;
    if (rc == 0 && comm) {
        int result = l->abort(comm);
        /* It may say what the communicator had failed of; it is freed all the same. */
        if (result != NCCL_ABI_SUCCESS && result != NCCL_ABI_IN_PROGRESS)
            rc = nccl_failed(l, "ncclCommAbort", result, NULL);
    }
    return rc == 0 ? sdk_succeed() : rc;
}

EXPORT int mltrain_nccl_destroy(struct ncclComm *comm, int64_t time_ms)
{
    const struct nccl_library *l;
    int64_t until_ms = sdk_until_ms(time_ms);
    int rc = until_ms < 0 ? (int)until_ms : comm ? nccl_load(&l) : 0;
    if (rc < 0 || !comm)
        return rc < 0 ? rc : sdk_succeed();
    int result = l->finalize(comm);
    if (result != NCCL_ABI_SUCCESS && result != NCCL_ABI_IN_PROGRESS)
        rc = nccl_failed(l, "ncclCommFinalize", result, comm);
    if (rc == 0)
        rc = await(l, comm, "ncclCommFinalize", until_ms);
    if (rc < 0) {
        (void)l->abort(comm);
        return rc;
    }
    result = l->destroy(comm);
    if (result != NCCL_ABI_SUCCESS && result != NCCL_ABI_IN_PROGRESS)
        return nccl_failed(l, "ncclCommDestroy", result, NULL);
    return sdk_succeed();
}

EXPORT void *mltrain_nccl_symbol(const char *name)
{
    const struct nccl_library *l;
    const struct cudart_library *cuda;
    bool of_nccl = strncmp(name, "nccl", 4) == 0;
    int rc = of_nccl ? nccl_load(&l) : cudart_load(&cuda);
    void *address = rc == 0 ? dlsym(of_nccl ? l->handle : cuda->handle, name) : NULL;
    if (rc == 0 && !address)
        (void)sdk_fail(ENOENT, "%s: there is no such function", name);
    return address;
}
