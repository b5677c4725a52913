/* Numbers in pickles: see content.h. */
#include "launcher/trackers/content.h"

#include <string.h>

/* The opcodes that may stand between a text and the number that belongs to it, and the numbers. */
enum opcode {
    BINPUT = 'q',      /* a byte */
    LONG_BINPUT = 'r', /* four */
    MEMOIZE = 0x94,
    BININT1 = 'K',
    BININT2 = 'M',
    BININT = 'J',
};

static int64_t little_endian(const unsigned char *at, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return bytes == 4 ? (int32_t)value : (int64_t)value;
}

/* A text opcode right before the bytes at `at`: a length that is theirs. */
static bool is_text(const unsigned char *data, size_t at, size_t length)
{
    bool is_short = at >= 2 && data[at - 2] == 0x8c && data[at - 1] == length;
    return is_short ||
           (at >= 5 && data[at - 5] == 'X' && little_endian(data + at - 4, 4) == (int64_t)length);
}

static bool number_at(const unsigned char *data, size_t length, size_t at, int64_t *ret)
{
    size_t left = length - at;
    if (left > 2 && data[at] == BINPUT)
        at += 2;
    else if (left > 5 && data[at] == LONG_BINPUT)
        at += 5;
    else if (left > 1 && data[at] == MEMOIZE)
        at += 1;
    left = length - at;
    unsigned bytes = left == 0             ? 0
                     : data[at] == BININT1 ? 1
                     : data[at] == BININT2 ? 2
                     : data[at] == BININT  ? 4
                                           : 0;
    if (bytes == 0 || left <= bytes)
        return false;
    *ret = little_endian(data + at + 1, bytes);
    return true;
}

bool content_pickle_number(const unsigned char *data, size_t length, const char *key, int64_t *ret)
{
    size_t key_length = strlen(key);
    const unsigned char *from = data;
    while (from && key_length) {
        const unsigned char *found = memmem(from, length - (size_t)(from - data), key, key_length);
        if (!found)
            return false;
        size_t at = (size_t)(found - data);
        if (is_text(data, at, key_length) && number_at(data, length, at + key_length, ret))
            return true;
        from = found + 1;
    }
    return false;
}
