/* What the bytes of checkpoint files say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "launcher/trackers/commit.h"
#include "launcher/trackers/content.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"

/* ---- JSON ---- */

static bool write_value(void *user, const struct content_json_value *value)
{
    struct mlt_text *seen = user;
    for (unsigned i = 0; i < CONTENT_JSON_KEYS && i < value->depth; i++)
        mlt_text_printf(seen, "%.*s/", (int)value->keys[i].length,
                        value->keys[i].text ? value->keys[i].text : "");
    mlt_text_printf(seen, "%zu=%.*s ", value->index, (int)value->length, value->text);
    return true;
}

static void test_json_is_walked_with_its_places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *seen;
    } rows[] = {
        {"{\"a\": 1, \"b\": {\"c\": \"x\", \"d\": [7, 8]}, \"e\": true}",
         "a/0=1 b/c/0=x b/d/0=7 b/d/1=8 e/2=true "},
        {"[1, [2], {}, [], \"q\\\"r\"]", "/0=1 //0=2 /4=q\\\"r "},
        {" 12 ", "0=12 "},
        {"{\"loss\": NaN, \"x\": -1.5e-3}", "loss/0=NaN x/1=-1.5e-3 "},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct mlt_text seen = MLT_TEXT_INIT(4096);
        assert_true(content_json_walk(rows[i].text, strlen(rows[i].text), write_value, &seen));
        assert_string_equal(mlt_text_string(&seen), rows[i].seen);
        mlt_text_release(&seen);
    }
}

static bool ignore(void *user, const struct content_json_value *value)
{
    (void)user;
    (void)value;
    return true;
}

static void test_json_that_is_cut_anywhere_is_not_whole(void **state)
{
    (void)state;
    static const char text[] =
        "{\"global_step\": 20, \"log\": [{\"loss\": 0.5}, null], \"s\": \"x\\n\"}";
    for (size_t cut = 0; cut < sizeof text - 1; cut++)
        assert_false(content_json_walk(text, cut, ignore, NULL));
    assert_true(content_json_walk(text, sizeof text - 1, ignore, NULL));
    static const char *const broken[] = {"{]",  "[1,]",    "{\"a\" 1}", "{\"a\":1,}", "nul",
                                         "1 2", "{a:1}",   "[\"\n\"]",  "--",         "{\"a\":}",
                                         "[1}", "{\"a\"}", "",          "1e",         "[,1]"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(broken); i++)
        if (content_json_walk(broken[i], strlen(broken[i]), ignore, NULL))
            fail_msg("%s", broken[i]);
}

static void test_json_is_not_deeper_than_its_limit(void **state)
{
    (void)state;
    char text[2 * CONTENT_JSON_DEPTH_MAX + 2];
    for (size_t depth = CONTENT_JSON_DEPTH_MAX; depth <= CONTENT_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(content_json_walk(text, 2 * depth, ignore, NULL),
                         depth <= CONTENT_JSON_DEPTH_MAX);
    }
}

/* ---- safetensors ---- */

static void test_a_safetensors_header_says_the_size_of_its_file(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}  ";
    uint64_t size;
    assert_true(content_safetensors_size(header, sizeof header - 1, &size));
    assert_int_equal(size, 8 + sizeof header - 1 + 24);
    assert_false(content_safetensors_size(header, sizeof header - 5, &size));
    static const char wrong[] = "{\"a\":{\"data_offsets\":[0,\"x\"]}}";
    assert_false(content_safetensors_size(wrong, sizeof wrong - 1, &size));
}

/* ---- pickles ---- */

static void test_numbers_are_found_behind_their_keys(void **state)
{
    (void)state;
    static const struct {
        const char *what, *bytes;
        size_t length;
        int64_t value; /* -99: none */
    } rows[] = {
#define ROW(what, bytes, value) {what, bytes, sizeof(bytes) - 1, value}
        ROW("protocol 2", "X\3\0\0\0keyq\1K\5", 5),
        ROW("a large memo", "X\3\0\0\0keyr\1\0\0\0M\0\2", 512),
        ROW("protocol 4", "\x8c\3key\x94J\1\0\1\0", 65537),
        ROW("no memo", "\x8c\3keyK\7", 7),
        ROW("a negative number", "\x8c\3key\x94J\xff\xff\xff\xff", -1),
        ROW("in another text first", "\x8c\4keysK\1X\3\0\0\0keyK\2", 2),
        ROW("no number", "\x8c\3key\x94N", -99),
        ROW("cut", "\x8c\3key\x94M\1", -99),
        ROW("bytes of something else", "keyK\1", -99),
        ROW("nothing", "", -99),
#undef ROW
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        int64_t value = -99;
        bool found = content_pickle_number((const unsigned char *)rows[i].bytes, rows[i].length,
                                           "key", &value);
        if (value != rows[i].value || found != (value != -99))
            fail_msg("%s: %lld", rows[i].what, (long long)value);
    }
}

/* ---- the metadata of torch.distributed.checkpoint ---- */

static bool write_piece(void *user, uint32_t rank, uint32_t index, uint64_t end)
{
    mlt_text_printf(user, "%u_%u:%llu ", rank, index, (unsigned long long)end);
    return true;
}

/* As a pickler writes it: texts once, then by their numbers; in shard 1, two pieces. */
static const char pieces[] =
    "\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\15relative_path\x94\x8c\14__0_0.distcp\x94"
    "\x8c\6offset\x94K\0\x8c\6length\x94M\x6b\x12u}\x94(h\1\x8c\15__3_10.distcp\x94h\3K\5h\4K\6u"
    "}\x94(h\1h\6h\3\x8a\5\0\0\0\0\1h\4J\1\0\1\0uN.";

static void test_metadata_say_where_shards_end(void **state)
{
    (void)state;
    struct mlt_text seen = MLT_TEXT_INIT(4096);
    assert_true(
        content_dcp_walk((const unsigned char *)pieces, sizeof pieces - 1, write_piece, &seen));
    assert_string_equal(mlt_text_string(&seen), "0_0:4715 3_10:11 3_10:4295032833 ");
    mlt_text_release(&seen);
    for (size_t cut = 0; cut < sizeof pieces - 1; cut++) {
        struct mlt_text some = MLT_TEXT_INIT(4096);
        assert_false(content_dcp_walk((const unsigned char *)pieces, cut, write_piece, &some));
        mlt_text_release(&some);
    }
}

/* ---- libmltrain's records ---- */

static bool write_file(void *user, const char *path, uint64_t size)
{
    mlt_text_printf(user, "%s:%llu ", path, (unsigned long long)size);
    return true;
}

static void test_a_record_that_is_cut_anywhere_is_not_whole(void **state)
{
    (void)state;
    static const char text[] = "mltrain-commit 1\nstep 7\npath step 7\nfile 10 a\n"
                               "file 0 b c\nend 2\n";
    char path[TRACKER_PATH_MAX];
    struct mlt_text seen = MLT_TEXT_INIT(4096);
    assert_true(commit_read(text, sizeof text - 1, 7, path, write_file, &seen));
    assert_string_equal(path, "step 7");
    assert_string_equal(mlt_text_string(&seen), "a:10 b c:0 ");
    mlt_text_release(&seen);
    assert_false(commit_read(text, sizeof text - 1, 8, path, write_file, &seen));
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        struct mlt_text some = MLT_TEXT_INIT(4096);
        assert_false(commit_read(text, cut, 7, path, write_file, &some));
        mlt_text_release(&some);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_is_walked_with_its_places),
        cmocka_unit_test(test_json_that_is_cut_anywhere_is_not_whole),
        cmocka_unit_test(test_json_is_not_deeper_than_its_limit),
        cmocka_unit_test(test_a_safetensors_header_says_the_size_of_its_file),
        cmocka_unit_test(test_numbers_are_found_behind_their_keys),
        cmocka_unit_test(test_metadata_say_where_shards_end),
        cmocka_unit_test(test_a_record_that_is_cut_anywhere_is_not_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
