/* Bytes on MLTRAIN_SOCKET: the reader that the launcher uses for each connection. */
#include <errno.h>

#include "sdk/socket_message.h"
#include "tests/fuzz/fuzz.h"

/* What was read is written as the same line. */
static void check(const struct sdk_message *m)
{
    char line[SDK_LINE_MAX + 1];
    static struct sdk_reader r;
    struct sdk_message again;
    REQUIRE(m->step >= 0 && m->total >= 0 && m->rank >= 0 && m->attempt >= 0 && m->version >= 0);
    int length = sdk_message_write(m, line, sizeof line);
    REQUIRE(length > 0);
    r.start = r.length = 0;
    memcpy(r.data, line, (size_t)length);
    r.length = (size_t)length;
    REQUIRE(sdk_reader_next(&r, &again) == 1);
    REQUIRE(again.kind == m->kind && again.step == m->step && again.total == m->total &&
            again.rank == m->rank && again.attempt == m->attempt && again.version == m->version);
    REQUIRE(m->kind != SDK_COMMITTED || strcmp(again.path, m->path) == 0);
}

/* Gives what sdk_reader_next() said last, and how many messages there were. */
static int feed(const uint8_t *data, size_t size, size_t piece, size_t *ret_count)
{
    struct sdk_reader *r = calloc(1, sizeof *r); /* on the heap: a sanitizer sees its end */
    struct sdk_message message;
    int rc = 0;
    *ret_count = 0;
    for (size_t at = 0; r && rc == 0 && at < size;) {
        size_t room, n = size - at < piece ? size - at : piece;
        char *to = sdk_reader_space(r, &room);
        REQUIRE(room > 0);
        n = n < room ? n : room;
        memcpy(to, data + at, n);
        r->length += n;
        at += n;
        for (rc = sdk_reader_next(r, &message); rc == 1; rc = sdk_reader_next(r, &message)) {
            check(&message);
            ++*ret_count;
        }
    }
    REQUIRE(rc == 0 || rc == -EPROTO);
    free(r);
    return rc;
}

/* However the bytes are cut, the same messages are read. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole, pieces;
    if (size > 1 << 16)
        return 0;
    int rc = feed(data, size, size, &whole);
    REQUIRE(feed(data, size, 7, &pieces) == rc && pieces == whole);
    char *line = fuzz_text(data, size);
    (void)sdk_answer_of(line);
    free(line);
    return 0;
}
