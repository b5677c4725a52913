/* Bytes from checkpoint folders, error files and cgroup files: the launcher's scanners. The first
 * byte chooses the scanner, the rest is its input. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cgroup_memory.h"
#include "launcher/error_file.h"
#include "launcher/torchrun.h"
#include "launcher/trackers/commit.h"
#include "launcher/trackers/content.h"
#include "launcher/trackers/tracker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static bool add_piece(void *user, uint32_t rank, uint32_t index, uint64_t end)
{
    size_t *pieces = user;
    (void)end;
    require(rank < 1000000000 && index < 1000000000);
    return ++*pieces < 1u << 20;
}

/* However the bytes are cut, the same names are found. */
static void feed_names(const uint8_t *data, size_t size)
{
    struct tracker_dcp_names whole = {0}, pieces = {0};
    tracker_dcp_feed(&whole, data, size);
    for (size_t at = 0; at < size; at += 7)
        tracker_dcp_feed(&pieces, data + at, size - at < 7 ? size - at : 7);
    require(whole.count == pieces.count && whole.failed == pieces.failed);
    tracker_dcp_release(&whole);
    tracker_dcp_release(&pieces);
    size_t ends = 0;
    (void)content_dcp_walk(data, size, add_piece, &ends);
}

/* A pattern, a zero byte, a name. */
static void match(const char *text, size_t length)
{
    size_t pattern_length = strnlen(text, length);
    char before[64], component[64], after[64];
    int64_t step = -1;
    const char *name = text + pattern_length + 1;
    if (tracker_pattern_split(text, before, component, after, sizeof before))
        require(strstr(component, "{step}") != NULL);
    if (tracker_pattern_match(text, name, &step))
        require(step >= 0);
    if (tracker_last_number(name, &step))
        require(step >= 0);
}

static void scan_text(const char *text, size_t size)
{
    char message[ERROR_FILE_MESSAGE_MAX], path[64];
    uint64_t kills;
    error_file_message(text, size, message);
    require(strlen(message) < sizeof message);
    (void)!cgroup_memory_parse(text, &kills);
    if (cgroup_memory_path(text, path, sizeof path) > 0)
        require(strlen(path) < sizeof path);
    (void)torchrun_is_script(text, size, true);
}

struct bounds {
    const char *text;
    size_t length;
};

/* What is told lies in the text, and a word that was a number can be read again. */
static bool check_value(void *user, const struct content_json_value *value)
{
    const struct bounds *b = user;
    int64_t number = 0;
    require(value->text >= b->text && value->text + value->length <= b->text + b->length);
    require(value->depth <= CONTENT_JSON_DEPTH_MAX);
    for (unsigned i = 0; i < CONTENT_JSON_KEYS; i++)
        require(!value->keys[i].text ||
                (value->keys[i].text > b->text &&
                 value->keys[i].text + value->keys[i].length < value->text));
    require(!content_json_integer(value, &number) || number >= 0);
    return true;
}

static void walk_json(const char *text, size_t length)
{
    struct bounds bounds = {.text = text, .length = length};
    uint64_t size = 0;
    bool is_whole = content_json_walk(text, length, check_value, &bounds);
    require(!content_safetensors_size(text, length, &size) || (is_whole && size >= 8 + length));
}

/* A key, a zero byte, a pickle. */
static void find_number(const char *text, size_t length)
{
    int64_t number = 0;
    size_t key = strnlen(text, length);
    if (key < length)
        (void)content_pickle_number((const unsigned char *)text + key + 1, length - key - 1, text,
                                    &number);
    require(number >= INT32_MIN && number <= UINT16_MAX + (int64_t)INT32_MAX);
}

static bool check_file(void *user, const char *name, uint64_t size)
{
    size_t *files = user;
    require(strlen(name) > 0 && strlen(name) < TRACKER_PATH_MAX && !strchr(name, '\n'));
    require(size <= INT64_MAX);
    return ++*files <= COMMIT_FILES_MAX;
}

static void read_record(const char *text, size_t length)
{
    char path[TRACKER_PATH_MAX];
    size_t files = 0;
    if (commit_read(text, length, 120, path, check_file, &files))
        require(files > 0 && strlen(path) > 0);
}

/* A form, a zero byte, a name. */
static void fit_name(const char *text, size_t length)
{
    char pointer[TRACKER_POINTER_MAX + 1];
    int64_t numbers[TRACKER_FORM_NUMBERS] = {0};
    const char *name = text + strnlen(text, length) + 1;
    struct tracker_ranks ranks = {0};
    if (tracker_fit(text, name, numbers))
        for (unsigned i = 1; i <= TRACKER_FORM_NUMBERS; i++)
            tracker_ranks_add(&ranks, numbers, i == 1 ? 2 : i); /* forms that do not agree too */
    (void)tracker_ranks_are_whole(&ranks, numbers);
    tracker_ranks_release(&ranks);
    if (tracker_pointer_read(text, length, pointer))
        require(strlen(pointer) > 0 && !strchr(pointer, '/'));
    require(!tracker_is_set_aside(name) || strstr(name, ".torn-"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const scanners[])(const char *text, size_t length) = {
        [2] = match,       [3] = scan_text,   [4] = walk_json,
        [5] = find_number, [6] = read_record, [7] = fit_name};
    if (size < 1 || size > 1 << 16)
        return 0;
    char *text = malloc(size + 1); /* from the second byte on, with two NULs behind */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = text[size] = '\0';
    if (data[0] % 8 == 0)
        feed_names(data + 1, size - 1);
    else if (data[0] % 8 == 1)
        (void)content_zip_is_whole(data + 1, size - 1, (uint64_t)(size - 1) << (data[0] >> 4));
    else
        scanners[data[0] % 8](text, size - 1);
    free(text);
    return 0;
}
