/* The end of a zip file: see content.h. */
#include "launcher/trackers/content.h"

#include <string.h>

static uint64_t little_endian(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

/* The directory's end by the zip64 record, which a locator right before `end` points to. */
static bool zip64_is_whole(const unsigned char *tail, size_t end, uint64_t tail_offset)
{
    if (end < 20 || memcmp(tail + end - 20, "PK\6\7", 4) != 0)
        return false;
    uint64_t at = little_endian(tail + end - 20 + 8, 8);
    if (at < tail_offset || at - tail_offset > end - 20 || end - 20 - (at - tail_offset) < 56)
        return false;
    const unsigned char *record = tail + (at - tail_offset);
    if (memcmp(record, "PK\6\6", 4) != 0)
        return false;
    uint64_t size = little_endian(record + 40, 8), offset = little_endian(record + 48, 8);
    return size <= at && offset <= at - size;
}

bool content_zip_is_whole(const unsigned char *tail, size_t length, uint64_t size)
{
    if (length < 22 || size < length)
        return false;
    uint64_t tail_offset = size - length;
    for (size_t at = length - 22 + 1; at-- > 0;) {
        const unsigned char *end = tail + at;
        if (memcmp(end, "PK\5\6", 4) != 0 || at + 22 + little_endian(end + 20, 2) != length)
            continue;
        uint64_t directory = little_endian(end + 12, 4), offset = little_endian(end + 16, 4);
        uint64_t position = tail_offset + at;
        bool needs_64 = directory == UINT32_MAX || offset == UINT32_MAX ||
                        little_endian(end + 10, 2) == UINT16_MAX;
        if (needs_64 ? zip64_is_whole(tail, at, tail_offset)
                     : directory <= position && offset <= position - directory)
            return true;
    }
    return false;
}
