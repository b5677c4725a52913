/* The launcher's end of mltrain-helper: see helper_client.h. */
#include "launcher/helper_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/helper/pmix_abi.h"
#include "lib/base/number.h"

#define MODEX_PREFIX "modex/"

enum state {
    IDLE,     /* no attempt, or its helper has failed */
    PREPARED, /* PREPARE was sent */
    STARTING, /* BEGIN was sent */
    SERVING,
};

/* A request of the helper that waits for other pods, or of another pod that waits for the helper.
 */
struct open {
    struct open *next;
    uint64_t tag; /* of the exchange, or its question */
    uint64_t id;  /* the helper's */
    enum helper_kind kind;
    uint32_t flags;
};

struct queued {
    struct queued *next;
    struct helper_client_output output;
    void *owned; /* data or members */
};

struct helper_client {
    enum state state;
    struct helper_reader reader;
    struct queued *first, *last, *shown;
    struct open *open;
    uint32_t open_count;
    uint64_t last_tag;
    uint32_t node_rank, nodes, nproc, contexts;
    void *environment;
    size_t environment_length;
    bool told_large;
};

/* ---- outputs ---- */

/* NULL when memory is exhausted: then what was to be said is lost, and a rank waits for it in vain
 * until the job's rule for hung ranks ends the attempt. */
static struct queued *emit(struct helper_client *c, enum helper_client_output_kind kind)
{
    struct queued *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->output.kind = kind;
    if (c->last)
        c->last->next = q;
    else
        c->first = q;
    c->last = q;
    return q;
}

static void emit_words(struct helper_client *c, enum helper_client_output_kind kind, uint32_t rank,
                       int32_t code, const char *words)
{
    struct queued *q = emit(c, kind);
    if (!q)
        return;
    q->output.rank = rank;
    q->output.code = code;
    (void)snprintf(q->output.words, sizeof q->output.words, "%s", words);
}

static void emit_timer(struct helper_client *c, int64_t delay_ms)
{
    struct queued *q = emit(c, HELPER_CLIENT_TIMER);
    if (q)
        q->output.delay_ms = delay_ms;
}

static void queued_free(struct queued *q)
{
    if (!q)
        return;
    free(q->owned);
    free(q);
}

bool helper_client_next(struct helper_client *c, struct helper_client_output *ret)
{
    queued_free(c->shown);
    c->shown = c->first;
    if (!c->shown)
        return false;
    c->first = c->shown->next;
    if (!c->first)
        c->last = NULL;
    *ret = c->shown->output;
    return true;
}

static void send_message(struct helper_client *c, const struct helper_message *m)
{
    int size = helper_message_size(m);
    struct queued *q = size < 0 ? NULL : emit(c, HELPER_CLIENT_SEND);
    unsigned char *frame = q ? malloc((size_t)size) : NULL;
    if (!frame) {
        if (q)
            q->output.kind = HELPER_CLIENT_LOG;
        if (q)
            (void)snprintf(q->output.words, sizeof q->output.words, "no memory for %s",
                           helper_kind_name(m->kind));
        return;
    }
    helper_message_write(m, frame);
    q->output.data = q->owned = frame;
    q->output.length = (size_t)size;
}

/* ---- life ---- */

static void forget(struct helper_client *c)
{
    while (c->open) {
        struct open *next = c->open->next;
        free(c->open);
        c->open = next;
    }
    c->open_count = 0;
    free(c->environment);
    c->environment = NULL;
    c->environment_length = 0;
    helper_reader_release(&c->reader);
    c->state = IDLE;
}

struct helper_client *helper_client_new(void)
{
    return calloc(1, sizeof(struct helper_client));
}

void helper_client_free(struct helper_client *c)
{
    if (!c)
        return;
    forget(c);
    struct helper_client_output output;
    while (helper_client_next(c, &output))
        ;
    free(c);
}

void helper_client_end(struct helper_client *c)
{
    struct helper_client_output output;
    forget(c);
    while (helper_client_next(c, &output))
        ;
    emit_timer(c, -1);
}

/* `words` may lie in the reader. */
static void fail(struct helper_client *c, bool final, const char *words)
{
    emit_timer(c, -1);
    struct queued *q = emit(c, HELPER_CLIENT_FAILED);
    if (q) {
        q->output.final = final;
        (void)snprintf(q->output.words, sizeof q->output.words, "%s", words);
    }
    forget(c);
}

void helper_client_prepare(struct helper_client *c, uint32_t node_rank, const char *folder)
{
    forget(c);
    c->state = PREPARED;
    c->node_rank = node_rank;
    send_message(
        c, &(struct helper_message){
               .kind = HELPER_PREPARE, .id = HELPER_VERSION, .rank = node_rank, .words = folder});
}

bool helper_client_prepared(const struct helper_client *c, uint32_t node_rank)
{
    return c->state == PREPARED && c->node_rank == node_rank;
}

void helper_client_begin(struct helper_client *c, const struct helper_client_begin *begin)
{
    char nspace[HELPER_NAME_MAX + 1];
    forget(c);
    c->node_rank = begin->node_rank;
    c->nodes = begin->nodes;
    c->nproc = begin->nproc;
    c->contexts = 0;
    c->told_large = false;
    if (begin->nodes > HELPER_LIST_MAX || begin->node_rank >= begin->nodes ||
        (uint64_t)begin->nodes * begin->nproc != begin->world_size ||
        (uint64_t)begin->node_rank * begin->nproc != begin->rank_base) {
        fail(c, true,
             "PMIx is served here only where all pods of a job have the same number of "
             "ranks");
        return;
    }
    unsigned char *sizes = malloc((size_t)begin->nodes * 4);
    if (!sizes) {
        fail(c, false, "no memory for the list of pods");
        return;
    }
    for (uint32_t i = 0; i < begin->nodes; i++)
        helper_list_set(sizes, i, begin->nproc);
    (void)snprintf(nspace, sizeof nspace, "%.160s.%.64s.%llu", begin->job, begin->job_uid,
                   (unsigned long long)begin->attempt);
    c->state = STARTING;
    send_message(c, &(struct helper_message){.kind = HELPER_BEGIN,
                                             .id = HELPER_VERSION,
                                             .rank = begin->node_rank,
                                             .name = nspace,
                                             .words = begin->folder,
                                             .list = sizes,
                                             .list_count = begin->nodes});
    free(sizes);
    emit_timer(c, HELPER_CLIENT_START_MS);
}

void helper_client_timer(struct helper_client *c)
{
    if (c->state == STARTING)
        fail(c, false, "mltrain-helper, the PMIx server of this pod, has not become ready in 30 s");
}

void helper_client_closed(struct helper_client *c, const char *words, bool final)
{
    char text[HELPER_CLIENT_WORDS_MAX];
    if (c->state == PREPARED)
        forget(c);
    if (c->state == IDLE)
        return;
    (void)snprintf(text, sizeof text,
                   "mltrain-helper, the PMIx server of this pod's MPI ranks, %s: %.800s",
                   c->state == STARTING ? "could not be started" : "has ended", words);
    fail(c, final && c->state == STARTING, text);
}

const char *helper_client_environment(const struct helper_client *c, uint32_t local_rank)
{
    return c->environment && local_rank < c->nproc
               ? helper_environment(c->environment, c->environment_length, c->nproc, local_rank)
               : NULL;
}

/* ---- requests ---- */

/* -ENOSPC answers itself: the caller tells the helper. */
static struct open *open_new(struct helper_client *c, const struct helper_message *m, uint64_t tag)
{
    struct open *open = c->open_count < HELPER_CLIENT_OPEN_MAX ? calloc(1, sizeof *open) : NULL;
    if (!open)
        return NULL;
    open->tag = tag;
    open->id = m->id;
    open->kind = m->kind;
    open->flags = m->flags;
    open->next = c->open;
    c->open = open;
    c->open_count++;
    return open;
}

/* Of the helper's requests by the tag of their exchange, of questions by the question. */
static struct open *open_take(struct helper_client *c, uint64_t tag, bool question)
{
    for (struct open **at = &c->open; *at; at = &(*at)->next)
        if ((*at)->tag == tag && ((*at)->kind == HELPER_LOOK_UP) == question) {
            struct open *found = *at;
            *at = found->next;
            c->open_count--;
            return found;
        }
    return NULL;
}

static void answer_helper(struct helper_client *c, enum helper_kind kind, uint64_t id, int status,
                          const void *data, size_t length)
{
    enum helper_kind answer = kind == HELPER_FENCE   ? HELPER_FENCED
                              : kind == HELPER_GROUP ? HELPER_GROUPED
                                                     : HELPER_FETCHED;
    send_message(
        c, &(struct helper_message){
               .kind = answer, .id = id, .status = status, .data = data, .data_length = length});
}

static uint64_t hash(uint64_t so_far, const void *bytes, size_t length)
{
    const unsigned char *at = bytes; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        so_far = (so_far ^ at[i]) * UINT64_C(1099511628211);
    return so_far;
}

/* The pods that have one of the ranks. -EPROTO for a list that is not ascending or names none of
 * ours. NULL and 0: all ranks of the world. */
static int pods_of(const struct helper_client *c, const struct helper_message *m, uint32_t **ret,
                   size_t *ret_count)
{
    *ret = NULL;
    *ret_count = 0;
    if (m->list_count == 0)
        return 0;
    uint32_t *pods = malloc((size_t)c->nodes * sizeof *pods);
    size_t count = 0;
    bool ours = false;
    if (!pods)
        return -ENOMEM;
    for (uint32_t i = 0; i < m->list_count; i++) {
        uint32_t rank = helper_list_at(m->list, i), pod = rank / c->nproc;
        if (pod >= c->nodes || (i && rank <= helper_list_at(m->list, i - 1))) {
            free(pods);
            return -EPROTO;
        }
        ours = ours || pod == c->node_rank;
        if (count == 0 || pods[count - 1] != pod)
            pods[count++] = pod;
    }
    if (!ours) {
        free(pods);
        return -EPROTO;
    }
    *ret = pods;
    *ret_count = count;
    return 0;
}

/* What the members of a group give: a number that no other group of the attempt has, if they are
 * the first of its pods, and their ranks' endpoints. */
#define GROUP_HEAD 8

static uint64_t next_context(struct helper_client *c)
{
    return ((uint64_t)(c->node_rank + 1) << 32) | ++c->contexts;
}

static void begin_gather(struct helper_client *c, const struct helper_message *m, uint32_t *members,
                         size_t members_count)
{
    struct open *open = open_new(c, m, ++c->last_tag);
    struct queued *q = open ? emit(c, HELPER_CLIENT_GATHER) : NULL;
    size_t head = m->kind == HELPER_GROUP ? GROUP_HEAD : 0, place = members_count * sizeof *members;
    unsigned char *owned = q ? malloc(place + head + m->data_length + 1) : NULL;
    if (!owned) {
        if (q)
            q->output.kind = HELPER_CLIENT_LOG;
        free(open ? open_take(c, c->last_tag, false) : NULL);
        answer_helper(c, m->kind, m->id, PMIX_ABI_ERR_NOMEM, NULL, 0);
        return;
    }
    uint64_t name = hash(UINT64_C(14695981039346656037), m->list, (size_t)m->list_count * 4);
    if (m->kind == HELPER_GROUP) {
        name = hash(name, m->name, strlen(m->name));
        (void)snprintf(q->output.name, sizeof q->output.name, "group-%s%016llx",
                       m->flags & HELPER_DESTROY ? "end-" : "", (unsigned long long)name);
        uint64_t context = next_context(c);
        for (size_t i = 0; i < GROUP_HEAD; i++)
            owned[place + i] = (unsigned char)(context >> (8 * i));
    } else if (m->list_count == 0) {
        (void)snprintf(q->output.name, sizeof q->output.name, "fence");
    } else {
        (void)snprintf(q->output.name, sizeof q->output.name, "fence-%016llx",
                       (unsigned long long)name);
    }
    if (place)
        memcpy(owned, members, place);
    if (m->data_length)
        memcpy(owned + place + head, m->data, m->data_length);
    q->owned = owned;
    q->output.tag = open->tag;
    q->output.time_ms = HELPER_CLIENT_FENCE_MS;
    q->output.members = place ? (const uint32_t *)(void *)owned : NULL;
    q->output.members_count = members_count;
    q->output.data = owned + place;
    q->output.length = head + m->data_length;
}

/* FENCE or GROUP: all ranks here that take part have come. */
static void collective(struct helper_client *c, const struct helper_message *m)
{
    uint32_t *members;
    size_t count;
    int rc = pods_of(c, m, &members, &count);
    bool alone = rc == 0 && (count == 1 || (count == 0 && c->nodes == 1));
    if (rc < 0) {
        emit_words(c, HELPER_CLIENT_LOG, 0, 0, "an MPI fence among ranks that are not of this job");
        answer_helper(c, m->kind, m->id, PMIX_ABI_ERROR, NULL, 0);
    } else if (alone && m->kind == HELPER_FENCE) {
        answer_helper(c, m->kind, m->id, PMIX_ABI_SUCCESS, m->data, m->data_length);
    } else if (alone) {
        send_message(c, &(struct helper_message){.kind = HELPER_GROUPED,
                                                 .id = m->id,
                                                 .context = next_context(c),
                                                 .data = m->data,
                                                 .data_length = m->data_length});
    } else {
        /* Without HELPER_COLLECT there is no data, and nobody would take it. */
        begin_gather(c, m, members, count);
    }
    free(members);
}

static void fetch(struct helper_client *c, const struct helper_message *m)
{
    uint32_t pod = m->rank / c->nproc;
    struct open *open =
        pod < c->nodes && pod != c->node_rank ? open_new(c, m, ++c->last_tag) : NULL;
    struct queued *q = open ? emit(c, HELPER_CLIENT_FETCH) : NULL;
    if (!q) {
        free(open ? open_take(c, c->last_tag, false) : NULL);
        answer_helper(c, m->kind, m->id, PMIX_ABI_ERR_NOT_FOUND, NULL, 0);
        return;
    }
    (void)snprintf(q->output.name, sizeof q->output.name, MODEX_PREFIX "%u", m->rank);
    q->output.tag = open->tag;
    q->output.node_rank = pod;
    q->output.time_ms = EXCHANGE_TIME_MS_DEFAULT;
}

/* ---- what other pods ask ---- */

static void answer_pod(struct helper_client *c, uint64_t question, enum exchange_outcome outcome,
                       const void *data, size_t length)
{
    struct queued *q = emit(c, HELPER_CLIENT_ANSWER);
    if (!q)
        return;
    q->output.tag = question;
    q->output.outcome = outcome;
    q->owned = length ? malloc(length) : NULL;
    if (q->owned)
        memcpy(q->owned, data, length);
    else if (length)
        q->output.outcome = EXCHANGE_REFUSED;
    q->output.data = q->owned;
    q->output.length = q->owned ? length : 0;
}

static void question(struct helper_client *c, const struct exchange_output *asked)
{
    int64_t rank = -1;
    size_t prefix = strlen(MODEX_PREFIX);
    bool ours = c->state == SERVING && strncmp(asked->name, MODEX_PREFIX, prefix) == 0 &&
                mlt_parse_integer(asked->name + prefix, 0, UINT32_MAX, &rank, NULL) == 0 &&
                rank / c->nproc == c->node_rank;
    const struct helper_message look_up = {
        .kind = HELPER_LOOK_UP, .id = ++c->last_tag, .rank = (uint32_t)rank};
    if (!ours || !open_new(c, &look_up, asked->question)) {
        answer_pod(c, asked->question, ours ? EXCHANGE_REFUSED : EXCHANGE_NOT_FOUND, NULL, 0);
        return;
    }
    send_message(c, &look_up);
}

static void looked_up(struct helper_client *c, const struct helper_message *m)
{
    struct open *open = NULL;
    for (open = c->open; open; open = open->next)
        if (open->kind == HELPER_LOOK_UP && open->id == m->id)
            break;
    if (!open)
        return;
    uint64_t asked = open->tag;
    free(open_take(c, asked, true));
    if (m->status != PMIX_ABI_SUCCESS)
        answer_pod(c, asked, EXCHANGE_NOT_FOUND, NULL, 0);
    else if (m->data_length > EXCHANGE_VALUE_MAX)
        answer_pod(c, asked, EXCHANGE_REFUSED, NULL, 0);
    else
        answer_pod(c, asked, EXCHANGE_OK, m->data, m->data_length);
}

/* ---- what came of exchanges ---- */

static int status_of(enum exchange_outcome outcome)
{
    switch (outcome) {
    case EXCHANGE_OK:
    case EXCHANGE_TOO_LARGE: /* all have come; PMIx asks for the data that it needs */
        return PMIX_ABI_SUCCESS;
    case EXCHANGE_NOT_FOUND:
        return PMIX_ABI_ERR_NOT_FOUND;
    case EXCHANGE_TIMED_OUT:
        return PMIX_ABI_ERR_TIMEOUT;
    default:
        return PMIX_ABI_ERROR;
    }
}

/* Everybody's data in the order of node ranks, without the first `head` bytes of each. */
static unsigned char *join(const struct exchange_output *result, size_t head, size_t *ret_length)
{
    size_t length = 0, at = 0;
    for (uint32_t i = 0; i < result->entries_count; i++)
        if (result->entries[i].data && result->entries[i].length > head)
            length += result->entries[i].length - head;
    unsigned char *joined = length && length <= HELPER_DATA_MAX ? malloc(length) : NULL;
    for (uint32_t i = 0; joined && i < result->entries_count; i++)
        if (result->entries[i].data && result->entries[i].length > head) {
            memcpy(joined + at, result->entries[i].data + head, result->entries[i].length - head);
            at += result->entries[i].length - head;
        }
    *ret_length = joined ? length : 0;
    return joined;
}

static void gathered(struct helper_client *c, const struct open *open,
                     const struct exchange_output *result)
{
    size_t length, head = open->kind == HELPER_GROUP ? GROUP_HEAD : 0;
    struct helper_message m = {.kind = open->kind == HELPER_GROUP ? HELPER_GROUPED : HELPER_FENCED,
                               .id = open->id,
                               .status = status_of(result->outcome)};
    unsigned char *data = join(result, head, &length);
    m.data = data;
    m.data_length = length;
    const struct exchange_entry *first = result->entries_count ? &result->entries[0] : NULL;
    for (size_t i = 0; head && first && first->data && first->length >= head && i < head; i++)
        m.context |= (uint64_t)first->data[i] << (8 * i);
    if (head && m.status == PMIX_ABI_SUCCESS && m.context == 0)
        m.status = PMIX_ABI_ERROR; /* too large to be told: nothing of a group can do without */
    send_message(c, &m);
    free(data);
}

static void say_what_failed(struct helper_client *c, const struct open *open, const char *words)
{
    char text[HELPER_CLIENT_WORDS_MAX];
    (void)snprintf(text, sizeof text, "MPI: %s between the pods failed: %.900s",
                   open->kind == HELPER_FENCE   ? "a fence"
                   : open->kind == HELPER_GROUP ? "making a group"
                                                : "asking for a rank's address",
                   words);
    emit_words(c, HELPER_CLIENT_LOG, 0, 0, text);
}

void helper_client_exchanged(struct helper_client *c, const struct exchange_output *result)
{
    if (result->kind == EXCHANGE_DO_QUESTION) {
        question(c, result);
        return;
    }
    struct open *open = open_take(c, result->tag, false);
    if (!open || result->outcome == EXCHANGE_ENDED) {
        free(open);
        return;
    }
    if (result->outcome == EXCHANGE_TOO_LARGE && open->kind == HELPER_FENCE) {
        if (!c->told_large)
            emit_words(c, HELPER_CLIENT_LOG, 0, 0,
                       "MPI: the ranks' addresses are too large to be told to all: each rank asks "
                       "for those it needs");
        c->told_large = true;
    } else if (result->outcome != EXCHANGE_OK) {
        say_what_failed(c, open, result->words ? result->words : "");
    }
    if (open->kind == HELPER_FETCH)
        answer_helper(c, open->kind, open->id, status_of(result->outcome), result->data,
                      result->outcome == EXCHANGE_OK ? result->length : 0);
    else
        gathered(c, open, result);
    free(open);
}

void helper_client_not_begun(struct helper_client *c, uint64_t tag, const char *words)
{
    struct open *open = open_take(c, tag, false);
    if (!open)
        return;
    say_what_failed(c, open, words);
    answer_helper(c, open->kind, open->id, PMIX_ABI_ERROR, NULL, 0);
    free(open);
}

/* ---- what the helper says ---- */

static void ready(struct helper_client *c, const struct helper_message *m)
{
    void *environment = malloc(m->data_length + 1);
    if (!environment ||
        (c->nproc > 0 && !helper_environment(m->data, m->data_length, c->nproc, 0))) {
        free(environment);
        fail(c, false, "mltrain-helper gave no environment for this pod's ranks");
        return;
    }
    if (m->data_length)
        memcpy(environment, m->data, m->data_length);
    c->environment = environment;
    c->environment_length = m->data_length;
    c->state = SERVING;
    emit_timer(c, -1);
    emit_words(c, HELPER_CLIENT_READY, 0, 0, m->name);
}

static void about_rank(struct helper_client *c, const struct helper_message *m)
{
    uint32_t base = c->node_rank * c->nproc;
    /* Open MPI's words are always "N/A". */
    const char *words = m->words && strcmp(m->words, "N/A") != 0 ? m->words : "";
    if (m->rank < base || m->rank - base >= c->nproc)
        return;
    emit_words(c,
               m->kind == HELPER_CONNECTED   ? HELPER_CLIENT_CONNECTED
               : m->kind == HELPER_FINALIZED ? HELPER_CLIENT_FINALIZED
                                             : HELPER_CLIENT_ABORTED,
               m->rank - base, m->status, words);
}

static void take_message(struct helper_client *c, const struct helper_message *m)
{
    bool starting = c->state == STARTING;
    if (c->state == PREPARED)
        forget(c); /* it has refused; nothing else is said before READY */
    else if (m->kind == HELPER_REFUSED)
        fail(c, starting, m->words);
    else if (m->kind == HELPER_READY && starting)
        ready(c, m);
    else if (starting)
        fail(c, false, "mltrain-helper said something before it was ready");
    else if (m->kind == HELPER_FENCE || m->kind == HELPER_GROUP)
        collective(c, m);
    else if (m->kind == HELPER_FETCH)
        fetch(c, m);
    else if (m->kind == HELPER_LOOKED_UP)
        looked_up(c, m);
    else if (m->kind == HELPER_CONNECTED || m->kind == HELPER_FINALIZED || m->kind == HELPER_ABORT)
        about_rank(c, m);
    else
        fail(c, false, "mltrain-helper said something that no helper says");
}

unsigned char *helper_client_space(struct helper_client *c, size_t *ret_room)
{
    return helper_reader_space(&c->reader, ret_room);
}

void helper_client_received(struct helper_client *c, size_t length)
{
    struct helper_message m;
    int rc = 1;
    c->reader.length += length;
    while (c->state != IDLE && rc > 0) {
        rc = helper_reader_next(&c->reader, &m);
        if (rc > 0)
            take_message(c, &m);
    }
    if (c->state != IDLE && rc < 0)
        fail(c, false, "mltrain-helper said something that no helper says");
}
