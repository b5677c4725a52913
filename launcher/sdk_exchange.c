/* Gathers and values of the ranks of this pod: see sdk_exchange.h. */
#include "launcher/sdk_exchange.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

/* What a pod gives to the exchange: nothing when none of its ranks has given bytes; else one of
 * these bytes, and behind it ... */
enum {
    BLOB_PARTS = 0,  /* the parts of its ranks, as sdk/socket_message.h says */
    BLOB_FAILED = 1, /* 2 bytes of an errno, words */
};

#define NOT_NUMBERED UINT32_MAX
#define NEVER UINT64_MAX

/* The low bits of a tag; above them the connection, or the number of a gather's name. */
enum tag_kind { TAG_GATHER, TAG_PUT, TAG_GET, TAG_BITS = 2 };

/* One rank in one gather's name. */
struct part {
    uint64_t rounds;     /* that this rank has come to, or missed and heard of */
    uint64_t connection; /* waits for the answer of this round; 0: nobody does */
    bool here;           /* in this round */
    unsigned char *data; /* malloc'ed */
    size_t length;
};

struct name {
    char text[SDK_NAME_MAX + 1];
    uint64_t round;
    bool sent; /* this pod takes part in the round */
    /* Rounds before this one that are over for the ranks here and not for the exchange; of the
     * first of them this pod's part is open. Then nobody waits in this one, for a rank has ended.
     */
    uint64_t behind;
    uint64_t ended_round; /* the first that failed because a rank has ended; NEVER */
    char *ended_words;    /* malloc'ed: who it was; NULL: none, or no memory */
    int64_t until_ms;
    struct part parts[]; /* of each local rank */
};

struct sdk_exchange {
    const struct sdk_exchange_ops *ops;
    void *arg;
    uint32_t ranks, numbers[RENDEZVOUS_RANKS_PER_MEMBER_MAX]; /* in the world, by local rank */
    bool ended[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint32_t ended_count;
    struct name *names[SDK_EXCHANGE_NAMES_MAX];
    uint32_t names_count;
};

struct sdk_exchange *sdk_exchange_new(const struct sdk_exchange_ops *ops, void *arg)
{
    struct sdk_exchange *x = calloc(1, sizeof *x);
    if (x) {
        x->ops = ops;
        x->arg = arg;
    }
    return x;
}

static void forget(struct sdk_exchange *x)
{
    for (uint32_t i = 0; i < x->names_count; i++) {
        for (uint32_t rank = 0; rank < x->ranks; rank++)
            free(x->names[i]->parts[rank].data);
        free(x->names[i]->ended_words);
        free(x->names[i]);
    }
    x->names_count = 0;
}

void sdk_exchange_free(struct sdk_exchange *x)
{
    if (x)
        forget(x);
    free(x);
}

void sdk_exchange_begin(struct sdk_exchange *x, uint32_t ranks, uint32_t rank_base)
{
    sdk_exchange_begin_unnumbered(x, ranks);
    for (uint32_t rank = 0; rank < ranks; rank++)
        x->numbers[rank] = rank_base + rank;
}

void sdk_exchange_begin_unnumbered(struct sdk_exchange *x, uint32_t ranks)
{
    forget(x);
    x->ranks = ranks;
    x->ended_count = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        x->numbers[rank] = NOT_NUMBERED;
        x->ended[rank] = false;
    }
    x->ops->timer(x->arg, -1);
}

bool sdk_exchange_number(struct sdk_exchange *x, uint32_t rank, uint32_t number)
{
    if (x->numbers[rank] != NOT_NUMBERED)
        return x->numbers[rank] == number;
    x->numbers[rank] = number;
    return true;
}

/* ---- answers ---- */

static void fail(struct sdk_exchange *x, uint64_t connection, int error, const char *format, ...)
    MLT_PRINTF(4, 5);
static void fail(struct sdk_exchange *x, uint64_t connection, int error, const char *format, ...)
{
    char words[SDK_ANSWER_MAX - 32], line[SDK_ANSWER_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    for (char *c = words; *c; c++)
        if (*c == '\n')
            *c = ' ';
    (void)snprintf(line, sizeof line, "failed %d %s\n", error, words);
    x->ops->answer(x->arg, connection, line, NULL);
}

static void give(struct sdk_exchange *x, uint64_t connection, uint64_t sequence,
                 struct sdk_bytes *body)
{
    char line[SDK_ANSWER_MAX];
    (void)snprintf(line, sizeof line, "data %llu %zu\n", (unsigned long long)sequence,
                   body->length);
    x->ops->answer(x->arg, connection, line, body);
}

static int error_of(enum exchange_outcome outcome)
{
    switch (outcome) {
    case EXCHANGE_TIMED_OUT:
        return ETIMEDOUT;
    case EXCHANGE_TOO_LARGE:
        return EMSGSIZE;
    case EXCHANGE_NO_ROOM:
        return ENOSPC;
    case EXCHANGE_MEMBER_LOST:
        return ECONNABORTED;
    case EXCHANGE_EXISTS:
        return EEXIST;
    case EXCHANGE_NOT_FOUND:
        return ENOENT;
    case EXCHANGE_OVER:
        return ESTALE;
    case EXCHANGE_REFUSED:
        return ECONNREFUSED;
    case EXCHANGE_ENDED:
        return ECANCELED;
    case EXCHANGE_UNSUPPORTED:
        return EOPNOTSUPP;
    case EXCHANGE_OK:
    case EXCHANGE_DISAGREE:
        break;
    }
    return EPROTO;
}

/* ---- rounds ---- */

/* Ends the round: with the bytes that all have given, or, when `body` is NULL, with an error. */
static void end_round(struct sdk_exchange *x, struct name *n, uint64_t sequence,
                      struct sdk_bytes *body, int error, const char *words)
{
    uint64_t waiting[RENDEZVOUS_RANKS_PER_MEMBER_MAX];
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < x->ranks; rank++) {
        struct part *p = &n->parts[rank];
        if (p->connection)
            waiting[count++] = p->connection;
        if (p->here)
            p->rounds++;
        free(p->data);
        *p = (struct part){.rounds = p->rounds};
    }
    n->round++;
    n->sent = false;
    n->until_ms = 0;
    /* Last: an answer may call forth the next question. */
    for (uint32_t i = 0; i < count; i++) {
        if (body)
            give(x, waiting[i], sequence, body);
        else
            fail(x, waiting[i], error, "%s", words);
    }
}

static uint64_t tag_of(const struct sdk_exchange *x, const struct name *n)
{
    uint64_t i = 0;
    while (x->names[i] != n)
        i++;
    return i << TAG_BITS | TAG_GATHER;
}

static void take_part(struct sdk_exchange *x, struct name *n, const void *data, size_t length,
                      int64_t time_ms)
{
    struct mlt_error err = {0};
    n->sent = true;
    int rc = x->ops->gather(x->arg, tag_of(x, n), n->text, data, length, time_ms, &err);
    if (rc < 0)
        end_round(x, n, 0, NULL, -rc, err.text);
}

struct failed_blob {
    unsigned char bytes[3 + SDK_EXCHANGE_WORDS_MAX];
    size_t length;
};

static struct failed_blob failed_blob(int error, const char *words)
{
    struct failed_blob blob = {
        .bytes = {BLOB_FAILED, (unsigned char)(error >> 8), (unsigned char)error}};
    size_t length = strnlen(words, SDK_EXCHANGE_WORDS_MAX);
    memcpy(blob.bytes + 3, words, length);
    blob.length = 3 + length;
    return blob;
}

/* The pod cannot take part as it should: all ranks of the job are to know why. */
static void take_part_failed(struct sdk_exchange *x, struct name *n, int error, const char *words)
{
    struct failed_blob blob = failed_blob(error, words);
    take_part(x, n, blob.bytes, blob.length, SDK_EXCHANGE_LAST_MS);
}

/* All ranks of the pod have come. */
static void take_part_whole(struct sdk_exchange *x, struct name *n, int64_t now_ms)
{
    size_t length = 0;
    int64_t left_ms = n->until_ms > now_ms ? n->until_ms - now_ms : 1;
    for (uint32_t rank = 0; rank < x->ranks; rank++)
        if (n->parts[rank].length > 0)
            length += SDK_PART_HEAD + n->parts[rank].length;
    if (length == 0) {
        take_part(x, n, NULL, 0, left_ms);
        return;
    }
    if (1 + length > RENDEZVOUS_CONTRIBUTION_MAX) {
        char words[SDK_EXCHANGE_WORDS_MAX];
        (void)snprintf(words, sizeof words,
                       "ranks %u to %u of one pod gave %zu bytes together: at most %u expected",
                       x->numbers[0], x->numbers[x->ranks - 1], length,
                       RENDEZVOUS_CONTRIBUTION_MAX - 1);
        take_part_failed(x, n, EMSGSIZE, words);
        return;
    }
    unsigned char *blob = malloc(1 + length);
    if (!blob) {
        take_part_failed(x, n, ENOMEM, "a launcher has no memory for the parts of its ranks");
        return;
    }
    blob[0] = BLOB_PARTS;
    size_t at = 1;
    for (uint32_t rank = 0; rank < x->ranks; rank++) {
        const struct part *p = &n->parts[rank];
        if (p->length == 0)
            continue;
        sdk_part_head(blob + at, x->numbers[rank], (uint16_t)p->length);
        memcpy(blob + at + SDK_PART_HEAD, p->data, p->length);
        at += SDK_PART_HEAD + p->length;
    }
    take_part(x, n, blob, at, left_ms);
    free(blob);
}

/* Appends one of the `count` ranks that words name, of which only the first are named. */
static int say_rank(const struct sdk_exchange *x, uint32_t rank, uint32_t count, char *words,
                    size_t size)
{
    if (count > SDK_EXCHANGE_MISSING_TOLD)
        return 0;
    if (x->numbers[rank] != NOT_NUMBERED)
        return snprintf(words, size, " %u", x->numbers[rank]);
    return snprintf(words, size, " local %u", rank); /* nobody has said it */
}

static void say_more(uint32_t count, char *words, size_t size)
{
    if (count > SDK_EXCHANGE_MISSING_TOLD)
        (void)snprintf(words, size, " and %u more of their pod", count - SDK_EXCHANGE_MISSING_TOLD);
}

static void say_missing(const struct sdk_exchange *x, const struct name *n, char *words,
                        size_t size)
{
    uint32_t missing = 0;
    int at = snprintf(words, size, "these ranks have not come:");
    for (uint32_t rank = 0; rank < x->ranks; rank++)
        if (!n->parts[rank].here)
            at += say_rank(x, rank, ++missing, words + at, size - (size_t)at);
    say_more(missing, words + at, size - (size_t)at);
}

static void say_ended(const struct sdk_exchange *x, const struct name *n, char *words, size_t size)
{
    uint32_t ended = 0;
    int at = snprintf(words, size, "these ranks have ended, and come to nothing more:");
    for (uint32_t rank = 0; rank < x->ranks; rank++)
        if (x->ended[rank] && !n->parts[rank].here)
            at += say_rank(x, rank, ++ended, words + at, size - (size_t)at);
    say_more(ended, words + at, size - (size_t)at);
}

/* The earliest time that is over when nothing comes. */
static void set_timer(struct sdk_exchange *x, int64_t now_ms)
{
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; i < x->names_count; i++)
        if (!x->names[i]->sent && x->names[i]->until_ms && x->names[i]->until_ms < first)
            first = x->names[i]->until_ms;
    if (first == INT64_MAX)
        x->ops->timer(x->arg, -1);
    else
        x->ops->timer(x->arg, first > now_ms ? first - now_ms : 0);
}

void sdk_exchange_timer(struct sdk_exchange *x, int64_t now_ms)
{
    for (uint32_t i = 0; i < x->names_count; i++) {
        struct name *n = x->names[i];
        char words[SDK_EXCHANGE_WORDS_MAX];
        if (n->sent || !n->until_ms || n->until_ms > now_ms)
            continue;
        say_missing(x, n, words, sizeof words);
        take_part_failed(x, n, ETIMEDOUT, words);
    }
    set_timer(x, now_ms);
}

/* ---- ranks that have ended ---- */

/* Why the rounds of a name fail from the first one on. */
static const char *ended_words(const struct name *n)
{
    return n->ended_words ? n->ended_words : "a rank has ended, and comes to nothing more";
}

/* Takes part in the first round of those that are over here. Nobody waits for its result, so it has
 * the time of the others. */
static void tell_others(struct sdk_exchange *x, struct name *n)
{
    struct mlt_error err = {0};
    struct failed_blob blob = failed_blob(ECONNABORTED, ended_words(n));
    if (x->ops->gather(x->arg, tag_of(x, n), n->text, blob.bytes, blob.length, EXCHANGE_TIME_MS_MAX,
                       &err) < 0)
        n->behind = 0; /* the attempt has ended, or the others wait until their time is over */
}

/* Somebody waits in the round, and somebody who has ended is missing: the round is over here.
 * Whether it is so. */
static bool fail_if_ended(struct sdk_exchange *x, struct name *n)
{
    bool waits = false, misses = false;
    for (uint32_t rank = 0; rank < x->ranks; rank++) {
        waits |= n->parts[rank].here;
        misses |= x->ended[rank] && !n->parts[rank].here;
    }
    if (n->sent || !waits || !misses)
        return false;
    if (n->ended_round == NEVER) {
        char words[SDK_EXCHANGE_WORDS_MAX];
        say_ended(x, n, words, sizeof words);
        n->ended_words = strdup(words);
        n->ended_round = n->round;
    }
    if (n->behind++ == 0)
        tell_others(x, n);
    end_round(x, n, 0, NULL, ECONNABORTED, ended_words(n));
    return true;
}

void sdk_exchange_rank_ended(struct sdk_exchange *x, uint32_t rank, int64_t now_ms)
{
    if (rank >= x->ranks || x->ended[rank])
        return;
    x->ended[rank] = true;
    x->ended_count++;
    for (uint32_t i = 0; i < x->names_count; i++)
        (void)fail_if_ended(x, x->names[i]);
    set_timer(x, now_ms);
}

/* The exchange is done with a round that was over here. */
static void told_others(struct sdk_exchange *x, struct name *n)
{
    if (--n->behind > 0)
        tell_others(x, n);
}

/* ---- questions ---- */

static struct name *find_name(struct sdk_exchange *x, const char *text)
{
    for (uint32_t i = 0; i < x->names_count; i++)
        if (strcmp(x->names[i]->text, text) == 0)
            return x->names[i];
    struct name *n = x->names_count < SDK_EXCHANGE_NAMES_MAX
                         ? calloc(1, sizeof *n + x->ranks * sizeof(struct part))
                         : NULL;
    if (!n)
        return NULL;
    (void)snprintf(n->text, sizeof n->text, "%s", text);
    n->ended_round = NEVER;
    x->names[x->names_count++] = n;
    return n;
}

static bool all_here(const struct sdk_exchange *x, const struct name *n)
{
    for (uint32_t rank = 0; rank < x->ranks; rank++)
        if (!n->parts[rank].here)
            return false;
    return true;
}

/* To a round that is over here. */
static void come_late(struct sdk_exchange *x, uint64_t connection, const struct name *n,
                      uint64_t round)
{
    if (round < n->ended_round)
        fail(x, connection, ETIMEDOUT, "this rank came when the time was over for those before it");
    else
        fail(x, connection, ECONNABORTED, "%s", ended_words(n));
}

static void ask_gather(struct sdk_exchange *x, uint64_t connection, uint32_t rank,
                       const struct sdk_message *m, int64_t now_ms)
{
    struct name *n = find_name(x, m->name);
    if (!n) {
        fail(x, connection, ENOSPC,
             "%u names of gathers and barriers in one attempt: use one again", x->names_count);
        return;
    }
    struct part *p = &n->parts[rank];
    if (p->rounds < n->round) {
        come_late(x, connection, n, p->rounds++);
        return;
    }
    if (p->here) {
        fail(x, connection, EBUSY, "the last one of this name is not over for this rank");
        return;
    }
    if (!n->sent && m->length > 0) {
        p->data = malloc(m->length);
        if (!p->data) {
            fail(x, connection, ENOMEM, "the launcher has no memory");
            return;
        }
        memcpy(p->data, m->data, m->length);
        p->length = m->length;
    }
    p->here = true;
    p->connection = connection;
    if (!n->until_ms || now_ms + m->time_ms < n->until_ms)
        n->until_ms = now_ms + m->time_ms;
    bool over = x->ended_count > 0 && fail_if_ended(x, n);
    if (!over && !n->sent && all_here(x, n))
        take_part_whole(x, n, now_ms);
    set_timer(x, now_ms);
}

void sdk_exchange_ask(struct sdk_exchange *x, uint64_t connection, uint32_t rank,
                      const struct sdk_message *m, int64_t now_ms)
{
    struct mlt_error err = {0};
    int rc = 0;
    if (rank >= x->ranks || (m->kind == SDK_GATHER && x->ended[rank])) {
        /* Who speaks for a rank that has ended is a child of it. */
        fail(x, connection, ECANCELED, rank >= x->ranks ? "no rank runs" : "this rank has ended");
        return;
    }
    if (m->kind == SDK_GATHER)
        ask_gather(x, connection, rank, m, now_ms);
    else if (m->kind == SDK_PUT)
        rc = x->ops->put(x->arg, connection << TAG_BITS | TAG_PUT, m->name, m->data, m->length,
                         &err);
    else
        rc = x->ops->get(x->arg, connection << TAG_BITS | TAG_GET, m->name, m->time_ms, &err);
    if (rc < 0)
        fail(x, connection, -rc, "%s", err.text);
}

void sdk_exchange_gone(struct sdk_exchange *x, uint64_t connection)
{
    for (uint32_t i = 0; i < x->names_count; i++)
        for (uint32_t rank = 0; rank < x->ranks; rank++)
            if (x->names[i]->parts[rank].connection == connection)
                x->names[i]->parts[rank].connection = 0;
    x->ops->cancel(x->arg, connection << TAG_BITS | TAG_PUT);
    x->ops->cancel(x->arg, connection << TAG_BITS | TAG_GET);
}

/* ---- results ---- */

static int compare_parts(const void *a, const void *b)
{
    uint32_t x = ((const struct sdk_part *)a)->rank, y = ((const struct sdk_part *)b)->rank;
    return x < y ? -1 : x > y;
}

/* The same parts in the order of ranks: mpirun may have dealt them out to the pods in turn. A new
 * reference; NULL when two are of one rank, or no memory. */
static struct sdk_bytes *sort_parts(struct sdk_bytes *body)
{
    struct sdk_part part;
    size_t at = 0, count = 0, to = 0;
    int64_t last = -1;
    while (sdk_part_next(body->data, body->length, &at, last, &part) == 1)
        last = part.rank;
    if (at == body->length)
        return sdk_bytes_ref(body);
    cleanup_free struct sdk_part *parts =
        malloc((body->length / SDK_PART_HEAD + 1) * sizeof *parts);
    for (at = 0; parts && sdk_part_next(body->data, body->length, &at, -1, &parts[count]) == 1;)
        count++;
    if (parts && at != body->length)
        return sdk_bytes_ref(body); /* no parts at all: who gets them sees it */
    struct sdk_bytes *sorted = parts ? sdk_bytes_new(body->length) : NULL;
    if (!sorted)
        return NULL;
    qsort(parts, count, sizeof *parts, compare_parts);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && parts[i].rank == parts[i - 1].rank) {
            sdk_bytes_unref(sorted);
            return NULL;
        }
        sdk_part_head(sorted->data + to, parts[i].rank, parts[i].length);
        memcpy(sorted->data + to + SDK_PART_HEAD, parts[i].data, parts[i].length);
        to += SDK_PART_HEAD + (size_t)parts[i].length;
    }
    return sorted;
}

/* The parts of all pods in one piece; NULL with an error and words. */
static struct sdk_bytes *join(const struct exchange_output *o, int *ret_error, char *words,
                              size_t size)
{
    size_t length = 0, at = 0;
    for (uint32_t i = 0; i < o->entries_count; i++) {
        const struct exchange_entry *e = &o->entries[i];
        if (e->data && e->length >= 3 && e->data[0] == BLOB_FAILED) {
            *ret_error = e->data[1] << 8 | e->data[2];
            (void)snprintf(words, size, "%.*s", (int)(e->length - 3), (const char *)e->data + 3);
            return NULL;
        }
        if (!e->data || e->length < 1 || e->data[0] != BLOB_PARTS) {
            *ret_error = EPROTO;
            (void)snprintf(words, size, "pod %u has given what is none of a gather", e->node_rank);
            return NULL;
        }
        length += e->length - 1;
    }
    struct sdk_bytes *body = length <= SDK_BODY_MAX ? sdk_bytes_new(length) : NULL;
    if (!body) {
        *ret_error = length > SDK_BODY_MAX ? EMSGSIZE : ENOMEM;
        (void)snprintf(words, size, "%zu bytes: too many, or no memory for them", length);
        return NULL;
    }
    for (uint32_t i = 0; i < o->entries_count; i++) {
        memcpy(body->data + at, o->entries[i].data + 1, o->entries[i].length - 1);
        at += o->entries[i].length - 1;
    }
    struct sdk_bytes *sorted = sort_parts(body);
    sdk_bytes_unref(body);
    *ret_error = sorted ? 0 : EPROTO;
    if (!sorted)
        (void)snprintf(words, size, "two ranks have one number, or there is no memory");
    return sorted;
}

static void gather_done(struct sdk_exchange *x, struct name *n, const struct exchange_output *o)
{
    char words[SDK_EXCHANGE_WORDS_MAX + 1] = "";
    int error = 0;
    if (o->outcome != EXCHANGE_OK) {
        end_round(x, n, 0, NULL, error_of(o->outcome), o->words);
        return;
    }
    struct sdk_bytes *body = join(o, &error, words, sizeof words);
    end_round(x, n, o->sequence, body, error, words);
    sdk_bytes_unref(body);
}

void sdk_exchange_done(struct sdk_exchange *x, const struct exchange_output *o, int64_t now_ms)
{
    uint64_t number = o->tag >> TAG_BITS;
    enum tag_kind kind = o->tag & ((1u << TAG_BITS) - 1);
    if (kind == TAG_GATHER) {
        struct name *n = number < x->names_count ? x->names[number] : NULL;
        if (n && n->behind > 0)
            told_others(x, n);
        else if (n && n->sent)
            gather_done(x, n, o);
        set_timer(x, now_ms);
        return;
    }
    if (o->outcome != EXCHANGE_OK) {
        fail(x, number, error_of(o->outcome), "%s", o->words);
        return;
    }
    if (kind == TAG_PUT) {
        x->ops->answer(x->arg, number, "done\n", NULL);
        return;
    }
    struct sdk_bytes *body = sdk_bytes_new(o->length);
    if (!body) {
        fail(x, number, ENOMEM, "the launcher has no memory");
        return;
    }
    if (o->length > 0)
        memcpy(body->data, o->data, o->length);
    give(x, number, 0, body);
    sdk_bytes_unref(body);
}
