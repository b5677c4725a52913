/* The status of a TrainingJob: memory, and the changes that a controller makes. */
#include "trainingjob/object.h"
#include "trainingjob/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

#define AVOID_DOUBLINGS_MAX 20 /* beyond that every time would be above any maximum */

void trainingjob_status_init(struct trainingjob_status *status)
{
    *status = (struct trainingjob_status){
        .recovery.charged_at_step = TRAININGJOB_NONE,
        .recovery.highest_checkpoint_step = TRAININGJOB_NONE,
        .recovery.poison.checkpoint_step = TRAININGJOB_NONE,
        .recovery.resume_step = TRAININGJOB_NONE,
        .checkpoint.step = TRAININGJOB_NONE,
        .progress.step = TRAININGJOB_NONE,
        .progress.remaining_seconds = TRAININGJOB_NONE,
    };
}

void trainingjob_forget_queue(struct trainingjob_status *status)
{
    free(status->queue.explanation);
    free(status->queue.topology_levels);
    status->queue = (struct trainingjob_queue_status){0};
}

static void failure_release(struct trainingjob_failure *failure)
{
    free(failure->node);
    free(failure->pod);
    free(failure->message);
}

void trainingjob_status_release(struct trainingjob_status *status)
{
    for (size_t i = 0; i < status->conditions_count; i++)
        free(status->conditions[i].text);
    for (size_t i = 0; i < status->failures_count; i++)
        failure_release(&status->failures[i]);
    for (size_t i = 0; i < status->recovery.avoid_count; i++)
        free(status->recovery.avoid[i].node);
    free(status->conditions);
    free(status->failures);
    free(status->recovery.avoid);
    free(status->recovery.skipped);
    trainingjob_clear_poison(&status->recovery.poison);
    free(status->recovery.resume_path);
    free(status->checkpoint.path);
    trainingjob_forget_queue(status);
    free(status->preemption.by);
    free(status->preemption.by_uid);
    free(status->placement);
    free(status->pod_creations);
    free(status->workers);
    free(status->selector);
    free(status->launcher_image);
    trainingjob_status_init(status);
}

static void condition_copy(const struct trainingjob_condition *from,
                           struct trainingjob_condition *to)
{
    *to = *from;
    to->text = NULL;
    trainingjob_condition_write(to, from->type, from->reason, from->message);
}

static void failure_copy(const struct trainingjob_failure *from, struct trainingjob_failure *to)
{
    *to = *from;
    to->node = mlt_strdup(from->node);
    to->pod = mlt_strdup(from->pod);
    to->message = mlt_strdup(from->message);
}

static void *copy_array(const void *from, size_t count, size_t size)
{
    return count > 0 ? mlt_memdup(from, count * size) : NULL;
}

void trainingjob_status_copy(const struct trainingjob_status *from,
                             struct trainingjob_status *ret_status)
{
    struct trainingjob_status to = *from;
    struct trainingjob_recovery *r = &to.recovery;
    to.conditions = copy_array(from->conditions, from->conditions_count, sizeof *to.conditions);
    for (size_t i = 0; i < to.conditions_count; i++)
        condition_copy(&from->conditions[i], &to.conditions[i]);
    to.failures = copy_array(from->failures, from->failures_count, sizeof *to.failures);
    for (size_t i = 0; i < to.failures_count; i++)
        failure_copy(&from->failures[i], &to.failures[i]);
    r->avoid = copy_array(from->recovery.avoid, r->avoid_count, sizeof *r->avoid);
    for (size_t i = 0; i < r->avoid_count; i++)
        r->avoid[i].node = mlt_strdup(from->recovery.avoid[i].node);
    r->skipped = copy_array(from->recovery.skipped, r->skipped_count, sizeof *r->skipped);
    for (size_t i = 0; i < r->poison.strikes_count; i++)
        r->poison.strikes[i].node = mlt_strdup(from->recovery.poison.strikes[i].node);
    r->resume_path = mlt_strdup(from->recovery.resume_path);
    to.checkpoint.path = mlt_strdup(from->checkpoint.path);
    to.queue.explanation = mlt_strdup(from->queue.explanation);
    to.queue.topology_levels = mlt_strdup(from->queue.topology_levels);
    to.preemption.by = mlt_strdup(from->preemption.by);
    to.preemption.by_uid = mlt_strdup(from->preemption.by_uid);
    to.placement = mlt_strdup(from->placement);
    to.pod_creations = mlt_strdup(from->pod_creations);
    to.workers = mlt_strdup(from->workers);
    to.selector = mlt_strdup(from->selector);
    to.launcher_image = mlt_strdup(from->launcher_image);
    *ret_status = to;
}

void trainingjob_set_text(char **field, const char *text, size_t max)
{
    char *copy = NULL;
    if (text) {
        size_t length = strnlen(text, max);
        while (text[length] != '\0' && length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--; /* never in the middle of a character */
        copy = mlt_strndup(text, length);
    }
    free(*field);
    *field = copy;
}

/* ---- conditions ---- */

static size_t add_part(char *text, size_t at, const char *part, const char **ret)
{
    size_t size = strlen(part) + 1;
    memcpy(text + at, part, size);
    *ret = text + at;
    return at + size;
}

void trainingjob_condition_write(struct trainingjob_condition *c, const char *type,
                                 const char *reason, const char *message)
{
    char type_word[TRAININGJOB_WORD_MAX], reason_word[TRAININGJOB_WORD_MAX];
    cleanup_free char *cut = NULL;
    (void)snprintf(type_word, sizeof type_word, "%s", type);
    (void)snprintf(reason_word, sizeof reason_word, "%s", reason);
    trainingjob_set_text(&cut, message ? message : "", TRAININGJOB_MESSAGE_MAX);
    char *text = mlt_calloc(1, strlen(type_word) + strlen(reason_word) + strlen(cut) + 3);
    size_t at = add_part(text, 0, type_word, &c->type);
    at = add_part(text, at, reason_word, &c->reason);
    (void)add_part(text, at, cut, &c->message);
    free(c->text);
    c->text = text;
}

static struct trainingjob_condition *find_condition(const struct trainingjob_status *status,
                                                    enum trainingjob_condition_type type)
{
    for (size_t i = 0; i < status->conditions_count; i++) {
        if (strcmp(status->conditions[i].type, trainingjob_condition_name(type)) == 0)
            return &status->conditions[i];
    }
    return NULL;
}

const struct trainingjob_condition *
trainingjob_find_condition(const struct trainingjob_status *status,
                           enum trainingjob_condition_type type)
{
    return find_condition(status, type);
}

bool trainingjob_condition_is_true(const struct trainingjob_status *status,
                                   enum trainingjob_condition_type type)
{
    const struct trainingjob_condition *found = find_condition(status, type);
    return found && strcmp(found->status, "True") == 0;
}

static struct trainingjob_condition *add_condition(struct trainingjob_status *status,
                                                   enum trainingjob_condition_type type)
{
    size_t count = status->conditions_count;
    if (count >= TRAININGJOB_CONDITIONS_MAX) {
        /* Foreign ones filled the list: ours matter more than the oldest of them. */
        free(status->conditions[0].text);
        memmove(status->conditions, status->conditions + 1,
                (count - 1) * sizeof *status->conditions);
        count--;
    }
    status->conditions = mlt_realloc(status->conditions, count + 1, sizeof *status->conditions);
    status->conditions[count] = (struct trainingjob_condition){0};
    trainingjob_condition_write(&status->conditions[count], trainingjob_condition_name(type), "",
                                "");
    status->conditions_count = count + 1;
    return &status->conditions[count];
}

bool trainingjob_set_condition(struct trainingjob_status *status,
                               enum trainingjob_condition_type type, bool is_true,
                               const char *reason, const char *message, int64_t now_ms)
{
    const char *value = is_true ? "True" : "False";
    struct trainingjob_condition *c = find_condition(status, type);
    if (!c)
        c = add_condition(status, type);
    bool turned = strcmp(c->status, value) != 0;
    bool changed =
        turned || strcmp(c->reason, reason) != 0 || strcmp(c->message, message ? message : "") != 0;
    if (!changed)
        return false;
    if (turned)
        c->last_transition_ms = now_ms;
    (void)snprintf(c->status, sizeof c->status, "%s", value);
    trainingjob_condition_write(c, trainingjob_condition_name(type), reason, message);
    c->observed_generation = status->observed_generation;
    return true;
}

/* ---- failures, avoided nodes, skipped and poisoned checkpoints ---- */

void trainingjob_add_failure(struct trainingjob_status *status,
                             const struct trainingjob_failure *failure)
{
    struct trainingjob_failure copy;
    failure_copy(failure, &copy);
    if (status->failures_count >= TRAININGJOB_FAILURES_MAX) {
        failure_release(&status->failures[0]);
        status->failures_count--;
        memmove(status->failures, status->failures + 1,
                status->failures_count * sizeof *status->failures);
    } else {
        status->failures =
            mlt_realloc(status->failures, status->failures_count + 1, sizeof *status->failures);
    }
    status->failures[status->failures_count++] = copy;
}

static struct trainingjob_avoided *find_avoided(const struct trainingjob_status *status,
                                                const char *node)
{
    for (size_t i = 0; i < status->recovery.avoid_count; i++) {
        if (strcmp(status->recovery.avoid[i].node, node) == 0)
            return &status->recovery.avoid[i];
    }
    return NULL;
}

/* A free entry: a new one, or the one that ends first when there are too many. */
static struct trainingjob_avoided *new_avoided(struct trainingjob_recovery *r)
{
    if (r->avoid_count < TRAININGJOB_AVOID_MAX) {
        r->avoid = mlt_realloc(r->avoid, r->avoid_count + 1, sizeof *r->avoid);
        r->avoid[r->avoid_count] = (struct trainingjob_avoided){0};
        return &r->avoid[r->avoid_count++];
    }
    struct trainingjob_avoided *first = &r->avoid[0];
    for (size_t i = 1; i < r->avoid_count; i++) {
        if (r->avoid[i].until_ms < first->until_ms)
            first = &r->avoid[i];
    }
    free(first->node);
    *first = (struct trainingjob_avoided){0};
    return first;
}

void trainingjob_avoid_node(struct trainingjob_status *status, const char *node, int64_t now_ms,
                            int64_t base_ms, int64_t max_ms)
{
    struct trainingjob_avoided *a = find_avoided(status, node);
    if (!a) {
        a = new_avoided(&status->recovery);
        a->node = mlt_strdup(node);
    }
    if (now_ms - a->until_ms > max_ms)
        a->faults = 0;
    int64_t wait = base_ms;
    for (int64_t i = 0; i < a->faults && i < AVOID_DOUBLINGS_MAX && wait < max_ms; i++)
        wait *= 2;
    a->faults++;
    a->until_ms = now_ms + (wait < max_ms ? wait : max_ms);
}

bool trainingjob_avoid_at_most(struct trainingjob_status *status, int64_t now_ms, int64_t base_ms)
{
    bool changed = false;
    for (size_t i = 0; i < status->recovery.avoid_count; i++) {
        struct trainingjob_avoided *a = &status->recovery.avoid[i];
        int64_t doublings = a->faults > AVOID_DOUBLINGS_MAX ? AVOID_DOUBLINGS_MAX : a->faults - 1;
        int64_t until_ms = now_ms + (base_ms << (doublings > 0 ? doublings : 0));
        if (a->until_ms <= until_ms)
            continue;
        a->until_ms = until_ms;
        changed = true;
    }
    return changed;
}

bool trainingjob_avoids(const struct trainingjob_status *status, const char *node, int64_t now_ms)
{
    const struct trainingjob_avoided *a = find_avoided(status, node);
    return a && a->until_ms > now_ms;
}

bool trainingjob_skips(const struct trainingjob_status *status, int64_t step)
{
    for (size_t i = 0; i < status->recovery.skipped_count; i++) {
        if (status->recovery.skipped[i] == step)
            return true;
    }
    return false;
}

void trainingjob_skip_checkpoint(struct trainingjob_status *status, int64_t step)
{
    struct trainingjob_recovery *r = &status->recovery;
    if (trainingjob_skips(status, step))
        return;
    if (r->skipped_count < TRAININGJOB_SKIPPED_MAX) {
        r->skipped = mlt_realloc(r->skipped, r->skipped_count + 1, sizeof *r->skipped);
        r->skipped[r->skipped_count++] = step;
        return;
    }
    size_t lowest = 0;
    for (size_t i = 1; i < r->skipped_count; i++) {
        if (r->skipped[i] < r->skipped[lowest])
            lowest = i;
    }
    if (step > r->skipped[lowest])
        r->skipped[lowest] = step;
}

void trainingjob_add_strike(struct trainingjob_poison *poison, int64_t checkpoint_step,
                            const char *node, int64_t step)
{
    if (poison->checkpoint_step != checkpoint_step)
        trainingjob_clear_poison(poison);
    poison->checkpoint_step = checkpoint_step;
    if (poison->strikes_count == TRAININGJOB_STRIKES_MAX) {
        free(poison->strikes[0].node);
        poison->strikes_count--;
        memmove(poison->strikes, poison->strikes + 1,
                poison->strikes_count * sizeof poison->strikes[0]);
    }
    poison->strikes[poison->strikes_count++] =
        (struct trainingjob_strike){.node = mlt_strdup(node), .step = step};
}

void trainingjob_clear_poison(struct trainingjob_poison *poison)
{
    for (size_t i = 0; i < poison->strikes_count; i++)
        free(poison->strikes[i].node);
    *poison = (struct trainingjob_poison){.checkpoint_step = TRAININGJOB_NONE};
}
