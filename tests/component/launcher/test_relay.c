/* The real launcher's output relay: nothing lost, nothing mixed, and a slow reader hurts nobody
 * else. */
#include "tests/component/launcher/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define SH(text) ((const char *const[]){"/bin/sh", "-c", text, NULL})
#define RANKS 4
#define BYTES_PER_RANK (25u * 1024 * 1024)

/* A reader of the launcher's stdout that checks each line as it comes. */
#define PING_MS 5000 /* as a controller does; a launcher that hears nothing takes another channel \
                      */

struct reader {
    int fd;
    char line[2 * 1024 * 1024];
    size_t length;
    unsigned long long next[RANKS]; /* line number expected of each rank */
    uint64_t bytes;
    bool ended;
};

/* "[rN a1] <number> <filler of the same digit>": any lost, doubled or mixed byte breaks it. */
static void check_line(struct reader *r, const char *line, size_t length)
{
    unsigned rank, attempt;
    unsigned long long number;
    int at = 0;
    if (sscanf(line, "[r%u a%u] %llu %n", &rank, &attempt, &number, &at) != 3 || rank >= RANKS)
        fail_msg("not a line of a rank: %.100s", line);
    if (number != r->next[rank])
        fail_msg("rank %u: line %llu came where %llu was due", rank, number, r->next[rank]);
    r->next[rank]++;
    char filler = (char)('a' + number % 26);
    for (size_t i = (size_t)at; i < length; i++)
        if (line[i] != filler)
            fail_msg("rank %u, line %llu: `%c` at %zu", rank, number, line[i], i);
    r->bytes += length + 1;
}

static void read_lines(struct reader *r)
{
    ssize_t n = read(r->fd, r->line + r->length, sizeof r->line - 1 - r->length);
    if (n < 0 && errno == EAGAIN)
        return;
    r->ended = n <= 0;
    if (n <= 0)
        return;
    r->length += (size_t)n;
    size_t start = 0;
    for (;;) {
        char *end = memchr(r->line + start, '\n', r->length - start);
        if (!end)
            break;
        *end = '\0';
        check_line(r, r->line + start, (size_t)(end - r->line) - start);
        start = (size_t)(end - r->line) + 1;
    }
    memmove(r->line, r->line + start, r->length - start);
    r->length -= start;
}

static void make_pipe(struct harness *h, struct reader *r)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    r->fd = ends[0];
    assert_int_equal(fcntl(r->fd, F_SETFL, O_NONBLOCK), 0);
    h->out = ends[1];
}

/* Writes numbered lines of a length until it has written `bytes`. */
static const char *const writer =
    "import os, sys\n"
    "length, total = int(sys.argv[1]), int(sys.argv[2])\n"
    "done = number = 0\n"
    "batch = []\n"
    "while done < total:\n"
    "    head = b'%d ' % number\n"
    "    line = head + bytes([97 + number % 26]) * (length - len(head) - 1) + b'\\n'\n"
    "    batch.append(line); done += len(line); number += 1\n"
    "    if len(batch) * length > 60000:\n"
    "        sys.stdout.buffer.write(b''.join(batch)); batch = []\n"
    "sys.stdout.buffer.write(b''.join(batch))\n";

static void relay(const char *length, uint64_t bytes_per_rank, int pause_ms)
{
    struct harness h;
    struct reader *r = calloc(1, sizeof *r);
    char bytes[32];
    harness_begin(&h);
    h.welcome.nproc = RANKS;
    make_pipe(&h, r);
    (void)snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)bytes_per_rank);
    harness_launch(&h,
                   (const char *const[]){"/usr/bin/python3", "-c", writer, length, bytes, NULL});
    (void)close(h.out);
    (void)harness_start_ranks(&h);
    int64_t begun = harness_now_ms(), pinged = begun;
    int ends = 0;
    while (ends < RANKS) {
        if (harness_now_ms() - pinged > PING_MS) {
            pinged = harness_now_ms();
            harness_send(&h, &(struct rendezvous_message){.type = RENDEZVOUS_PING});
        }
        for (int i = 0; i < 64 && !r->ended; i++)
            read_lines(r);
        harness_run(&h, pause_ms);
        for (; harness_sees(&h, RENDEZVOUS_RANK_EXIT, 0); ends++)
            assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 0);
        assert_true(harness_now_ms() - begun < 120000);
    }
    harness_send_exit(&h, 0);
    while (!r->ended) {
        harness_run(&h, 1);
        read_lines(r);
    }
    assert_int_equal(harness_exit_code(&h), 0);
    assert_int_equal(r->length, 0);
    for (int i = 1; i < RANKS; i++)
        assert_int_equal(r->next[i], r->next[0]); /* all wrote the same number of lines */
    assert_true(r->bytes >= RANKS * bytes_per_rank);
    (void)close(r->fd);
    free(r);
    harness_end(&h);
}

static void test_100_mb_of_short_lines_arrive_whole_and_in_order(void **state)
{
    (void)state;
    relay("100", BYTES_PER_RANK, 1);
}

static void test_lines_of_1_mb_stay_whole(void **state)
{
    (void)state;
    relay("1000000", BYTES_PER_RANK, 1);
}

static void test_a_slow_reader_loses_nothing(void **state)
{
    (void)state;
    relay("5000", 2u << 20, 5);
}

static void test_a_reader_that_stands_still_delays_neither_channel_nor_kill(void **state)
{
    (void)state;
    struct harness h;
    struct reader *r = calloc(1, sizeof *r);
    harness_begin(&h);
    h.welcome.nproc = 2;
    make_pipe(&h, r);
    harness_launch(&h, SH("while :; do echo 0123456789012345678901234567890123456789; done"));
    (void)close(h.out);
    uint64_t attempt = harness_start_ranks(&h);
    harness_run(&h, 1000); /* pipes and buffers are full by now, and the ranks wait */
    struct rendezvous_message ping = {.type = RENDEZVOUS_PING, .ping = {.nonce = 99}};
    int64_t begun = harness_now_ms();
    harness_send(&h, &ping);
    assert_int_equal(harness_expect(&h, RENDEZVOUS_PONG)->pong.nonce, 99);
    harness_send_stop(&h, attempt, 0, 0);
    (void)harness_expect(&h, RENDEZVOUS_STOPPED);
    assert_true(harness_now_ms() - begun < 2000);
    assert_int_equal(harness_expect(&h, RENDEZVOUS_READY)->attempt, attempt + 1);
    (void)close(r->fd);
    free(r);
    harness_end(&h);
}

static void test_a_log_whose_reader_has_gone_does_not_stop_the_ranks(void **state)
{
    (void)state;
    struct harness h;
    struct reader *r = calloc(1, sizeof *r);
    char script[256];
    harness_begin(&h);
    make_pipe(&h, r);
    (void)snprintf(script, sizeof script,
                   "echo first; sleep 0.3; for i in 1 2 3 4 5 6 7 8; do echo $i; done; "
                   "echo done > %s/done; exit 0",
                   h.dir);
    harness_launch(&h, SH(script));
    (void)close(h.out);
    (void)harness_start_ranks(&h);
    (void)close(r->fd);
    assert_int_equal(harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit.code, 0);
    harness_await_text(&h, "done", "done");
    free(r);
    harness_end(&h);
}

static void test_carriage_returns_end_lines_and_the_last_line_needs_no_end(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("printf '\\r10%%\\r20%%\\r\\nwindows\\r\\n\\nlast'"));
    (void)harness_start_ranks(&h);
    (void)harness_expect(&h, RENDEZVOUS_RANK_EXIT);
    harness_send_exit(&h, 0);
    assert_int_equal(harness_exit_code(&h), 0);
    cleanup_free char *out = harness_file(&h, "out", NULL);
    assert_string_equal(out, "[r0 a1] 10%\n[r0 a1] 20%\n[r0 a1] windows\n[r0 a1] \n[r0 a1] last\n");
    harness_end(&h);
}

static void test_a_grandchild_that_holds_the_pipe_does_not_delay_the_end(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, SH("setsid sleep 300 & echo bye; exit 4"));
    (void)harness_start_ranks(&h);
    int64_t begun = harness_now_ms();
    struct rendezvous_exit *exit = &harness_expect(&h, RENDEZVOUS_RANK_EXIT)->rank_exit.exit;
    assert_string_equal(exit->tail, "bye\n");
    assert_true(harness_now_ms() - begun < 2000);
    harness_send_exit(&h, 4);
    assert_int_equal(harness_exit_code(&h), 4);
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_100_mb_of_short_lines_arrive_whole_and_in_order),
        cmocka_unit_test(test_lines_of_1_mb_stay_whole),
        cmocka_unit_test(test_a_slow_reader_loses_nothing),
        cmocka_unit_test(test_a_reader_that_stands_still_delays_neither_channel_nor_kill),
        cmocka_unit_test(test_a_log_whose_reader_has_gone_does_not_stop_the_ranks),
        cmocka_unit_test(test_carriage_returns_end_lines_and_the_last_line_needs_no_end),
        cmocka_unit_test(test_a_grandchild_that_holds_the_pipe_does_not_delay_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
