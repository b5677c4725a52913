/* The log of one container in the CRI format, as kubelet and containerd keep it:
 *     2026-11-24T17:09:56.123456789Z stdout F text
 * F ends a line, P is a piece of a line that goes on in the next record of the same stream. */
#ifndef LOCALCLUSTER_SHIM_CRI_LOG_H
#define LOCALCLUSTER_SHIM_CRI_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"

#define CRI_LINE_MAX (16u * 1024) /* containerd's max_container_log_line_size */
#define CRI_LOG_MAX_DEFAULT (INT64_C(1) * 1024 * 1024 * 1024) /* bytes of one container's log */
#define CRI_FORMATTED_MAX (8u * 1024 * 1024) /* records formed from one piece of output */

enum cri_stream_name { CRI_STDOUT, CRI_STDERR };

/* What has arrived of a stream's line but not been written yet. */
struct cri_stream {
    enum cri_stream_name name;
    size_t used;
    char line[CRI_LINE_MAX];
};

/* Appends the records that `data` completes to *out, all stamped with wall_ns (since 1970). Pure.
 */
void cri_stream_feed(struct cri_stream *s, const char *data, size_t length, int64_t wall_ns,
                     struct mlt_text *out);

/* The stream has ended: a last line without its newline becomes a record of its own. Pure. */
void cri_stream_end(struct cri_stream *s, int64_t wall_ns, struct mlt_text *out);

struct cri_log {
    int fd;
    int64_t size, maximum; /* bytes */
    bool full;             /* the last line was written; the rest is dropped */
};

/* Opens for appending (mode 0640) and counts what is there already. */
int cri_log_open(struct cri_log *log, const char *path, int64_t maximum,
                 struct mlt_error *err) MLT_MUST_USE;
void cri_log_close(struct cri_log *log);

/* Appends whole records; at the maximum it writes one line that says so and drops the rest. */
void cri_log_write(struct cri_log *log, const char *records, size_t length, int64_t wall_ns);

#endif
