/* Objects for the tests of trainingjob/: see jobs.h. */
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static const char full[] =
    "apiVersion: mltrain.io/v1alpha1\n"
    "kind: TrainingJob\n"
    "metadata: {name: llama-8b, namespace: research, uid: 0a1b2c3d-4e5f,\n"
    "  resourceVersion: '17', generation: 3, creationTimestamp: 2026-11-24T17:09:56Z,\n"
    "  labels: {team: a}, annotations: {note: b}}\n"
    "spec:\n"
    "  queue: research\n"
    "  priorityClassName: high\n"
    "  suspend: false\n"
    "  framework: plain\n"
    "  nprocPerNode: 2\n"
    "  workers:\n"
    "    replicas: 4\n"
    "    template:\n"
    "      metadata: {labels: {app: x}}\n"
    "      spec:\n"
    "        restartPolicy: Never\n"
    "        initContainers: [{name: prepare, image: i}]\n"
    "        containers:\n"
    "        - {name: sidecar, image: i}\n"
    "        - name: trainer\n"
    "          image: i\n"
    "          command: [python3, train.py]\n"
    "          args: [--fast]\n"
    "          resources: {limits: {nvidia.com/gpu: 8, cpu: 1500m, memory: 2Gi}}\n"
    "          volumeMounts: [{name: data, mountPath: /data}]\n"
    "        volumes: [{name: data, emptyDir: {}}]\n"
    "  checkpoint: {path: /ckpt, format: pattern, pattern: 'ckpt-{step}.pt',\n"
    "    gracePeriodSeconds: 120, signal: SIGUSR1, repair: false}\n"
    "  backoffLimit: 10\n"
    "  failurePolicy:\n"
    "    rules:\n"
    "    - {action: FailJob, onExitCodes: {operator: In, values: [42, 43]}}\n"
    "    - {action: Ignore, onSignals: {operator: NotIn, values: [SIGSEGV, SIGBUS]}}\n"
    "    - {action: Restart, onExitCodes: {operator: NotIn, values: [1]}}\n"
    "  progress: {pattern: 'step (?<step>\\d+)', totalSteps: 10000}\n"
    "  activeDeadlineSeconds: 86400\n"
    "  ttlSecondsAfterFinished: 0\n"
    "  cleanPodPolicy: All\n"
    "  successPolicy: Rank0\n"
    "  mpi: {wireup: auto}\n"
    "  scheduling: {spares: 0, binding: auto, topology: {}}\n"
    "  roles: []\n";

static const char small[] = "kind: TrainingJob\n"
                            "metadata: {name: hello}\n"
                            "spec:\n"
                            "  workers:\n"
                            "    template:\n"
                            "      spec:\n"
                            "        containers: [{name: main, command: [python3]}]\n";

cJSON *parse_yaml(const char *text)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *documents = NULL;
    if (json_parse_yaml(text, strlen(text), &documents, &err) != 0)
        fail_msg("%s", err.text);
    return cJSON_DetachItemFromArray(documents, 0);
}

cJSON *parse_json(const char *text)
{
    struct mlt_error err = {0};
    cJSON *node = NULL;
    if (json_parse(text, strlen(text), &node, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return node;
}

cJSON *full_job(void)
{
    return parse_yaml(full);
}

cJSON *small_job(void)
{
    return parse_yaml(small);
}

cJSON *with(const cJSON *object, const char *pointer, const char *value)
{
    struct mlt_error err = {0};
    cJSON *copy = json_copy(object);
    cleanup_json cJSON *patch = parse_json("[{}]");
    json_set_string(patch->child, "op", value ? "add" : "remove");
    json_set_string(patch->child, "path", pointer);
    if (value)
        json_set(patch->child, "value", parse_json(value));
    /* `add` inserts into lists, but the tests mean `replace` there. */
    cleanup_json cJSON *replace = json_copy(patch);
    json_set_string(replace->child, "op", value ? "replace" : "remove");
    if (json_patch(&copy, replace, NULL) != 0 && json_patch(&copy, patch, &err) != 0)
        fail_msg("%s: %s", pointer, err.text);
    return copy;
}

cJSON *read_yaml_file(const char *name)
{
    cleanup_free char *path = mlt_asprintf("%s/%s", MLTRAIN_SOURCE_DIR, name);
    cleanup_file FILE *file = fopen(path, "r");
    cleanup_free char *text = mlt_calloc(1, 1 << 20);
    if (!file)
        fail_msg("%s cannot be opened", path);
    text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
    return parse_yaml(text);
}
