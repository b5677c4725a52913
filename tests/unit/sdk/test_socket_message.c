/* Lines between a training program and its launcher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sdk/socket_message.h"

static void feed(struct sdk_reader *r, const char *bytes, size_t length)
{
    size_t room;
    char *to = sdk_reader_space(r, &room);
    assert_true(length <= room);
    memcpy(to, bytes, length);
    r->length += length;
}

static int read_one(const char *text, struct sdk_message *ret)
{
    static struct sdk_reader r;
    r = (struct sdk_reader){0};
    feed(&r, text, strlen(text));
    return sdk_reader_next(&r, ret);
}

static void test_each_message_is_read_as_it_was_written(void **state)
{
    (void)state;
    static unsigned char bytes[SDK_DATA_MAX];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)i;
    const struct sdk_message messages[] = {
        {.kind = SDK_HELLO, .version = 1, .rank = 255, .attempt = 7},
        {.kind = SDK_HELLO,
         .version = 1,
         .rank = 1,
         .attempt = 7,
         .world = UINT64_C(0x00fedcba98765432),
         .world_rank = 5,
         .world_size = 6,
         .local_size = 2},
        {.kind = SDK_REPORT, .step = SDK_NUMBER_MAX, .total = 0},
        {.kind = SDK_REPORT, .step = 0, .total = 1000},
        {.kind = SDK_ASK, .step = 12},
        {.kind = SDK_COMMITTED, .step = 12, .path = "with spaces/step 12"},
        {.kind = SDK_GATHER, .name = "nccl:world", .time_ms = 1},
        {.kind = SDK_GATHER, .name = "b", .time_ms = 5, .data = bytes, .length = sizeof bytes},
        {.kind = SDK_PUT, .name = "~!", .data = bytes, .length = 3},
        {.kind = SDK_GET, .name = "a/b", .time_ms = SDK_TIME_MS_MAX},
        {.kind = SDK_REMOTE, .name = "pod-12"},
    };
    static struct sdk_reader r;
    char line[SDK_LINE_MAX + 1];
    struct sdk_message got;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        int length = sdk_message_write(&messages[i], line, sizeof line);
        assert_true(length > 0);
        assert_int_equal(length, strlen(line));
        feed(&r, line, (size_t)length);
        assert_int_equal(sdk_reader_next(&r, &got), 1);
        assert_int_equal(got.kind, messages[i].kind);
        assert_int_equal(got.version, messages[i].version);
        assert_int_equal(got.rank, messages[i].rank);
        assert_int_equal(got.attempt, messages[i].attempt);
        assert_true(got.world == messages[i].world);
        assert_int_equal(got.world_rank, messages[i].world_rank);
        assert_int_equal(got.world_size, messages[i].world_size);
        assert_int_equal(got.local_size, messages[i].local_size);
        assert_int_equal(got.step, messages[i].step);
        assert_int_equal(got.total, messages[i].total);
        if (messages[i].path)
            assert_string_equal(got.path, messages[i].path);
        if (messages[i].name)
            assert_string_equal(got.name, messages[i].name);
        assert_int_equal(got.time_ms, messages[i].time_ms);
        assert_int_equal(got.length, messages[i].length);
        if (got.length)
            assert_memory_equal(got.data, bytes, got.length);
    }
    assert_int_equal(sdk_reader_next(&r, &got), 0);
}

static void test_lines_that_are_none_are_refused(void **state)
{
    (void)state;
    const char *const lines[] = {
        "\n",
        "hello\n",
        "hello 1 0\n",
        "hello 1 0 1 \n",
        "hello 1  0 1\n",
        "hello 1 -1 1\n",
        "hello 1 0 1 0000000000000001 0 2\n",
        "hello 1 0 1 0000000000000001 0 2 1 \n",
        "hello 1 0 1 0000000000000001 2 2 1\n",
        "hello 1 0 1 0000000000000001 0 2 3\n",
        "hello 1 1 1 0000000000000001 0 2 1\n",
        "hello 1 0 1 0000000000000001 0 1000001 1\n",
        "hello 1 0 1 0000000000000000 0 2 1\n",
        "hello 1 0 1 000000000000001 0 2 1\n",
        "hello 1 0 1 000000000000000G 0 2 1\n",
        "hello 1 0 1 00000000000000001 0 2 1\n",
        "report 5\n",
        "report 5 x\n",
        "report 1000000000001 0\n",
        "report 99999999999999999999999999 0\n",
        "ask\n",
        "ask \n",
        "ask 1 2\n",
        "asks 1\n",
        "committed 5\n",
        "committed 5 \n",
        "HELLO 1 0 1\n",
        "ask 1\r\n",
        "gather\n",
        "gather b\n",
        "gather b 5\n",
        "gather b 5 \n",
        "gather b 0 -\n",
        "gather b 86400001 -\n",
        "gather b 5 0\n",
        "gather b 5 0g\n",
        "gather b 5 AB\n",
        "gather b 5 --\n",
        "gather  5 -\n",
        "gather b\t 5 -\n",
        "put b\n",
        "put b \n",
        "put b 00 \n",
        "put \xc3\xa9 00\n",
        "get b\n",
        "get b 0\n",
        "get b 5 -\n",
        "gets b 5\n",
    };
    struct sdk_message got;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (read_one(lines[i], &got) != -EPROTO)
            fail_msg("not refused: %s", lines[i]);
    static struct sdk_reader r;
    feed(&r, "ask 1\0002\n", 8);
    assert_int_equal(sdk_reader_next(&r, &got), -EPROTO);
}

static void test_a_line_may_come_byte_by_byte_and_has_a_maximum(void **state)
{
    (void)state;
    static struct sdk_reader r;
    struct sdk_message got;
    const char *text = "ask 7\n";
    for (size_t i = 0; text[i]; i++) {
        assert_int_equal(sdk_reader_next(&r, &got), 0);
        feed(&r, text + i, 1);
    }
    assert_int_equal(sdk_reader_next(&r, &got), 1);
    assert_int_equal(got.step, 7);
    for (size_t i = 0; i < SDK_LINE_MAX; i++) {
        assert_int_equal(sdk_reader_next(&r, &got), 0);
        feed(&r, "x", 1);
    }
    assert_int_equal(sdk_reader_next(&r, &got), -EPROTO);
}

static void test_what_would_not_be_read_is_not_written(void **state)
{
    (void)state;
    char line[SDK_LINE_MAX + 1], path[SDK_PATH_MAX + 2];
    struct sdk_message message = {.kind = SDK_ASK, .step = -1};
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.step = SDK_NUMBER_MAX + 1;
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message = (struct sdk_message){.kind = SDK_COMMITTED, .step = SDK_NUMBER_MAX, .path = path};
    memset(path, 'p', sizeof path);
    path[SDK_PATH_MAX + 1] = '\0';
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    path[SDK_PATH_MAX] = '\0';
    assert_true(sdk_message_write(&message, line, sizeof line) > SDK_PATH_MAX);
    assert_int_equal(sdk_message_write(&message, line, 100), -ENOBUFS);
    path[5] = '\n';
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.path = "";
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
}

static void test_a_name_and_data_have_a_maximum(void **state)
{
    (void)state;
    char line[SDK_LINE_MAX + 1], name[SDK_NAME_MAX + 2];
    static unsigned char bytes[SDK_DATA_MAX + 1];
    memset(name, 'n', sizeof name);
    name[SDK_NAME_MAX + 1] = '\0';
    struct sdk_message message = {
        .kind = SDK_GATHER, .name = name, .time_ms = SDK_TIME_MS_MAX, .data = bytes};
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    name[SDK_NAME_MAX] = '\0';
    message.length = SDK_DATA_MAX + 1;
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.length = SDK_DATA_MAX; /* the longest line that there is */
    int length = sdk_message_write(&message, line, sizeof line);
    assert_true(length > 2 * SDK_DATA_MAX);
    struct sdk_message got;
    assert_int_equal(read_one(line, &got), 1);
    assert_int_equal(got.length, SDK_DATA_MAX);
    assert_int_equal(sdk_message_write(&message, line, (size_t)length), -ENOBUFS);
    message.time_ms = 0;
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.time_ms = SDK_TIME_MS_MAX + 1;
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message = (struct sdk_message){.kind = SDK_PUT, .name = "a b"};
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.name = NULL;
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.name = "";
    assert_int_equal(sdk_message_write(&message, line, sizeof line), -EINVAL);
    message.name = "a";
    assert_int_equal(sdk_message_write(&message, line, 9), 8);
    assert_string_equal(line, "put a -\n");
    assert_int_equal(sdk_message_write(&message, line, 8), -ENOBUFS);
}

static void test_answers_to_an_exchange_are_read(void **state)
{
    (void)state;
    uint64_t sequence;
    size_t length;
    const char *words;
    int error;
    assert_int_equal(sdk_answer_of("done"), SDK_ANSWER_DONE);
    assert_int_equal(sdk_answer_of("data 1 2"), SDK_ANSWER_DATA);
    assert_true(sdk_answer_data("data 7 4194304", &sequence, &length));
    assert_int_equal(sequence, 7);
    assert_int_equal(length, SDK_BODY_MAX);
    assert_false(sdk_answer_data("data 7 4194305", &sequence, &length));
    assert_false(sdk_answer_data("data 7", &sequence, &length));
    assert_false(sdk_answer_data("done", &sequence, &length));
    assert_true(sdk_answer_failed("failed 110 pod 1", &error, &words));
    assert_int_equal(error, ETIMEDOUT);
    assert_string_equal(words, "pod 1");
    assert_false(sdk_answer_failed("failed 0 x", &error, &words));
    assert_false(sdk_answer_failed("failed 4096 x", &error, &words));
    assert_false(sdk_answer_failed("failed x", &error, &words));
}

static void test_parts_of_ranks_are_read_in_their_order(void **state)
{
    (void)state;
    unsigned char bytes[64];
    struct sdk_part part;
    size_t at = 0;
    sdk_part_head(bytes, 3, 2);
    memcpy(bytes + 6, "ab", 2);
    sdk_part_head(bytes + 8, 70000, 1);
    bytes[14] = 'c';
    assert_int_equal(sdk_part_next(bytes, 15, &at, -1, &part), 1);
    assert_int_equal(part.rank, 3);
    assert_memory_equal(part.data, "ab", 2);
    assert_int_equal(sdk_part_next(bytes, 15, &at, 3, &part), 1);
    assert_int_equal(part.rank, 70000);
    assert_int_equal(part.length, 1);
    assert_int_equal(sdk_part_next(bytes, 15, &at, 70000, &part), 0);
    at = 8;
    assert_int_equal(sdk_part_next(bytes, 15, &at, 70000, &part), -EPROTO);
    assert_int_equal(sdk_part_next(bytes, 14, &at, 3, &part), -EPROTO);
    assert_int_equal(sdk_part_next(bytes, 9, &at, 3, &part), -EPROTO);
    assert_int_equal(at, 8);
    sdk_part_head(bytes, 0, 0);
    at = 0;
    assert_int_equal(sdk_part_next(bytes, 6, &at, -1, &part), -EPROTO);
}

static void test_answers_are_known_by_their_first_word(void **state)
{
    (void)state;
    assert_int_equal(sdk_answer_of("save"), SDK_ANSWER_SAVE);
    assert_int_equal(sdk_answer_of("go"), SDK_ANSWER_GO);
    assert_int_equal(sdk_answer_of("refused because"), SDK_ANSWER_REFUSED);
    assert_int_equal(sdk_answer_of("gone"), SDK_ANSWER_NONE);
    assert_int_equal(sdk_answer_of(""), SDK_ANSWER_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_message_is_read_as_it_was_written),
        cmocka_unit_test(test_lines_that_are_none_are_refused),
        cmocka_unit_test(test_a_line_may_come_byte_by_byte_and_has_a_maximum),
        cmocka_unit_test(test_what_would_not_be_read_is_not_written),
        cmocka_unit_test(test_a_name_and_data_have_a_maximum),
        cmocka_unit_test(test_answers_to_an_exchange_are_read),
        cmocka_unit_test(test_parts_of_ranks_are_read_in_their_order),
        cmocka_unit_test(test_answers_are_known_by_their_first_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
