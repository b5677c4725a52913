/* Answers that go on: watches and followed logs, over lib/httpd. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_STREAMS_H
#define LOCALCLUSTER_API_STREAMS_H

#include <stdbool.h>
#include <uv.h>
#include "lib/httpd/httpd.h"
#include "localcluster/api/request.h"

#define STREAM_QUEUE_HIGH (1u << 20) /* bytes queued from which a stream waits for its client */
#define STREAM_PIECE (256u * 1024)   /* bytes rendered at a time */
#define LOG_POLL_MS 100              /* how often a followed log is looked at, beside inotify */

struct watch_stream;
struct log_stream;

struct api_streams {
    uv_loop_t *loop;
    struct watch_stream *watches;
    struct log_stream *logs;
    uint64_t seen; /* revision at the last wake */
};

void api_streams_init(struct api_streams *s, uv_loop_t *loop);

/* Turns a request into a watch; takes the watch over. */
void api_streams_watch(struct api_streams *s, struct httpd_request *request,
                       struct api_watch *watch, const struct httpd_header *headers, size_t count,
                       int64_t now_ms);

/* Turns a request into a log. */
void api_streams_log(struct api_streams *s, struct httpd_request *request,
                     struct api_server *server, const char *dir, const struct api_log_query *query,
                     const struct httpd_header *headers, size_t count);

/* After writes: every watch looks for what is new, if the revision has moved. */
void api_streams_wake(struct api_streams *s, uint64_t revision, int64_t now_ms);

/* Once a second: bookmarks and ends. */
void api_streams_tick(struct api_streams *s, int64_t now_ms);

/* Ends all of them properly; returns whether there were any. */
bool api_streams_end(struct api_streams *s);

#endif
