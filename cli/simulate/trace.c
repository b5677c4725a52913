/* Traces in memory: see trace.h. */
#include "cli/simulate/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"

#define TEXT_MAX ((size_t)1 << 30) /* bytes of all names */
#define SLOTS_MIN 64u

/* FNV-1a, 64 bits. */
static uint64_t hash_bytes(const void *data, size_t length)
{
    const unsigned char *byte = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

/* ---- names ---- */

static void names_put(struct sim_names *names, uint32_t number)
{
    const char *name = names->name[number];
    uint64_t at = hash_bytes(name, strlen(name));
    while (names->slot[at & (names->slots - 1)])
        at++;
    names->slot[at & (names->slots - 1)] = number + 1;
}

static void names_grow(struct sim_names *names)
{
    MLT_GROW(names->name, names->count, names->capacity);
    if (names->count * 2 < names->slots)
        return;
    names->slots = names->slots ? names->slots * 2 : SLOTS_MIN;
    free(names->slot);
    names->slot = mlt_calloc(names->slots, sizeof *names->slot);
    for (uint32_t i = 0; i < names->count; i++)
        names_put(names, i);
}

int sim_names_add(struct sim_names *names, const char *text, size_t length, uint32_t max,
                  uint32_t *ret_number, struct mlt_error *err)
{
    if (length >= SIM_NAME_MAX)
        return mlt_fail(err, E2BIG, "a name of %zu bytes, expected at most %d", length,
                        SIM_NAME_MAX - 1);
    if (memchr(text, '\0', length))
        return mlt_fail(err, EINVAL, "a name with a NUL byte in it, expected text");
    for (uint64_t at = hash_bytes(text, length); names->slots; at++) {
        uint32_t slot = names->slot[at & (names->slots - 1)];
        if (!slot)
            break;
        const char *known = names->name[slot - 1];
        if (strncmp(known, text, length) == 0 && known[length] == '\0') {
            *ret_number = slot - 1;
            return 0;
        }
    }
    if (names->count >= max)
        return mlt_fail(err, E2BIG, "more than %" PRIu32 " different names", max);
    names_grow(names);
    names->name[names->count] = mlt_strndup(text, length);
    names_put(names, names->count);
    *ret_number = names->count++;
    return 0;
}

void sim_names_release(struct sim_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    free(names->slot);
    *names = (struct sim_names){0};
}

/* ---- shapes ---- */

static void shapes_put(struct sim_trace *t, uint32_t number)
{
    uint64_t at = hash_bytes(&t->shapes[number], sizeof t->shapes[number]);
    while (t->shape_slot[at & (t->shape_slots - 1)])
        at++;
    t->shape_slot[at & (t->shape_slots - 1)] = number + 1;
}

static void shapes_grow(struct sim_trace *t)
{
    MLT_GROW(t->shapes, t->shapes_count, t->shapes_capacity);
    if (t->shapes_count * 2 < t->shape_slots)
        return;
    t->shape_slots = t->shape_slots ? t->shape_slots * 2 : SLOTS_MIN;
    free(t->shape_slot);
    t->shape_slot = mlt_calloc(t->shape_slots, sizeof *t->shape_slot);
    for (uint32_t i = 0; i < t->shapes_count; i++)
        shapes_put(t, i);
}

/* The same shape with all its padding zeroed and its sums right: what is hashed and compared. */
static int canonical(const struct sim_shape *shape, struct sim_shape *ret, struct mlt_error *err)
{
    uint64_t pods = 0;
    memset(ret, 0, sizeof *ret);
    ret->models = shape->models;
    ret->roles = shape->roles;
    for (uint32_t i = 0; i < shape->roles; i++) {
        ret->role[i].pods = shape->role[i].pods;
        ret->role[i].devices = shape->role[i].devices;
        ret->role[i].cpu_milli = shape->role[i].cpu_milli;
        ret->role[i].memory = shape->role[i].memory;
        pods += shape->role[i].pods;
        if (pods > SIM_PODS_MAX)
            return mlt_fail(err, E2BIG, "%" PRIu64 " pods, expected at most %d", pods,
                            SIM_PODS_MAX);
        ret->devices += shape->role[i].pods * shape->role[i].devices;
    }
    ret->pods = (uint32_t)pods;
    return 0;
}

int sim_trace_shape(struct sim_trace *t, const struct sim_shape *shape, uint32_t *ret_number,
                    struct mlt_error *err)
{
    struct sim_shape own;
    int rc = canonical(shape, &own, err);
    if (rc < 0)
        return rc;
    for (uint64_t at = hash_bytes(&own, sizeof own); t->shape_slots; at++) {
        uint32_t slot = t->shape_slot[at & (t->shape_slots - 1)];
        if (!slot)
            break;
        if (memcmp(&t->shapes[slot - 1], &own, sizeof own) == 0) {
            *ret_number = slot - 1;
            return 0;
        }
    }
    shapes_grow(t);
    memcpy(&t->shapes[t->shapes_count], &own, sizeof own);
    shapes_put(t, t->shapes_count);
    *ret_number = t->shapes_count++;
    return 0;
}

int sim_trace_shape_of_devices(struct sim_trace *t, int64_t devices, int64_t pod_max,
                               uint32_t *ret_number, struct mlt_error *err)
{
    struct sim_shape shape = {.models = SIM_ANY_MODEL};
    if (devices / pod_max > SIM_PODS_MAX)
        return mlt_fail(err, E2BIG, "%" PRId64 " pods, expected at most %d", devices / pod_max,
                        SIM_PODS_MAX);
    if (devices >= pod_max)
        shape.role[shape.roles++] =
            (struct sim_role){.pods = (uint32_t)(devices / pod_max), .devices = pod_max};
    if (devices % pod_max)
        shape.role[shape.roles++] = (struct sim_role){.pods = 1, .devices = devices % pod_max};
    return sim_trace_shape(t, &shape, ret_number, err);
}

/* ---- jobs ---- */

void sim_trace_init(struct sim_trace *t)
{
    *t = (struct sim_trace){.queue_word = "queue", .device_word = "GPU"};
    mlt_text_init(&t->text, TEXT_MAX);
}

void sim_trace_release(struct sim_trace *t)
{
    free(t->jobs);
    free(t->shapes);
    free(t->shape_slot);
    sim_names_release(&t->queues);
    sim_names_release(&t->models);
    sim_names_release(&t->owners);
    mlt_text_release(&t->text);
    for (uint32_t i = 0; i < t->manifests_count; i++)
        trainingjob_release(&t->manifests[i]);
    free(t->manifests);
    cJSON_Delete(t->priority_classes);
    sim_trace_init(t);
}

int sim_trace_add(struct sim_trace *t, const struct sim_job *job, const char *name,
                  size_t name_length, struct mlt_error *err)
{
    if (t->count >= SIM_JOBS_MAX)
        return mlt_fail(err, E2BIG, "more than %d jobs", SIM_JOBS_MAX);
    if (name && name_length >= SIM_NAME_MAX)
        return mlt_fail(err, E2BIG, "a name of %zu bytes, expected at most %d", name_length,
                        SIM_NAME_MAX - 1);
    MLT_GROW(t->jobs, t->count, t->capacity);
    t->jobs[t->count] = *job;
    if (name) {
        t->jobs[t->count].name = (uint32_t)t->text.length + 1;
        mlt_text_add(&t->text, name, name_length);
        mlt_text_add(&t->text, "", 1);
        if (t->text.failed)
            return mlt_fail(err, E2BIG, "the jobs' names hold more than %zu bytes", TEXT_MAX);
    }
    t->count++;
    return 0;
}

void sim_trace_leave_out(struct sim_trace *t, const char *why)
{
    for (uint32_t i = 0; i < t->left_out_count; i++)
        if (strcmp(t->left_out[i].why, why) == 0) {
            t->left_out[i].records++;
            return;
        }
    if (t->left_out_count == SIM_LEFT_OUT_MAX)
        return;
    t->left_out[t->left_out_count].why = why;
    t->left_out[t->left_out_count++].records = 1;
}

/* Stable, because most traces are in order already: natural runs would do, but a merge sort is
 * plain. */
static void sort_jobs(struct sim_job *jobs, struct sim_job *spare, size_t count)
{
    if (count < 2)
        return;
    size_t half = count / 2, left = 0, right = half;
    sort_jobs(jobs, spare, half);
    sort_jobs(jobs + half, spare, count - half);
    if (jobs[half - 1].submit_ms <= jobs[half].submit_ms)
        return;
    for (size_t i = 0; i < count; i++) {
        bool from_left =
            left < half && (right == count || jobs[left].submit_ms <= jobs[right].submit_ms);
        spare[i] = jobs[from_left ? left++ : right++];
    }
    memcpy(jobs, spare, count * sizeof *jobs);
}

void sim_trace_finish(struct sim_trace *t, int64_t from_ms, int64_t until_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (t->jobs[i].submit_ms >= from_ms && t->jobs[i].submit_ms < until_ms)
            t->jobs[kept++] = t->jobs[i];
        else
            sim_trace_leave_out(t, "submitted outside of --from and --until");
    }
    t->count = kept;
    if (kept == 0)
        return;
    struct sim_job *spare = mlt_calloc(kept, sizeof *spare);
    sort_jobs(t->jobs, spare, kept);
    free(spare);
    int64_t first = t->jobs[0].submit_ms;
    for (size_t i = 0; i < kept; i++)
        t->jobs[i].submit_ms -= first;
    t->zero_ms += first;
}

void sim_trace_job_name(const struct sim_trace *t, size_t job, char *text)
{
    const struct sim_job *j = &t->jobs[job];
    if (j->name)
        (void)snprintf(text, SIM_NAME_MAX, "%s", mlt_text_string(&t->text) + j->name - 1);
    else
        (void)snprintf(text, SIM_NAME_MAX, "%" PRId64, j->number);
}
