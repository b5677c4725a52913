/* A trace in memory: jobs in order of submission, the shapes and queues they name, and what a
 * reader left out and why. Readers (readers.h) fill it; the engine only reads it. */
#ifndef CLI_SIMULATE_TRACE_H
#define CLI_SIMULATE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"
#include "trainingjob/trainingjob.h"

#define SIM_JOBS_MAX 4000000 /* as GANG_JOBS_MAX */
#define SIM_QUEUES_MAX 60000 /* below GANG_QUEUES_MAX: there is a root above them */
#define SIM_OWNERS_MAX 1000000
#define SIM_MODELS_MAX 64                    /* kinds of nodes, e.g. "V100M32" */
#define SIM_ROLES_MAX 4                      /* of one job */
#define SIM_PODS_MAX 65536                   /* of one job, as GANG_PODS_PER_JOB_MAX */
#define SIM_NAME_MAX 256                     /* bytes of a job's, queue's or model's name */
#define SIM_SECONDS_MAX INT64_C(10000000000) /* of any time in a trace: some 317 years */
#define SIM_LEFT_OUT_MAX 8                   /* reasons why records were left out */
#define SIM_ANY_MODEL UINT64_MAX

/* A table of distinct names, numbered in the order of their first appearance. */
struct sim_names {
    char **name;
    uint32_t *slot; /* open addressing, number + 1; a power of two, at most half full */
    uint32_t count, capacity, slots;
};
/* The number of a name, new or known. -E2BIG when `max` names are known or it is longer than
 * SIM_NAME_MAX - 1; -EINVAL when it has a NUL byte in it. */
int sim_names_add(struct sim_names *names, const char *text, size_t length, uint32_t max,
                  uint32_t *ret_number, struct mlt_error *err) MLT_MUST_USE;
void sim_names_release(struct sim_names *names);

struct sim_role {
    uint32_t pods;
    int64_t devices, cpu_milli, memory; /* of one pod; memory in bytes */
};

/* What a job asks for. Equal shapes have one number in a trace. */
struct sim_shape {
    uint64_t models; /* bitmap of the models it may use; SIM_ANY_MODEL */
    struct sim_role role[SIM_ROLES_MAX];
    uint32_t roles, pods; /* pods of all roles */
    int64_t devices;      /* of all pods */
};

struct sim_job {
    int64_t submit_ms;        /* since the trace's beginning (sim_trace.zero_ms) */
    int64_t run_ms;           /* as recorded; at least 1 */
    int64_t limit_ms;         /* what its user asked for; 0: nothing known */
    int64_t recorded_wait_ms; /* as the trace says; -1: it does not */
    int64_t number;           /* its record's own number, or its line */
    uint32_t name;            /* offset in sim_trace.text + 1; 0: `number` is its name */
    uint32_t shape, queue;
    uint32_t owner; /* whose past tells how long it may run: a user, or its queue */
    int32_t priority;
    uint32_t manifest; /* in sim_trace.manifests, + 1; 0: none */
};

struct sim_trace {
    struct sim_job *jobs;
    size_t count, capacity;
    struct sim_shape *shapes;
    uint32_t *shape_slot;
    uint32_t shapes_count, shapes_capacity, shape_slots;
    struct sim_names queues, models, owners;
    struct trainingjob *manifests; /* of jobs that are TrainingJobs; owned */
    uint32_t manifests_count, manifests_capacity;
    cJSON *priority_classes; /* an array of such objects, or NULL; owned */
    struct mlt_text text;    /* job names, each with its NUL */
    int64_t zero_ms; /* time 0 on the clock of the trace: ms since 1970, or since its beginning */
    const char *format;                   /* "Philly CSV" */
    const char *queue_word, *device_word; /* "virtual cluster", "GPU" */
    struct {
        const char *why; /* a constant: "fractional GPUs" */
        uint64_t records;
    } left_out[SIM_LEFT_OUT_MAX];
    uint32_t left_out_count;
};

void sim_trace_init(struct sim_trace *t);
void sim_trace_release(struct sim_trace *t);

/* The number of a shape, new or known; `shape->pods` and `devices` are worked out here. -E2BIG
 * beyond SIM_PODS_MAX. */
int sim_trace_shape(struct sim_trace *t, const struct sim_shape *shape, uint32_t *ret_number,
                    struct mlt_error *err) MLT_MUST_USE;

/* The shape of a job that asks for `devices` of which at most `pod_max` stand in one pod: full
 * pods, and one pod with the rest. */
int sim_trace_shape_of_devices(struct sim_trace *t, int64_t devices, int64_t pod_max,
                               uint32_t *ret_number, struct mlt_error *err) MLT_MUST_USE;

/* Appends a job; with a name unless `name` is NULL. -E2BIG beyond SIM_JOBS_MAX. */
int sim_trace_add(struct sim_trace *t, const struct sim_job *job, const char *name,
                  size_t name_length, struct mlt_error *err) MLT_MUST_USE;
void sim_trace_leave_out(struct sim_trace *t, const char *why);

/* The window of submissions [from_ms, until_ms) on the trace's own clock; then sorts by submission
 * (ties in the order of the file) and moves time 0 to the first submission. */
void sim_trace_finish(struct sim_trace *t, int64_t from_ms, int64_t until_ms);

/* A job's name in `text` of SIM_NAME_MAX bytes. */
void sim_trace_job_name(const struct sim_trace *t, size_t job, char *text);

#endif
