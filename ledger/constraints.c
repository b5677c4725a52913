/* Which nodes a role's pods may use: nodeSelector, required node affinity, that of their volumes,
 * taints and tolerations, whole GPUs. Equal constraints are one object, so that a thousand equal
 * jobs are matched against the node classes once. */
#include "ledger/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/selector.h"

#define TERMS \
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

/* ---- reading ---- */

/* Last in the source, wherever it comes from: the print is the key. */
static void set_queue(cJSON *source, const cJSON *selector)
{
    if (json_size(selector, "") > 0)
        json_set(source, "queue.matchLabels", json_copy(selector));
}

static cJSON *read_source(const cJSON *template_, const cJSON *volumes, bool whole_gpus,
                          const cJSON *queue_selector)
{
    cJSON *source = cJSON_CreateObject();
    const cJSON *selector = json_find(template_, "spec.nodeSelector");
    const cJSON *terms = json_find(template_, TERMS);
    const cJSON *tolerations = json_find(template_, "spec.tolerations");
    if (json_size(selector, "") > 0)
        json_set(source, "nodeSelector.matchLabels", json_copy(selector));
    if (terms)
        json_set(source, "terms", json_copy(terms));
    if (json_size(volumes, "") > 0)
        json_set(source, "volumes", json_copy(volumes));
    if (json_size(tolerations, "") > 0)
        json_set(source, "tolerations", json_copy(tolerations));
    json_set_bool(source, "wholeGpus", whole_gpus);
    set_queue(source, queue_selector);
    return source;
}

static int check_fields(const cJSON *fields, struct mlt_error *err)
{
    const cJSON *field;
    cJSON_ArrayForEach(field, fields)
    {
        const char *key = json_string(field, "key", ""), *how = json_string(field, "operator", "");
        if (strcmp(key, "metadata.name") != 0)
            return mlt_fail(err, EINVAL, "matchFields: key `%s`, expected metadata.name", key);
        if (strcmp(how, "In") != 0 && strcmp(how, "NotIn") != 0)
            return mlt_fail(err, EINVAL, "matchFields: operator `%s`, expected In or NotIn", how);
    }
    return 0;
}

static int read_term(const cJSON *term, struct ledger_term *ret, struct mlt_error *err)
{
    const cJSON *expressions = json_member(term, "matchExpressions");
    ret->fields = json_size(term, "matchFields") > 0 ? json_member(term, "matchFields") : NULL;
    if (check_fields(ret->fields, err) < 0)
        return -EINVAL;
    if (json_size(expressions, "") == 0)
        return 0;
    cleanup_json cJSON *object = cJSON_CreateObject();
    json_set(object, "matchExpressions", json_copy(expressions));
    return kube_selector_from_object(object, &ret->labels, err);
}

static int read_terms(const cJSON *from, struct ledger_terms *ret, struct mlt_error *err)
{
    const cJSON *term;
    ret->terms = mlt_calloc(json_size(from, "") + 1, sizeof *ret->terms);
    cJSON_ArrayForEach(term, from)
    {
        if (read_term(term, &ret->terms[ret->count++], err) < 0)
            return mlt_fail_in(err, "nodeSelectorTerms[%u]", ret->count - 1);
    }
    return 0;
}

static int read_volumes(struct ledger_constraints *c, struct mlt_error *err)
{
    const cJSON *volumes = json_member(c->source, "volumes"), *terms;
    c->volumes = mlt_calloc(json_size(volumes, "") + 1, sizeof *c->volumes);
    cJSON_ArrayForEach(terms, volumes)
    {
        if (read_terms(terms, &c->volumes[c->volumes_count++], err) < 0)
            return mlt_fail_in(err, "a bound PersistentVolume: spec.nodeAffinity.required");
    }
    return 0;
}

static int read_constraints(struct ledger_constraints *c, struct mlt_error *err)
{
    const cJSON *selector = json_member(c->source, "nodeSelector"),
                *queue = json_member(c->source, "queue"), *terms = json_member(c->source, "terms");
    c->whole_gpus = json_bool(c->source, "wholeGpus", false);
    c->tolerations = json_member(c->source, "tolerations");
    c->affinity = terms != NULL;
    if (selector && kube_selector_from_object(selector, &c->selector, err) < 0)
        return mlt_fail_in(err, "nodeSelector");
    if (queue && kube_selector_from_object(queue, &c->queue, err) < 0)
        return mlt_fail_in(err, "nodeSelector of its queue");
    if (read_terms(terms, &c->terms, err) < 0)
        return mlt_fail_in(err, "affinity.nodeAffinity");
    return read_volumes(c, err);
}

static void terms_release(struct ledger_terms *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        kube_selector_free(t->terms[i].labels);
    free(t->terms);
}

void ledger_constraints_free(struct ledger_constraints *c)
{
    if (!c)
        return;
    terms_release(&c->terms);
    for (uint32_t i = 0; i < c->volumes_count; i++)
        terms_release(&c->volumes[i]);
    free(c->volumes);
    kube_selector_free(c->selector);
    kube_selector_free(c->queue);
    cJSON_Delete(c->source);
    free(c->classes);
    free(c->key);
    free(c);
}

/* Whether the classes of today can answer what these constraints ask. */
static bool keys_are_known(const struct ledger *l, const struct ledger_constraints *c)
{
    struct ledger_map keys = {0};
    bool known = !ledger_constraints_keys(c, &keys) || l->names_matter;
    for (uint32_t i = 0; i < keys.size; i++)
        if (keys.slots[i].key && !ledger_map_find(&l->keys, keys.slots[i].key))
            known = false;
    ledger_map_release(&keys);
    return known;
}

/* Takes `source`. */
static int get_from(struct ledger *l, cJSON *source, struct ledger_constraints **ret,
                    struct mlt_error *err)
{
    cleanup_json cJSON *owned = source;
    cleanup_free char *key = json_print(source);
    struct ledger_constraints *c = ledger_map_find(&l->constraints, key);
    if (!c) {
        c = mlt_calloc(1, sizeof *c);
        c->source = steal_ptr(&owned);
        if (read_constraints(c, err) < 0) {
            ledger_constraints_free(c);
            return -EINVAL;
        }
        c->key = steal_ptr(&key);
        ledger_map_put(&l->constraints, c->key, c);
        if (!keys_are_known(l, c))
            l->stale = true;
        else
            ledger_constraints_classify(l, c);
    }
    c->references++;
    *ret = c;
    return 0;
}

int ledger_constraints_get(struct ledger *l, const cJSON *template_, const cJSON *volumes,
                           bool whole_gpus, const cJSON *queue_selector,
                           struct ledger_constraints **ret, struct mlt_error *err)
{
    return get_from(l, read_source(template_, volumes, whole_gpus, queue_selector), ret, err);
}

void ledger_constraints_change_queue(struct ledger *l, struct ledger_constraints **c,
                                     const cJSON *queue_selector)
{
    struct ledger_constraints *changed = NULL;
    cJSON *source = json_copy((*c)->source);
    cJSON_DeleteItemFromObjectCaseSensitive(source, "queue");
    set_queue(source, queue_selector);
    if (get_from(l, source, &changed, NULL) < 0)
        return; /* the selector was read before */
    ledger_constraints_put(l, *c);
    *c = changed;
}

void ledger_constraints_put(struct ledger *l, struct ledger_constraints *c)
{
    if (!c || --c->references > 0)
        return;
    ledger_map_drop(&l->constraints, c->key);
    ledger_constraints_free(c);
}

/* ---- keys ---- */

static void note_key(struct ledger_map *keys, const char *key)
{
    ledger_map_put(keys, key, keys); /* any value will do */
}

static bool note_terms(const cJSON *terms, struct ledger_map *keys)
{
    bool names = false;
    const cJSON *item, *term;
    cJSON_ArrayForEach(term, terms)
    {
        cJSON_ArrayForEach(item, json_member(term, "matchExpressions"))
        {
            note_key(keys, json_string(item, "key", ""));
        }
        names = names || json_size(term, "matchFields") > 0;
    }
    return names;
}

bool ledger_constraints_keys(const struct ledger_constraints *c, struct ledger_map *keys)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_find(c->source, "nodeSelector.matchLabels"))
    {
        note_key(keys, item->string);
    }
    cJSON_ArrayForEach(item, json_find(c->source, "queue.matchLabels"))
    {
        note_key(keys, item->string);
    }
    bool names = note_terms(json_member(c->source, "terms"), keys);
    cJSON_ArrayForEach(item, json_member(c->source, "volumes"))
    {
        if (note_terms(item, keys))
            names = true;
    }
    return names;
}

/* ---- matching ---- */

static bool name_is_among(const char *name, const cJSON *values)
{
    const cJSON *value;
    cJSON_ArrayForEach(value, values)
    {
        if (cJSON_IsString(value) && strcmp(value->valuestring, name) == 0)
            return true;
    }
    return false;
}

static bool fields_match(const cJSON *fields, const char *name)
{
    const cJSON *field;
    cJSON_ArrayForEach(field, fields)
    {
        bool wanted = strcmp(json_string(field, "operator", ""), "In") == 0;
        if (name_is_among(name, json_member(field, "values")) != wanted)
            return false;
    }
    return true;
}

/* One term is enough; a term that says nothing matches nothing (as in Kubernetes). */
static bool terms_match(const struct ledger_terms *t, const char *name, const cJSON *labels)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct ledger_term *term = &t->terms[i];
        if ((term->labels || term->fields) &&
            (!term->labels || kube_selector_matches(term->labels, labels)) &&
            (!term->fields || fields_match(term->fields, name)))
            return true;
    }
    return false;
}

/* Source: k8s.io/api/core/v1/toleration.go, ToleratesTaint(). */
static bool tolerates(const cJSON *toleration, const cJSON *taint)
{
    const char *effect = json_string(toleration, "effect", ""),
               *key = json_string(toleration, "key", "");
    const char *how = json_string(toleration, "operator", "Equal");
    if (effect[0] && strcmp(effect, json_string(taint, "effect", "")) != 0)
        return false;
    if (key[0] && strcmp(key, json_string(taint, "key", "")) != 0)
        return false;
    if (strcmp(how, "Exists") == 0)
        return true;
    return key[0] &&
           strcmp(json_string(toleration, "value", ""), json_string(taint, "value", "")) == 0;
}

static bool taint_is_tolerated(const cJSON *tolerations, const cJSON *taint)
{
    const char *effect = json_string(taint, "effect", "");
    if (strcmp(effect, "NoSchedule") != 0 && strcmp(effect, "NoExecute") != 0)
        return true;
    const cJSON *toleration;
    cJSON_ArrayForEach(toleration, tolerations)
    {
        if (tolerates(toleration, taint))
            return true;
    }
    return false;
}

enum ledger_fit ledger_constraints_fit(const struct ledger_constraints *c, const char *name,
                                       const cJSON *labels, const cJSON *taints, bool time_sliced)
{
    const cJSON *taint;
    if (c->selector && !kube_selector_matches(c->selector, labels))
        return LEDGER_FIT_SELECTOR;
    if (c->affinity && !terms_match(&c->terms, name, labels))
        return LEDGER_FIT_AFFINITY;
    for (uint32_t i = 0; i < c->volumes_count; i++)
        if (!terms_match(&c->volumes[i], name, labels))
            return LEDGER_FIT_VOLUMES;
    if (c->queue && !kube_selector_matches(c->queue, labels))
        return LEDGER_FIT_QUEUE;
    cJSON_ArrayForEach(taint, taints)
    {
        if (!taint_is_tolerated(c->tolerations, taint))
            return LEDGER_FIT_TAINT;
    }
    return c->whole_gpus && time_sliced ? LEDGER_FIT_TIME_SLICED : LEDGER_FIT_SUITS;
}

void ledger_constraints_classify(const struct ledger *l, struct ledger_constraints *c)
{
    free(c->classes);
    c->words = (l->classes_count + 63) / 64;
    c->classes = mlt_calloc(c->words + 1, sizeof *c->classes);
    for (uint32_t i = 0; i < l->classes_count; i++) {
        const struct ledger_class *k = &l->classes[i];
        if (ledger_constraints_fit(c, k->name, k->labels, k->taints, k->time_sliced) ==
            LEDGER_FIT_SUITS)
            c->classes[i / 64] |= UINT64_C(1) << (i % 64);
    }
}
