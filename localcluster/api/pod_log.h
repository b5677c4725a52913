/* Reads a container's log file as pods/log shows it. Private to localcluster/api; not pure (files).
 */
#ifndef LOCALCLUSTER_API_POD_LOG_H
#define LOCALCLUSTER_API_POD_LOG_H

#include "localcluster/api/request.h"

#define POD_LOG_LINE_MAX \
    (1u << 20) /* bytes of one line of the file; longer ones are shown in pieces */

struct pod_log;

/* The log that a query names, below the cluster's folder DIR:
 * DIR/nodes/NODE/logs/NS_POD_UID/CONTAINER/N.log, in the format of the container runtime interface
 * ("TIME stdout|stderr F|P text"). The file need not exist yet. The query is copied. Never NULL; a
 * query with names that are no names reads as empty. */
struct pod_log *pod_log_new(const char *dir, const struct api_log_query *query);
void pod_log_free(struct pod_log *l); /* NULL is fine */

/* The path of the file, for watching it. */
const char *pod_log_path(const struct pod_log *l);

enum pod_log_state {
    POD_LOG_MORE, /* max_bytes were reached: call again */
    POD_LOG_END,  /* nothing more in the file now */
    POD_LOG_DONE  /* limitBytes were reached: never anything more */
};

/* Appends what is to be shown next, about max_bytes at most. */
enum pod_log_state pod_log_read(struct pod_log *l, size_t max_bytes, struct mlt_text *out);

#endif
