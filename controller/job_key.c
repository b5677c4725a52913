/* A job's key as a Secret: see job_key.h. PURE. */
#include "controller/job_key.h"

#include "controller/pod_build.h"
#include "lib/base/cleanup.h"
#include "lib/kube/base64.h"

cJSON *job_key_secret(const struct trainingjob *tj, const unsigned char key[CONTROLLER_KEY_SIZE])
{
    char name[TRAININGJOB_SECRET_NAME_MAX];
    cleanup_free char *encoded = kube_base64_encode(key, CONTROLLER_KEY_SIZE);
    cJSON *secret = cJSON_CreateObject();
    trainingjob_secret_name(tj->metadata.name, tj->metadata.uid, name);
    json_set_string(secret, "apiVersion", "v1");
    json_set_string(secret, "kind", "Secret");
    json_set_string(secret, "metadata.name", name);
    json_set_string(secret, "metadata.namespace", tj->metadata.namespace_);
    json_set_string(secret, "metadata.labels[" TRAININGJOB_LABEL_JOB_NAME "]", tj->metadata.name);
    json_set_string(secret, "metadata.labels[" TRAININGJOB_LABEL_JOB_UID "]", tj->metadata.uid);
    pod_build_owner(secret, tj);
    json_set_string(secret, "type", "Opaque");
    json_set_bool(secret, "immutable", true);
    json_set_string(secret, "data.psk", encoded);
    return secret;
}
