/* Lines out of streams: what is split, what is kept, and that a full sink loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/output.h"
#include "lib/base/cleanup.h"
#include "lib/base/random.h"

/* A stream whose pipe we write, and a sink whose file we read. */
struct relay {
    int write_end, file;
    struct output_sink sink;
    struct output_stream stream;
    struct output_tail tail;
};

static void relay_init(struct relay *r)
{
    int ends[2];
    char path[] = "/tmp/mltrain-output-XXXXXX";
    memset(r, 0, sizeof *r);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    r->write_end = ends[1];
    r->file = mkostemp(path, O_CLOEXEC);
    assert_true(r->file >= 0);
    (void)unlink(path);
    assert_int_equal(output_sink_init(&r->sink, r->file, NULL), 0);
    assert_int_equal(output_stream_init(&r->stream, ends[0], &r->sink, NULL), 0);
    (void)snprintf(r->stream.prefix, sizeof r->stream.prefix, "> ");
    r->stream.tail = &r->tail;
}

static void relay_release(struct relay *r)
{
    output_stream_release(&r->stream);
    output_sink_release(&r->sink);
    if (r->write_end >= 0)
        (void)close(r->write_end);
    (void)close(r->file);
}

static void feed(struct relay *r, const char *data, size_t length)
{
    while (length) {
        ssize_t n = write(r->write_end, data, length);
        if (n > 0) {
            data += n;
            length -= (size_t)n;
        }
        (void)output_stream_read(&r->stream);
        while (!output_stream_relay(&r->stream))
            assert_true(output_sink_flush(&r->sink));
    }
    while (output_stream_read(&r->stream) > 0)
        assert_true(output_stream_relay(&r->stream));
}

static char *finish(struct relay *r, size_t *ret_length)
{
    (void)close(r->write_end);
    r->write_end = -1;
    while (output_stream_read(&r->stream) > 0)
        (void)output_stream_relay(&r->stream);
    assert_true(r->stream.ended);
    assert_true(output_stream_relay(&r->stream));
    assert_true(output_sink_flush(&r->sink));
    off_t size = lseek(r->file, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(r->file, text, (size_t)size, 0), size);
    *ret_length = (size_t)size;
    return text;
}

static void test_line_ends_of_every_kind_give_lines(void **state)
{
    (void)state;
    static const struct {
        const char *what, *pieces[4], *relayed;
    } rows[] = {
        {"newlines", {"a\nb\n"}, "> a\n> b\n"},
        {"empty lines are kept", {"\n\na\n"}, "> \n> \n> a\n"},
        {"carriage returns end lines", {"10%\r20%\r"}, "> 10%\n> 20%\n"},
        {"an empty one between returns is dropped", {"\r\r5%\r"}, "> 5%\n"},
        {"both together are one end", {"a\r\nb\r\n"}, "> a\n> b\n"},
        {"also when they come apart", {"a\r", "\nb\n"}, "> a\n> b\n"},
        {"a blank line after them is kept", {"a\r\n\r\nb"}, "> a\n> b\n"},
        {"a line in pieces", {"ab", "cd", "\n"}, "> abcd\n"},
        {"the last line needs no end", {"a\nrest"}, "> a\n> rest\n"},
        {"nothing", {""}, ""},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct relay r;
        size_t length;
        relay_init(&r);
        for (size_t j = 0; j < 4 && rows[i].pieces[j]; j++)
            feed(&r, rows[i].pieces[j], strlen(rows[i].pieces[j]));
        cleanup_free char *text = finish(&r, &length);
        if (strcmp(text, rows[i].relayed) != 0)
            fail_msg("%s: `%s`", rows[i].what, text);
        relay_release(&r);
    }
}

static void test_a_megabyte_stays_whole_and_more_is_split(void **state)
{
    (void)state;
    static const struct {
        size_t length, lines;
    } rows[] = {{OUTPUT_LINE_MAX, 1}, {OUTPUT_LINE_MAX + 1, 2}, {3 * OUTPUT_LINE_MAX + 5, 4}};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct relay r;
        size_t length, lines = 0, letters = 0;
        relay_init(&r);
        char *line = malloc(rows[i].length + 1);
        assert_non_null(line);
        memset(line, 'x', rows[i].length);
        line[rows[i].length] = '\n';
        feed(&r, line, rows[i].length + 1);
        free(line);
        cleanup_free char *text = finish(&r, &length);
        for (size_t at = 0; at < length; at++) {
            lines += text[at] == '\n';
            letters += text[at] == 'x';
        }
        assert_int_equal(lines, rows[i].lines);
        assert_int_equal(letters, rows[i].length);
        relay_release(&r);
    }
}

/* What the relay must give, by a slow and simple way. */
static size_t expected_lines(const char *data, size_t length, char *to)
{
    size_t n = 0, start = 0;
    for (size_t at = 0; at <= length; at++) {
        bool end = at == length || data[at] == '\n' || data[at] == '\r';
        if (!end)
            continue;
        bool drop =
            (at == length && at == start) || (at < length && data[at] == '\r' && at == start);
        if (!drop) {
            memcpy(to + n, "> ", 2);
            memcpy(to + n + 2, data + start, at - start);
            n += 2 + at - start;
            to[n++] = '\n';
        }
        if (at + 1 < length && data[at] == '\r' && data[at + 1] == '\n')
            at++;
        start = at + 1;
    }
    return n;
}

static void test_random_bytes_in_random_pieces_match_the_simple_way(void **state)
{
    (void)state;
    struct mlt_random random;
    mlt_random_init(&random, 20261127);
    for (int round = 0; round < 24; round++) {
        struct relay r;
        size_t length, size = (size_t)mlt_random_between(&random, 0, 200000);
        char *data = malloc(size + 1), *expected = malloc(3 * size + 16);
        assert_non_null(data);
        assert_non_null(expected);
        for (size_t i = 0; i < size; i++) {
            uint64_t dice = mlt_random_below(&random, round % 3 ? 60 : 4);
            data[i] = dice == 0 ? '\n' : dice == 1 ? '\r' : (char)('a' + dice % 26);
        }
        relay_init(&r);
        for (size_t at = 0; at < size;) {
            size_t piece = (size_t)mlt_random_between(&random, 1, round % 2 ? 50 : 200000);
            piece = piece > size - at ? size - at : piece;
            feed(&r, data + at, piece);
            at += piece;
        }
        size_t wanted = expected_lines(data, size, expected);
        cleanup_free char *text = finish(&r, &length);
        assert_int_equal(length, wanted);
        assert_memory_equal(text, expected, wanted);
        relay_release(&r);
        free(data);
        free(expected);
    }
}

static void test_a_tail_is_the_last_4096_bytes_without_controls(void **state)
{
    (void)state;
    struct output_tail tail = {0};
    char text[OUTPUT_TAIL_SIZE + 1];
    output_tail_text(&tail, text);
    assert_string_equal(text, "");
    output_tail_add(&tail, "a\0b\033c\n", 6);
    output_tail_text(&tail, text);
    assert_string_equal(text, "a?b?c\n");
    for (int i = 0; i < 1000; i++)
        output_tail_add(&tail, "0123456789", 10);
    output_tail_text(&tail, text);
    assert_int_equal(strlen(text), OUTPUT_TAIL_SIZE);
    assert_string_equal(text + OUTPUT_TAIL_SIZE - 10, "0123456789");
    char big[10000];
    memset(big, 'z', sizeof big);
    output_tail_add(&tail, big, sizeof big);
    output_tail_text(&tail, text);
    assert_int_equal(strspn(text, "z"), OUTPUT_TAIL_SIZE);
}

static void fill(int fd)
{
    char block[4096];
    memset(block, '.', sizeof block);
    while (write(fd, block, sizeof block) > 0)
        ;
    assert_int_equal(errno, EAGAIN);
}

static void test_a_full_pipe_is_never_waited_for_whatever_its_kind(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        int ends[2];
        struct output_sink sink;
        char rest[1 << 17];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(output_sink_init(&sink, ends[1], NULL), 0);
        assert_int_equal(sink.kind, OUTPUT_SINK_PRIVATE);
        if (shared) { /* as when the pipe cannot be opened anew */
            output_sink_release(&sink);
            assert_int_equal(output_sink_init(&sink, ends[1], NULL), 0);
            (void)close(sink.fd);
            sink.fd = ends[1];
            sink.owns_fd = false;
            sink.kind = OUTPUT_SINK_SHARED;
        }
        /* The caller's own descriptor still waits as it did: its flags are not ours. */
        assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
        int own = dup(ends[1]);
        assert_true(output_sink_line(&sink, "> ", "first", 5));
        assert_true(output_sink_flush(&sink));
        (void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
        fill(ends[1]);
        (void)fcntl(ends[1], F_SETFL, 0);
        assert_true(output_sink_line(&sink, "> ", "second", 6));
        assert_false(output_sink_flush(&sink)); /* and returns at once */
        (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
        assert_true(read(ends[0], rest, sizeof rest) > 0);
        assert_true(output_sink_flush(&sink));
        output_sink_release(&sink);
        (void)close(own);
        (void)close(ends[0]);
        (void)close(ends[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_ends_of_every_kind_give_lines),
        cmocka_unit_test(test_a_megabyte_stays_whole_and_more_is_split),
        cmocka_unit_test(test_random_bytes_in_random_pieces_match_the_simple_way),
        cmocka_unit_test(test_a_tail_is_the_last_4096_bytes_without_controls),
        cmocka_unit_test(test_a_full_pipe_is_never_waited_for_whatever_its_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
