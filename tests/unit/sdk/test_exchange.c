/* The calls that exchange bytes, against a launcher that says what the test wants. With the real
 * one: tests/component/launcher/test_sdk_exchange.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sdk/mltrain.h"
#include "sdk/socket_message.h"

/* Serves one connection: reads two lines, sends the answer a piece at a time, closes. */
static struct server {
    char dir[64], path[96], heard[3 * SDK_LINE_MAX];
    int fd;
    const char *answer;
    size_t answer_length, piece;
    pthread_t thread;
} server;

static void *serve(void *arg)
{
    struct server *s = arg;
    size_t heard = 0;
    int lines = 0, fd = accept(s->fd, NULL, NULL);
    while (fd >= 0 && lines < 2 && heard < sizeof s->heard - 1 &&
           recv(fd, s->heard + heard, 1, 0) == 1)
        lines += s->heard[heard++] == '\n';
    s->heard[heard] = '\0';
    for (size_t at = 0; fd >= 0 && at < s->answer_length;) {
        size_t n = s->answer_length - at < s->piece ? s->answer_length - at : s->piece;
        if (send(fd, s->answer + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            break;
        at += n;
        (void)usleep(1000);
    }
    if (s->answer_length == 0)
        (void)recv(fd, &lines, 1, 0); /* says nothing, and waits for the other to go */
    (void)close(fd);
    return NULL;
}

static void answer_bytes(const char *answer, size_t length, size_t piece)
{
    server.answer = answer;
    server.answer_length = length;
    server.piece = piece;
    assert_int_equal(pthread_create(&server.thread, NULL, serve, &server), 0);
}

static void answer(const char *text)
{
    answer_bytes(text, strlen(text), 100);
}

static void heard(const char *text)
{
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    assert_string_equal(server.heard, text);
}

static int begin(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(server.dir, sizeof server.dir, "/tmp/mltrain-exchange-test-XXXXXX");
    assert_non_null(mkdtemp(server.dir));
    (void)snprintf(server.path, sizeof server.path, "%s/sdk.sock", server.dir);
    memcpy(address.sun_path, server.path, strlen(server.path));
    server.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server.fd, 4), 0);
    static const char *const environment[][2] = {
        {"RANK", "2"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"MLTRAIN_ATTEMPT", "3"}};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(setenv(environment[i][0], environment[i][1], 1), 0);
    return setenv("MLTRAIN_SOCKET", server.path, 1);
}

static int end(void **state)
{
    (void)state;
    (void)close(server.fd);
    (void)unlink(server.path);
    return rmdir(server.dir);
}

static void test_a_barrier_ends_when_the_launcher_says_so(void **state)
{
    (void)state;
    answer("data 1 0\n");
    assert_int_equal(mltrain_barrier("epoch/1", 1500), 0);
    assert_string_equal(mltrain_error(), "");
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    int time_ms = 0;
    assert_int_equal(sscanf(server.heard, "hello 1 1 3\ngather epoch/1 %d -\n", &time_ms), 1);
    assert_in_range(time_ms, 1000, 1500);
}

static void test_what_all_have_given_comes_by_rank(void **state)
{
    (void)state;
    static const char text[] = "data 4 17\n\0\0\0\0\0\2ab\0\0\0\3\0\3xyz";
    struct mltrain_gathered *g = NULL;
    for (size_t piece = 1; piece < sizeof text; piece += 5) {
        answer_bytes(text, sizeof text - 1, piece);
        assert_int_equal(mltrain_gather("g", "\1\xff", 2, 0, &g), 0);
        assert_int_equal(pthread_join(server.thread, NULL), 0);
        assert_non_null(strstr(server.heard, " 01ff\n"));
        assert_int_equal(g->ranks, 4);
        assert_int_equal(g->parts[0].size, 2);
        assert_memory_equal(g->parts[0].data, "ab", 2);
        assert_null(g->parts[1].data);
        assert_int_equal(g->parts[2].size, 0);
        assert_memory_equal(g->parts[3].data, "xyz", 3);
        mltrain_gathered_free(g);
    }
    mltrain_gathered_free(NULL);
}

static void test_a_value_is_put_and_got(void **state)
{
    (void)state;
    char buffer[8];
    size_t size = 0;
    answer("done\n");
    assert_int_equal(mltrain_put("address", "xy", 2), 0);
    heard("hello 1 1 3\nput address 7879\n");
    answer("data 0 2\nxy");
    assert_int_equal(mltrain_get("address", 9, buffer, sizeof buffer, &size), 0);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    assert_int_equal(size, 2);
    assert_memory_equal(buffer, "xy", 2);
    answer("data 0 2\nxy");
    assert_int_equal(mltrain_get("address", 9, buffer, 1, &size), -ENOBUFS);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    answer("data 0 0\n");
    assert_int_equal(mltrain_get("address", 9, NULL, 0, &size), 0);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    assert_int_equal(size, 0);
}

static void test_what_the_launcher_says_of_a_failure_is_passed_on(void **state)
{
    (void)state;
    const struct {
        const char *answer;
        int rc;
        const char *words;
    } cases[] = {
        {"failed 110 rank 3 has not come\n", -ETIMEDOUT, "rank 3 has not come"},
        {"failed 125 the attempt ends\n", -ECANCELED, "the attempt ends"},
        {"refused hello: attempt 3 (MLTRAIN_ATTEMPT): 4 runs\n", -ECONNREFUSED, "4 runs"},
        {"refused this line is none of the protocol\n", -EOPNOTSUPP, "none of the protocol"},
        {"data 1 0\n", 0, ""},
        {"done\n", -EPROTO, "something else"},
        {"save\n", -EPROTO, "`save`"},
        {"data 1 99999999\n", -EPROTO, "99999999"},
        {"data 1 5\nab", -ECONNRESET, "gone"},
        {"data 1 7\n\0\0\0\4\0\1x", -ECONNRESET, "gone"}, /* cut at the NUL */
        {"da", -ECONNRESET, "gone"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        answer(cases[i].answer);
        assert_int_equal(mltrain_barrier("b", 0), cases[i].rc);
        assert_int_equal(pthread_join(server.thread, NULL), 0);
        if (!strstr(mltrain_error(), cases[i].words))
            fail_msg("`%s` instead of `%s`", mltrain_error(), cases[i].words);
    }
    /* A rank that is none of this world. */
    answer_bytes("data 1 7\n\0\0\0\4\0\1x", 16, 100);
    assert_int_equal(mltrain_barrier("b", 0), -EPROTO);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    static char long_line[SDK_ANSWER_MAX + 10];
    memset(long_line, 'x', sizeof long_line);
    answer_bytes(long_line, sizeof long_line, sizeof long_line);
    assert_int_equal(mltrain_barrier("b", 0), -EPROTO);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
}

static void test_a_launcher_that_says_nothing_is_not_waited_for_long(void **state)
{
    (void)state;
    answer("");
    assert_int_equal(mltrain_barrier("b", 1), -ETIMEDOUT);
    assert_int_equal(pthread_join(server.thread, NULL), 0);
    assert_int_equal(setenv("MLTRAIN_SOCKET", "/nowhere/sdk.sock", 1), 0);
    assert_int_equal(mltrain_barrier("b", 1), -ECONNRESET);
}

static void test_arguments_are_checked(void **state)
{
    (void)state;
    char name[MLTRAIN_NAME_MAX + 2];
    static char data[MLTRAIN_DATA_MAX + 1];
    struct mltrain_gathered *g = NULL;
    size_t size;
    memset(name, 'n', sizeof name);
    name[MLTRAIN_NAME_MAX + 1] = '\0';
    const char *const names[] = {"", "a b", "nccl:world", "\xc3\xa9", name, NULL};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(mltrain_barrier(names[i], 0), -EINVAL);
        assert_int_equal(mltrain_put(names[i], "", 0), -EINVAL);
        assert_int_equal(mltrain_get(names[i], 0, data, 1, &size), -EINVAL);
    }
    assert_int_equal(mltrain_barrier("b", -1), -EINVAL);
    assert_int_equal(mltrain_barrier("b", MLTRAIN_WAIT_MS_MAX + 1), -EINVAL);
    assert_int_equal(mltrain_gather("g", data, sizeof data, 0, &g), -EINVAL);
    assert_int_equal(mltrain_put("g", data, sizeof data), -EINVAL);
    assert_int_equal(mltrain_put("g", NULL, 1), -EINVAL);
    assert_null(g);
}

static void test_without_mltrain_a_rank_is_alone(void **state)
{
    (void)state;
    char buffer[4];
    size_t size;
    struct mltrain_gathered *g = NULL;
    assert_int_equal(unsetenv("MLTRAIN_SOCKET"), 0);
    assert_int_equal(mltrain_barrier("b", 0), -ENOTCONN); /* as under torchrun */
    assert_non_null(strstr(mltrain_error(), "4 ranks"));
    assert_int_equal(setenv("MLTRAIN_SOCKET", "", 1), 0);
    assert_int_equal(mltrain_barrier("b", 0), -ENOTCONN);
    assert_non_null(strstr(mltrain_error(), "could not make its socket"));
    assert_int_equal(unsetenv("MLTRAIN_SOCKET"), 0);
    assert_int_equal(unsetenv("WORLD_SIZE"), 0);
    assert_int_equal(mltrain_barrier("b", 0), 0);
    assert_int_equal(mltrain_gather("b", "me", 2, 0, &g), 0);
    assert_int_equal(g->ranks, 1);
    assert_memory_equal(g->parts[0].data, "me", 2);
    mltrain_gathered_free(g);
    assert_int_equal(mltrain_put("a", "", 0), -ENOTCONN);
    assert_int_equal(mltrain_get("a", 0, buffer, sizeof buffer, &size), -ENOTCONN);
    assert_int_equal(setenv("MLTRAIN_SOCKET", "/tmp/x", 1), 0);
    assert_int_equal(mltrain_barrier("b", 0), -ENOTCONN);
    assert_non_null(strstr(mltrain_error(), "RANK and WORLD_SIZE"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_barrier_ends_when_the_launcher_says_so, begin, end),
        cmocka_unit_test_setup_teardown(test_what_all_have_given_comes_by_rank, begin, end),
        cmocka_unit_test_setup_teardown(test_a_value_is_put_and_got, begin, end),
        cmocka_unit_test_setup_teardown(test_what_the_launcher_says_of_a_failure_is_passed_on,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_launcher_that_says_nothing_is_not_waited_for_long,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_arguments_are_checked, begin, end),
        cmocka_unit_test_setup_teardown(test_without_mltrain_a_rank_is_alone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
