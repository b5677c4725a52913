/* A rank's bytes on their way to the researcher's screen: launcher's relay, the shim's CRI log, the
 * API server's pods/log, the CLI's reader. What went in comes out, each line with its rank,
 * wherever the bytes are cut on the way. First byte: the size of the pieces; the rest is what the
 * rank writes, and, a second time, what stands in a log file that somebody else wrote. */
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/log_line.h"
#include "controller/text_clean.h"
#include "launcher/output.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/pod_log.h"
#include "localcluster/shim/cri_log.h"

#define TEXT_MAX (64u << 20)
#define WALL_NS INT64_C(1764273600123456789)
#define PREFIX "[r3 a1] "

/* ---- the launcher ---- */

static void relay(const uint8_t *data, size_t size, struct mlt_text *out)
{
    struct output_sink sink;
    struct output_stream stream;
    struct output_tail tail = {0};
    char block[4096], last[OUTPUT_TAIL_SIZE + 1];
    int from = memfd_create("rank", MFD_CLOEXEC), to = memfd_create("log", MFD_CLOEXEC);
    ssize_t n;
    REQUIRE(from >= 0 && to >= 0 && write(from, data, size) == (ssize_t)size);
    REQUIRE(lseek(from, 0, SEEK_SET) == 0);
    REQUIRE(output_sink_init(&sink, to, NULL) == 0);
    REQUIRE(output_stream_init(&stream, from, &sink, NULL) == 0);
    (void)snprintf(stream.prefix, sizeof stream.prefix, PREFIX);
    stream.tail = &tail;
    while (output_stream_read(&stream) > 0)
        while (!output_stream_relay(&stream))
            REQUIRE(output_sink_flush(&sink));
    while (!output_stream_relay(&stream))
        REQUIRE(output_sink_flush(&sink));
    REQUIRE(stream.ended && output_sink_flush(&sink));
    for (off_t at = 0; (n = pread(to, block, sizeof block, at)) > 0; at += n)
        mlt_text_add(out, block, (size_t)n);
    output_tail_text(&tail, last);
    text_clean(last);
    REQUIRE(text_is_utf8(last));
    text_plain(last, true);
    REQUIRE(text_is_utf8(last) && !strchr(last, '\033'));
    output_stream_release(&stream);
    output_sink_release(&sink);
    (void)close(to);
}

/* ---- the shim ---- */

static void keep(const struct mlt_text *lines, size_t piece, struct mlt_text *out)
{
    struct cri_stream *stream = mlt_calloc(1, sizeof *stream);
    for (size_t at = 0; at < lines->length; at += piece)
        cri_stream_feed(stream, lines->data + at,
                        lines->length - at < piece ? lines->length - at : piece, WALL_NS, out);
    cri_stream_end(stream, WALL_NS, out);
    free(stream);
}

/* ---- the API server ---- */

static char folder[64], file[256];

static void make_folder(void)
{
    static const char *const parts[] = {"/nodes", "/n", "/logs", "/ns_pod_uid", "/c"};
    (void)snprintf(folder, sizeof folder, "%s/mltrain-fuzz-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s", folder);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(parts); i++) {
        (void)strcat(file, parts[i]);
        REQUIRE(mkdir(file, 0700) == 0);
    }
    (void)strcat(file, "/0.log");
}

static void remove_folder(void)
{
    (void)unlink(file);
    for (char *end; (end = strrchr(file, '/')) && strlen(file) > strlen(folder);) {
        *end = '\0';
        (void)rmdir(file);
    }
}

static void show(const void *data, size_t size, const struct api_log_query *q, struct mlt_text *out)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    (void)close(fd);
    struct pod_log *log = pod_log_new(folder, q);
    while (pod_log_read(log, out->length + 1000, out) == POD_LOG_MORE)
        continue;
    REQUIRE(!out->failed);
    if (q->limit_bytes >= 0)
        REQUIRE(out->length <= (size_t)q->limit_bytes);
    pod_log_free(log);
}

/* ---- the reader ---- */

static void read_lines(const struct mlt_text *shown, bool ours)
{
    const char *at = mlt_text_string(shown), *end = at + shown->length;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        struct log_line line;
        log_line_parse(at, length, &line);
        REQUIRE(line.text >= at && line.text + line.length == at + length);
        REQUIRE(!ours || (newline && line.rank == 3 && line.attempt == 1 && !line.is_error));
        at += length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char ns[] = "ns", pod[] = "pod", uid[] = "uid", node[] = "n", container[] = "c";
    struct api_log_query q = {.namespace_ = ns,
                              .pod = pod,
                              .uid = uid,
                              .node = node,
                              .container = container,
                              .tail_lines = -1,
                              .limit_bytes = -1,
                              .since_ms = INT64_MIN};
    if (size < 1 || size > 1 << 18)
        return 0;
    if (!folder[0]) {
        make_folder();
        (void)atexit(remove_folder);
    }
    cleanup_text struct mlt_text lines = MLT_TEXT_INIT(TEXT_MAX), kept = lines, other = lines,
                                 shown = lines, foreign = lines;
    relay(data + 1, size - 1, &lines);
    keep(&lines, 1u << 20, &kept);
    keep(&lines, (size_t)data[0] + 1, &other);
    REQUIRE(kept.length == other.length &&
            (!kept.length || memcmp(kept.data, other.data, kept.length) == 0));
    show(mlt_text_string(&kept), kept.length, &q, &shown);
    REQUIRE(shown.length == lines.length &&
            (!shown.length || memcmp(shown.data, lines.data, shown.length) == 0));
    read_lines(&shown, true);
    q.timestamps = data[0] & 1;
    q.tail_lines = data[0] & 2 ? data[0] / 16 : -1;
    q.limit_bytes = data[0] & 4 ? data[0] : -1;
    q.since_ms = data[0] & 8 ? WALL_NS / 1000000 : INT64_MIN;
    show(data + 1, size - 1, &q, &foreign);
    read_lines(&foreign, false);
    return 0;
}
