/* The PMIx server's own thread: see server.h. */
#include "launcher/helper/server.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/helper/pmix_load.h"
#include "launcher/helper/server_internal.h"

#define EXIT_REFUSED 1
#define EXIT_BROKEN 2 /* the launcher's end is gone, or says what no launcher says */
#define NODE_NAME "pod-%u"
#define NODE_NAME_SIZE 16
#define REQUESTS_AT_ONCE 64
#define LEAVING_MS 1000 /* a goodbye waits so long for those of the other ranks */
#define CLOSING_MS 3000 /* from the last goodbye until all connections are closed */
#define SLICE_MS 10     /* of both; no clock is at hand */
#define EVENT_MS 1      /* what anything else that happens counts */

struct server {
    int fd;       /* to the launcher */
    int calls[2]; /* pipe of requests from the library's thread */
    struct pmix_library pmix;
    struct pmix_abi_module module;
    struct helper_reader reader;
    struct request *waiting; /* for an answer of the launcher */
    struct request *leaving; /* ranks that wait in PMIx_Finalize for the others of this pod */
    int leaving_ms;          /* that they still wait */
    int closing_ms;          /* that connections may still close */
    uint32_t *here;          /* connections of each rank of this pod that have not said goodbye */
    uint32_t here_count;     /* of them together */
    uint64_t last_id;
    bool closed;
    bool prepared;   /* the library is loaded and started, as PREPARE or BEGIN said */
    int done_status; /* of the last operation of our own */
    bool done;
    /* of BEGIN */
    char nspace[HELPER_NAME_MAX + 1];
    char folder[HELPER_WORDS_MAX + 1];
    uint32_t node, nodes, world, first, local;
    uint32_t *sizes; /* ranks of each pod */
};

/* ---- to the launcher ---- */

static void send_message(struct server *s, const struct helper_message *m)
{
    int size = helper_message_size(m);
    unsigned char *frame = size < 0 ? NULL : malloc((size_t)size);
    if (!frame) {
        (void)dprintf(STDERR_FILENO, "%s of %zu bytes cannot be sent\n", helper_kind_name(m->kind),
                      m->data_length);
        s->closed = true; /* an answer that never comes would be a hang */
        return;
    }
    helper_message_write(m, frame);
    for (size_t done = 0; done < (size_t)size && !s->closed;) {
        ssize_t n = write(s->fd, frame + done, (size_t)size - done);
        if (n < 0 && errno != EINTR)
            s->closed = true;
        else if (n > 0)
            done += (size_t)n;
    }
    free(frame);
}

static int refuse(struct server *s, int refusal, const char *words)
{
    send_message(
        s, &(struct helper_message){.kind = HELPER_REFUSED, .status = refusal, .words = words});
    return EXIT_REFUSED;
}

/* ---- what the library's thread hands over ---- */

static void tell(struct server *s, struct request *r)
{
    struct helper_message m = {.kind = r->kind,
                               .id = r->id,
                               .rank = r->rank,
                               .flags = r->flags,
                               .status = r->status,
                               .list = r->list,
                               .list_count = r->list_count,
                               .data = r->data,
                               .data_length = r->data_length};
    char words[HELPER_WORDS_MAX + 1];
    (void)snprintf(words, sizeof words, "%s", r->text ? r->text : "");
    if (r->kind == HELPER_GROUP && strlen(words) <= HELPER_NAME_MAX)
        m.name = words;
    m.words = words;
    send_message(s, &m);
}

/* A rank may run one MPI program after the other. PMIx before the mending of openpmix issues 3931
 * and 4113 (August 2026) counts a rank out when the connection of its first program closes, and so
 * ends the fences that others begin after that without it: too early, with the data of the first
 * program. So the number of ranks is said again: when one is back, and for a while after a goodbye,
 * for the connection closes some time after its answer. And all ranks of the pod get that answer
 * together: the slowest has closed when the fastest has ended, started and come to a fence. They do
 * not wait long for each other: a rank may leave alone. */
static void let_go(struct server *s)
{
    while (s->leaving) {
        struct request *r = s->leaving;
        s->leaving = r->next;
        r->op_done(PMIX_ABI_SUCCESS, r->arg);
        request_free(r);
    }
}

static uint32_t *connections_of(struct server *s, uint32_t rank)
{
    return s->here && rank >= s->first && rank - s->first < s->local ? &s->here[rank - s->first]
                                                                     : NULL;
}

static void leave(struct server *s, struct request *r)
{
    uint32_t *here = connections_of(s, r->rank);
    if (here && *here > 0) {
        --*here;
        s->here_count--;
    }
    if (!s->leaving)
        s->leaving_ms = LEAVING_MS;
    s->closing_ms = CLOSING_MS;
    r->next = s->leaving;
    s->leaving = r;
    if (s->here_count == 0)
        let_go(s);
}

static void time_goes_by(struct server *s, int ms)
{
    if (s->leaving && (s->leaving_ms -= ms) <= 0)
        let_go(s);
    if (s->closing_ms <= 0)
        return;
    s->closing_ms -= ms;
    server_calls_count_again();
}

static void take_request(struct server *s, struct request *r)
{
    if (r->kind == 0) {
        s->done = true;
        s->done_status = r->status;
        request_free(r);
        return;
    }
    bool waits = r->data_done || r->info_done;
    if (waits)
        r->id = ++s->last_id;
    tell(s, r);
    uint32_t *here = r->kind == HELPER_CONNECTED ? connections_of(s, r->rank) : NULL;
    if (here) {
        ++*here;
        s->here_count++;
    }
    if (r->kind == HELPER_FINALIZED && r->op_done) {
        leave(s, r);
        return;
    }
    if (r->op_done)
        r->op_done(PMIX_ABI_SUCCESS, r->arg);
    if (!waits) {
        request_free(r);
        return;
    }
    free(r->data); /* as large as a pod's share of a fence */
    r->data = NULL;
    r->next = s->waiting;
    s->waiting = r;
}

static void read_requests(struct server *s)
{
    struct request *requests[REQUESTS_AT_ONCE];
    ssize_t n = read(s->calls[0], requests, sizeof requests);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof requests[0]; i++)
        take_request(s, requests[i]);
}

/* ---- from the launcher ---- */

static struct request *take_waiting(struct server *s, uint64_t id)
{
    for (struct request **at = &s->waiting; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct request *found = *at;
            *at = found->next;
            return found;
        }
    return NULL;
}

static void data_came(struct server *s, const struct helper_message *m)
{
    struct request *r = take_waiting(s, m->id);
    if (!r)
        return;
    int status = m->status;
    char *data = m->data_length ? malloc(m->data_length) : NULL;
    if (data)
        memcpy(data, m->data, m->data_length);
    else if (m->data_length)
        status = PMIX_ABI_ERR_NOMEM;
    if (r->data_done)
        r->data_done(status, data, data ? m->data_length : 0, r->arg, free, data);
    else
        free(data);
    request_free(r);
}

/* The library looks at it after its call has returned, and calls group_release() then. */
struct group_answer {
    struct pmix_abi_info info[3];
    size_t count;
    char *data; /* in info[data_at]; what the library has taken over is NULL there */
    size_t data_at;
    struct pmix_abi_array members;
    struct pmix_abi_proc procs[];
};

static void group_release(void *arg)
{
    struct group_answer *answer = arg;
    if (answer->data)
        free(answer->info[answer->data_at].value.data.bytes.bytes);
    free(answer);
}

static struct pmix_abi_value *group_add(struct group_answer *answer, const char *key,
                                        enum pmix_abi_type type)
{
    struct pmix_abi_info *info = &answer->info[answer->count++];
    (void)snprintf(info->key, sizeof info->key, "%s", key);
    info->value.type = (uint16_t)type;
    return &info->value;
}

/* Who is in it, its number, and the endpoints of all its ranks. NULL without memory. */
static struct group_answer *group_answer_new(const struct server *s, const struct request *r,
                                             const struct helper_message *m)
{
    uint32_t count = r->list_count ? r->list_count : s->world;
    struct group_answer *answer = calloc(1, sizeof *answer + count * sizeof answer->procs[0]);
    if (!answer || r->flags & HELPER_DESTROY)
        return answer;
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(answer->procs[i].nspace, sizeof answer->procs[i].nspace, "%s", s->nspace);
        answer->procs[i].rank = r->list_count ? helper_list_at(r->list, i) : i;
    }
    answer->members = (struct pmix_abi_array){PMIX_ABI_PROC, count, answer->procs};
    group_add(answer, PMIX_ABI_GROUP_MEMBERSHIP, PMIX_ABI_DATA_ARRAY)->data.array =
        &answer->members;
    if (r->flags & HELPER_CONTEXT)
        group_add(answer, PMIX_ABI_GROUP_CONTEXT_ID, PMIX_ABI_SIZE)->data.size = (size_t)m->context;
    answer->data = m->data_length ? malloc(m->data_length) : NULL;
    if (answer->data) {
        memcpy(answer->data, m->data, m->data_length);
        answer->data_at = answer->count;
        group_add(answer, PMIX_ABI_GROUP_ENDPT_DATA, PMIX_ABI_BYTE_OBJECT)->data.bytes =
            (struct pmix_abi_bytes){answer->data, m->data_length};
    }
    return answer;
}

static void group_came(struct server *s, const struct helper_message *m)
{
    struct request *r = take_waiting(s, m->id);
    if (!r)
        return;
    struct group_answer *answer = m->status == PMIX_ABI_SUCCESS ? group_answer_new(s, r, m) : NULL;
    int status = m->status == PMIX_ABI_SUCCESS && !answer ? PMIX_ABI_ERR_NOMEM : m->status;
    if (r->info_done)
        r->info_done(status, answer && answer->count ? answer->info : NULL,
                     answer ? answer->count : 0, r->arg, answer ? group_release : NULL, answer);
    request_free(r);
}

static void look_up(struct server *s, const struct helper_message *m)
{
    struct request *r = calloc(1, sizeof *r);
    struct pmix_abi_proc proc = {.rank = m->rank};
    (void)snprintf(proc.nspace, sizeof proc.nspace, "%s", s->nspace);
    int rc = PMIX_ABI_ERR_NOMEM;
    if (r) {
        r->kind = HELPER_LOOKED_UP;
        r->id = m->id;
        r->rank = m->rank;
        rc = s->pmix.dmodex_request(&proc, server_calls_looked_up, r);
    }
    if (rc == PMIX_ABI_SUCCESS)
        return;
    request_free(r);
    send_message(s, &(struct helper_message){.kind = HELPER_LOOKED_UP, .id = m->id, .status = rc});
}

static void take_message(struct server *s, const struct helper_message *m)
{
    switch (m->kind) {
    case HELPER_FENCED:
    case HELPER_FETCHED:
        data_came(s, m);
        break;
    case HELPER_GROUPED:
        group_came(s, m);
        break;
    case HELPER_LOOK_UP:
        look_up(s, m);
        break;
    default:
        (void)dprintf(STDERR_FILENO, "unexpected %s\n", helper_kind_name(m->kind));
        s->closed = true;
    }
}

/* 1 with a message, 0 when none is whole yet. Closes at the end of file and at what is none. */
static int read_message(struct server *s, struct helper_message *ret)
{
    int rc = helper_reader_next(&s->reader, ret);
    if (rc < 0)
        s->closed = true;
    return rc > 0;
}

static void read_socket(struct server *s)
{
    size_t room;
    unsigned char *space = helper_reader_space(&s->reader, &room);
    ssize_t n = space ? read(s->fd, space, room) : -1;
    if (n > 0)
        s->reader.length += (size_t)n;
    else if (n == 0 || !space || (errno != EINTR && errno != EAGAIN))
        s->closed = true;
}

static void wait_for_something(struct server *s, bool *ret_socket)
{
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->calls[0], .events = POLLIN}};
    *ret_socket = false;
    int ready = poll(fds, 2, s->closing_ms > 0 ? SLICE_MS : -1);
    if (ready < 0) {
        s->closed = errno != EINTR;
        return;
    }
    time_goes_by(s, ready == 0 ? SLICE_MS : EVENT_MS);
    if (fds[1].revents)
        read_requests(s);
    *ret_socket = fds[0].revents != 0;
}

/* ---- the beginning ---- */

/* An operation of our own, which the library finishes in its thread. */
static int finish(struct server *s, int rc)
{
    s->done_status = rc;
    if (rc == PMIX_ABI_SUCCESS)
        while (!s->done && !s->closed)
            read_requests(s);
    s->done = false;
    return s->done_status == PMIX_ABI_OPERATION_SUCCEEDED ? PMIX_ABI_SUCCESS : s->done_status;
}

static int load(struct server *s, struct pmix_abi_info *info, const char *key, const void *value,
                enum pmix_abi_type type)
{
    (void)snprintf(info->key, sizeof info->key, "%s", key);
    int rc = s->pmix.value_load(&info->value, value, (uint16_t)type);
    return s->pmix.loads_silently ? PMIX_ABI_SUCCESS : rc;
}

static int start_library(struct server *s)
{
    struct pmix_abi_info info[5] = {0};
    char name[NODE_NAME_SIZE];
    (void)snprintf(name, sizeof name, NODE_NAME, s->node);
    int rc = load(s, &info[0], PMIX_ABI_SERVER_TMPDIR, s->folder, PMIX_ABI_STRING);
    rc = rc ? rc : load(s, &info[1], PMIX_ABI_SYSTEM_TMPDIR, s->folder, PMIX_ABI_STRING);
    rc = rc ? rc : load(s, &info[2], PMIX_ABI_SERVER_NSPACE, "mltrain", PMIX_ABI_STRING);
    rc = rc ? rc : load(s, &info[3], PMIX_ABI_SERVER_RANK, &s->node, PMIX_ABI_PROC_RANK);
    /* Two pods of one machine, or with one host name, are two nodes. PMIx 4.0 takes its own name
     * from the environment only. */
    (void)setenv("PMIX_HOSTNAME", name, 1);
    rc = rc ? rc : load(s, &info[4], PMIX_ABI_HOSTNAME, name, PMIX_ABI_STRING);
    return rc ? rc : s->pmix.server_init(&s->module, info, 5);
}

/* Names of the pods "pod-0,pod-1", and their ranks "0,1;2,3". NULL without memory. */
static void write_maps(const struct server *s, char **ret_nodes, char **ret_ranks)
{
    size_t nodes_size = (size_t)s->nodes * NODE_NAME_SIZE + 1;
    size_t ranks_size = (size_t)s->world * 12 + s->nodes + 1;
    char *nodes = calloc(1, nodes_size), *ranks = calloc(1, ranks_size);
    char *node_at = nodes, *rank_at = ranks;
    uint32_t rank = 0;
    for (uint32_t i = 0; nodes && ranks && i < s->nodes; i++) {
        node_at += snprintf(node_at, nodes_size - (size_t)(node_at - nodes), "%s" NODE_NAME,
                            i ? "," : "", i);
        if (i)
            *rank_at++ = ';';
        for (uint32_t j = 0; j < s->sizes[i]; j++, rank++)
            rank_at += snprintf(rank_at, ranks_size - (size_t)(rank_at - ranks), "%s%u",
                                j ? "," : "", rank);
    }
    *ret_nodes = nodes;
    *ret_ranks = ranks;
}

/* PMIx 3 has no type for a map: it is a text there. */
static int load_map(struct server *s, struct pmix_abi_info *info, const char *key, const char *map)
{
    int rc = load(s, info, key, map, PMIX_ABI_REGEX);
    return rc == PMIX_ABI_SUCCESS && info->value.data.bytes.bytes
               ? rc
               : load(s, info, key, map, PMIX_ABI_STRING);
}

/* Both maps and nothing else: the library derives the rest. More would be worse: an attribute that
 * is given stops it from deriving the others, and with
 * data for each of 16,384 ranks this takes 4 times as long and 5 times the memory. */
static int register_namespace(struct server *s)
{
    struct pmix_abi_info info[2] = {0};
    char *nodes, *ranks, *node_map = NULL, *rank_map = NULL;
    write_maps(s, &nodes, &ranks);
    int rc = nodes && ranks ? s->pmix.generate_regex(nodes, &node_map) : PMIX_ABI_ERR_NOMEM;
    rc = rc ? rc : s->pmix.generate_ppn(ranks, &rank_map);
    rc = rc ? rc : load_map(s, &info[0], PMIX_ABI_NODE_MAP, node_map);
    rc = rc ? rc : load_map(s, &info[1], PMIX_ABI_PROC_MAP, rank_map);
    free(nodes);
    free(ranks);
    free(node_map);
    free(rank_map);
    if (rc != PMIX_ABI_SUCCESS)
        return rc;
    /* The library keeps reading `info` until it is done; it is small, and stays with the program.
     */
    struct pmix_abi_info *kept = malloc(sizeof info);
    if (!kept)
        return PMIX_ABI_ERR_NOMEM;
    memcpy(kept, info, sizeof info);
    return finish(
        s, s->pmix.register_nspace(s->nspace, (int)s->local, kept, 2, server_calls_done, NULL));
}

/* Appends the texts of one rank's environment and the empty one behind them. */
static int append_environment(char **environment, char **data, size_t *length)
{
    for (char **variable = environment;; variable++) {
        const char *text = variable && *variable ? *variable : "";
        size_t size = strlen(text) + 1;
        char *more = realloc(*data, *length + size);
        if (!more)
            return PMIX_ABI_ERR_NOMEM;
        *data = more;
        memcpy(more + *length, text, size);
        *length += size;
        if (size == 1)
            return PMIX_ABI_SUCCESS;
    }
}

static int register_ranks(struct server *s, char **ret_data, size_t *ret_length)
{
    for (uint32_t i = 0; i < s->local; i++) {
        char **environment = NULL;
        struct pmix_abi_proc proc = {.rank = s->first + i};
        (void)snprintf(proc.nspace, sizeof proc.nspace, "%s", s->nspace);
        int rc = finish(
            s, s->pmix.register_client(&proc, getuid(), getgid(), NULL, server_calls_done, NULL));
        rc = rc ? rc : s->pmix.setup_fork(&proc, &environment);
        rc = rc ? rc : append_environment(environment, ret_data, ret_length);
        for (char **variable = environment; variable && *variable; variable++)
            free(*variable);
        free(environment);
        if (rc != PMIX_ABI_SUCCESS)
            return rc;
    }
    return PMIX_ABI_SUCCESS;
}

static int take_begin(struct server *s, const struct helper_message *m)
{
    s->sizes = calloc(m->list_count + 1, sizeof *s->sizes);
    if (m->kind != HELPER_BEGIN || !s->sizes || m->rank >= m->list_count || m->rank != s->node ||
        strcmp(m->words, s->folder) != 0)
        return refuse(s, HELPER_BAD_BEGIN, "the launcher's order to begin makes no sense");
    (void)snprintf(s->nspace, sizeof s->nspace, "%s", m->name);
    s->nodes = m->list_count;
    uint64_t world = 0;
    for (uint32_t i = 0; i < s->nodes; i++) {
        s->sizes[i] = helper_list_at(m->list, i);
        s->first = i == s->node ? (uint32_t)world : s->first;
        world += s->sizes[i];
    }
    if (world > HELPER_LIST_MAX)
        return refuse(s, HELPER_BAD_BEGIN, "more ranks than PMIx is asked to serve here");
    s->world = (uint32_t)world;
    s->local = s->sizes[s->node];
    s->here = calloc(s->local + 1, sizeof *s->here); /* without it goodbyes do not wait */
    return 0;
}

static int refuse_step(struct server *s, const char *step, int rc)
{
    char words[PMIX_LOAD_WORDS_MAX];
    (void)snprintf(words, sizeof words, "%s of %.200s: %.200s (%d)", step, s->pmix.get_version(),
                   s->pmix.error_string(rc), rc);
    return refuse(s, HELPER_SERVER_FAILED, words);
}

/* What takes long, and needs to know of the job only which pod this one will be. */
static int prepare(struct server *s, const struct helper_message *m, const char *mpi)
{
    char words[PMIX_LOAD_WORDS_MAX];
    if (m->id != HELPER_VERSION)
        return refuse(s, HELPER_BAD_BEGIN,
                      "mltrain-helper and mltrain-launcher are of different "
                      "releases: they have to be copied together");
    s->prepared = true;
    s->node = m->rank;
    (void)snprintf(s->folder, sizeof s->folder, "%s", m->words ? m->words : "");
    int rc = pmix_load(mpi, &s->pmix, words);
    if (rc != 0)
        return refuse(s, rc, words);
    server_calls_begin(s->calls[1], &s->module);
    rc = start_library(s);
    return rc == PMIX_ABI_SUCCESS ? 0 : refuse_step(s, "PMIx_server_init", rc);
}

static int begin(struct server *s, const struct helper_message *m, const char *mpi)
{
    int rc = s->prepared ? 0 : prepare(s, m, mpi);
    if (rc == 0)
        rc = take_begin(s, m);
    if (rc != 0)
        return rc;
    server_calls_serve(&s->pmix, s->nspace, s->world, s->first, s->local);
    char *data = NULL, words[PMIX_LOAD_WORDS_MAX];
    size_t length = 0;
    const char *step = "PMIx_server_register_nspace";
    rc = register_namespace(s);
    if (rc == PMIX_ABI_SUCCESS) {
        step = "PMIx_server_register_client";
        rc = register_ranks(s, &data, &length);
    }
    if (rc == PMIX_ABI_SUCCESS) {
        (void)snprintf(words, sizeof words, "%.200s", s->pmix.get_version());
        send_message(s,
                     &(struct helper_message){
                         .kind = HELPER_READY, .name = words, .data = data, .data_length = length});
    } else {
        rc = refuse_step(s, step, rc);
    }
    free(data);
    return rc;
}

static void await_message(struct server *s, struct helper_message *ret)
{
    while (!s->closed && !read_message(s, ret))
        read_socket(s);
}

int server_run(int fd, const char *mpi)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return EXIT_BROKEN;
    s->fd = fd;
    if (pipe(s->calls) < 0)
        return EXIT_BROKEN;
    struct helper_message m;
    bool readable;
    await_message(s, &m);
    int rc = 0;
    if (!s->closed && m.kind == HELPER_PREPARE) {
        rc = prepare(s, &m, mpi);
        if (rc == 0)
            await_message(s, &m);
    }
    if (rc == 0)
        rc = s->closed ? EXIT_BROKEN : begin(s, &m, mpi);
    while (rc == 0 && !s->closed) {
        wait_for_something(s, &readable);
        if (readable)
            read_socket(s);
        while (!s->closed && read_message(s, &m))
            take_message(s, &m);
    }
    return rc; /* the library's thread ends with the program */
}
