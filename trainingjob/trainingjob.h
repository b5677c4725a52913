/* A TrainingJob as plain C data: read, default, validate, and patches of the status that we own.
 *
 * PURE: no clock, no files, no network. JSON stops here: the controller, the ledger and the CLI
 * work with `struct trainingjob`; the API server validates objects with trainingjob_validate(),
 * which has the same rules as the CRD's schema and CEL (crds/trainingjobs.yaml;
 * tests/unit/trainingjob compares the two). Functions that allocate abort when memory is exhausted,
 * as lib/json does.
 *
 * Absent values: NULL for strings, 0 for times (wall clock, ms since 1970), NONE (-1) where 0 means
 * something. */
#ifndef TRAININGJOB_TRAININGJOB_H
#define TRAININGJOB_TRAININGJOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "trainingjob/status.h"

#define TRAININGJOB_API_VERSION "mltrain.io/v1alpha1"
#define TRAININGJOB_KIND "TrainingJob"

/* ---- limits (the CRD has the same) ---- */

#define TRAININGJOB_NAME_MAX 36 /* characters: pods are <job>-<role>-<index>-r<n>, at most 63 */
#define TRAININGJOB_ROLE_NAME_MAX 15
#define TRAININGJOB_QUEUE_NAME_MAX 63
#define TRAININGJOB_REPLICAS_MAX 16384
#define TRAININGJOB_NPROC_MAX 256
#define TRAININGJOB_ROLES_MAX 8
#define TRAININGJOB_DEPENDS_MAX 8
#define TRAININGJOB_RULES_MAX 20       /* as batch/v1 podFailurePolicy */
#define TRAININGJOB_RULE_VALUES_MAX 64 /* exit codes or signals of one rule */
#define TRAININGJOB_BACKOFF_MAX 1000000
#define TRAININGJOB_PATH_MAX 1024    /* bytes of checkpoint.path */
#define TRAININGJOB_PATTERN_MAX 1024 /* bytes of a pattern */
#define TRAININGJOB_GRACE_MAX 86400  /* seconds */
#define TRAININGJOB_SECONDS_MAX 315360000
#define TRAININGJOB_FENCE_SECONDS_MIN 10 /* or 0, off: a launcher hears something every 1.5 s */
#define TRAININGJOB_FENCE_SECONDS_MAX 86400
#define TRAININGJOB_STEPS_MAX INT64_C(1000000000000)
#define TRAININGJOB_CONTAINERS_MAX 64

/* ---- names that all parts use ---- */

#define TRAININGJOB_LABEL_JOB_NAME "mltrain.io/job-name"
#define TRAININGJOB_LABEL_JOB_UID "mltrain.io/job-uid"
#define TRAININGJOB_LABEL_ROLE "mltrain.io/role"
#define TRAININGJOB_LABEL_INDEX "mltrain.io/index"
#define TRAININGJOB_LABEL_KUEUE_QUEUE "kueue.x-k8s.io/queue-name"
#define TRAININGJOB_ROLE_WORKER "worker" /* the role of spec.workers */
#define TRAININGJOB_TRAINER "trainer"    /* the container that holds the ranks */
#define TRAININGJOB_DEFAULT_QUEUE "default"

/* A job is cancelled by this annotation: "graceful" gives the job its grace, "now" does not. */
#define TRAININGJOB_ANNOTATION_CANCEL "mltrain.io/cancel"
#define TRAININGJOB_CANCEL_GRACEFUL "graceful"
#define TRAININGJOB_CANCEL_NOW "now"

/* ---- choices: one map each gives enum, name and order ---- */

#define TRAININGJOB_FRAMEWORK_MAP(XX) \
    XX(PYTORCH, "pytorch")            \
    XX(MPI, "mpi")                    \
    XX(JAX, "jax")                    \
    XX(PLAIN, "plain")
#define TRAININGJOB_BINDING_MAP(XX) \
    XX(AUTO, "auto")                \
    XX(NODE, "node")                \
    XX(AFFINITY, "affinity")
#define TRAININGJOB_FORMAT_MAP(XX) \
    XX(AUTO, "auto")               \
    XX(LIBMLTRAIN, "libmltrain")   \
    XX(DCP, "dcp")                 \
    XX(DEEPSPEED, "deepspeed")     \
    XX(MEGATRON, "megatron")       \
    XX(HUGGINGFACE, "huggingface") \
    XX(LIGHTNING, "lightning")     \
    XX(PATTERN, "pattern")
#define TRAININGJOB_CLEAN_MAP(XX) \
    XX(NONE, "None")              \
    XX(RUNNING, "Running")        \
    XX(ALL, "All")
#define TRAININGJOB_SUCCESS_MAP(XX) \
    XX(ALL_RANKS, "AllRanks")       \
    XX(RANK0, "Rank0")
#define TRAININGJOB_WIREUP_MAP(XX) \
    XX(AUTO, "auto")               \
    XX(PMIX, "pmix")               \
    XX(PMI1, "pmi1")               \
    XX(RSH, "rsh")
#define TRAININGJOB_ACTION_MAP(XX)                                              \
    XX(FAIL_JOB, "FailJob")                     /* the job fails at once */     \
    XX(RESTART, "Restart")                      /* restart, charged */          \
    XX(RESTART_ON_NEW_NODE, "RestartOnNewNode") /* restart, the member moves */ \
    XX(IGNORE, "Ignore")                        /* restart, not charged */
#define TRAININGJOB_OPERATOR_MAP(XX) \
    XX(IN, "In")                     \
    XX(NOT_IN, "NotIn")
#define TRAININGJOB_DEPENDS_MAP(XX) \
    XX(READY, "Ready")              \
    XX(COMPLETE, "Complete")

#define TRAININGJOB_ENUM(kind, MAP) enum trainingjob_##kind{MAP(TRAININGJOB_ENUM_##kind)};
#define TRAININGJOB_ENUM_framework(name, text) TRAININGJOB_FRAMEWORK_##name,
#define TRAININGJOB_ENUM_binding(name, text) TRAININGJOB_BINDING_##name,
#define TRAININGJOB_ENUM_format(name, text) TRAININGJOB_FORMAT_##name,
#define TRAININGJOB_ENUM_clean(name, text) TRAININGJOB_CLEAN_##name,
#define TRAININGJOB_ENUM_success(name, text) TRAININGJOB_SUCCESS_##name,
#define TRAININGJOB_ENUM_wireup(name, text) TRAININGJOB_WIREUP_##name,
#define TRAININGJOB_ENUM_action(name, text) TRAININGJOB_ACTION_##name,
#define TRAININGJOB_ENUM_operator(name, text) TRAININGJOB_OPERATOR_##name,
#define TRAININGJOB_ENUM_depends(name, text) TRAININGJOB_DEPENDS_##name,
TRAININGJOB_ENUM(framework, TRAININGJOB_FRAMEWORK_MAP)
TRAININGJOB_ENUM(binding, TRAININGJOB_BINDING_MAP)
TRAININGJOB_ENUM(format, TRAININGJOB_FORMAT_MAP)
TRAININGJOB_ENUM(clean, TRAININGJOB_CLEAN_MAP)
TRAININGJOB_ENUM(success, TRAININGJOB_SUCCESS_MAP)
TRAININGJOB_ENUM(wireup, TRAININGJOB_WIREUP_MAP)
TRAININGJOB_ENUM(action, TRAININGJOB_ACTION_MAP)
TRAININGJOB_ENUM(operator, TRAININGJOB_OPERATOR_MAP)
TRAININGJOB_ENUM(depends, TRAININGJOB_DEPENDS_MAP)

const char *trainingjob_framework_name(int framework);
const char *trainingjob_format_name(int format);
const char *trainingjob_action_name(int action);

/* "SIGTERM" to 15 and back; 0 and NULL for signals that a job cannot name. */
int trainingjob_signal_number(const char *name);
const char *trainingjob_signal_name(int number);

/* ---- the job ---- (strings and trees belong to `object`) */

struct trainingjob_metadata {
    const char *name, *namespace_, *uid, *resource_version; /* "" when absent, never NULL */
    int64_t generation;
    int64_t creation_ms, deletion_ms;               /* 0: absent */
    const cJSON *labels, *annotations, *finalizers; /* NULL: absent */
};

struct trainingjob_dependency {
    const char *role;
    int status; /* enum trainingjob_depends */
};

struct trainingjob_role {
    const char *name;                             /* "worker" for spec.workers */
    int64_t replicas, min_replicas, max_replicas; /* min and max: 0 when not elastic */
    int64_t nproc_per_node;                       /* 0: see trainingjob_nproc() */
    bool restarts_gang;
    const cJSON *template_; /* PodTemplateSpec */
    struct trainingjob_dependency depends_on[TRAININGJOB_DEPENDS_MAX];
    size_t depends_count;
};

struct trainingjob_rule {
    int action;              /* enum trainingjob_action */
    int exit_codes_operator; /* enum trainingjob_operator */
    int signals_operator;
    int exit_codes[TRAININGJOB_RULE_VALUES_MAX];
    int signals[TRAININGJOB_RULE_VALUES_MAX];
    size_t exit_codes_count, signals_count; /* exactly one of the two is above 0 */
};

struct trainingjob_scheduling {
    const char *topology_required, *topology_preferred;
    int64_t topology_max_wait_seconds;
    int64_t spares;
    int binding; /* enum trainingjob_binding */
};

/* Format `auto`, the default: the launcher takes each checkpoint in `path` for what it looks like,
 * and watches for files of `pattern` too when it is given; the newest complete one of any kind
 * counts. */
struct trainingjob_checkpoint_spec {
    const char *path; /* NULL: no checkpoints */
    int format;       /* enum trainingjob_format */
    const char *pattern;
    int64_t grace_period_seconds;
    int signal; /* a number, SIGTERM by default */
    bool repair;
};

struct trainingjob_failure_policy {
    struct trainingjob_rule *rules; /* owned by the job */
    size_t rules_count;
    bool in_place;
    int64_t fence_seconds, start_timeout_seconds;
};

struct trainingjob_progress_spec {
    const char *pattern;
    int64_t total_steps;           /* 0: unknown */
    int64_t stall_timeout_seconds; /* 0: off */
    int64_t startup_timeout_seconds;
};

struct trainingjob_spec {
    const char *queue; /* as written; see trainingjob_queue() */
    const char *priority_class;
    bool suspend;
    int framework;          /* enum trainingjob_framework */
    int64_t nproc_per_node; /* 0: see trainingjob_nproc() */
    struct trainingjob_role workers;
    struct trainingjob_role *roles; /* owned by the job */
    size_t roles_count;
    struct trainingjob_scheduling scheduling;
    struct trainingjob_checkpoint_spec checkpoint;
    int64_t backoff_limit;
    struct trainingjob_failure_policy failure_policy;
    struct trainingjob_progress_spec progress;
    int64_t active_deadline_seconds;    /* 0: none */
    int64_t ttl_seconds_after_finished; /* TRAININGJOB_NONE: none */
    int clean_pod_policy;               /* enum trainingjob_clean */
    int success_policy;                 /* enum trainingjob_success */
    int mpi_wireup;                     /* enum trainingjob_wireup */
};

struct trainingjob {
    cJSON *object; /* owned copy of the object without status and managedFields */
    char *names;   /* owned: of trainingjob_slim(), which takes them out of the object */
    struct trainingjob_metadata metadata;
    struct trainingjob_spec spec;
    struct trainingjob_status *status; /* owned; NULL: trainingjob_read_spec() */
};

/* Reads an object (as the API server sends it) into *ret_job, with defaults for what is absent.
 * Strict about the types and ranges of spec (-EINVAL with the field's path), tolerant about status:
 * what is unknown or malformed there counts as absent, because only controllers write it. The
 * caller releases *ret_job. */
int trainingjob_read(const cJSON *object, struct trainingjob *ret_job,
                     struct mlt_error *err) MLT_MUST_USE;
/* The same without the status, which stays NULL, for a reader who reads that by itself. */
int trainingjob_read_spec(const cJSON *object, struct trainingjob *ret_job,
                          struct mlt_error *err) MLT_MUST_USE;
/* For who keeps thousands of jobs. Takes the workers' template out of the job
 * (spec.workers.template_ is NULL then) and returns it as compact JSON, which the caller frees: a
 * tenth of the tree's size. Of `object` only what is still pointed to stays: strings of the spec,
 * labels, and of the annotations mltrain's own (kubectl keeps a second copy of the manifest
 * in another). The resource_version is "" then. */
char *trainingjob_slim(struct trainingjob *job);
void trainingjob_release(struct trainingjob *job); /* twice is fine */

#define cleanup_trainingjob __attribute__((cleanup(trainingjob_release)))

/* ---- admission ---- */

/* Applies the schema's defaults to the JSON object, as an API server does: a default inside an
 * object that is absent is not written (but trainingjob_read() knows it). */
void trainingjob_default(cJSON *object);

/* The schema and the CEL rules in C, unknown fields of spec included, and fields that this version
 * does not support yet ("spec.scheduling.spares: not supported yet"). -EINVAL with the field's
 * path. */
int trainingjob_validate(const cJSON *object, struct mlt_error *err) MLT_MUST_USE;

/* What may change: suspend, activeDeadlineSeconds and ttlSecondsAfterFinished always,
 * workers.replicas of an elastic job within its bounds, the rest while the job is suspended or
 * queued (by the old object's status.phase). -EINVAL naming the field and what to do. Does not call
 * trainingjob_validate(). */
int trainingjob_validate_update(const cJSON *old_object, const cJSON *new_object,
                                struct mlt_error *err) MLT_MUST_USE;

/* ---- what everyone asks ---- */

/* The container named "trainer", else the first, of a PodTemplateSpec; NULL when there is none. */
const cJSON *trainingjob_trainer(const cJSON *template_);

/* Ranks per pod: nprocPerNode, else the GPUs of the trainer container, else 1. */
int64_t trainingjob_nproc(const struct trainingjob *job);
int64_t trainingjob_world_size(const struct trainingjob *job); /* workers.replicas * nproc */

/* GPUs of the whole gang, and of one pod of it. */
int64_t trainingjob_gpus(const struct trainingjob *job);
int64_t trainingjob_gpus_per_pod(const struct trainingjob *job);

/* spec.queue, else the label kueue.x-k8s.io/queue-name, else "default". */
const char *trainingjob_queue(const struct trainingjob *job);

bool trainingjob_finished(const struct trainingjob *job); /* Succeeded or Failed, by its status */

/* NULL, TRAININGJOB_CANCEL_GRACEFUL or TRAININGJOB_CANCEL_NOW (also for an unknown value of the
 * annotation: somebody wanted it stopped, so gracefully then). */
const char *trainingjob_cancel(const struct trainingjob *job);

/* The action of the first rule that matches how a rank ended: `signal` above 0 when a signal ended
 * it (exit_code is not looked at then), otherwise `exit_code`. TRAININGJOB_NONE when no rule
 * matches. Exit code 0 matches no rule. */
int trainingjob_match_rule(const struct trainingjob_spec *spec, int exit_code, int signal);

/* ---- names ---- */

#define TRAININGJOB_POD_NAME_MAX 64 /* bytes with the NUL */
#define TRAININGJOB_SECRET_NAME_MAX 64
#define TRAININGJOB_SELECTOR_MAX 160

/* <job>-<role>-<index>, with -r<creation> from creation 2 on. -EINVAL when it does not fit. */
int trainingjob_pod_name(const char *job, const char *role, int64_t index, int64_t creation,
                         char name[TRAININGJOB_POD_NAME_MAX], struct mlt_error *err) MLT_MUST_USE;

/* The creation of a pod of this member: 1 without -r<n>; 0 when the name is not this member's. */
int64_t trainingjob_pod_creation(const char *pod_name, const char *job, const char *role,
                                 int64_t index);

/* The Secret of the channel's key: <job>-mltrain-key-<first 8 characters of the UID>. */
void trainingjob_secret_name(const char *job, const char *uid,
                             char name[TRAININGJOB_SECRET_NAME_MAX]);

/* status.selector: the label selector of the workers' pods. */
void trainingjob_selector(const char *job, char selector[TRAININGJOB_SELECTOR_MAX]);

/* Puts the four labels of a member's pod into metadata.labels of `pod`. */
void trainingjob_label_pod(cJSON *pod, const struct trainingjob *job, const char *role,
                           int64_t index);

#endif
