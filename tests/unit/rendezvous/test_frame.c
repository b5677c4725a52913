/* Frames: taking a stream apart, wherever it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "rendezvous/frame.h"

static void test_a_frame_has_the_documented_bytes(void **state)
{
    (void)state;
    struct mlt_text out = MLT_TEXT_INIT(100);
    rendezvous_frame_write(&out, RENDEZVOUS_READY, 0x0102030405060708, "\x13\x88", 2);
    static const unsigned char expected[] = {0, 0, 0, 2, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0x13, 0x88};
    assert_false(out.failed);
    assert_int_equal(out.length, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    mlt_text_release(&out);
}

static void test_frames_come_out_whole_wherever_the_stream_is_cut(void **state)
{
    (void)state;
    struct mlt_text stream = MLT_TEXT_INIT(4096);
    rendezvous_frame_write(&stream, RENDEZVOUS_READY, 1, "ab", 2);
    rendezvous_frame_write(&stream, RENDEZVOUS_PONG, 2, "", 0);
    rendezvous_frame_write(&stream, RENDEZVOUS_PROGRESS, 3, "0123456789", 10);
    for (size_t piece = 1; piece <= stream.length; piece++) {
        struct rendezvous_reader r;
        rendezvous_reader_init(&r, RENDEZVOUS_UP);
        unsigned frames = 0;
        for (size_t at = 0; at < stream.length; at += piece) {
            size_t length = stream.length - at < piece ? stream.length - at : piece;
            struct rendezvous_frame f;
            assert_int_equal(rendezvous_reader_feed(&r, stream.data + at, length, NULL), 0);
            while (rendezvous_reader_next(&r, &f, NULL) == 1) {
                static const uint8_t types[] = {RENDEZVOUS_READY, RENDEZVOUS_PONG,
                                                RENDEZVOUS_PROGRESS};
                static const char *const payloads[] = {"ab", "", "0123456789"};
                assert_int_equal(f.type, types[frames]);
                assert_int_equal(f.attempt, frames + 1);
                assert_int_equal(f.length, strlen(payloads[frames]));
                assert_memory_equal(f.payload, payloads[frames], f.length);
                frames++;
            }
        }
        assert_int_equal(frames, 3);
        rendezvous_reader_release(&r);
    }
    mlt_text_release(&stream);
}

static const struct {
    const char *sentence;
    unsigned char header[RENDEZVOUS_HEADER_SIZE];
    enum rendezvous_direction direction;
    const char *words;
} broken[] = {
    {"another version",
     {0, 0, 0, 0, 2, 1},
     RENDEZVOUS_UP,
     "frame of protocol version 2, this side speaks 1 to 1"},
    {"version 0",
     {0, 0, 0, 0, 0, 1},
     RENDEZVOUS_UP,
     "frame of protocol version 0, this side speaks 1 to 1"},
    {"an unknown type", {0, 0, 0, 0, 1, 200}, RENDEZVOUS_UP, "frame of unknown type 200"},
    {"a number that was set aside", {0, 0, 0, 0, 1, 50}, RENDEZVOUS_UP, "frame of unknown type 50"},
    {"type 0", {0, 0, 0, 0, 1, 0}, RENDEZVOUS_UP, "frame of unknown type 0"},
    {"START from a launcher",
     {0, 0, 0, 0, 1, 33},
     RENDEZVOUS_UP,
     "START may not be sent in this direction"},
    {"HELLO from a controller",
     {0, 0, 0, 0, 1, 1},
     RENDEZVOUS_DOWN,
     "HELLO may not be sent in this direction"},
    {"one byte too many",
     {0, 0, 1, 1, 1, 2},
     RENDEZVOUS_UP,
     "READY of 257 bytes, at most 256 are allowed"},
    {"4 GiB",
     {255, 255, 255, 255, 1, 1},
     RENDEZVOUS_UP,
     "HELLO of 4294967295 bytes, at most 262144 are allowed"},
    {"HTTP", "GET / HTTP/1.1", RENDEZVOUS_UP,
     "frame of protocol version 47, this side speaks 1 to 1"},
};

static void test_a_broken_header_is_refused_before_its_payload_is_waited_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct rendezvous_reader r;
        struct rendezvous_frame f = {.length = 77};
        struct mlt_error err = {0};
        rendezvous_reader_init(&r, broken[i].direction);
        assert_int_equal(
            rendezvous_reader_feed(&r, broken[i].header, RENDEZVOUS_HEADER_SIZE - 1, NULL), 0);
        assert_int_equal(rendezvous_reader_next(&r, &f, &err), 0);
        assert_int_equal(
            rendezvous_reader_feed(&r, broken[i].header + RENDEZVOUS_HEADER_SIZE - 1, 1, NULL), 0);
        int rc = rendezvous_reader_next(&r, &f, &err);
        if (rc != -EPROTO || strcmp(err.text, broken[i].words) != 0)
            fail_msg("%s: %d, `%s`", broken[i].sentence, rc, err.text);
        assert_int_equal(f.length, 77); /* untouched */
        rendezvous_reader_release(&r);
    }
}

static void test_the_largest_payload_of_each_type_passes(void **state)
{
    (void)state;
    static const struct {
        enum rendezvous_type type;
        enum rendezvous_direction direction;
        uint32_t max;
    } types[] = {
#define XX(name, number, direction, max) {RENDEZVOUS_##name, direction, max},
        RENDEZVOUS_TYPE_MAP(XX)
#undef XX
    };
    char *payload = calloc(1, RENDEZVOUS_PAYLOAD_MAX);
    assert_non_null(payload);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct mlt_text out = MLT_TEXT_INIT(RENDEZVOUS_HEADER_SIZE + RENDEZVOUS_PAYLOAD_MAX);
        rendezvous_frame_write(&out, types[i].type, 1, payload, types[i].max);
        assert_false(out.failed);
        size_t length = out.length;
        struct rendezvous_reader r;
        struct rendezvous_frame f;
        rendezvous_reader_init(&r, types[i].direction);
        for (size_t at = 0; at < length; at += 65536)
            assert_int_equal(rendezvous_reader_feed(&r, out.data + at,
                                                    length - at < 65536 ? length - at : 65536,
                                                    NULL),
                             0);
        assert_int_equal(rendezvous_reader_next(&r, &f, NULL), 1);
        assert_int_equal(f.length, types[i].max);
        rendezvous_frame_write(&out, types[i].type, 1, payload, types[i].max + 1);
        assert_true(out.failed);
        assert_int_equal(out.length, length); /* no half frame */
        rendezvous_reader_release(&r);
        mlt_text_release(&out);
    }
    free(payload);
}

static void test_a_reader_that_is_fed_without_being_emptied_refuses(void **state)
{
    (void)state;
    struct rendezvous_reader r;
    char chunk[65536] = {0};
    int rc = 0;
    unsigned fed = 0;
    rendezvous_reader_init(&r, RENDEZVOUS_UP);
    for (; fed < 100 && rc == 0; fed++)
        rc = rendezvous_reader_feed(&r, chunk, sizeof chunk, NULL);
    assert_int_equal(rc, -ENOBUFS);
    assert_true(fed >= 16 && fed <= 20); /* VALUE is the largest that comes up: 1 MiB */
    rendezvous_reader_release(&r);
}

static void test_a_frame_that_does_not_fit_leaves_nothing_behind(void **state)
{
    (void)state;
    struct mlt_text out = MLT_TEXT_INIT(20);
    rendezvous_frame_write(&out, RENDEZVOUS_PONG, 1, "", 0);
    rendezvous_frame_write(&out, RENDEZVOUS_PONG, 1, "", 0);
    assert_true(out.failed);
    assert_int_equal(out.length, RENDEZVOUS_HEADER_SIZE);
    mlt_text_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_frame_has_the_documented_bytes),
        cmocka_unit_test(test_frames_come_out_whole_wherever_the_stream_is_cut),
        cmocka_unit_test(test_a_broken_header_is_refused_before_its_payload_is_waited_for),
        cmocka_unit_test(test_the_largest_payload_of_each_type_passes),
        cmocka_unit_test(test_a_reader_that_is_fed_without_being_emptied_refuses),
        cmocka_unit_test(test_a_frame_that_does_not_fit_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
