/* Bytes on MLTRAIN_SOCKET: the reader that the launcher uses for each connection, and what
 * libmltrain reads of the answers. */
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
    REQUIRE(!m->name == !again.name && again.time_ms == m->time_ms && again.length == m->length);
    REQUIRE(!m->name || (strcmp(again.name, m->name) == 0 && sdk_name_is_valid(m->name)));
    REQUIRE(m->length <= SDK_DATA_MAX &&
            (m->length == 0 || memcmp(again.data, m->data, m->length) == 0));
}

/* What a rank is told: parts lie within the bytes, in the order of ranks. */
static void check_answer(const uint8_t *data, size_t size)
{
    char *line = fuzz_text(data, size);
    struct sdk_part part;
    uint64_t sequence;
    size_t length, at = 0;
    const char *words;
    int64_t last = -1;
    int error, more;
    enum sdk_answer answer = sdk_answer_of(line);
    if (sdk_answer_data(line, &sequence, &length))
        REQUIRE(answer == SDK_ANSWER_DATA && length <= SDK_BODY_MAX);
    if (sdk_answer_failed(line, &error, &words))
        REQUIRE(answer == SDK_ANSWER_FAILED && error > 0 && words >= line);
    free(line);
    for (; (more = sdk_part_next(data, size, &at, last, &part)) == 1; last = part.rank) {
        unsigned char head[SDK_PART_HEAD];
        REQUIRE(part.rank > last && part.length > 0 && part.length <= SDK_DATA_MAX);
        REQUIRE(part.data >= data && part.data + part.length == data + at && at <= size);
        sdk_part_head(head, part.rank, part.length);
        REQUIRE(memcmp(head, part.data - SDK_PART_HEAD, sizeof head) == 0);
    }
    REQUIRE(more == -EPROTO || (more == 0 && at == size));
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
    check_answer(data, size);
    return 0;
}
