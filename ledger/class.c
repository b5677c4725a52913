/* Node classes: nodes are of one class when no constraint of any job can tell them apart. Only
 * labels that some constraint asks about count, so a label that is different on every node makes no
 * classes until somebody asks for it. */
#include "ledger/internal.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

static int text_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends lines in order, so that the order in an object does not show. */
static void add_sorted(struct mlt_text *out, char **lines, size_t count)
{
    qsort(lines, count, sizeof *lines, text_order);
    for (size_t i = 0; i < count; i++) {
        mlt_text_puts(out, lines[i]);
        mlt_text_putc(out, '\n');
        free(lines[i]);
    }
    free(lines);
}

static void add_labels(const struct ledger *l, const cJSON *labels, struct mlt_text *out)
{
    size_t count = 0;
    char **lines = mlt_calloc(json_size(labels, "") + 1, sizeof *lines);
    const cJSON *label;
    cJSON_ArrayForEach(label, labels)
    {
        if (cJSON_IsString(label) && ledger_map_find(&l->keys, label->string))
            lines[count++] = mlt_asprintf("%s=%s", label->string, label->valuestring);
    }
    add_sorted(out, lines, count);
}

static void add_taints(const cJSON *taints, struct mlt_text *out)
{
    size_t count = 0;
    char **lines = mlt_calloc(json_size(taints, "") + 1, sizeof *lines);
    const cJSON *taint;
    cJSON_ArrayForEach(taint, taints)
    {
        const char *effect = json_string(taint, "effect", "");
        if (strcmp(effect, "PreferNoSchedule") != 0)
            lines[count++] = mlt_asprintf("%s=%s:%s", json_string(taint, "key", ""),
                                          json_string(taint, "value", ""), effect);
    }
    add_sorted(out, lines, count);
}

static void write_signature(const struct ledger *l, const struct ledger_node *node,
                            struct mlt_text *out)
{
    add_labels(l, node->labels, out);
    mlt_text_puts(out, "taints\n");
    add_taints(node->taints, out);
    if (node->time_sliced)
        mlt_text_puts(out, "time-sliced\n");
    if (l->names_matter)
        mlt_text_puts(out, node->name);
}

uint32_t ledger_class_find(const struct ledger *l, const struct ledger_node *node)
{
    cleanup_text struct mlt_text signature = MLT_TEXT_INIT(LEDGER_SIGNATURE_MAX);
    write_signature(l, node, &signature);
    uintptr_t found =
        (uintptr_t)ledger_map_find(&l->class_by_signature, mlt_text_string(&signature));
    return found ? (uint32_t)(found - 1) : LEDGER_NO_NUMBER;
}

uint32_t ledger_class_make(struct ledger *l, const struct ledger_node *node)
{
    cleanup_text struct mlt_text signature = MLT_TEXT_INIT(LEDGER_SIGNATURE_MAX);
    write_signature(l, node, &signature);
    uintptr_t found =
        (uintptr_t)ledger_map_find(&l->class_by_signature, mlt_text_string(&signature));
    if (found)
        return (uint32_t)(found - 1);
    if (l->classes_count == GANG_CLASSES_MAX)
        return LEDGER_NO_NUMBER;
    MLT_GROW(l->classes, l->classes_count, l->classes_capacity);
    l->classes[l->classes_count++] = (struct ledger_class){
        .name = mlt_strdup(node->name),
        .time_sliced = node->time_sliced,
        .labels = json_copy(node->labels),
        .taints = json_copy(node->taints),
    };
    ledger_map_put(&l->class_by_signature, mlt_text_string(&signature),
                   (void *)(uintptr_t)l->classes_count);
    return l->classes_count - 1;
}

void ledger_classes_clear(struct ledger *l)
{
    for (uint32_t i = 0; i < l->classes_count; i++) {
        cJSON_Delete(l->classes[i].labels);
        cJSON_Delete(l->classes[i].taints);
        free(l->classes[i].name);
    }
    l->classes_count = 0;
    ledger_map_release(&l->class_by_signature);
}

/* The labels that the constraints of today ask about. */
void ledger_keys_collect(struct ledger *l)
{
    ledger_map_release(&l->keys);
    l->names_matter = false;
    const struct ledger_constraints *c;
    LEDGER_MAP_EACH(&l->constraints, c)
    {
        if (ledger_constraints_keys(c, &l->keys))
            l->names_matter = true;
    }
}
