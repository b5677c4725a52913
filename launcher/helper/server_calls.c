/* The PMIx library's calls to its host, which come in its own thread: see server.h. */
#include "launcher/helper/server_internal.h"

#include "launcher/helper/pmix_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The library gives its host no argument. */
static struct {
    int pipe; /* write end: addresses of requests */
    const struct pmix_library *pmix;
    const char *nspace;
    uint32_t world;        /* ranks in it */
    uint32_t first, local; /* ... and those of this pod */
    unsigned char *known;  /* of this pod: it has connected before; NULL: no memory */
} self;

void request_free(struct request *r)
{
    if (!r)
        return;
    free(r->text);
    free(r->list);
    free(r->data);
    free(r);
}

/* A full pipe lets the library wait, which is right: its clients' requests wait with it. */
static void hand_over(struct request *r)
{
    ssize_t n;
    do
        n = write(self.pipe, &r, sizeof r);
    while (n < 0 && errno == EINTR);
    /* An address is written whole or not at all, and fails only when the other end is closed: then
     * this program ends. */
}

static struct request *request_new(enum helper_kind kind, uint32_t rank)
{
    struct request *r = calloc(1, sizeof *r);
    if (r) {
        r->kind = kind;
        r->rank = rank;
    }
    return r;
}

static bool is_ours(const struct pmix_abi_proc *proc)
{
    return strncmp(proc->nspace, self.nspace, sizeof proc->nspace) == 0;
}

/* ---- a rank comes, leaves, aborts ---- */

/* With `done` the rank waits until the launcher has been told. */
static int told(enum helper_kind kind, const struct pmix_abi_proc *proc, pmix_abi_op_done done,
                void *arg)
{
    struct request *r = is_ours(proc) ? request_new(kind, proc->rank) : NULL;
    if (!r)
        return PMIX_ABI_OPERATION_SUCCEEDED;
    r->op_done = done;
    r->arg = arg;
    hand_over(r);
    return done ? PMIX_ABI_SUCCESS : PMIX_ABI_OPERATION_SUCCEEDED;
}

static void ignore(int status, void *arg)
{
    (void)status;
    (void)arg;
}

void server_calls_count_again(void)
{
    static struct pmix_abi_info no_data[1] = {
        {.key = PMIX_ABI_REGISTER_NODATA, .value = {.type = PMIX_ABI_BOOL, .data.flag = true}}};
    (void)self.pmix->register_nspace(self.nspace, (int)self.local, no_data, 1, ignore, NULL);
}

/* Is it back, with its next program? */
static void note_connected(const struct pmix_abi_proc *proc)
{
    uint32_t place = proc->rank - self.first;
    if (!self.known || !is_ours(proc) || proc->rank < self.first || place >= self.local)
        return;
    if (self.known[place])
        server_calls_count_again();
    self.known[place] = 1;
}

static int client_connected(const struct pmix_abi_proc *proc, void *object, pmix_abi_op_done done,
                            void *arg)
{
    (void)object;
    (void)done;
    (void)arg;
    note_connected(proc);
    return told(HELPER_CONNECTED, proc, NULL, NULL);
}

static int client_connected2(const struct pmix_abi_proc *proc, void *object,
                             struct pmix_abi_info *info, size_t info_count, pmix_abi_op_done done,
                             void *arg)
{
    (void)object;
    (void)info;
    (void)info_count;
    (void)done;
    (void)arg;
    note_connected(proc);
    return told(HELPER_CONNECTED, proc, NULL, NULL);
}

static int client_finalized(const struct pmix_abi_proc *proc, void *object, pmix_abi_op_done done,
                            void *arg)
{
    (void)object;
    /* It must not be seen to end before it is known to have said goodbye. */
    return told(HELPER_FINALIZED, proc, done, arg);
}

/* Whomever it names: an abort ends the attempt. The rank waits until the launcher has been told. */
static int client_aborts(const struct pmix_abi_proc *proc, void *object, int status,
                         const char *words, struct pmix_abi_proc *procs, size_t count,
                         pmix_abi_op_done done, void *arg)
{
    (void)object;
    (void)procs;
    (void)count;
    struct request *r = request_new(HELPER_ABORT, proc->rank);
    if (!r)
        return PMIX_ABI_ERR_NOMEM;
    r->status = status;
    r->text = strdup(words ? words : "");
    r->op_done = done;
    r->arg = arg;
    hand_over(r);
    return PMIX_ABI_SUCCESS;
}

/* ---- collective operations ---- */

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

/* The ranks of `procs`, sorted: so that all pods name the same set in the same way. None: all of
 * the world. */
static int take_ranks(struct request *r, const struct pmix_abi_proc *procs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(&procs[i]))
            return PMIX_ABI_ERR_NOT_SUPPORTED; /* of another job */
        if (procs[i].rank == PMIX_ABI_RANK_WILDCARD)
            return 0;
    }
    if (count == 0)
        return 0;
    uint32_t *ranks = calloc(count, sizeof *ranks);
    r->list = malloc(count * 4);
    if (!ranks || !r->list) {
        free(ranks);
        return PMIX_ABI_ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        ranks[i] = procs[i].rank;
    qsort(ranks, count, sizeof *ranks, compare);
    for (size_t i = 0; i < count; i++)
        if ((i == 0 || ranks[i] != ranks[i - 1]) && ranks[i] < self.world)
            helper_list_set(r->list, r->list_count++, ranks[i]);
    free(ranks);
    if (r->list_count == self.world)
        r->list_count = 0;
    return 0;
}

/* An attribute without a value, or of another type, counts as true: so the library itself does. */
static bool is_set(const struct pmix_abi_info *info)
{
    return info->value.type != PMIX_ABI_BOOL || info->value.data.flag;
}

static int fence(const struct pmix_abi_proc *procs, size_t count, const struct pmix_abi_info *info,
                 size_t info_count, char *data, size_t length, pmix_abi_data_done done, void *arg)
{
    struct request *r = request_new(HELPER_FENCE, 0);
    int rc = r ? take_ranks(r, procs, count) : PMIX_ABI_ERR_NOMEM;
    if (rc != 0) {
        request_free(r);
        return rc;
    }
    for (size_t i = 0; i < info_count; i++)
        if (strcmp(info[i].key, PMIX_ABI_COLLECT_DATA) == 0 && is_set(&info[i]))
            r->flags |= HELPER_COLLECT;
    r->data = data;
    r->data_length = data ? length : 0;
    r->data_done = done;
    r->arg = arg;
    hand_over(r);
    return PMIX_ABI_SUCCESS;
}

/* The endpoints of the ranks here, for those elsewhere. */
static void take_endpoints(struct request *r, const struct pmix_abi_info *info)
{
    const struct pmix_abi_bytes *bytes = &info->value.data.bytes;
    if (info->value.type != PMIX_ABI_BYTE_OBJECT || r->data || bytes->size == 0)
        return;
    r->data = malloc(bytes->size);
    if (!r->data)
        return;
    memcpy(r->data, bytes->bytes, bytes->size);
    r->data_length = bytes->size;
}

/* What needs nothing of anybody else is done at once, as PMIx's own host (PRRTE) does it: Open
 * MPI's groups end so, and PMIx 5 gives each rank's end of a group of one pod to its host. */
static int group(int operation, char *name, const struct pmix_abi_proc *procs, size_t count,
                 const struct pmix_abi_info *info, size_t info_count, pmix_abi_info_done done,
                 void *arg)
{
    struct request *r = request_new(HELPER_GROUP, 0);
    int rc = r ? take_ranks(r, procs, count) : PMIX_ABI_ERR_NOMEM;
    bool barrier = false, local = false;
    if (rc == 0) {
        r->text = strdup(name ? name : "");
        rc = r->text ? 0 : PMIX_ABI_ERR_NOMEM;
    }
    for (size_t i = 0; rc == 0 && i < info_count; i++) {
        if (strcmp(info[i].key, PMIX_ABI_GROUP_ASSIGN_CONTEXT_ID) == 0 && is_set(&info[i]))
            r->flags |= HELPER_CONTEXT;
        else if (strcmp(info[i].key, PMIX_ABI_EMBED_BARRIER) == 0)
            barrier = is_set(&info[i]);
        else if (strcmp(info[i].key, PMIX_ABI_GROUP_LOCAL_ONLY) == 0)
            local = is_set(&info[i]);
        else if (strcmp(info[i].key, PMIX_ABI_GROUP_ENDPT_DATA) == 0)
            take_endpoints(r, &info[i]);
    }
    if (rc == 0 && (local || !(barrier || r->flags & HELPER_CONTEXT)))
        rc = PMIX_ABI_OPERATION_SUCCEEDED;
    if (rc != 0) {
        request_free(r);
        return rc;
    }
    if (operation == PMIX_ABI_GROUP_DESTRUCT)
        r->flags |= HELPER_DESTROY;
    r->info_done = done;
    r->arg = arg;
    hand_over(r);
    return PMIX_ABI_SUCCESS;
}

/* ---- what one rank has published ---- */

static int direct_modex(const struct pmix_abi_proc *proc, const struct pmix_abi_info *info,
                        size_t info_count, pmix_abi_data_done done, void *arg)
{
    (void)info;
    (void)info_count;
    if (!is_ours(proc) || proc->rank >= self.world)
        return PMIX_ABI_ERR_NOT_FOUND;
    struct request *r = request_new(HELPER_FETCH, proc->rank);
    if (!r)
        return PMIX_ABI_ERR_NOMEM;
    r->data_done = done;
    r->arg = arg;
    hand_over(r);
    return PMIX_ABI_SUCCESS;
}

void server_calls_looked_up(int status, char *data, size_t length, void *arg)
{
    struct request *r = arg;
    r->status = status;
    r->data = status == PMIX_ABI_SUCCESS && length ? malloc(length) : NULL;
    if (r->data) {
        memcpy(r->data, data, length);
        r->data_length = length;
    } else if (status == PMIX_ABI_SUCCESS && length) {
        r->status = PMIX_ABI_ERR_NOMEM;
    }
    hand_over(r);
}

void server_calls_done(int status, void *arg)
{
    (void)arg;
    struct request *r = request_new((enum helper_kind)0, 0);
    if (!r)
        abort();
    r->status = status;
    hand_over(r);
}

void server_calls_serve(const struct pmix_library *pmix, const char *nspace, uint32_t world,
                        uint32_t first, uint32_t local)
{
    self.pmix = pmix;
    self.nspace = nspace;
    self.world = world;
    self.first = first;
    self.local = local;
    self.known = calloc(local + 1, 1);
}

void server_calls_begin(int pipe, struct pmix_abi_module *ret)
{
    self.pipe = pipe;
    self.nspace = "";
    *ret = (struct pmix_abi_module){.client_connected = client_connected,
                                    .client_finalized = client_finalized,
                                    .abort = client_aborts,
                                    .fence = fence,
                                    .direct_modex = direct_modex,
                                    .group = group,
                                    .client_connected2 = client_connected2};
}
