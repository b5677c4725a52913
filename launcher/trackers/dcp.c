/* torch.distributed.checkpoint: a folder a step, with `.metadata` and the shards `__R_I.distcp`.
 *
 * The writer renames `.metadata` into place after all shards, but shards of other ranks may still
 * be on their way to a network file system, and a shard may be lost or empty afterwards. Complete
 * is a folder whose `.metadata` is a whole pickle and in which each shard that it names is there,
 * not empty, and as long as the pieces of tensors in it need. The names are found by their form in
 * the pickle's bytes, whatever it is made of; the lengths only when it is what PyTorch writes
 * today. No pickle is ever run. Source: torch/distributed/checkpoint/filesystem.py (DEFAULT_SUFFIX,
 * FileSystemWriter.finish). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"
#include "lib/base/cleanup.h"

#define PICKLE_FIRST 0x80 /* PROTO, the first opcode of every pickle since protocol 2 */
#define PICKLE_LAST '.'   /* STOP */
#define PIECE (64u * 1024)
#define SUFFIX ".distcp"

/* ---- names in bytes ---- */

/* Where a key is in the table, or goes. */
static size_t slot_of(const struct tracker_dcp_names *n, uint64_t key)
{
    size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (n->capacity - 1);
    while (n->set[at] && n->set[at] != key)
        at = (at + 1) & (n->capacity - 1);
    return at;
}

static bool insert(struct tracker_dcp_names *n, uint64_t key)
{
    size_t at = slot_of(n, key);
    bool is_new = n->set[at] == 0;
    n->set[at] = key;
    return is_new;
}

static void remember(struct tracker_dcp_names *n, uint64_t key)
{
    if (n->count * 2 >= n->capacity) {
        struct tracker_dcp_names more = {.capacity = n->capacity ? n->capacity * 2 : 64};
        if (n->count < TRACKER_DCP_SHARDS_MAX)
            more.set = calloc(more.capacity, sizeof *more.set);
        if (!more.set) {
            n->failed = true;
            return;
        }
        for (size_t i = 0; i < n->capacity; i++)
            if (n->set[i])
                (void)insert(&more, n->set[i]);
        free(n->set);
        n->set = more.set;
        n->capacity = more.capacity;
    }
    n->count += insert(n, key);
}

/* What was read of a name so far: "__", digits, "_", digits, ".distcp". */
enum name_state { NOTHING, ONE_BAR, TWO_BARS, RANK, RANK_BAR, INDEX, IN_SUFFIX };

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

/* Takes one more digit of R or I; false above nine digits. */
static bool add_digit(struct tracker_dcp_names *n, uint32_t *value, unsigned char c)
{
    if (n->digits == 9)
        return false;
    n->digits++;
    *value = *value * 10 + (uint32_t)(c - '0');
    return true;
}

static void begin_number(struct tracker_dcp_names *n, uint32_t *value, unsigned char c, int state)
{
    *value = (uint32_t)(c - '0');
    n->digits = 1;
    n->state = state;
}

/* The state after a byte that does not go on with a name: it may begin another one. */
static int restart(int state, unsigned char c)
{
    if (c != '_')
        return NOTHING;
    return state == ONE_BAR || state == TWO_BARS || state == RANK_BAR ? TWO_BARS : ONE_BAR;
}

static void feed_byte(struct tracker_dcp_names *n, unsigned char c)
{
    static const char suffix[] = SUFFIX;
    if (n->state == TWO_BARS && is_digit(c)) {
        begin_number(n, &n->rank, c, RANK);
    } else if (n->state == RANK && is_digit(c) && add_digit(n, &n->rank, c)) {
        return;
    } else if (n->state == RANK && c == '_') {
        n->state = RANK_BAR;
    } else if (n->state == RANK_BAR && is_digit(c)) {
        begin_number(n, &n->index, c, INDEX);
    } else if (n->state == INDEX && is_digit(c) && add_digit(n, &n->index, c)) {
        return;
    } else if (n->state == INDEX && c == suffix[0]) {
        n->state = IN_SUFFIX;
        n->digits = 1; /* bytes of the suffix seen */
    } else if (n->state == IN_SUFFIX && c == (unsigned char)suffix[n->digits]) {
        if (++n->digits == sizeof suffix - 1) {
            remember(n, ((uint64_t)n->rank << 32 | n->index) + 1);
            n->state = NOTHING;
        }
    } else {
        n->state = restart(n->state, c);
    }
}

void tracker_dcp_feed(struct tracker_dcp_names *n, const unsigned char *data, size_t length)
{
    for (size_t at = 0; at < length && !n->failed; at++) {
        if (n->state == NOTHING) {
            const unsigned char *bar = memchr(data + at, '_', length - at);
            if (!bar)
                return;
            at = (size_t)(bar - data);
        }
        feed_byte(n, data[at]);
    }
}

void tracker_dcp_release(struct tracker_dcp_names *n)
{
    free(n->set);
    *n = (struct tracker_dcp_names){0};
}

/* ---- folders ---- */

static bool dcp_match(const struct tracker_look *look, const char *name, int64_t *ret_step)
{
    (void)look;
    return tracker_last_number(name, ret_step);
}

static bool is_not_a_shard(void *user, int folder, const char *name)
{
    (void)folder;
    bool *found = user;
    *found = strstr(name, SUFFIX) || strcmp(name, ".metadata.tmp") == 0;
    return !*found;
}

/* A folder without `.metadata` is a checkpoint being written when shards are there, else none. */
static bool has_shards(int folder)
{
    bool found = false;
    return tracker_each_name(folder, is_not_a_shard, &found) == 0 && found;
}

/* Reads the whole pickle; false when it is cut. */
static bool read_names(int fd, struct tracker_dcp_names *names)
{
    cleanup_free unsigned char *piece = malloc(PIECE);
    unsigned char last = 0;
    bool first = true;
    while (piece) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (first && (n == 0 || piece[0] != PICKLE_FIRST)))
            return false;
        if (n == 0)
            return last == PICKLE_LAST && !names->failed;
        first = false;
        last = piece[n - 1];
        tracker_dcp_feed(names, piece, (size_t)n);
    }
    return false;
}

/* How long the shards must be: where the last piece of a tensor ends in each. */
struct lengths {
    const struct tracker_dcp_names *names;
    uint64_t *ends; /* by their places in the table of names */
};

static bool add_piece(void *user, uint32_t rank, uint32_t index, uint64_t end)
{
    const struct lengths *l = user;
    uint64_t key = ((uint64_t)rank << 32 | index) + 1;
    size_t at = slot_of(l->names, key);
    if (l->names->set[at] == key && end > l->ends[at])
        l->ends[at] = end;
    return true;
}

/* All 0 where the metadata do not say, or are too large to be walked through each second. */
static uint64_t *read_lengths(int folder, const struct tracker_dcp_names *names)
{
    size_t length;
    struct lengths l = {.names = names, .ends = calloc(names->capacity, sizeof *l.ends)};
    cleanup_free char *data = tracker_read_file(folder, ".metadata", CONTENT_DCP_MAX, &length);
    if (l.ends && data && !content_dcp_walk((unsigned char *)data, length, add_piece, &l))
        memset(l.ends, 0, names->capacity * sizeof *l.ends);
    return l.ends;
}

static bool shards_are_there(int folder, const struct tracker_dcp_names *names,
                             struct tracker_result *ret)
{
    cleanup_free uint64_t *ends = names->count ? read_lengths(folder, names) : NULL;
    if (!ends)
        return false;
    for (size_t i = 0; i < names->capacity; i++) {
        if (!names->set[i])
            continue;
        uint64_t key = names->set[i] - 1;
        char name[64];
        struct stat st;
        (void)snprintf(name, sizeof name, "__%u_%u" SUFFIX, (unsigned)(key >> 32),
                       (unsigned)(key & UINT32_MAX));
        if (fstatat(folder, name, &st, 0) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0 ||
            (uint64_t)st.st_size < ends[i])
            return false;
        tracker_add_part(ret, &st);
    }
    return true;
}

static void dcp_examine(const struct tracker_look *look, const char *name,
                        struct tracker_result *ret)
{
    *ret = (struct tracker_result){.verdict = TRACKER_NOTHING};
    cleanup_close int folder = openat(look->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    struct stat st;
    cleanup_close int metadata = openat(folder, ".metadata", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (metadata < 0) {
        if (has_shards(folder))
            ret->verdict = TRACKER_TORN;
        return;
    }
    ret->verdict = TRACKER_TORN;
    if (fstat(metadata, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    tracker_add_part(ret, &st);
    struct tracker_dcp_names names = {0};
    if (read_names(metadata, &names) && shards_are_there(folder, &names, ret)) {
        ret->verdict = TRACKER_COMPLETE;
        ret->proves_itself = true;
    }
    tracker_dcp_release(&names);
}

const struct tracker tracker_dcp = {.format = "dcp", .match = dcp_match, .examine = dcp_examine};
