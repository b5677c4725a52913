/* Bytes from checkpoint folders, error files and cgroup files: the launcher's scanners. The first
 * byte chooses the scanner, the rest is its input. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "launcher/cgroup_memory.h"
#include "launcher/error_file.h"
#include "launcher/torchrun.h"
#include "launcher/trackers/tracker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
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
}

/* A pattern, a zero byte, a name. */
static void match(const char *text, size_t pattern_length)
{
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    char *text = malloc(size + 1); /* from the second byte on, with two NULs behind */
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = text[size] = '\0';
    if (data[0] % 4 == 0)
        feed_names(data + 1, size - 1);
    else if (data[0] % 4 == 1)
        (void)tracker_zip_is_whole(data + 1, size - 1, (uint64_t)(size - 1) << (data[0] >> 4));
    else if (data[0] % 4 == 2)
        match(text, strnlen(text, size - 1));
    else
        scan_text(text, size - 1);
    free(text);
    return 0;
}
