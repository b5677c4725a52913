/* A member's pod out of the user's template. PURE: JSON in, JSON out. Adds what design section 7
 * lists and nothing else: what admission adds later is seen by a dry run. */
#ifndef CONTROLLER_POD_BUILD_H
#define CONTROLLER_POD_BUILD_H

#include "controller/delivery.h"
#include "trainingjob/trainingjob.h"

#define POD_BUILD_FOLDER "/mltrain"
#define POD_BUILD_PROGRAMS \
    POD_BUILD_FOLDER "/bin" /* what `mltrain-launcher copy` makes, or the image */
#define POD_BUILD_LAUNCHER_NAME "mltrain-launcher"
#define POD_BUILD_LAUNCHER POD_BUILD_PROGRAMS "/" POD_BUILD_LAUNCHER_NAME
#define POD_BUILD_IMAGE_LAUNCHER \
    "/" POD_BUILD_LAUNCHER_NAME /* in an image that can be mounted: its root is a copy's folder */
#define POD_BUILD_KEY_FOLDER "/mltrain-key"
#define POD_BUILD_VOLUME "mltrain"
#define POD_BUILD_KEY_VOLUME "mltrain-key"
#define POD_BUILD_SHM_VOLUME "mltrain-shm"
#define POD_BUILD_INIT "mltrain-launcher-copy"
#define POD_BUILD_GRACE_EXTRA_SECONDS 15 /* for the launcher, after the ranks' own grace */

struct pod_build {
    const struct trainingjob *tj;
    const struct trainingjob_role *role;
    int64_t index;
    int64_t creation; /* 1 for the first pod of this member */
    const char *node; /* NULL: none (a dry run) */
    int binding;      /* enum trainingjob_binding: NODE or AFFINITY */
    enum delivery delivery; /* not AUTO */
    const char *channel_address, *launcher_image;
    const char *launcher_command;    /* in that image; only an init container runs it there */
    const char *const *pull_secrets; /* of the launcher's image; added to the pod's own */
    uint32_t pull_secrets_count;
};

/* -EINVAL when the template has no container with a command. The caller frees *ret_pod. */
int pod_build(const struct pod_build *b, cJSON **ret_pod, struct mlt_error *err) MLT_MUST_USE;

/* What planning reads of a pod that the API server has completed: its spec, without what the
 * containers run. It is kept for each job, and a controller has thousands. The caller frees it. */
cJSON *pod_build_planned(const cJSON *pod);

/* How the pods of this job are bound: the spec's choice; for `auto` by spec.nodeName unless
 * something in the effective pod needs the scheduler to choose. `effective` may be NULL: the job's
 * own template. */
int pod_build_binding(const struct trainingjob *tj, const cJSON *effective);

/* Puts the job into metadata.ownerReferences (controller, blockOwnerDeletion). */
void pod_build_owner(cJSON *object, const struct trainingjob *tj);

/* The first variable of the trainer container whose name mltrain sets itself; NULL when there is
 * none. */
const char *pod_build_reserved(const cJSON *template_);

#endif
