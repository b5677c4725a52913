/* Bodies of requests in Kubernetes' protobuf form, as Go clients (kubectl from 1.32 on among them)
 * send them for built-in kinds. PURE, private to localcluster/api. */
#ifndef LOCALCLUSTER_API_PROTOBUF_READER_H
#define LOCALCLUSTER_API_PROTOBUF_READER_H

#include "lib/json/json.h"

#define API_PROTOBUF_TYPE "application/vnd.kubernetes.protobuf"
#define API_PROTOBUF_DEPTH_MAX 48 /* messages inside messages */

/* Reads "k8s\0" and a runtime.Unknown into the JSON tree that the client would have sent instead.
 * Fields that the table of kinds does not know are dropped, as protobuf has it. -EINVAL for a
 * malformed message and for kinds that are not built in. The caller frees *ret_tree. */
int api_protobuf_read(const char *data, size_t length, cJSON **ret_tree,
                      struct mlt_error *err) MLT_MUST_USE;

#endif
