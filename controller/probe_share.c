/* See probe_share.h. PURE. */
#include "controller/probe_share.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

struct probe_share_entry {
    char *text, *namespace_;
    size_t length; /* of the text */
    uint32_t id;
    bool is_waited_for;
    cJSON *pod;       /* NULL: asked about */
    int64_t until_ms; /* it holds until then */
    UT_hash_handle hh;
};

static void forget(struct probe_share *s, struct probe_share_entry *e)
{
    HASH_DEL(s->entries, e);
    s->bytes -= e->length;
    cJSON_Delete(e->pod);
    free(e->text);
    free(e->namespace_);
    free(e);
}

void probe_share_release(struct probe_share *s)
{
    while (s->entries)
        forget(s, s->entries);
}

static struct probe_share_entry *find_id(const struct probe_share *s, uint32_t id)
{
    struct probe_share_entry *e = s->entries;
    while (e && e->id != id)
        e = e->hh.next;
    return e;
}

static void forget_old(struct probe_share *s, int64_t now_ms)
{
    struct probe_share_entry *next;
    for (struct probe_share_entry *e = s->entries; e; e = next) {
        next = e->hh.next;
        if (e->pod && e->until_ms <= now_ms)
            forget(s, e);
    }
}

enum probe_share_state probe_share_find(struct probe_share *s, const char *text, int64_t now_ms,
                                        uint32_t *ret_id, const cJSON **ret_pod)
{
    struct probe_share_entry *e;
    forget_old(s, now_ms);
    HASH_FIND_STR(s->entries, text, e);
    if (!e)
        return PROBE_SHARE_UNKNOWN;
    *ret_id = e->id;
    if (!e->pod)
        return PROBE_SHARE_ASKED;
    *ret_pod = e->pod;
    return PROBE_SHARE_KNOWN;
}

/* The oldest that nobody waits for make room. */
static bool make_room(struct probe_share *s, size_t length)
{
    struct probe_share_entry *next;
    for (struct probe_share_entry *e = s->entries; e; e = next) {
        next = e->hh.next;
        if (HASH_COUNT(s->entries) < PROBE_SHARE_MAX && s->bytes + length <= PROBE_SHARE_BYTES_MAX)
            break;
        if (e->pod)
            forget(s, e);
    }
    return HASH_COUNT(s->entries) < PROBE_SHARE_MAX && s->bytes + length <= PROBE_SHARE_BYTES_MAX;
}

uint32_t probe_share_ask(struct probe_share *s, const char *text, const char *namespace_)
{
    size_t length = strlen(text);
    if (length > PROBE_SHARE_BYTES_MAX || !make_room(s, length))
        return 0;
    struct probe_share_entry *e = mlt_calloc(1, sizeof *e);
    e->text = mlt_strdup(text);
    e->namespace_ = mlt_strdup(namespace_);
    e->length = length;
    if (++s->last_id == 0)
        s->last_id = 1;
    e->id = s->last_id;
    s->bytes += length;
    HASH_ADD_KEYPTR(hh, s->entries, e->text, length, e);
    return e->id;
}

void probe_share_wait(struct probe_share *s, uint32_t id)
{
    struct probe_share_entry *e = find_id(s, id);
    if (e)
        e->is_waited_for = true;
}

bool probe_share_told(struct probe_share *s, uint32_t id, const cJSON *pod, int64_t now_ms)
{
    struct probe_share_entry *e = find_id(s, id);
    if (!e)
        return false;
    bool is_waited_for = e->is_waited_for;
    e->is_waited_for = false;
    cJSON_Delete(e->pod);
    e->pod = json_copy(pod);
    e->until_ms = now_ms + PROBE_SHARE_MS;
    return is_waited_for;
}

bool probe_share_drop(struct probe_share *s, uint32_t id)
{
    struct probe_share_entry *e = find_id(s, id);
    if (!e)
        return false;
    bool is_waited_for = e->is_waited_for;
    forget(s, e);
    return is_waited_for;
}

void probe_share_distrust(struct probe_share *s, const char *namespace_)
{
    struct probe_share_entry *next;
    for (struct probe_share_entry *e = s->entries; e; e = next) {
        next = e->hh.next;
        if (e->pod && strcmp(e->namespace_, namespace_) == 0)
            forget(s, e);
    }
}
