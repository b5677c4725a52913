/* Pods as the node agent reads them from the API server, and what agent and shim tell each other
 * and keep on disk. What is read is written and read back as the same. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "localcluster/agent/admission.h"
#include "localcluster/agent/pod_env.h"
#include "localcluster/agent/pod_ignored.h"
#include "localcluster/agent/pod_known.h"
#include "localcluster/agent/pod_spec.h"
#include "localcluster/shim/wire.h"

static const cJSON *find_nothing(void *arg, enum pod_source kind, const char *name)
{
    (void)arg;
    (void)kind;
    (void)name;
    return NULL;
}

static void containers(const struct pod_spec *spec)
{
    for (size_t i = 0; i < spec->container_count; i++) {
        struct pod_env_list list = {0};
        const struct pod_facts facts = {.pod_ip = "127.1.2.3",
                                        .host_ip = "127.0.0.1",
                                        .node_cpu_milli = 4000,
                                        .node_memory = INT64_C(1) << 34,
                                        .find = find_nothing};
        char **words = NULL;
        struct mlt_error err = {0};
        if (pod_env_build(spec, &spec->containers[i], &facts, &list, &err) < 0)
            REQUIRE(err.text[0]);
        else if (pod_command(&spec->containers[i], &list, &words, &err) == 0)
            pod_words_free(words);
        pod_env_release(&list);
    }
}

static void pod(const cJSON *object)
{
    struct pod_spec *spec = NULL;
    struct mlt_error err = {0};
    char ignored[POD_IGNORED_MAX], reason[POD_REASON_MAX], message[POD_MESSAGE_MAX];
    pod_ignored_fields(object, ignored, sizeof ignored);
    REQUIRE(strlen(ignored) < sizeof ignored);
    cJSON *copy = json_copy(object);
    if (pod_spec_read(copy, &spec, &err) < 0) {
        REQUIRE(err.text[0]);
        cJSON_Delete(copy);
        return;
    }
    REQUIRE(spec->container_count > spec->init_count &&
            spec->container_count <= POD_CONTAINERS_MAX);
    REQUIRE(!strchr(spec->uid, '/') && spec->grace_seconds >= 0);
    const char *names[POD_RESOURCES_MAX];
    size_t count = 0;
    pod_resource_names(spec, names, POD_RESOURCES_MAX, &count);
    for (size_t i = 0; i < count; i++)
        REQUIRE(pod_request(spec, names[i]) >= 0);
    REQUIRE(pod_qos_class(spec)[0]);
    const struct node_resources all = {4000, INT64_C(1) << 34, 110, 8};
    struct node_resources used = {0};
    if (!pod_admit(spec, &all, &used, reason, sizeof reason, message, sizeof message))
        REQUIRE(reason[0] && message[0]);
    node_resources_add(&used, spec);
    containers(spec);
    pod_spec_free(spec);
}

static void known(const cJSON *object)
{
    cleanup_free struct pod_known *k = mlt_calloc(1, sizeof *k);
    cleanup_free struct pod_known *again = mlt_calloc(1, sizeof *again);
    struct mlt_error err = {0};
    if (pod_known_from_json(object, k, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    cleanup_json cJSON *written = pod_known_to_json(k);
    REQUIRE(pod_known_from_json(written, again, &err) == 0);
    cleanup_json cJSON *twice = pod_known_to_json(again);
    REQUIRE(json_equal(written, twice));
}

static void wire(const cJSON *object)
{
    struct shim_report report, report_again;
    struct shim_start start, start_again;
    struct mlt_error err = {0};
    if (shim_report_from_json(object, &report, &err) == 0) {
        cleanup_json cJSON *written = shim_report_to_json(&report);
        REQUIRE(shim_report_from_json(written, &report_again, &err) == 0);
    } else {
        REQUIRE(err.text[0]);
    }
    err.text[0] = '\0';
    if (shim_start_from_json(object, &start, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    cleanup_json cJSON *written = shim_start_to_json(&start);
    REQUIRE(shim_start_from_json(written, &start_again, &err) == 0);
    cleanup_json cJSON *twice = shim_start_to_json(&start_again);
    REQUIRE(json_equal(written, twice));
    shim_start_release(&start);
    shim_start_release(&start_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *object = NULL;
    if (size > 1 << 16 || json_parse((const char *)data, size, &object, NULL) < 0)
        return 0;
    pod(object);
    known(object);
    wire(object);
    return 0;
}
