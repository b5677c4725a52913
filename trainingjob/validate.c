/* Admission of a TrainingJob: the schema and the CEL rules of crds/trainingjobs.yaml, in C. */
#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/name.h"
#include "trainingjob/fields.h"
#include "trainingjob/object.h"
#include "trainingjob/spec_fields.h"
#include "trainingjob/trainingjob.h"

int trainingjob_check_name(const cJSON *object, const char *kind, size_t max, struct mlt_error *err)
{
    const cJSON *metadata = NULL;
    const char *name = json_string(object, "metadata.name", NULL);
    if (json_read_object(object, "", "metadata", &metadata, err) < 0)
        return -EINVAL;
    if (name && !mlt_is_dns_label(name, max))
        return mlt_fail(err, EINVAL,
                        "metadata.name: the name of a %s has a-z, 0-9 and -, at most %zu "
                        "characters, and a letter or digit at both ends; got `%.80s`",
                        kind, max, name);
    return 0;
}

static int check_queue(const struct trainingjob_spec *spec, struct mlt_error *err)
{
    if (spec->queue && !mlt_is_dns_label(spec->queue, TRAININGJOB_QUEUE_NAME_MAX))
        return mlt_fail(err, EINVAL, "spec.queue: expected the name of a TrainingQueue, got `%s`",
                        spec->queue);
    if (spec->priority_class && !mlt_is_dns_subdomain(spec->priority_class))
        return mlt_fail(err, EINVAL,
                        "spec.priorityClassName: expected the name of a PriorityClass, got `%s`",
                        spec->priority_class);
    return 0;
}

static int check_elastic(const struct trainingjob_role *w, struct mlt_error *err)
{
    if ((w->min_replicas > 0) != (w->max_replicas > 0))
        return mlt_fail(err, EINVAL, "spec.workers.%s: minReplicas and maxReplicas go together",
                        w->min_replicas > 0 ? "maxReplicas" : "minReplicas");
    if (w->min_replicas > 0 && (w->replicas < w->min_replicas || w->replicas > w->max_replicas))
        return mlt_fail(err, EINVAL,
                        "spec.workers.replicas: expected minReplicas <= replicas <= maxReplicas, "
                        "got %lld <= %lld <= %lld",
                        (long long)w->min_replicas, (long long)w->replicas,
                        (long long)w->max_replicas);
    return 0;
}

static bool has_role(const struct trainingjob_spec *spec, const char *name)
{
    for (size_t i = 0; i < spec->roles_count; i++) {
        if (strcmp(spec->roles[i].name, name) == 0)
            return true;
    }
    return strcmp(name, TRAININGJOB_ROLE_WORKER) == 0;
}

static int check_role(const struct trainingjob_spec *spec, size_t index, struct mlt_error *err)
{
    const struct trainingjob_role *role = &spec->roles[index];
    char where[FIELDS_PATH_MAX], path[FIELDS_PATH_MAX];
    fields_item_path(where, "spec", "roles", index);
    if (!mlt_is_dns_label(role->name, TRAININGJOB_ROLE_NAME_MAX))
        return fields_fail(err, where, "name",
                           "expected a-z, 0-9 and -, letter or digit at both ends");
    if (strcmp(role->name, TRAININGJOB_ROLE_WORKER) == 0)
        return fields_fail(err, where, "name", "`worker` is the role of spec.workers");
    for (size_t i = 0; i < index; i++) {
        if (strcmp(spec->roles[i].name, role->name) == 0)
            return fields_fail(err, where, "name", "this name stands twice");
    }
    for (size_t i = 0; i < role->depends_count; i++) {
        const char *other = role->depends_on[i].role;
        fields_item_path(path, where, "dependsOn", i);
        if (!has_role(spec, other) || strcmp(other, role->name) == 0)
            return fields_fail(err, path, "role", "expected the name of another role of this job");
    }
    fields_path(path, where, "template");
    return trainingjob_check_template(role->template_, path, err);
}

static int check_topology(const struct trainingjob_scheduling *s, struct mlt_error *err)
{
    if (s->topology_required && s->topology_preferred)
        return mlt_fail(err, EINVAL,
                        "spec.scheduling.topology: expected one of required and preferred, got "
                        "both");
    if (s->topology_max_wait_seconds > 0 && !s->topology_preferred)
        return mlt_fail(err, EINVAL,
                        "spec.scheduling.topology.maxWaitSeconds: goes with preferred only");
    return 0;
}

static int check_checkpoint(const struct trainingjob_checkpoint_spec *c, struct mlt_error *err)
{
    const char *where = "spec.checkpoint";
    if (c->path && c->path[0] != '/')
        return fields_fail(err, where, "path", "expected an absolute path in the container");
    if (!c->path && c->format != TRAININGJOB_FORMAT_AUTO)
        return fields_fail(err, where, "path", "is required with a format");
    if (!c->path && c->pattern)
        return fields_fail(err, where, "path", "is required with a pattern");
    if (c->format == TRAININGJOB_FORMAT_PATTERN && !c->pattern)
        return fields_fail(err, where, "pattern", "is required with format `pattern`");
    if (!c->pattern)
        return 0;
    if (c->format != TRAININGJOB_FORMAT_PATTERN && c->format != TRAININGJOB_FORMAT_AUTO)
        return fields_fail(err, where, "pattern",
                           "goes with the formats `pattern` and `auto` only");
    const char *step = strstr(c->pattern, "{step}");
    if (!step || strstr(step + 1, "{step}"))
        return fields_fail(err, where, "pattern", "expected `{step}` once, as in `ckpt-{step}.pt`");
    if (strchr(c->pattern, '/'))
        return fields_fail(err, where, "pattern",
                           "expected a name inside spec.checkpoint.path, without `/`");
    return 0;
}

static int check_rules(const struct trainingjob_failure_policy *policy, struct mlt_error *err)
{
    for (size_t i = 0; i < policy->rules_count; i++) {
        const struct trainingjob_rule *rule = &policy->rules[i];
        if ((rule->exit_codes_count > 0) == (rule->signals_count > 0))
            return mlt_fail(err, EINVAL,
                            "spec.failurePolicy.rules[%zu]: expected exactly one of onExitCodes "
                            "and onSignals",
                            i);
    }
    if (policy->fence_seconds > 0 && policy->fence_seconds < TRAININGJOB_FENCE_SECONDS_MIN)
        return mlt_fail(err, EINVAL,
                        "spec.failurePolicy.fenceSeconds: expected 0 (off) or at least %d",
                        TRAININGJOB_FENCE_SECONDS_MIN);
    return 0;
}

static int check_progress(const struct trainingjob_progress_spec *p, struct mlt_error *err)
{
    if (p->pattern && !strstr(p->pattern, "(?<step>") && !strstr(p->pattern, "(?P<step>"))
        return mlt_fail(err, EINVAL,
                        "spec.progress.pattern: expected a group named step, as in "
                        "`step (?<step>\\d+)`");
    return 0;
}

static int check_spec(const struct trainingjob_spec *spec, struct mlt_error *err)
{
    int rc = check_queue(spec, err);
    if (rc == 0)
        rc = check_elastic(&spec->workers, err);
    if (rc == 0)
        rc = trainingjob_check_template(spec->workers.template_, "spec.workers.template", err);
    for (size_t i = 0; i < spec->roles_count && rc == 0; i++)
        rc = check_role(spec, i, err);
    if (rc == 0)
        rc = check_topology(&spec->scheduling, err);
    if (rc == 0)
        rc = check_checkpoint(&spec->checkpoint, err);
    if (rc == 0)
        rc = check_rules(&spec->failure_policy, err);
    if (rc == 0)
        rc = check_progress(&spec->progress, err);
    return rc;
}

int trainingjob_validate(const cJSON *object, struct mlt_error *err)
{
    cleanup_trainingjob struct trainingjob job = {0};
    int rc = trainingjob_read(object, &job, err);
    if (rc < 0)
        return rc;
    const cJSON *spec = json_member(job.object, "spec");
    rc = trainingjob_check_name(object, TRAININGJOB_KIND, TRAININGJOB_NAME_MAX, err);
    if (rc == 0)
        rc = fields_refuse_unknown(&trainingjob_spec_fields, spec, "spec", err);
    if (rc == 0)
        rc = check_spec(&job.spec, err);
    if (rc == 0)
        rc = fields_refuse_unsupported(&trainingjob_spec_fields, spec, "spec", err);
    return rc;
}
