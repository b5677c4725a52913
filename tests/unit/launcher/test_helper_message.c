/* Frames between a launcher and its helper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/helper/message.h"

static void feed(struct helper_reader *r, const void *bytes, size_t length)
{
    while (length > 0) {
        size_t room;
        unsigned char *to = helper_reader_space(r, &room);
        size_t n = room < length ? room : length;
        assert_non_null(to);
        memcpy(to, bytes, n);
        r->length += n;
        bytes = (const char *)bytes + n;
        length -= n;
    }
}

static void write_to(struct helper_reader *r, const struct helper_message *m)
{
    int size = helper_message_size(m);
    assert_true(size > 0);
    unsigned char *frame = malloc((size_t)size);
    helper_message_write(m, frame);
    feed(r, frame, (size_t)size);
    free(frame);
}

static const unsigned char list[] = {1, 0, 0, 0, 255, 255, 255, 255};

static void test_each_message_is_read_as_it_was_written(void **state)
{
    (void)state;
    const struct helper_message messages[] = {
        {.kind = HELPER_BEGIN,
         .id = 1,
         .rank = 7,
         .name = "job.1",
         .words = "/tmp/x",
         .list = list,
         .list_count = 2},
        {.kind = HELPER_PREPARE, .id = 1, .rank = 7, .words = "/tmp/x"},
        {.kind = HELPER_FENCED, .id = UINT64_MAX, .status = -24, .data = "a\0b", .data_length = 3},
        {.kind = HELPER_READY, .name = "OpenPMIx 4.2.2", .data = "A=1\0", .data_length = 5},
        {.kind = HELPER_GROUP,
         .id = 2,
         .flags = HELPER_CONTEXT,
         .name = "g",
         .list = list,
         .list_count = 1,
         .data = "",
         .data_length = 0},
        {.kind = HELPER_GROUPED, .id = 2, .context = UINT64_C(0x100000001)},
        {.kind = HELPER_ABORT, .rank = 3, .status = 7, .words = ""},
        {.kind = HELPER_CONNECTED, .rank = 3},
    };
    struct helper_reader r = {0};
    struct helper_message got;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        write_to(&r, &messages[i]);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        const struct helper_message *m = &messages[i];
        assert_int_equal(helper_reader_next(&r, &got), 1);
        assert_int_equal(got.kind, m->kind);
        assert_true(got.id == m->id && got.context == m->context);
        assert_true(got.rank == m->rank && got.status == m->status && got.flags == m->flags);
        assert_string_equal(got.name ? got.name : "", m->name ? m->name : "");
        assert_string_equal(got.words ? got.words : "", m->words ? m->words : "");
        assert_int_equal(got.list_count, m->list_count);
        for (uint32_t j = 0; j < m->list_count; j++)
            assert_int_equal(helper_list_at(got.list, j), helper_list_at(m->list, j));
        assert_int_equal(got.data_length, m->data_length);
        if (m->data_length)
            assert_memory_equal(got.data, m->data, m->data_length);
    }
    assert_int_equal(helper_reader_next(&r, &got), 0);
    helper_reader_release(&r);
}

static void test_a_message_may_come_in_single_bytes(void **state)
{
    (void)state;
    const struct helper_message m = {.kind = HELPER_REFUSED, .status = 1, .words = "no library"};
    unsigned char frame[64];
    struct helper_reader r = {0};
    struct helper_message got;
    int size = helper_message_size(&m);
    assert_true(size > 0 && size <= (int)sizeof frame);
    helper_message_write(&m, frame);
    for (int i = 0; i < size; i++) {
        assert_int_equal(helper_reader_next(&r, &got), 0);
        feed(&r, frame + i, 1);
    }
    assert_int_equal(helper_reader_next(&r, &got), 1);
    assert_string_equal(got.words, "no library");
    helper_reader_release(&r);
}

static void test_a_large_message_grows_the_reader_with_what_has_come(void **state)
{
    (void)state;
    size_t length = 3u << 20;
    char *data = malloc(length);
    memset(data, 'x', length);
    const struct helper_message m = {
        .kind = HELPER_FENCED, .id = 1, .data = data, .data_length = length};
    struct helper_reader r = {0};
    struct helper_message got;
    /* A length of 64 MiB alone takes no memory. */
    feed(&r, "\0\0\0\4\2", 5);
    assert_int_equal(helper_reader_next(&r, &got), 0);
    assert_true(r.capacity <= 65536);
    helper_reader_release(&r);
    write_to(&r, &m);
    assert_int_equal(helper_reader_next(&r, &got), 1);
    assert_int_equal(got.data_length, length);
    assert_memory_equal(got.data, data, length);
    helper_reader_release(&r);
    free(data);
}

static void test_what_no_helper_says_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        unsigned char bytes[24];
        size_t length;
    } cases[] = {
        {"no length", {0, 0, 0, 0, 1}, 5},
        {"longer than any", {0, 0, 0, 5, 1}, 5},
        {"a kind that is none", {1, 0, 0, 0, 99}, 5},
        {"too short for its fields", {2, 0, 0, 0, 39, 1}, 6},
        {"longer than its fields", {6, 0, 0, 0, 39, 1, 0, 0, 0, 0}, 10},
        {"a text without its end", {9, 0, 0, 0, 33, 0, 0, 0, 0, 2, 0, 'a', 'b'}, 13},
        {"a text with an end within", {10, 0, 0, 0, 33, 0, 0, 0, 0, 3, 0, 'a', 0, 0}, 14},
        {"an empty text", {7, 0, 0, 0, 33, 0, 0, 0, 0, 0, 0}, 11},
        {"data above the frame", {12, 0, 0, 0, 32, 1, 0, 0, 255, 0, 0, 0, 'a', 'b', 'c', 'd'}, 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct helper_reader r = {0};
        struct helper_message got = {.id = 12345};
        feed(&r, cases[i].bytes, cases[i].length);
        if (helper_reader_next(&r, &got) != -EPROTO)
            fail_msg("%s was taken", cases[i].what);
        assert_true(got.id == 12345);
        helper_reader_release(&r);
    }
}

static void test_what_is_over_a_maximum_is_not_written(void **state)
{
    (void)state;
    char *name = malloc(HELPER_NAME_MAX + 2);
    memset(name, 'n', HELPER_NAME_MAX + 1);
    name[HELPER_NAME_MAX + 1] = '\0';
    const struct helper_message messages[] = {
        {.kind = HELPER_READY, .name = name},
        {.kind = HELPER_FENCED, .data = name, .data_length = HELPER_DATA_MAX + 1},
        {.kind = HELPER_FENCE, .list = list, .list_count = HELPER_LIST_MAX + 1},
        {.kind = (enum helper_kind)99},
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++)
        assert_int_equal(helper_message_size(&messages[i]), -EINVAL);
    free(name);
}

static void test_an_environment_is_taken_apart_by_rank(void **state)
{
    (void)state;
    static const char two[] = "A=1\0B=\0\0A=2\0"; /* and the string's own NUL */
    const char *rank = helper_environment(two, sizeof two, 2, 0);
    assert_string_equal(rank, "A=1");
    assert_string_equal(rank + 4, "B=");
    assert_string_equal(rank + 7, "");
    assert_string_equal(helper_environment(two, sizeof two, 2, 1), "A=2");
    assert_null(helper_environment(two, sizeof two, 1, 0));     /* more than that */
    assert_null(helper_environment(two, sizeof two, 3, 0));     /* fewer */
    assert_null(helper_environment(two, sizeof two - 1, 2, 0)); /* cut */
    assert_null(helper_environment("A\0", 3, 1, 0));            /* no value */
    assert_null(helper_environment("=A\0", 4, 1, 0));           /* no name */
    assert_null(helper_environment("", 0, 1, 0));
    assert_string_equal(helper_environment("", 1, 1, 0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_message_is_read_as_it_was_written),
        cmocka_unit_test(test_a_message_may_come_in_single_bytes),
        cmocka_unit_test(test_a_large_message_grows_the_reader_with_what_has_come),
        cmocka_unit_test(test_what_no_helper_says_is_refused),
        cmocka_unit_test(test_what_is_over_a_maximum_is_not_written),
        cmocka_unit_test(test_an_environment_is_taken_apart_by_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
