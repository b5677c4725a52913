/* The real launcher and programs that exchange bytes by its socket, with a controller that the test
 * plays: long replies to slow readers, connections that go away, lines at the wrong time. Gangs
 * with a real controller: tests/system/test_sdk_exchange.sh. */
#include "tests/component/launcher/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "sdk/socket_message.h"

#define PODS 8
#define BLOB (60u * 1024) /* of each: together more than a Unix socket takes at once */

static int connect_to(struct harness *h)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/sdk.sock", h->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 20};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads exactly so much, a piece at a time. */
static void read_all(int fd, unsigned char *to, size_t length, size_t piece)
{
    for (size_t at = 0; at < length;) {
        ssize_t n = recv(fd, to + at, length - at < piece ? length - at : piece, 0);
        if (n <= 0)
            fail_msg("closed, or nothing comes, after %zu of %zu bytes", at, length);
        at += (size_t)n;
    }
}

/* Until the launcher closes. */
static void expect_end(int fd, const char *words)
{
    char text[512] = "";
    size_t length = 0;
    for (ssize_t n = 1; n > 0 && length<sizeof text - 1; length += n> 0 ? (size_t)n : 0)
        n = recv(fd, text + length, sizeof text - 1 - length, 0);
    if (!strstr(text, words))
        fail_msg("`%s` expected, got `%s`", words, text);
    (void)close(fd);
}

static void expect_line(int fd, const char *line)
{
    unsigned char text[SDK_ANSWER_MAX] = "";
    read_all(fd, text, strlen(line), sizeof text);
    assert_string_equal((char *)text, line);
}

static uint64_t begin(struct harness *h, uint32_t nproc)
{
    harness_begin(h);
    h->welcome.nproc = nproc;
    h->welcome.takes_exchange = true;
    h->start.nodes = 2; /* alone, a pod would not ask the controller */
    harness_launch(h, (const char *const[]){"sleep", "1000", NULL});
    return harness_start_ranks(h);
}

/* As the controller does: the parts of eight pods, of which each gives much. */
static void send_gathered(struct harness *h, uint64_t attempt, const struct rendezvous_gather *part)
{
    static unsigned char blobs[PODS][BLOB];
    struct rendezvous_gathered_entry entries[PODS];
    for (uint32_t i = 0; i < PODS; i++) {
        size_t at = 1;
        for (uint32_t rank = i * 1000; BLOB - at > SDK_PART_HEAD; rank++) {
            size_t n = BLOB - at < 4000 ? BLOB - at : 4000;
            sdk_part_head(blobs[i] + at, rank, (uint16_t)(n - SDK_PART_HEAD));
            memset(blobs[i] + at + SDK_PART_HEAD, 'a' + (int)i, n - SDK_PART_HEAD);
            at += n;
        }
        entries[i] = (struct rendezvous_gathered_entry){
            .node_rank = i, .data = blobs[i], .data_length = (uint32_t)at};
    }
    harness_send(h, &(struct rendezvous_message){.type = RENDEZVOUS_GATHERED,
                                                 .attempt = attempt,
                                                 .gathered = {.name = part->name,
                                                              .sequence = part->sequence,
                                                              .words = "",
                                                              .entries = entries,
                                                              .entries_count = PODS}});
}

/* "data SEQUENCE LENGTH\n": gives the length. */
static size_t read_head(int fd)
{
    char line[SDK_ANSWER_MAX];
    uint64_t sequence;
    size_t length = 0, body = 0;
    do
        read_all(fd, (unsigned char *)line + length, 1, 1);
    while (line[length++] != '\n' && length < sizeof line);
    line[length - 1] = '\0';
    if (!sdk_answer_data(line, &sequence, &body))
        fail_msg("`%s`", line);
    return body;
}

static void check_body(const unsigned char *body, size_t length)
{
    struct sdk_part part = {0};
    size_t at = 0;
    int64_t last = -1;
    uint32_t count = 0;
    while (sdk_part_next(body, length, &at, last, &part) == 1) {
        last = part.rank;
        count++;
        for (uint16_t i = 0; i < part.length; i++)
            assert_int_equal(part.data[i], 'a' + (int)(part.rank / 1000));
    }
    assert_int_equal(at, length);
    assert_true(count > 90);
}

static void test_a_long_reply_reaches_slow_readers_whole(void **state)
{
    (void)state;
    struct harness h;
    uint64_t attempt = begin(&h, 2);
    int fds[2];
    for (int rank = 0; rank < 2; rank++) {
        char text[64];
        (void)snprintf(text, sizeof text, "hello 1 %d %llu\ngather g 20000 6%d\n", rank,
                       (unsigned long long)attempt, rank);
        fds[rank] = connect_to(&h);
        say(fds[rank], text);
    }
    const struct rendezvous_gather *part = &harness_expect(&h, RENDEZVOUS_GATHER)->gather;
    assert_int_equal(part->data_length, 1 + 2 * (SDK_PART_HEAD + 1));
    send_gathered(&h, attempt, part);
    harness_run(&h, 300); /* the sockets are full by now, and the launcher is not stuck */
    int other = connect_to(&h);
    say(other, "hello 2 0 1\n");
    expect_end(other, "refused ");
    for (int rank = 0; rank < 2; rank++) {
        size_t length = read_head(fds[rank]);
        assert_in_range(length, PODS * (BLOB - 10), PODS * BLOB);
        unsigned char *body = malloc(length);
        assert_non_null(body);
        read_all(fds[rank], body, length, rank ? 1000 : 65536);
        check_body(body, length);
        free(body);
        /* The same connection asks again. */
        say(fds[rank], "get v 100\n");
        expect_line(fds[rank], "failed ");
        (void)close(fds[rank]);
    }
    harness_end(&h);
}

static void test_who_goes_in_the_middle_does_no_harm(void **state)
{
    (void)state;
    struct harness h;
    uint64_t attempt = begin(&h, 1);
    char hello[64];
    (void)snprintf(hello, sizeof hello, "hello 1 0 %llu\n", (unsigned long long)attempt);
    for (int turn = 0; turn < 3; turn++) {
        int fd = connect_to(&h);
        say(fd, hello);
        say(fd, "gather g 20000 -\n");
        const struct rendezvous_gather *part = &harness_expect(&h, RENDEZVOUS_GATHER)->gather;
        assert_int_equal(part->sequence, turn);
        if (turn == 0)
            (void)close(fd); /* before the reply */
        send_gathered(&h, attempt, part);
        harness_run(&h, 100);
        if (turn == 1)
            (void)close(fd); /* within it */
        if (turn == 2) {
            size_t length = read_head(fd);
            unsigned char *body = malloc(length);
            assert_non_null(body);
            read_all(fd, body, length, 65536);
            check_body(body, length);
            free(body);
            (void)close(fd);
        }
    }
    /* A get that nobody waits for any more. */
    int fd = connect_to(&h);
    say(fd, hello);
    say(fd, "get v 20000\n");
    (void)harness_expect(&h, RENDEZVOUS_GET);
    (void)close(fd);
    harness_run(&h, 50);
    fd = connect_to(&h);
    say(fd, hello);
    say(fd, "get v 200\n");
    expect_line(fd, "failed 110 ");
    (void)close(fd);
    harness_end(&h);
}

static void test_one_exchange_at_a_time_on_a_connection(void **state)
{
    (void)state;
    struct harness h;
    uint64_t attempt = begin(&h, 2);
    char hello[64];
    (void)snprintf(hello, sizeof hello, "hello 1 0 %llu\n", (unsigned long long)attempt);
    int fd = connect_to(&h);
    say(fd, hello);
    say(fd, "get a 20000\nget b 20000\n");
    expect_end(fd, "refused one exchange at a time");
    fd = connect_to(&h);
    say(fd, "get a 20000\n");
    expect_end(fd, "refused hello is the first line");
    fd = connect_to(&h);
    say(fd, hello);
    say(fd, "gather a 20000 zz\n");
    expect_end(fd, "refused this line is none");
    /* A rank that is missing in a pod of one gang. */
    fd = connect_to(&h);
    say(fd, hello);
    say(fd, "gather a 200 -\n");
    const struct rendezvous_gather *part = &harness_expect(&h, RENDEZVOUS_GATHER)->gather;
    char words[200] = "";
    memcpy(words, part->data + 3,
           part->data_length - 3 < sizeof words ? part->data_length - 3 : sizeof words - 1);
    assert_string_equal(words, "these ranks have not come: 1");
    (void)close(fd);
    harness_end(&h);
}

/* A controller of an earlier release: what cannot be is said, and nobody waits. */
static void test_a_controller_of_an_earlier_release_is_told_of(void **state)
{
    (void)state;
    struct harness h;
    harness_begin(&h);
    harness_launch(&h, (const char *const[]){"sleep", "1000", NULL});
    uint64_t attempt = harness_start_ranks(&h);
    char text[64];
    static const char *const questions[] = {"gather a 20000 -", "put a 00", "get a 20000"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(questions); i++) {
        int fd = connect_to(&h);
        (void)snprintf(text, sizeof text, "hello 1 0 %llu\n%s\n", (unsigned long long)attempt,
                       questions[i]);
        say(fd, text);
        expect_line(fd, "failed 95 ");
        (void)close(fd);
    }
    harness_end(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_long_reply_reaches_slow_readers_whole),
        cmocka_unit_test(test_who_goes_in_the_middle_does_no_harm),
        cmocka_unit_test(test_one_exchange_at_a_time_on_a_connection),
        cmocka_unit_test(test_a_controller_of_an_earlier_release_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
