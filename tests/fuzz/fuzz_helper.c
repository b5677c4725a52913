/* Frames of mltrain-helper: the reader that both ends use, and the launcher's end of a helper. The
 * first byte tells how the rest is cut; a second one of 0x80 and above lets the launcher's end see
 * a READY first. What other pods say is pretended from the bytes as well. */
#include <errno.h>
#include <stdlib.h>

#include "launcher/helper_client.h"
#include "tests/fuzz/fuzz.h"

/* What was read is written as the same frame. */
static void check(const struct helper_message *m, const unsigned char *frame, size_t length)
{
    int size = helper_message_size(m);
    REQUIRE(size > 0 && (size_t)size == length);
    unsigned char *again = malloc(length);
    helper_message_write(m, again);
    REQUIRE(memcmp(again, frame, length) == 0);
    free(again);
    if (m->kind == HELPER_READY)
        for (uint32_t ranks = 0; ranks < 4; ranks++)
            for (uint32_t local = 0; local < ranks; local++) {
                const char *at = helper_environment(m->data, m->data_length, ranks, local);
                for (; at && *at; at += strlen(at) + 1)
                    REQUIRE(strchr(at, '=') && *at != '=');
            }
}

/* Gives what helper_reader_next() said last, and how many messages there were. */
static int feed(const uint8_t *data, size_t size, size_t piece, size_t *ret_count)
{
    struct helper_reader r = {0};
    struct helper_message m;
    int rc = 0;
    *ret_count = 0;
    for (size_t at = 0; rc == 0 && at < size;) {
        size_t room, n = size - at < piece ? size - at : piece;
        unsigned char *to = helper_reader_space(&r, &room);
        REQUIRE(to && room > 0);
        n = n < room ? n : room;
        memcpy(to, data + at, n);
        r.length += n;
        at += n;
        size_t start = r.start;
        for (rc = helper_reader_next(&r, &m); rc == 1; rc = helper_reader_next(&r, &m)) {
            check(&m, r.data + start, r.start - start);
            start = r.start;
            ++*ret_count;
        }
        REQUIRE(r.capacity <= 4 * (size + 32768));
    }
    REQUIRE(rc == 0 || rc == -EPROTO);
    helper_reader_release(&r);
    return rc;
}

static void give(struct helper_client *c, const void *bytes, size_t length)
{
    while (length > 0) {
        size_t room;
        unsigned char *to = helper_client_space(c, &room);
        REQUIRE(to && room > 0);
        size_t n = room < length ? room : length;
        memcpy(to, bytes, n);
        helper_client_received(c, n);
        bytes = (const uint8_t *)bytes + n;
        length -= n;
    }
}

/* What comes out must be what exchange.h takes; every gather and fetch is answered, some twice. */
static void take_outputs(struct helper_client *c, const uint8_t *data, size_t size)
{
    struct helper_client_output o;
    for (unsigned count = 0; helper_client_next(c, &o) && count < 10000; count++) {
        if (o.kind == HELPER_CLIENT_GATHER) {
            REQUIRE(o.name[0] && strlen(o.name) <= EXCHANGE_NAME_MAX);
            bool ours = o.members_count == 0;
            for (size_t i = 0; i < o.members_count; i++) {
                REQUIRE(o.members[i] < 3 && (i == 0 || o.members[i] > o.members[i - 1]));
                ours = ours || o.members[i] == 1;
            }
            REQUIRE(ours);
        }
        if (o.kind == HELPER_CLIENT_FETCH)
            REQUIRE(o.node_rank < 3 && o.node_rank != 1);
        if (o.kind != HELPER_CLIENT_GATHER && o.kind != HELPER_CLIENT_FETCH)
            continue;
        const struct exchange_entry entry = {.data = data, .length = (uint32_t)size};
        const struct exchange_output result = {.kind = EXCHANGE_DO_DONE,
                                               .tag = o.tag,
                                               .outcome = (enum exchange_outcome)(size % 10),
                                               .words = "words",
                                               .data = data,
                                               .length = size,
                                               .entries = &entry,
                                               .entries_count = size % 2};
        helper_client_exchanged(c, &result);
        helper_client_exchanged(c, &result);
    }
}

static void run_client(const uint8_t *data, size_t size, size_t piece, bool ready)
{
    static const unsigned char ready_frame[] = {15, 0, 0, 0,   HELPER_READY, 2,   0, 'v', 0, 6,
                                                0,  0, 0, 'A', '=',          '1', 0, 0,   0};
    const struct helper_client_begin begin = {.job = "j",
                                              .job_uid = "u",
                                              .attempt = 1,
                                              .folder = "/f",
                                              .node_rank = 1,
                                              .nodes = 3,
                                              .nproc = 2,
                                              .world_size = 6,
                                              .rank_base = 2};
    struct helper_client *c = helper_client_new();
    REQUIRE(c);
    helper_client_begin(c, &begin);
    if (ready)
        give(c, ready_frame, sizeof ready_frame);
    char *name = fuzz_text(data, size);
    struct exchange_output question = {
        .kind = EXCHANGE_DO_QUESTION, .question = size, .name = name};
    for (size_t at = 0; at < size; at += piece) {
        give(c, data + at, size - at < piece ? size - at : piece);
        take_outputs(c, data, size);
        helper_client_exchanged(c, &question);
    }
    question.name = "modex/3";
    helper_client_exchanged(c, &question);
    take_outputs(c, data, size);
    helper_client_closed(c, "closed", size % 2);
    take_outputs(c, data, size);
    helper_client_end(c);
    free(name);
    helper_client_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t whole, pieces;
    if (size < 2 || size > 1 << 16)
        return 0;
    size_t piece = data[0] + 1u;
    bool ready = data[1] >= 0x80;
    data += 2;
    size -= 2;
    int rc = feed(data, size, size + 1, &whole);
    REQUIRE(feed(data, size, piece, &pieces) == rc && pieces == whole);
    run_client(data, size, piece, ready);
    return 0;
}
