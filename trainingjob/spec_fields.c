/* The fields of a TrainingJob's spec: names, ranges, defaults, and what this version supports. The
 * same as in crds/trainingjobs.yaml. */
#include "trainingjob/spec_fields.h"

#include "lib/base/cleanup.h"
#include "trainingjob/names.h"
#include "trainingjob/trainingjob.h"

/* ---- roles ---- */

static const struct field dependency_list[] = {
    {.name = "role",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_dependency, role),
     .required = true,
     .min = 1,
     .max = TRAININGJOB_ROLE_NAME_MAX},
    {.name = "status",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_dependency, status),
     .required = true,
     .names = trainingjob_depends_names},
};
static const struct field_table dependency_fields =
    FIELD_TABLE(struct trainingjob_dependency, dependency_list);

#define REPLICAS                                                                                \
    {                                                                                           \
        .name = "replicas", .kind = FIELD_INTEGER, FIELD_AT(struct trainingjob_role, replicas), \
        .min = 1, .max = TRAININGJOB_REPLICAS_MAX, .absent = 1, .has_default = true             \
    }
#define TEMPLATE                                                                              \
    {                                                                                         \
        .name = "template", .kind = FIELD_TREE, FIELD_AT(struct trainingjob_role, template_), \
        .required = true                                                                      \
    }

static const struct field workers_list[] = {
    REPLICAS,
    {.name = "minReplicas",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_role, min_replicas),
     .min = 1,
     .max = TRAININGJOB_REPLICAS_MAX,
     .unsupported = true},
    {.name = "maxReplicas",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_role, max_replicas),
     .min = 1,
     .max = TRAININGJOB_REPLICAS_MAX,
     .unsupported = true},
    TEMPLATE,
};
static const struct field_table workers_fields = FIELD_TABLE(struct trainingjob_role, workers_list);

static const struct field role_list[] = {
    {.name = "name",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_role, name),
     .required = true,
     .min = 1,
     .max = TRAININGJOB_ROLE_NAME_MAX},
    REPLICAS,
    {.name = "nprocPerNode",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_role, nproc_per_node),
     .min = 1,
     .max = TRAININGJOB_NPROC_MAX},
    TEMPLATE,
    {.name = "dependsOn",
     .kind = FIELD_ARRAY,
     FIELD_AT(struct trainingjob_role, depends_on),
     FIELD_COUNT_AT(struct trainingjob_role, depends_count),
     .max = TRAININGJOB_DEPENDS_MAX,
     .table = &dependency_fields},
    {.name = "restartsGang",
     .kind = FIELD_BOOL,
     FIELD_AT(struct trainingjob_role, restarts_gang),
     .absent = true,
     .has_default = true},
};
static const struct field_table role_fields = FIELD_TABLE(struct trainingjob_role, role_list);

/* ---- scheduling ---- */

static const struct field topology_list[] = {
    {.name = "required",
     .kind = FIELD_STRING,
     .min = 1,
     .max = 316,
     FIELD_AT(struct trainingjob_scheduling, topology_required)},
    {.name = "preferred",
     .kind = FIELD_STRING,
     .min = 1,
     .max = 316,
     FIELD_AT(struct trainingjob_scheduling, topology_preferred)},
    {.name = "maxWaitSeconds",
     .kind = FIELD_INTEGER,
     .min = 0,
     .max = TRAININGJOB_SECONDS_MAX,
     FIELD_AT(struct trainingjob_scheduling, topology_max_wait_seconds)},
};
static const struct field_table topology_fields =
    FIELD_TABLE(struct trainingjob_scheduling, topology_list);

static const struct field scheduling_list[] = {
    {.name = "topology", .kind = FIELD_OBJECT, .table = &topology_fields},
    {.name = "spares",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_scheduling, spares),
     .min = 0,
     .max = TRAININGJOB_REPLICAS_MAX,
     .has_default = true,
     .unsupported = true},
    {.name = "binding",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_scheduling, binding),
     .names = trainingjob_binding_names,
     .absent = TRAININGJOB_BINDING_AUTO,
     .has_default = true},
};
static const struct field_table scheduling_fields =
    FIELD_TABLE(struct trainingjob_scheduling, scheduling_list);

/* ---- checkpoint ---- */

static const struct field checkpoint_list[] = {
    {.name = "path",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_checkpoint_spec, path),
     .min = 1,
     .max = TRAININGJOB_PATH_MAX},
    {.name = "format",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_checkpoint_spec, format),
     .names = trainingjob_format_names,
     .absent = TRAININGJOB_FORMAT_AUTO,
     .has_default = true},
    {.name = "pattern",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_checkpoint_spec, pattern),
     .min = 1,
     .max = TRAININGJOB_PATTERN_MAX},
    {.name = "gracePeriodSeconds",
     .kind = FIELD_INTEGER,
     .min = 0,
     .max = TRAININGJOB_GRACE_MAX,
     FIELD_AT(struct trainingjob_checkpoint_spec, grace_period_seconds),
     .absent = 30,
     .has_default = true},
    {.name = "signal",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_checkpoint_spec, signal),
     .names = trainingjob_stop_signal_names,
     .values = trainingjob_stop_signal_numbers,
     .absent = TRAININGJOB_SIGTERM,
     .has_default = true},
    {.name = "repair",
     .kind = FIELD_BOOL,
     FIELD_AT(struct trainingjob_checkpoint_spec, repair),
     .has_default = true},
};
static const struct field_table checkpoint_fields =
    FIELD_TABLE(struct trainingjob_checkpoint_spec, checkpoint_list);

/* ---- failure policy ---- */

static const struct field exit_codes_list[] = {
    {.name = "operator",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_rule, exit_codes_operator),
     .required = true,
     .names = trainingjob_operator_names},
    {.name = "values",
     .kind = FIELD_INTEGERS,
     FIELD_AT(struct trainingjob_rule, exit_codes),
     FIELD_COUNT_AT(struct trainingjob_rule, exit_codes_count),
     .required = true,
     .min = 1,
     .max = TRAININGJOB_RULE_VALUES_MAX},
};
static const struct field_table exit_codes_fields =
    FIELD_TABLE(struct trainingjob_rule, exit_codes_list);

static const struct field signals_list[] = {
    {.name = "operator",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_rule, signals_operator),
     .required = true,
     .names = trainingjob_operator_names},
    {.name = "values",
     .kind = FIELD_ENUMS,
     FIELD_AT(struct trainingjob_rule, signals),
     FIELD_COUNT_AT(struct trainingjob_rule, signals_count),
     .required = true,
     .min = 1,
     .max = TRAININGJOB_RULE_VALUES_MAX,
     .names = trainingjob_signal_names,
     .values = trainingjob_signal_numbers},
};
static const struct field_table signals_fields = FIELD_TABLE(struct trainingjob_rule, signals_list);

static const struct field rule_list[] = {
    {.name = "action",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_rule, action),
     .required = true,
     .names = trainingjob_action_names},
    {.name = "onExitCodes", .kind = FIELD_OBJECT, .table = &exit_codes_fields},
    {.name = "onSignals", .kind = FIELD_OBJECT, .table = &signals_fields},
};
static const struct field_table rule_fields = FIELD_TABLE(struct trainingjob_rule, rule_list);

static const struct field failure_policy_list[] = {
    {.name = "rules",
     .kind = FIELD_LIST,
     FIELD_AT(struct trainingjob_failure_policy, rules),
     FIELD_COUNT_AT(struct trainingjob_failure_policy, rules_count),
     .max = TRAININGJOB_RULES_MAX,
     .table = &rule_fields},
    {.name = "inPlace",
     .kind = FIELD_BOOL,
     FIELD_AT(struct trainingjob_failure_policy, in_place),
     .absent = true,
     .has_default = true},
    {.name = "fenceSeconds",
     .kind = FIELD_INTEGER,
     .min = 0,
     .max = TRAININGJOB_FENCE_SECONDS_MAX,
     FIELD_AT(struct trainingjob_failure_policy, fence_seconds),
     .has_default = true},
    {.name = "startTimeoutSeconds",
     .kind = FIELD_INTEGER,
     .min = 1,
     .max = TRAININGJOB_SECONDS_MAX,
     FIELD_AT(struct trainingjob_failure_policy, start_timeout_seconds),
     .absent = 600,
     .has_default = true},
};
static const struct field_table failure_policy_fields =
    FIELD_TABLE(struct trainingjob_failure_policy, failure_policy_list);

/* ---- progress and mpi ---- */

static const struct field progress_list[] = {
    {.name = "pattern",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_progress_spec, pattern),
     .min = 1,
     .max = TRAININGJOB_PATTERN_MAX},
    {.name = "totalSteps",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_progress_spec, total_steps),
     .min = 1,
     .max = TRAININGJOB_STEPS_MAX},
    {.name = "stallTimeoutSeconds",
     .kind = FIELD_INTEGER,
     .min = 1,
     .max = TRAININGJOB_SECONDS_MAX,
     FIELD_AT(struct trainingjob_progress_spec, stall_timeout_seconds)},
    {.name = "startupTimeoutSeconds",
     .kind = FIELD_INTEGER,
     .min = 1,
     .max = TRAININGJOB_SECONDS_MAX,
     FIELD_AT(struct trainingjob_progress_spec, startup_timeout_seconds)},
};
static const struct field_table progress_fields =
    FIELD_TABLE(struct trainingjob_progress_spec, progress_list);

static const struct field mpi_list[] = {
    {.name = "wireup",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_spec, mpi_wireup),
     .names = trainingjob_wireup_names,
     .absent = TRAININGJOB_WIREUP_AUTO,
     .has_default = true},
};
static const struct field_table mpi_fields = FIELD_TABLE(struct trainingjob_spec, mpi_list);

/* ---- the spec ---- */

static const uint32_t supported_frameworks = 1u << TRAININGJOB_FRAMEWORK_PYTORCH |
                                             1u << TRAININGJOB_FRAMEWORK_MPI |
                                             1u << TRAININGJOB_FRAMEWORK_PLAIN;

static const struct field spec_list[] = {
    {.name = "queue",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_spec, queue),
     .min = 1,
     .max = TRAININGJOB_QUEUE_NAME_MAX},
    {.name = "priorityClassName",
     .kind = FIELD_STRING,
     FIELD_AT(struct trainingjob_spec, priority_class),
     .min = 1,
     .max = 253},
    {.name = "suspend",
     .kind = FIELD_BOOL,
     FIELD_AT(struct trainingjob_spec, suspend),
     .has_default = true},
    {.name = "framework",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_spec, framework),
     .names = trainingjob_framework_names,
     .absent = TRAININGJOB_FRAMEWORK_PYTORCH,
     .has_default = true,
     .supported = &supported_frameworks},
    {.name = "nprocPerNode",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_spec, nproc_per_node),
     .min = 1,
     .max = TRAININGJOB_NPROC_MAX},
    {.name = "workers",
     .kind = FIELD_OBJECT,
     FIELD_AT(struct trainingjob_spec, workers),
     .required = true,
     .table = &workers_fields},
    {.name = "roles",
     .kind = FIELD_LIST,
     FIELD_AT(struct trainingjob_spec, roles),
     FIELD_COUNT_AT(struct trainingjob_spec, roles_count),
     .max = TRAININGJOB_ROLES_MAX,
     .table = &role_fields,
     .unsupported = true},
    {.name = "scheduling",
     .kind = FIELD_OBJECT,
     FIELD_AT(struct trainingjob_spec, scheduling),
     .table = &scheduling_fields},
    {.name = "checkpoint",
     .kind = FIELD_OBJECT,
     FIELD_AT(struct trainingjob_spec, checkpoint),
     .table = &checkpoint_fields},
    {.name = "backoffLimit",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_spec, backoff_limit),
     .min = 0,
     .max = TRAININGJOB_BACKOFF_MAX,
     .absent = 6,
     .has_default = true},
    {.name = "failurePolicy",
     .kind = FIELD_OBJECT,
     FIELD_AT(struct trainingjob_spec, failure_policy),
     .table = &failure_policy_fields},
    {.name = "progress",
     .kind = FIELD_OBJECT,
     FIELD_AT(struct trainingjob_spec, progress),
     .table = &progress_fields},
    {.name = "activeDeadlineSeconds",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_spec, active_deadline_seconds),
     .min = 1,
     .max = TRAININGJOB_SECONDS_MAX},
    {.name = "ttlSecondsAfterFinished",
     .kind = FIELD_INTEGER,
     FIELD_AT(struct trainingjob_spec, ttl_seconds_after_finished),
     .min = 0,
     .max = TRAININGJOB_SECONDS_MAX,
     .absent = TRAININGJOB_NONE},
    {.name = "cleanPodPolicy",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_spec, clean_pod_policy),
     .names = trainingjob_clean_names,
     .absent = TRAININGJOB_CLEAN_RUNNING,
     .has_default = true},
    {.name = "successPolicy",
     .kind = FIELD_ENUM,
     FIELD_AT(struct trainingjob_spec, success_policy),
     .names = trainingjob_success_names,
     .absent = TRAININGJOB_SUCCESS_ALL_RANKS,
     .has_default = true},
    {.name = "mpi", .kind = FIELD_OBJECT, .table = &mpi_fields},
};
const struct field_table trainingjob_spec_fields = FIELD_TABLE(struct trainingjob_spec, spec_list);
