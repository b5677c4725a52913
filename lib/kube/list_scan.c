/* A scanner for {"kind": ..., "metadata": {...}, "items": [{...}, ...]}. It follows strings and
 * brackets only, and gives each item's text to the JSON parser. What stands between is checked
 * loosely: an API server that writes broken JSON there is caught by the parts that matter. */
#include "lib/kube/list_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"

void list_scan_init(struct list_scan *s, size_t item_max,
                    void (*item)(void *arg, const cJSON *object), void *arg)
{
    *s = (struct list_scan){.item = item, .arg = arg};
    mlt_text_init(&s->text, item_max);
}

void list_scan_release(struct list_scan *s)
{
    mlt_text_release(&s->text);
    free(s->version);
    free(s->next);
    s->version = s->next = NULL;
}

/* Adds characters to the text of the value at hand. */
static int keep(struct list_scan *s, const char *data, size_t length, struct mlt_error *err)
{
    mlt_text_add(&s->text, data, length);
    return s->text.failed
               ? mlt_fail(err, E2BIG, "list: one value is longer than %zu bytes", s->text.max)
               : 0;
}

static int end_metadata(struct list_scan *s, struct mlt_error *err)
{
    cleanup_json cJSON *metadata = NULL;
    int r = json_parse(mlt_text_string(&s->text), s->text.length, &metadata, err);
    if (r < 0)
        return mlt_fail_in(err, "list: metadata");
    free(s->version);
    free(s->next);
    s->version = mlt_strdup(json_string(metadata, "resourceVersion", NULL));
    s->next = mlt_strdup(json_string(metadata, "continue", NULL));
    return 0;
}

static int end_item(struct list_scan *s, struct mlt_error *err)
{
    cleanup_json cJSON *object = NULL;
    int r = json_parse(mlt_text_string(&s->text), s->text.length, &object, err);
    if (r < 0)
        return mlt_fail_in(err, "list: an item");
    mlt_text_clear(&s->text);
    s->place = LIST_ITEMS;
    s->item(s->arg, object);
    return 0;
}

static int end_value(struct list_scan *s, struct mlt_error *err)
{
    int r = strcmp(s->key, "metadata") == 0 ? end_metadata(s, err) : 0;
    mlt_text_clear(&s->text);
    s->place = LIST_OBJECT;
    return r;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One character between the parts. 1: it is to be looked at again in the new place. */
static int step(struct list_scan *s, char c, struct mlt_error *err)
{
    if (is_space(c))
        return 0;
    switch (s->place) {
    case LIST_START:
        s->place = LIST_OBJECT;
        return c == '{' ? 0 : mlt_fail(err, EINVAL, "list: expected an object");
    case LIST_OBJECT:
        if (c == '"')
            s->place = LIST_KEY;
        else if (c == '}')
            s->place = LIST_END;
        else if (c != ',')
            return mlt_fail(err, EINVAL, "list: expected a member's name");
        return 0;
    case LIST_COLON:
        if (c == ':')
            return 0;
        if (strcmp(s->key, "items") == 0 && c == '[') {
            s->place = LIST_ITEMS;
            return 0;
        }
        s->place = LIST_VALUE;
        return 1;
    case LIST_ITEMS:
        if (c == ']')
            s->place = LIST_OBJECT;
        else if (c == '{')
            s->place = LIST_ITEM;
        else if (c != ',')
            return mlt_fail(err, EINVAL, "list: expected objects in items");
        return c == '{' ? 1 : 0;
    case LIST_KEY:
    case LIST_VALUE:
    case LIST_ITEM:
    case LIST_END:
    default:
        return mlt_fail(err, EINVAL, "list: something follows its end");
    }
}

/* A member's name, up to its closing quote. Returns the bytes used. Names with escapes are none of
 * ours. */
static size_t take_key(struct list_scan *s, const char *data, size_t length)
{
    size_t used = 0;
    while (used < length && data[used] != '"')
        used++;
    mlt_text_add(&s->text, data, used);
    if (used == length)
        return used;
    (void)snprintf(s->key, sizeof s->key, "%s", mlt_text_string(&s->text));
    mlt_text_clear(&s->text);
    s->place = LIST_COLON;
    return used + 1;
}

/* Whether the value ends with the character before (*ret_used counts it) or, for a number or a
 * word, before this one. */
static bool ends_value(struct list_scan *s, char c, size_t *ret_used)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
        ++*ret_used;
        return !s->in_string && s->depth == 0;
    }
    if (s->depth == 0 && (c == ',' || c == '}' || c == ']'))
        return true;
    s->in_string = c == '"';
    s->depth += c == '{' || c == '[' ? 1 : 0;
    ++*ret_used;
    if (c != '}' && c != ']')
        return false;
    return --s->depth == 0;
}

static int take_value(struct list_scan *s, const char *data, size_t length, size_t *ret_used,
                      struct mlt_error *err)
{
    size_t used = 0;
    bool over = false;
    while (used < length && !over)
        over = ends_value(s, data[used], &used);
    *ret_used = used;
    bool wanted = s->place == LIST_ITEM || strcmp(s->key, "metadata") == 0;
    int r = wanted ? keep(s, data, used, err) : 0;
    if (r < 0 || !over)
        return r;
    return s->place == LIST_ITEM ? end_item(s, err) : end_value(s, err);
}

int list_scan_feed(struct list_scan *s, const char *data, size_t length, struct mlt_error *err)
{
    while (length > 0) {
        size_t used = 1;
        int r = 0;
        if (s->place == LIST_KEY)
            used = take_key(s, data, length);
        else if (s->place == LIST_VALUE || s->place == LIST_ITEM)
            r = take_value(s, data, length, &used, err);
        else
            r = step(s, *data, err);
        if (r < 0)
            return r;
        if (r == 1)
            used = 0;
        data += used;
        length -= used;
    }
    return 0;
}

int list_scan_finish(const struct list_scan *s, struct mlt_error *err)
{
    if (s->place != LIST_END)
        return mlt_fail(err, EINVAL, "list: the answer ends in the middle");
    if (!s->version || !s->version[0])
        return mlt_fail(err, EINVAL, "list: the answer has no metadata.resourceVersion");
    return 0;
}
