/* A checkpoint folder for tests: see folder.h. */
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/text.h"

void folder_init(struct folder *f)
{
    *f = (struct folder){.dir = "/tmp/mltrain-ckpt-XXXXXX"};
    assert_non_null(mkdtemp(f->dir));
}

void folder_release(struct folder *f)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
}

static const char *path_of(const struct folder *f, const char *name)
{
    static char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    return path;
}

void folder_put(struct folder *f, const char *name, const void *data, size_t length)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", path_of(f, name));
    for (char *slash = path + strlen(f->dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void folder_put_text(struct folder *f, const char *name, const char *text)
{
    folder_put(f, name, text, strlen(text));
}

/* ---- zip ---- */

struct bytes {
    unsigned char *at;
    size_t length;
};

static void add_number(struct bytes *b, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, value >>= 8)
        b->at[b->length++] = (unsigned char)value;
}

static void add_bytes(struct bytes *b, const void *data, size_t length)
{
    memcpy(b->at + b->length, data, length);
    b->length += length;
}

/* A local header or a central one: APPNOTE.TXT 4.3.7, 4.3.12. */
static void add_header(struct bytes *b, bool central, const char *name, size_t size, size_t offset)
{
    add_bytes(b, central ? "PK\1\2\12" : "PK\3\4", central ? 5 : 4);
    add_number(b, central ? 0 : 10, central ? 1 : 2);
    add_number(b, central ? 10 : 0, central ? 2 : 0);
    add_number(b, 0, 2 + 2 + 4); /* flags, method: stored, time */
    add_number(b, 0, 4);         /* checksum: nobody asks for it here */
    add_number(b, size, 4);
    add_number(b, size, 4);
    add_number(b, strlen(name), 2);
    add_number(b, 0, 2);
    if (central) {
        add_number(b, 0, 2 + 2 + 2 + 4);
        add_number(b, offset, 4);
    }
    add_bytes(b, name, strlen(name));
}

size_t folder_make_zip(unsigned char *zip, const void *pickle, size_t length)
{
    static const char tensor[64] = "64 bytes of weights";
    struct bytes b = {.at = zip};
    add_header(&b, false, "archive/data.pkl", length, 0);
    add_bytes(&b, pickle, length);
    size_t second = b.length;
    add_header(&b, false, "archive/data/0", sizeof tensor, 0);
    add_bytes(&b, tensor, sizeof tensor);
    size_t directory = b.length;
    add_header(&b, true, "archive/data.pkl", length, 0);
    add_header(&b, true, "archive/data/0", sizeof tensor, second);
    size_t end = b.length;
    add_bytes(&b, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    add_number(&b, end - directory, 4);
    add_number(&b, directory, 4);
    add_number(&b, 0, 2);
    assert_true(b.length <= FOLDER_ZIP_MAX);
    return b.length;
}

/* Protocol 2, as torch.save has it: "key 300, other 1" in a dictionary. */
static size_t make_pickle(unsigned char *pickle, const char *keys)
{
    struct bytes b = {.at = pickle};
    unsigned char memo = 1;
    add_bytes(&b, "\200\2}q\0(", 6);
    while (*keys) {
        size_t length = strcspn(keys, " ");
        add_number(&b, 'X', 1);
        add_number(&b, length, 4);
        add_bytes(&b, keys, length);
        add_number(&b, 'q', 1);
        add_number(&b, memo++, 1);
        long value = strtol(keys + length, NULL, 10);
        bool is_byte = value < 256;
        add_number(&b, is_byte ? 'K' : 'J', 1);
        add_number(&b, (uint64_t)value, is_byte ? 1 : 4);
        keys += strcspn(keys, ",");
        keys += strspn(keys, ", ");
    }
    add_bytes(&b, "u.", 2);
    return b.length;
}

void folder_put_torch(struct folder *f, const char *name, const char *keys)
{
    unsigned char pickle[1024], zip[FOLDER_ZIP_MAX];
    folder_put(f, name, zip, folder_make_zip(zip, pickle, make_pickle(pickle, keys)));
}

/* ---- other formats ---- */

void folder_put_safetensors(struct folder *f, const char *name)
{
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"w\":{\"dtype\":\"F32\","
                                 "\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    unsigned char data[256] = {sizeof header - 1};
    memcpy(data + 8, header, sizeof header - 1);
    folder_put(f, name, data, 8 + sizeof header - 1 + 16);
}

void folder_put_dcp(struct folder *f, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/.metadata", name);
    folder_put_text(f, path, "\x80\x04 __0_0.distcp __1_0.distcp .");
    (void)snprintf(path, sizeof path, "%s/__0_0.distcp", name);
    folder_put_text(f, path, "shard");
    (void)snprintf(path, sizeof path, "%s/__1_0.distcp", name);
    folder_put_text(f, path, "shard");
}

/* ---- damage ---- */

void folder_cut(struct folder *f, const char *name, size_t bytes)
{
    struct stat st;
    assert_int_equal(stat(path_of(f, name), &st), 0);
    assert_int_equal(truncate(path_of(f, name), st.st_size - (off_t)bytes), 0);
}

void folder_remove(struct folder *f, const char *name)
{
    assert_int_equal(remove(path_of(f, name)), 0);
}

void folder_age(struct folder *f, const char *name, int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    const struct timespec times[2] = {time, time};
    assert_int_equal(utimensat(AT_FDCWD, path_of(f, name), times, 0), 0);
}

/* ---- seeing ---- */

const char *folder_text(struct folder *f, const char *name)
{
    static char text[4096];
    FILE *file = fopen(path_of(f, name), "re");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = '\0';
    if (file)
        (void)fclose(file);
    return text;
}

bool folder_has(struct folder *f, const char *name)
{
    return access(path_of(f, name), F_OK) == 0;
}

static struct checkpoint_answer answer;
static size_t answer_count;

const char *folder_look(struct folder *f, const char *format, const char *pattern)
{
    static const char *const verdicts[] = {
        [TRACKER_TORN] = "torn", [TRACKER_SETTLING] = "settling", [TRACKER_COMPLETE] = "complete"};
    static struct mlt_text seen = MLT_TEXT_INIT(8192);
    struct checkpoint_scan_spec spec = {
        .path = f->dir, .format = format, .pattern = pattern, .ranks = f->ranks};
    answer = (struct checkpoint_answer){0};
    answer_count = 0;
    assert_int_equal(checkpoint_scan_look(&spec, &answer, &answer_count), 0);
    mlt_text_release(&seen);
    for (size_t i = 0; i < answer_count; i++)
        mlt_text_printf(&seen, "%s%lld %s %s %s", i ? ", " : "", (long long)answer.found[i].step,
                        answer.found[i].name,
                        tracker_at((enum tracker_format)answer.found[i].format)->format,
                        verdicts[answer.found[i].verdict]);
    return mlt_text_string(&seen);
}

const struct checkpoint_answer *folder_answer(void)
{
    return &answer;
}

size_t folder_answer_count(void)
{
    return answer_count;
}
