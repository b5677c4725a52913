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

static const char status[] =
    "phase: Restarting\n"
    "conditions:\n"
    "- {type: Admitted, status: 'True', reason: Placed, message: on 4 nodes,\n"
    "   lastTransitionTime: 2026-11-24T17:09:56Z, observedGeneration: 3}\n"
    "queue: {position: 2, estimatedStartTime: 2026-11-24T18:00:00Z, reason: NoRoom,\n"
    "  explanation: 8 GPUs asked for}\n"
    "placement: {workers: 'node[001-004]'}\n"
    "attempt: 3\n"
    "restarts: 2\n"
    "restartsCharged: 1\n"
    "failures:\n"
    "- {time: 2026-11-24T17:20:00Z, attempt: 1, rank: 0, node: node001, exitCode: 1, cause: Exit,\n"
    "   step: 120, stepsLost: 20, message: a}\n"
    "- {time: 2026-11-24T17:30:00Z, attempt: 2, node: node002, signal: 9, cause: NodeLost}\n"
    "recovery:\n"
    "  avoidNodes: [{node: node002, until: 2026-11-24T17:31:00Z, faults: 2}]\n"
    "  skippedCheckpoints: [100, 9007199254740993]\n"
    "  chargedAtStep: 0\n"
    "  inPlaceFailures: 1\n"
    "  resumeStep: 0\n"
    "  resumePath: /ckpt/0\n"
    "  nextAttemptTime: 2026-11-24T17:32:00Z\n"
    "  pendingStop: {reason: Suspend, time: 2026-11-24T17:33:00Z}\n"
    "checkpoint: {step: 100, path: /ckpt/100, time: 2026-11-24T17:25:00Z}\n"
    "progress: {step: 120, totalSteps: 1000, stepsPerSecond: 2.5, estimatedRemainingSeconds: 352}\n"
    "workers: 3/4\n"
    "gpus: 32\n"
    "replicas: 4\n"
    "readyReplicas: 3\n"
    "selector: mltrain.io/job-name=llama-8b,mltrain.io/role=worker\n"
    "startTime: 2026-11-24T17:10:00Z\n"
    "completionTime: 2026-11-24T19:10:00Z\n"
    "observedGeneration: 3\n"
    "launcherImage: mltrain:1\n";

cJSON *full_status(void)
{
    return parse_yaml(status);
}

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
