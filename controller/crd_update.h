/* Brings the cluster's CustomResourceDefinitions up to date: `mltrain-controller --update-crds`,
 * run by a hook of the chart. Part of the edge. */
#ifndef CONTROLLER_CRD_UPDATE_H
#define CONTROLLER_CRD_UPDATE_H

#include <cjson/cJSON.h>
#include "lib/base/error.h"
#include "lib/kube/kubeconfig.h"

/* Annotation with a number that rises with every change of a definition. */
#define CRD_REVISION_ANNOTATION "mltrain.io/schema-revision"
#define CRD_FILE_MAX (1024u * 1024) /* bytes of one file */
#define CRD_TRIES 60                /* looks at whether it is served, one a second */

enum crd_action {
    CRD_CREATE, /* it is not there */
    CRD_CHANGE, /* the cluster's is older, or as old and perhaps bent */
    CRD_LEAVE,  /* the cluster's is newer: it never goes backward */
};

/* What is to be done with a definition; `installed` NULL: not there. Without an annotation it is as
 * old as can be. */
enum crd_action crd_update_decide(const cJSON *installed, const cJSON *ours);

/* Does that for each *.yaml of a folder, in order of names, and waits until the API server serves
 * what was changed. Tells each on standard output. */
int crd_update_folder(const struct kube_config *kube, const char *folder,
                      struct mlt_error *err) MLT_MUST_USE;

#endif
