/* What the members of an attempt say to each other through the controller: a stream of frames, of
 * any members in any order. First byte: the number of members; then for each message a byte (the
 * member, and in its upper bits whether its channel or its ranks are lost first) at its place in a
 * list, whose length is the second byte; the rest is the stream. Invariants hold after each
 * message, what comes out can be read, nothing is said to who is no member, and all memory that is
 * counted is given back. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rendezvous/collective.h"
#include "rendezvous/frame_bytes.h"
#include "tests/fuzz/fuzz.h"

#define ATTEMPT 1

static void name_member(const void *arg, uint32_t node_rank, char *to, size_t size)
{
    const uint32_t *members = arg;
    REQUIRE(node_rank < *members);
    (void)snprintf(to, size, "worker %u", node_rank);
}

static void drain(struct collective *c, uint32_t members)
{
    struct collective_output out;
    while (collective_next(c, &out)) {
        struct rendezvous_message m;
        struct rendezvous_frame f = {
            .version = RENDEZVOUS_VERSION,
            .type = (uint8_t)out.frame->data[5],
            .payload = (const unsigned char *)out.frame->data + RENDEZVOUS_HEADER_SIZE,
            .length = (uint32_t)(out.frame->length - RENDEZVOUS_HEADER_SIZE)};
        REQUIRE(out.to_count > 0);
        for (uint32_t i = 0; i < out.to_count; i++)
            REQUIRE(out.to[i] < members && (i == 0 || out.to[i] > out.to[i - 1]));
        REQUIRE(rendezvous_message_read(&f, &m, NULL) == 0);
        rendezvous_message_release(&m);
    }
    collective_check(c);
    REQUIRE(!collective_failed(c));
}

static void say(struct collective *c, uint32_t members, uint8_t what,
                const struct rendezvous_frame *frame)
{
    struct rendezvous_message m;
    uint32_t member = (what & 0x3f) % members;
    const char *why = NULL;
    if (what >> 6 == 1)
        collective_joined(c, member);
    if (what >> 6 >= 2)
        collective_ended(c, member, what >> 6 == 3);
    drain(c, members);
    if (rendezvous_message_read(frame, &m, NULL) < 0)
        return;
    REQUIRE(collective_take(c, member, &m, &why) || why);
    rendezvous_message_release(&m);
    drain(c, members);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || data[0] == 0 || size > 1 << 18 || size < 2 + (size_t)data[1])
        return 0;
    uint32_t members = data[0];
    struct collective_budget budget = {.max = 1 << 20};
    struct collective *c = collective_new(&(struct collective_config){.attempt = ATTEMPT,
                                                                      .members = members,
                                                                      .budget = &budget,
                                                                      .name = name_member,
                                                                      .arg = &members});
    struct rendezvous_reader stream;
    struct rendezvous_frame frame;
    size_t at = 2 + (size_t)data[1];
    REQUIRE(c);
    rendezvous_reader_init(&stream, RENDEZVOUS_UP);
    if (rendezvous_reader_feed(&stream, data + at, size - at, NULL) == 0)
        for (uint8_t i = 0; i < data[1]; i++)
            if (rendezvous_reader_next(&stream, &frame, NULL) == 1)
                say(c, members, data[2 + i], &frame);
    rendezvous_reader_release(&stream);
    collective_free(c);
    REQUIRE(budget.used == 0);
    return 0;
}
