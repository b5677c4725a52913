/* Topology: the levels of the configuration, and the domains that nodes' labels make of them.
 *
 * A domain is known by its path: the values of its own level's label and of those of all wider
 * levels, so rack-1 of zone a and rack-1 of zone b are two. A node without the label (or with an
 * empty one) lies in no domain of that level; it may still lie in one of a narrower level, together
 * with nodes that lack the same labels. Domains are numbered in the natural order of their paths,
 * as nodes are by their names: one that comes in the middle makes the gang anew. */
#include "ledger/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define WORDS_MAX 512

/* ---- levels ---- */

void ledger_topology_init(struct ledger *l, const struct ledger_config *config)
{
    assert(config->levels_count <= GANG_LEVELS_MAX);
    for (uint32_t i = 0; i < config->levels_count; i++) {
        struct ledger_level *level = &l->levels[l->levels_count++];
        level->name = mlt_strdup(config->levels[i].name);
        level->label = mlt_strdup(config->levels[i].label);
        l->level_names[i] = level->name;
    }
}

static void forget_domains(struct ledger_level *level)
{
    for (uint32_t i = 0; i < level->domains_count; i++)
        free(level->domains[i]);
    level->domains_count = 0;
    ledger_map_release(&level->numbers);
}

void ledger_topology_release(struct ledger *l)
{
    for (uint32_t i = 0; i < l->levels_count; i++) {
        forget_domains(&l->levels[i]);
        free(l->levels[i].domains);
        free(l->levels[i].name);
        free(l->levels[i].label);
    }
}

/* By name first: a name may look like the label of another level. */
static uint32_t find_level(const struct ledger *l, const char *text)
{
    for (uint32_t i = 0; text && i < l->levels_count; i++)
        if (strcmp(l->levels[i].name, text) == 0)
            return i + 1;
    for (uint32_t i = 0; text && i < l->levels_count; i++)
        if (strcmp(l->levels[i].label, text) == 0)
            return i + 1;
    return GANG_NO_LEVEL;
}

void ledger_topology_read(const struct ledger *l, const struct trainingjob_scheduling *from,
                          struct ledger_request *r)
{
    r->required_level = find_level(l, from->topology_required);
    r->preferred_level = find_level(l, from->topology_preferred);
    r->preferred_wait_ms = from->topology_max_wait_seconds * 1000;
}

static int refuse(const struct ledger *l, const char *field, const char *text,
                  struct mlt_error *err)
{
    cleanup_text struct mlt_text words = MLT_TEXT_INIT(WORDS_MAX);
    for (uint32_t i = 0; i < l->levels_count; i++)
        mlt_text_printf(&words, "%s%s (%s)", i ? ", " : "; the levels are ", l->levels[i].name,
                        l->levels[i].label);
    return mlt_fail(err, EINVAL, "spec.scheduling.topology.%s: there is no topology level `%s`%s",
                    field, text,
                    l->levels_count ? mlt_text_string(&words) : "; none is configured here");
}

int ledger_topology_check(const struct ledger *l, const struct trainingjob_scheduling *s,
                          struct mlt_error *err)
{
    if (s->topology_required && !find_level(l, s->topology_required))
        return refuse(l, "required", s->topology_required, err);
    if (s->topology_preferred && !find_level(l, s->topology_preferred))
        return refuse(l, "preferred", s->topology_preferred, err);
    return 0;
}

/* ---- domains ---- */

/* A value with `/` is none that the API server takes, and would make paths ambiguous. */
static const char *value_of(const struct ledger_node *node, const struct ledger_level *level)
{
    const cJSON *item = json_member(node->labels, level->label);
    const char *value = cJSON_IsString(item) ? item->valuestring : "";
    return *value && !strchr(value, '/') ? value : NULL;
}

/* Appends the step of `level` to the path of the wider ones; whether the node lies in a domain of
 * it. A label's value is never "-" alone. */
static bool add_step(struct mlt_text *path, const struct ledger_node *node,
                     const struct ledger_level *level)
{
    const char *value = value_of(node, level);
    mlt_text_printf(path, "%s%s", path->length ? "/" : "", value ? value : "-");
    return value != NULL;
}

static int path_order(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    int order = strverscmp(*x, *y);
    return order ? order : strcmp(*x, *y);
}

static bool number_domain(struct ledger_level *level, const char *path, uint32_t *ret)
{
    uintptr_t found = (uintptr_t)ledger_map_find(&level->numbers, path);
    if (!found) {
        const char *last = level->domains_count ? level->domains[level->domains_count - 1] : NULL;
        if (level->domains_count == GANG_DOMAINS_MAX || (last && path_order(&last, &path) > 0))
            return false;
        MLT_GROW(level->domains, level->domains_count, level->domains_capacity);
        level->domains[level->domains_count++] = mlt_strdup(path);
        found = level->domains_count;
        ledger_map_put(&level->numbers, path, (void *)found);
    }
    *ret = (uint32_t)(found - 1);
    return true;
}

bool ledger_topology_of(struct ledger *l, const struct ledger_node *node,
                        uint32_t ret[GANG_LEVELS_MAX])
{
    cleanup_text struct mlt_text path = MLT_TEXT_INIT(LEDGER_SIGNATURE_MAX);
    for (uint32_t i = 0; i < l->levels_count; i++) {
        ret[i] = GANG_NO_DOMAIN;
        if (add_step(&path, node, &l->levels[i]) &&
            !number_domain(&l->levels[i], mlt_text_string(&path), &ret[i]))
            return false;
    }
    return true;
}

static int number_level(struct ledger *l, uint32_t index, struct mlt_error *err)
{
    struct ledger_level *level = &l->levels[index];
    uint32_t count = 0, number;
    char **paths = mlt_calloc(l->numbered_count + 1, sizeof *paths);
    for (uint32_t i = 0; i < l->numbered_count; i++) {
        cleanup_text struct mlt_text path = MLT_TEXT_INIT(LEDGER_SIGNATURE_MAX);
        bool inside = false;
        for (uint32_t k = 0; k <= index; k++)
            inside = add_step(&path, l->numbered[i], &l->levels[k]);
        if (inside && l->numbered[i]->known)
            paths[count++] = mlt_strdup(mlt_text_string(&path));
    }
    qsort(paths, count, sizeof *paths, path_order);
    bool numbered = true;
    for (uint32_t i = 0; i < count; i++) {
        numbered = numbered && number_domain(level, paths[i], &number);
        free(paths[i]);
    }
    free(paths);
    return numbered ? 0
                    : mlt_fail(err, E2BIG, "topology level %s: more than %d domains", level->name,
                               GANG_DOMAINS_MAX);
}

int ledger_topology_number(struct ledger *l, struct mlt_error *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < l->levels_count && rc == 0; i++) {
        forget_domains(&l->levels[i]);
        rc = number_level(l, i, err);
    }
    return rc;
}

void ledger_topology_explain(const struct ledger *l, const struct gang_why *why,
                             char text[GANG_REASON_MAX])
{
    if (why->blocker)
        why = why->blocker;
    if (why->level == GANG_NO_LEVEL || why->largest_domain != GANG_NO_DOMAIN)
        return;
    const struct ledger_level *level = &l->levels[why->level - 1];
    for (uint32_t i = 0; i < l->numbered_count; i++)
        if (l->numbered[i]->known && value_of(l->numbered[i], level))
            return;
    size_t length = strlen(text);
    (void)snprintf(text + length, GANG_REASON_MAX - length, "; no node has the label %s",
                   level->label);
}

const char *ledger_topology_name(const struct ledger *l, uint32_t level, uint32_t domain)
{
    if (level == GANG_NO_LEVEL || level > l->levels_count ||
        domain >= l->levels[level - 1].domains_count)
        return NULL;
    return l->levels[level - 1].domains[domain];
}
