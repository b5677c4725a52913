/* PMI-1's server: see pmi1.h. */
#include "launcher/pmi1.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/pmi1_kvs.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/base/text.h"

struct client {
    bool broken, waits; /* waits: in the barrier */
    bool left;          /* its rank has ended well */
    bool spawns;        /* within an mcmd=spawn, until its endcmd */
    int64_t spawns_left;
    size_t length; /* of `line` so far */
    char line[PMI1_LINE_MAX];
};

struct pmi1 {
    const struct pmi1_ops *ops;
    void *arg;
    struct pmi1_config config;
    char name[PMI1_NAME_MAX];
    struct pmi1_kvs kvs;
    struct mlt_text puts; /* of ranks here since the last barrier: key NUL value NUL ... */
    uint32_t waiting;     /* clients in the barrier */
    bool gathering;       /* the others have been told */
    struct client clients[];
};

/* ---- life ---- */

/* Blocks of ranks in the order of pods, as MPICH reads it: (vector, (first node, nodes, ranks of
 * each)). Without it MPICH compares host names. */
static int put_mapping(struct pmi1 *p)
{
    char mapping[64];
    const struct pmi1_config *c = &p->config;
    if ((uint64_t)c->nodes * c->local_ranks != c->world_size)
        return 0;
    (void)snprintf(mapping, sizeof mapping, "(vector,(0,%" PRIu32 ",%" PRIu32 "))", c->nodes,
                   c->local_ranks);
    return pmi1_kvs_put(&p->kvs, "PMI_process_mapping", mapping);
}

struct pmi1 *pmi1_new(const struct pmi1_config *config, const struct pmi1_ops *ops, void *arg)
{
    assert(config->local_ranks > 0 && strlen(config->name) < PMI1_NAME_MAX);
    struct pmi1 *p = calloc(1, sizeof *p + config->local_ranks * sizeof p->clients[0]);
    if (!p)
        return NULL;
    p->config = *config;
    p->config.name = NULL;
    (void)snprintf(p->name, sizeof p->name, "%s", config->name);
    p->ops = ops;
    p->arg = arg;
    mlt_text_init(&p->puts, PMI1_PUTS_MAX);
    if (put_mapping(p) < 0) {
        pmi1_free(p);
        return NULL;
    }
    return p;
}

void pmi1_free(struct pmi1 *p)
{
    if (!p)
        return;
    pmi1_kvs_release(&p->kvs);
    mlt_text_release(&p->puts);
    free(p);
}

/* ---- answers ---- */

static void give_up(struct pmi1 *p, uint32_t rank, const char *format, ...) MLT_PRINTF(3, 4);
static void give_up(struct pmi1 *p, uint32_t rank, const char *format, ...)
{
    char words[PMI1_WORDS_MAX];
    va_list args;
    if (p->clients[rank].broken)
        return;
    p->clients[rank].broken = true;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    p->ops->broken(p->arg, rank, words);
}

static void answer(struct pmi1 *p, uint32_t rank, const char *format, ...) MLT_PRINTF(3, 4);
static void answer(struct pmi1 *p, uint32_t rank, const char *format, ...)
{
    char line[PMI1_ANSWER_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(length > 0 && (size_t)length < sizeof line);
    p->ops->answer(p->arg, rank, line, (size_t)length);
}

/* ---- questions ---- */

/* The value of a word `name=value` in a line, up to the next space; with `rest`, to the line's end.
 * False: not there, or longer than `size` - 1. */
static bool word_of(const char *line, const char *name, bool rest, char *to, size_t size)
{
    size_t length = strlen(name);
    for (const char *at = line; *at;) {
        at += strspn(at, " ");
        size_t word = strcspn(at, " ");
        if (word > length && memcmp(at, name, length) == 0 && at[length] == '=') {
            size_t value = rest ? strlen(at) - length - 1 : word - length - 1;
            if (value >= size)
                return false;
            memcpy(to, at + length + 1, value);
            to[value] = '\0';
            return true;
        }
        at += word;
    }
    return false;
}

static bool number_of(const char *line, const char *name, int64_t *ret)
{
    char text[24];
    return word_of(line, name, false, text, sizeof text) &&
           mlt_parse_integer(text, INT32_MIN, INT32_MAX, ret, NULL) == 0;
}

/* Most clients name the space of names with each question, later ones need not. */
static bool is_ours(const struct pmi1 *p, const char *line)
{
    char name[PMI1_NAME_MAX];
    return !strstr(line, " kvsname=") ||
           (word_of(line, "kvsname", false, name, sizeof name) && strcmp(name, p->name) == 0);
}

static void do_init(struct pmi1 *p, uint32_t rank, const char *line)
{
    int64_t version = 0;
    if (!number_of(line, "pmi_version", &version))
        version = 0;
    /* A client of PMI-2 asks first whether we are of its kind, and can speak our version. */
    answer(p, rank, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=%d\n",
           version == 1 ? 0 : -1);
    if (version == 1)
        p->ops->connected(p->arg, rank);
}

static void do_maxes(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    answer(p, rank, "cmd=maxes rc=0 kvsname_max=%d keylen_max=%d vallen_max=%d\n", PMI1_NAME_MAX,
           PMI1_KEY_MAX, PMI1_VALUE_MAX);
}

static void do_appnum(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    answer(p, rank, "cmd=appnum rc=0 appnum=0\n");
}

static void do_universe(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    answer(p, rank, "cmd=universe_size rc=0 size=%" PRIu32 "\n", p->config.world_size);
}

static void do_name(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    answer(p, rank, "cmd=my_kvsname rc=0 kvsname=%s\n", p->name);
}

static void do_put(struct pmi1 *p, uint32_t rank, const char *line)
{
    char key[PMI1_KEY_MAX + 1], value[PMI1_VALUE_MAX + 1];
    const char *wrong = NULL;
    if (!is_ours(p, line))
        wrong = "kvsname_not_found";
    else if (!word_of(line, "key", false, key, sizeof key) || !key[0])
        wrong = "bad_key";
    else if (!word_of(line, "value", false, value, sizeof value))
        wrong = "bad_value";
    else if (p->gathering)
        wrong = "in_barrier"; /* a rank that has put is not in the barrier, so none is gathered */
    else if (pmi1_kvs_put(&p->kvs, key, value) < 0)
        wrong = "no_room";
    if (!wrong) {
        size_t before = p->puts.length;
        mlt_text_add(&p->puts, key, strlen(key) + 1);
        mlt_text_add(&p->puts, value, strlen(value) + 1);
        if (p->puts.failed) {
            p->puts.length = before;
            p->puts.failed = false;
            wrong = "no_room";
        }
    }
    answer(p, rank, "cmd=put_result rc=%d msg=%s\n", wrong ? -1 : 0, wrong ? wrong : "success");
}

static void do_get(struct pmi1 *p, uint32_t rank, const char *line)
{
    char key[PMI1_KEY_MAX + 1];
    const char *value = NULL;
    if (is_ours(p, line) && word_of(line, "key", false, key, sizeof key))
        value = pmi1_kvs_get(&p->kvs, key);
    if (value)
        answer(p, rank, "cmd=get_result rc=0 msg=success value=%s\n", value);
    else
        answer(p, rank, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
}

static void release_waiting(struct pmi1 *p, const char *words);

/* A barrier that somebody waits in and somebody who has left does not come to is over here. Other
 * pods learn it by the end of the attempt: who is broken fails. */
static void fail_if_left(struct pmi1 *p)
{
    char words[PMI1_WORDS_MAX];
    if (p->waiting == 0 || p->gathering)
        return;
    for (uint32_t i = 0; i < p->config.local_ranks; i++) {
        if (!p->clients[i].left || p->clients[i].waits)
            continue;
        (void)snprintf(words, sizeof words,
                       "rank %" PRIu32 " has ended well: does each rank run the same MPI programs?",
                       p->config.rank_base + i);
        release_waiting(p, words);
        return;
    }
}

void pmi1_left(struct pmi1 *p, uint32_t rank)
{
    assert(rank < p->config.local_ranks);
    p->clients[rank].left = true;
    fail_if_left(p);
}

static void do_barrier(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    p->clients[rank].waits = true;
    if (++p->waiting < p->config.local_ranks) {
        fail_if_left(p);
        return;
    }
    p->gathering = true;
    p->ops->barrier(p->arg, mlt_text_string(&p->puts), p->puts.length);
}

static void do_finalize(struct pmi1 *p, uint32_t rank, const char *line)
{
    (void)line;
    p->ops->finalized(p->arg, rank);
    answer(p, rank, "cmd=finalize_ack rc=0\n");
}

static void do_abort(struct pmi1 *p, uint32_t rank, const char *line)
{
    char words[PMI1_LINE_MAX] = "";
    int64_t code;
    if (!number_of(line, "exitcode", &code))
        code = 1;
    if (!word_of(line, "message", true, words, sizeof words))
        words[0] = '\0';
    p->ops->aborted(p->arg, rank, (int32_t)code, words);
}

static void do_publish(struct pmi1 *p, uint32_t rank, const char *line)
{
    char command[32];
    (void)word_of(line, "cmd", false, command, sizeof command);
    command[strcspn(command, "_")] = '\0'; /* publish_name, unpublish_name, lookup_name */
    answer(p, rank, "cmd=%s_result rc=-1 msg=not_supported\n", command);
}

static const struct {
    const char *name;
    void (*verb)(struct pmi1 *p, uint32_t rank, const char *line);
} commands[] = {
    {"init", do_init},
    {"get_maxes", do_maxes},
    {"get_appnum", do_appnum},
    {"get_universe_size", do_universe},
    {"get_my_kvsname", do_name},
    {"put", do_put},
    {"get", do_get},
    {"barrier_in", do_barrier},
    {"finalize", do_finalize},
    {"abort", do_abort},
    {"publish_name", do_publish},
    {"unpublish_name", do_publish},
    {"lookup_name", do_publish},
};

/* Lines of a spawn, which asks for several programs one after the other and waits for one answer.
 */
static void obey_spawn(struct pmi1 *p, uint32_t rank, const char *line)
{
    struct client *c = &p->clients[rank];
    int64_t total, so_far;
    if (number_of(line, "totspawns", &total))
        c->spawns_left = total;
    else if (number_of(line, "spawnssofar", &so_far))
        c->spawns_left -= so_far;
    if (strcmp(line, "endcmd") != 0)
        return;
    c->spawns = false;
    if (c->spawns_left <= 0)
        answer(p, rank, "cmd=spawn_result rc=-1 msg=not_supported\n");
}

static void obey(struct pmi1 *p, uint32_t rank, const char *line)
{
    struct client *c = &p->clients[rank];
    char name[32];
    if (c->waits) {
        give_up(p, rank, "a question from within the barrier: `%.60s`", line);
        return;
    }
    if (c->spawns) {
        obey_spawn(p, rank, line);
        return;
    }
    if (strcmp(line, "mcmd=spawn") == 0) {
        c->spawns = true;
        c->spawns_left = 0;
        return;
    }
    if (word_of(line, "cmd", false, name, sizeof name))
        for (size_t i = 0; i < MLT_ARRAY_LENGTH(commands); i++)
            if (strcmp(name, commands[i].name) == 0) {
                commands[i].verb(p, rank, line);
                return;
            }
    give_up(p, rank, "this line is none of PMI-1: `%.60s`", line);
}

void pmi1_bytes(struct pmi1 *p, uint32_t rank, const char *bytes, size_t length)
{
    assert(rank < p->config.local_ranks);
    struct client *c = &p->clients[rank];
    for (size_t i = 0; i < length && !c->broken; i++) {
        if (bytes[i] == '\n') {
            c->line[c->length] = '\0';
            c->length = 0;
            obey(p, rank, c->line);
        } else if (bytes[i] == '\0') {
            give_up(p, rank, "a NUL byte");
        } else if (c->length == sizeof c->line - 1) {
            give_up(p, rank, "a line of more than %d bytes", PMI1_LINE_MAX);
        } else {
            c->line[c->length++] = bytes[i];
        }
    }
}

void pmi1_closed(struct pmi1 *p, uint32_t rank)
{
    assert(rank < p->config.local_ranks);
    p->clients[rank].broken = true;
}

/* ---- the barrier ---- */

static bool take_string(const char **at, const char *end, size_t max, const char **ret)
{
    const char *stop = memchr(*at, '\0', (size_t)(end - *at));
    if (!stop || (size_t)(stop - *at) > max)
        return false;
    *ret = *at;
    *at = stop + 1;
    return true;
}

const char *pmi1_barrier_puts(struct pmi1 *p, size_t *ret_length)
{
    *ret_length = p->puts.length;
    return mlt_text_string(&p->puts);
}

int pmi1_gathered(struct pmi1 *p, const char *bytes, size_t length, struct mlt_error *err)
{
    const char *end = bytes + length;
    for (const char *at = bytes; at < end;) {
        const char *key, *value;
        if (!take_string(&at, end, PMI1_KEY_MAX, &key) ||
            !take_string(&at, end, PMI1_VALUE_MAX, &value))
            return mlt_fail(err, EPROTO, "another pod's values: no list of keys and values");
        int rc = pmi1_kvs_put(&p->kvs, key, value);
        if (rc < 0)
            return mlt_fail(err, -rc,
                            rc == -ENOSPC ? "the gang has put more than %u values or %u MiB"
                                          : "no memory for the values of other pods",
                            PMI1_KVS_PAIRS_MAX, PMI1_KVS_BYTES_MAX >> 20);
    }
    return 0;
}

/* The barrier is over for those that wait in it, unless there are words why it is not. */
static void release_waiting(struct pmi1 *p, const char *words)
{
    p->gathering = false;
    p->waiting = 0;
    for (uint32_t i = 0; i < p->config.local_ranks; i++) {
        bool waits = p->clients[i].waits;
        p->clients[i].waits = false;
        if (!waits || p->clients[i].broken)
            continue;
        if (words)
            give_up(p, i, "the barrier of all ranks: %s", words);
        else
            answer(p, i, "cmd=barrier_out rc=0\n");
    }
}

static void open_barrier(struct pmi1 *p, const char *words)
{
    if (!p->gathering)
        return;
    mlt_text_clear(&p->puts);
    release_waiting(p, words);
}

void pmi1_barrier_over(struct pmi1 *p)
{
    open_barrier(p, NULL);
}

void pmi1_barrier_failed(struct pmi1 *p, const char *words)
{
    open_barrier(p, words);
}
