/* How long the shards of torch.distributed.checkpoint must be: see content.h.
 *
 * A `.metadata` says of each piece of a tensor in which file it lies, from where, and how long it
 * is: the fields relative_path, offset and length of a dataclass, in this order. They are found in
 * the stream of opcodes; no object is made. A pickler writes a text once and refers to it by its
 * number afterwards, so that the numbers of the texts that matter are kept.
 * Source: Lib/pickletools.py; torch/distributed/checkpoint/filesystem.py (_StorageInfo). */
#include "launcher/trackers/content.h"

#include <stdlib.h>
#include <string.h>

/* A text that matters; shards are rank << 32 | index. */
#define KIND_NONE UINT64_MAX
#define KIND_OFFSET (UINT64_MAX - 1)
#define KIND_LENGTH (UINT64_MAX - 2)

enum argument {
    NOTHING,
    BYTE_1,
    BYTE_2,
    BYTE_4,
    BYTE_8,
    LENGTH_1,
    LENGTH_4,
    LENGTH_8,
    LINE,
    LINES_2
};

/* What follows each opcode of the protocols 2 to 5. */
static int argument_of(unsigned char opcode)
{
    static const struct {
        const char *opcodes;
        enum argument argument;
    } rows[] = {
        {"(.012NRabd}el]ostu)Q", NOTHING},
        {"\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98", NOTHING},
        {"Kqh\x80\x82", BYTE_1},
        {"M\x83", BYTE_2},
        {"Jrj\x84", BYTE_4},
        {"G\x95", BYTE_8},
        {"\x8cUC\x8a", LENGTH_1},
        {"XTB\x8b", LENGTH_4},
        {"\x8d\x8e\x96", LENGTH_8},
        {"ILFSVPgp", LINE},
        {"ci", LINES_2},
    };
    for (size_t i = 0; opcode && i < sizeof rows / sizeof rows[0]; i++)
        if (strchr(rows[i].opcodes, opcode))
            return (int)rows[i].argument;
    return -1;
}

struct reader {
    const unsigned char *data;
    size_t length, at;
    uint64_t *memo; /* kinds of texts, by their number */
    size_t memo_capacity;
    uint64_t memo_count;
    uint64_t top; /* the kind of the value that was made last */
    /* Where in "shard offset N length M" it is, and what was read of it. */
    int place;
    uint64_t shard, offset;
    bool (*each)(void *user, uint32_t rank, uint32_t index, uint64_t end);
    void *user;
};

static uint64_t little_endian(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static const char *take_digits(const char *at, const char *end, uint32_t *ret)
{
    const char *start = at;
    *ret = 0;
    for (; at < end && at - start < 9 && *at >= '0' && *at <= '9'; at++)
        *ret = *ret * 10 + (uint32_t)(*at - '0');
    return at > start ? at : NULL;
}

static uint64_t kind_of(const char *text, size_t length)
{
    const char *end = text + length, *at;
    uint32_t rank, index;
    if (content_json_is(text, length, "offset"))
        return KIND_OFFSET;
    if (content_json_is(text, length, "length"))
        return KIND_LENGTH;
    if (length < 4 || memcmp(text, "__", 2) != 0)
        return KIND_NONE;
    at = take_digits(text + 2, end, &rank);
    at = at && at < end && *at == '_' ? take_digits(at + 1, end, &index) : NULL;
    return at && content_json_is(at, (size_t)(end - at), ".distcp") ? (uint64_t)rank << 32 | index
                                                                    : KIND_NONE;
}

/* Remembers the value that was made last by a number. */
static bool put(struct reader *r, uint64_t number)
{
    if (number >= r->memo_capacity) {
        size_t capacity = r->memo_capacity ? r->memo_capacity : 1024;
        while (capacity <= number)
            capacity *= 2;
        if (number >= r->length) /* there are no more than bytes */
            return false;
        uint64_t *memo = realloc(r->memo, capacity * sizeof *memo);
        if (!memo)
            return false;
        for (size_t i = r->memo_capacity; i < capacity; i++)
            memo[i] = KIND_NONE;
        r->memo = memo;
        r->memo_capacity = capacity;
    }
    r->memo[number] = r->top;
    return true;
}

static bool see_text(struct reader *r, uint64_t kind)
{
    r->top = kind;
    if (kind < KIND_LENGTH) {
        r->shard = kind;
        r->place = 1;
    } else if (kind == KIND_OFFSET && r->place == 1) {
        r->place = 2;
    } else {
        r->place = kind == KIND_LENGTH && r->place == 3 ? 4 : 0;
    }
    return true;
}

static bool see_number(struct reader *r, uint64_t value)
{
    uint64_t end;
    int place = r->place;
    r->top = KIND_NONE;
    r->place = 0;
    if (place == 2) {
        r->offset = value;
        r->place = 3;
    }
    if (place != 4)
        return true;
    return !__builtin_add_overflow(r->offset, value, &end) &&
           r->each(r->user, (uint32_t)(r->shard >> 32), (uint32_t)r->shard, end);
}

static bool do_opcode(struct reader *r, unsigned char opcode, const unsigned char *argument,
                      size_t length)
{
    uint64_t number = length <= 8 ? little_endian(argument, length) : 0;
    switch (opcode) {
    case 0x94: /* MEMOIZE */
        return put(r, r->memo_count++);
    case 'q':
    case 'r':
        r->memo_count++;
        return put(r, number);
    case 'h':
    case 'j':
        return see_text(r, number < r->memo_capacity ? r->memo[number] : KIND_NONE);
    case 0x8c:
    case 'X':
        return see_text(r, kind_of((const char *)argument, length));
    case 'K':
    case 'M':
    case 'J':
        return see_number(r, number);
    case 0x8a: /* LONG1: more than 31 bits */
        return length > 8 ? see_text(r, KIND_NONE) : see_number(r, number);
    case 0x95: /* FRAME: may stand between any two */
        return true;
    default:
        return see_text(r, KIND_NONE);
    }
}

/* Finds the argument of an opcode: false when it is cut. */
static bool take_argument(struct reader *r, int kind, const unsigned char **ret_at,
                          size_t *ret_length)
{
    static const size_t fixed[] = {
        [NOTHING] = 0, [BYTE_1] = 1, [BYTE_2] = 2, [BYTE_4] = 4, [BYTE_8] = 8};
    static const size_t counts[] = {[LENGTH_1] = 1, [LENGTH_4] = 4, [LENGTH_8] = 8};
    size_t left = r->length - r->at, length = 0;
    if (kind <= BYTE_8) {
        length = fixed[kind];
    } else if (kind <= LENGTH_8) {
        if (left < counts[kind])
            return false;
        uint64_t said = little_endian(r->data + r->at, counts[kind]);
        r->at += counts[kind];
        left -= counts[kind];
        if (said > left)
            return false;
        length = (size_t)said;
    } else {
        for (int lines = kind == LINES_2 ? 2 : 1; lines; lines--) {
            const unsigned char *end = memchr(r->data + r->at + length, '\n', left - length);
            if (!end)
                return false;
            length = (size_t)(end - (r->data + r->at)) + 1;
        }
    }
    if (length > left)
        return false;
    *ret_at = r->data + r->at;
    *ret_length = length;
    r->at += length;
    return true;
}

bool content_dcp_walk(const unsigned char *data, size_t length,
                      bool (*each)(void *user, uint32_t rank, uint32_t index, uint64_t end),
                      void *user)
{
    struct reader r = {
        .data = data, .length = length, .top = KIND_NONE, .each = each, .user = user};
    bool done = false, good = true;
    while (good && !done && r.at < length) {
        unsigned char opcode = data[r.at++];
        const unsigned char *argument = NULL;
        size_t argument_length = 0;
        int kind = argument_of(opcode);
        good = kind >= 0 && take_argument(&r, kind, &argument, &argument_length) &&
               do_opcode(&r, opcode, argument, argument_length);
        done = opcode == '.';
    }
    free(r.memo);
    return good && done;
}
