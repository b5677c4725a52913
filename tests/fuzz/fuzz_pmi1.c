/* What a program says on its PMI-1 connection, and what another pod claims to have put. Lines that
 * begin with 1 are of a second rank. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdbool.h>

#include "launcher/pmi1.h"

/* A digest of all that the server said, so that two conversations can be compared. */
struct story {
    struct pmi1 *p;
    uint64_t digest;
    bool broken[2], barrier;
    char *puts;
    size_t puts_length;
};

static void note(struct story *s, uint32_t rank, const char *bytes, size_t length)
{
    s->digest = (s->digest ^ (rank + 1)) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < length; i++)
        s->digest = (s->digest ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
}

static void answer(void *arg, uint32_t rank, const char *bytes, size_t length)
{
    struct story *s = arg;
    REQUIRE(rank < 2 && !s->broken[rank]);
    REQUIRE(length > 1 && length <= PMI1_ANSWER_MAX && bytes[length - 1] == '\n');
    REQUIRE(!memchr(bytes, '\n', length - 1) && !memchr(bytes, '\0', length));
    note(s, rank, bytes, length);
}

static void connected(void *arg, uint32_t rank)
{
    note(arg, rank, "c", 1);
}

static void finalized(void *arg, uint32_t rank)
{
    note(arg, rank, "f", 1);
}

static void aborted(void *arg, uint32_t rank, int32_t code, const char *words)
{
    REQUIRE(strlen(words) < PMI1_LINE_MAX);
    note(arg, rank, words, strlen(words));
    note(arg, rank, (const char *)&code, sizeof code);
}

static void broken(void *arg, uint32_t rank, const char *words)
{
    struct story *s = arg;
    REQUIRE(!s->broken[rank] && strlen(words) < PMI1_WORDS_MAX);
    s->broken[rank] = true;
    note(s, rank, words, strlen(words));
}

static void barrier(void *arg, const char *bytes, size_t length)
{
    struct story *s = arg;
    REQUIRE(!s->barrier && length <= PMI1_PUTS_MAX);
    s->barrier = true;
    free(s->puts);
    s->puts = malloc(length + 1);
    REQUIRE(s->puts);
    memcpy(s->puts, bytes, length);
    s->puts_length = length;
}

/* What one pod has put is taken by another. */
static void open_barrier(struct story *s)
{
    if (!s->barrier)
        return;
    s->barrier = false;
    REQUIRE(pmi1_gathered(s->p, s->puts, s->puts_length, NULL) == 0);
    pmi1_barrier_over(s->p);
}

static uint64_t tell(const uint8_t *data, size_t size, size_t piece)
{
    static const struct pmi1_ops ops = {.answer = answer,
                                        .connected = connected,
                                        .finalized = finalized,
                                        .aborted = aborted,
                                        .broken = broken,
                                        .barrier = barrier};
    const struct pmi1_config config = {
        .local_ranks = 2, .nodes = 3, .node_rank = 1, .world_size = 6, .name = "uid.1"};
    struct story s = {.p = pmi1_new(&config, &ops, &s)};
    REQUIRE(s.p);
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t line = end ? (size_t)(end - (data + at)) + 1 : size - at;
        uint32_t rank = data[at] == '1';
        for (size_t done = rank; done < line; done += piece) {
            size_t n = line - done < piece ? line - done : piece;
            pmi1_bytes(s.p, rank, (const char *)data + at + done, n);
        }
        open_barrier(&s);
        at += line;
    }
    pmi1_closed(s.p, 0);
    pmi1_free(s.p);
    free(s.puts);
    return s.digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16)
        return 0;
    REQUIRE(tell(data, size, size) == tell(data, size, 3));
    struct story s = {0};
    static const struct pmi1_ops ops = {.answer = answer, .broken = broken};
    const struct pmi1_config config = {.local_ranks = 1, .nodes = 1, .world_size = 1, .name = "n"};
    s.p = pmi1_new(&config, &ops, &s);
    REQUIRE(s.p);
    char *copy = fuzz_text(data, size);
    int rc = pmi1_gathered(s.p, copy, size, NULL);
    REQUIRE(rc == 0 || rc == -EPROTO);
    free(copy);
    pmi1_free(s.p);
    return 0;
}
