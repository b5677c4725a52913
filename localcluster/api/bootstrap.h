/* What a cluster has from its first moment. Private to localcluster/api. */
#ifndef LOCALCLUSTER_API_BOOTSTRAP_H
#define LOCALCLUSTER_API_BOOTSTRAP_H

#include "localcluster/api/server.h"

/* Creates namespaces, priority classes, the given CRDs and the TrainingQueue `default` where they
 * are missing, and brings stored CRDs up to date with the given ones. */
int api_bootstrap(struct api_server *s, const struct api_server_config *config, int64_t now_ms,
                  struct mlt_error *err) MLT_MUST_USE;

#endif
