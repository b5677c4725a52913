/* What a job asks for: pods by role with their resources and constraints, priority, queue and its
 * place in line. */
#include "ledger/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

static int check_amounts(const struct ledger_use *use, struct mlt_error *err)
{
    if (use->cpu_milli > GANG_AMOUNT_MAX || use->memory > GANG_AMOUNT_MAX)
        return mlt_fail(err, EINVAL,
                        "one pod asks for more than can be counted (%" PRId64 " of cpu or memory)",
                        GANG_AMOUNT_MAX);
    for (uint32_t i = 0; i < use->others_count; i++)
        if (use->others[i].amount > GANG_AMOUNT_MAX)
            return mlt_fail(err, EINVAL,
                            "one pod asks for more than can be counted (%" PRId64 " %s)",
                            use->others[i].amount, use->others[i].name);
    return 0;
}

static int read_role(struct ledger *l, const struct trainingjob_role *from, const cJSON *template_,
                     const cJSON *volumes, const cJSON *queue_selector, struct ledger_role *ret,
                     struct mlt_error *err)
{
    struct pod_request request;
    int rc = pod_request_read(template_, &request, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s: template", from->name);
    ledger_use_read(l, &request, &ret->use);
    ret->name = mlt_strdup(from->name);
    ret->pods = from->replicas > 0 ? (uint32_t)from->replicas : 0;
    rc = check_amounts(&ret->use, err);
    if (rc < 0)
        return mlt_fail_in(err, "%s", from->name);
    bool whole_gpus = ledger_use_of(&ret->use, ledger_intern(l, LEDGER_WHOLE_GPU)) > 0;
    rc = ledger_constraints_get(l, template_, volumes, whole_gpus, queue_selector,
                                &ret->constraints, err);
    return rc < 0 ? mlt_fail_in(err, "%s: template: spec", from->name) : 0;
}

/* ---- devices: the gang counts a limited number of kinds ---- */

static void note_device(const char **names, uint32_t *count, uint32_t max, const char *name)
{
    for (uint32_t i = 0; i < *count; i++)
        if (names[i] == name)
            return;
    if (*count < max)
        names[(*count)++] = name;
}

static void note_devices(const struct ledger_request *r, const char **names, uint32_t *count,
                         uint32_t max)
{
    for (uint32_t i = 0; i < r->roles_count; i++)
        for (uint32_t k = 0; k < r->roles[i].use.others_count; k++)
            note_device(names, count, max, r->roles[i].use.others[k].name);
}

/* Refuses a job whose kinds of devices, with those of all other jobs, are more than the gang
 * counts; sees to it that the gang is built anew when a kind is not among its own. */
static int check_devices(struct ledger *l, const struct ledger_request *r, struct mlt_error *err)
{
    const char *names[LEDGER_DEVICES_MAX + 1];
    uint32_t count = 0, max = LEDGER_DEVICES_MAX + 1;
    for (uint32_t i = 0; i < l->gpu_resources_count; i++)
        note_device(names, &count, max, l->gpu_resources[i]);
    const struct ledger_job *job;
    LEDGER_MAP_EACH(&l->jobs, job)
    {
        if (job->state != LEDGER_ABSENT)
            note_devices(&job->request, names, &count, max);
    }
    note_devices(r, names, &count, max);
    if (count > LEDGER_DEVICES_MAX)
        return mlt_fail(
            err, EINVAL,
            "asks for %s: at most %d kinds of devices (and ephemeral-storage) can be in use by"
            " training jobs at a time",
            names[count - 1], LEDGER_DEVICES_MAX);
    l->stale = true;
    return 0;
}

static bool devices_are_known(const struct ledger *l, const struct ledger_request *r)
{
    for (uint32_t i = 0; i < r->roles_count; i++)
        for (uint32_t k = 0; k < r->roles[i].use.others_count; k++) {
            bool known = false;
            for (uint32_t d = 0; d < l->devices_count; d++)
                known = known || l->devices[d] == r->roles[i].use.others[k].name;
            if (!known)
                return false;
        }
    return true;
}

/* ---- the whole ---- */

static int read_roles(struct ledger *l, const struct trainingjob *job,
                      const cJSON *effective_template, const cJSON *volumes,
                      struct ledger_request *r, struct mlt_error *err)
{
    const struct trainingjob_spec *spec = &job->spec;
    const cJSON *queue_selector = ledger_queue_node_selector(l, r->queue);
    r->roles = mlt_calloc(spec->roles_count + 1, sizeof *r->roles);
    if (spec->roles_count + 1 > GANG_ROLES_MAX)
        return mlt_fail(err, EINVAL, "spec.roles: %zu roles, expected at most %d",
                        spec->roles_count, GANG_ROLES_MAX - 1);
    uint64_t pods = 0;
    for (size_t i = 0; i <= spec->roles_count; i++) {
        const struct trainingjob_role *from = i == 0 ? &spec->workers : &spec->roles[i - 1];
        const cJSON *template_ =
            i == 0 && effective_template ? effective_template : from->template_;
        int rc = read_role(l, from, template_, i == 0 ? volumes : NULL, queue_selector,
                           &r->roles[r->roles_count++], err);
        if (rc < 0)
            return rc;
        pods += r->roles[r->roles_count - 1].pods;
    }
    if (pods == 0 || pods > GANG_PODS_PER_JOB_MAX)
        return mlt_fail(err, EINVAL,
                        "spec.workers.replicas: %" PRIu64 " pods in all, expected 1 to %d", pods,
                        GANG_PODS_PER_JOB_MAX);
    r->pods = (uint32_t)pods;
    return devices_are_known(l, r) ? 0 : check_devices(l, r, err);
}

int ledger_request_read(struct ledger *l, const struct trainingjob *job,
                        const cJSON *effective_template, const cJSON *volumes,
                        struct ledger_request *ret, struct mlt_error *err)
{
    struct ledger_request r = {
        .queue = mlt_strdup(trainingjob_queue(job)),
        .priority_class = mlt_strdup(job->spec.priority_class ? job->spec.priority_class : ""),
        .sequence = job->metadata.creation_ms,
        .time_limit_ms = job->spec.active_deadline_seconds * 1000,
        .saves = job->spec.checkpoint.path != NULL,
        .grace_ms = job->spec.checkpoint.grace_period_seconds * 1000 + LEDGER_LEAVING_MS,
    };
    ledger_topology_read(l, &job->spec.scheduling, &r);
    int rc = read_roles(l, job, effective_template, volumes, &r, err);
    if (rc < 0) {
        ledger_request_release(l, &r);
        return rc;
    }
    *ret = r;
    return 0;
}

void ledger_request_release(struct ledger *l, struct ledger_request *r)
{
    for (uint32_t i = 0; i < r->roles_count; i++) {
        ledger_use_release(&r->roles[i].use);
        ledger_constraints_put(l, r->roles[i].constraints);
        free(r->roles[i].name);
    }
    free(r->roles);
    free(r->queue);
    free(r->priority_class);
    *r = (struct ledger_request){0};
}

bool ledger_request_equal(const struct ledger_request *a, const struct ledger_request *b)
{
    if (strcmp(a->queue, b->queue) != 0 || strcmp(a->priority_class, b->priority_class) != 0 ||
        a->priority != b->priority || a->never_preempts != b->never_preempts ||
        a->sequence != b->sequence || a->time_limit_ms != b->time_limit_ms ||
        a->saves != b->saves || a->grace_ms != b->grace_ms || a->roles_count != b->roles_count ||
        a->required_level != b->required_level || a->preferred_level != b->preferred_level ||
        a->preferred_wait_ms != b->preferred_wait_ms)
        return false;
    for (uint32_t i = 0; i < a->roles_count; i++) {
        const struct ledger_role *x = &a->roles[i], *y = &b->roles[i];
        if (x->pods != y->pods || x->constraints != y->constraints ||
            strcmp(x->name, y->name) != 0 || !ledger_use_equal(&x->use, &y->use))
            return false;
    }
    return true;
}

int ledger_request_priority(const struct ledger *l, const struct ledger_request *r,
                            struct ledger_priority *ret, struct mlt_error *err)
{
    const char *name = r->priority_class[0] ? r->priority_class : l->default_class;
    const struct ledger_priority *class_ = name ? ledger_map_find(&l->priorities, name) : NULL;
    if (!class_ && name)
        return mlt_fail(err, EINVAL, "spec.priorityClassName: there is no PriorityClass `%s`",
                        name);
    *ret = class_ ? *class_ : (struct ledger_priority){0};
    return 0;
}

void ledger_request_fill(const struct ledger *l, const struct ledger_request *r, uint32_t queue,
                         struct gang_job_request *ret)
{
    *ret = (struct gang_job_request){
        .queue = queue,
        .priority = r->priority,
        .never_preempts = r->never_preempts,
        .saves = r->saves,
        .sequence = r->sequence,
        .time_limit_ms = r->time_limit_ms,
        .expected_ms = r->time_limit_ms,
        .grace_ms = r->grace_ms,
        .roles_count = r->roles_count,
        .required_level = r->required_level,
        .preferred_level = r->preferred_level,
        .preferred_wait_ms = r->preferred_wait_ms,
    };
    for (uint32_t i = 0; i < r->roles_count; i++) {
        struct gang_role *role = &ret->roles[i];
        role->pods = r->roles[i].pods;
        ledger_use_add(l, &r->roles[i].use, role->request);
        role->node_classes = r->roles[i].constraints->classes;
        role->node_classes_words = r->roles[i].constraints->words;
    }
}

uint32_t ledger_request_pod(const struct ledger_request *r, const char *role, int64_t index)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < r->roles_count; i++) {
        if (strcmp(r->roles[i].name, role) == 0)
            return index >= 0 && index < (int64_t)r->roles[i].pods ? first + (uint32_t)index
                                                                   : LEDGER_NO_NUMBER;
        first += r->roles[i].pods;
    }
    return LEDGER_NO_NUMBER;
}
