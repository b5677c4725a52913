/* Reads YAML into cJSON trees with libyaml's events: documents, anchors, aliases, limits.
 *
 * Aliases are copied, so the result is a tree; what copies cost is counted, because nine lines of
 * aliases of aliases would otherwise fill the memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/yaml.h"

#define YAML_ANCHORS_MAX 1000              /* in one document */
#define YAML_COPIES_MAX (4u * 1024 * 1024) /* json_cost() of all copies that aliases need */

struct anchor {
    char *name;
    cJSON *node; /* a copy; NULL while the anchored node is still being read */
};

struct reader {
    yaml_parser_t parser;
    struct anchor *anchors;
    size_t anchors_used, anchors_capacity;
    size_t nodes, copies; /* made so far in the whole stream */
    int depth;
    struct mlt_error *err;
};

#define cleanup_event __attribute__((cleanup(yaml_event_delete)))

static int fail_at(const struct reader *r, yaml_mark_t mark, int code, const char *what)
{
    return mlt_fail(r->err, code, "line %zu, column %zu: %s", mark.line + 1, mark.column + 1, what);
}

static int next_event(struct reader *r, yaml_event_t *ret_event)
{
    if (yaml_parser_parse(&r->parser, ret_event))
        return 0;
    if (r->parser.error == YAML_MEMORY_ERROR)
        abort();
    if (r->parser.error == YAML_READER_ERROR)
        return mlt_fail(r->err, EINVAL, "byte %zu: %s", r->parser.problem_offset,
                        r->parser.problem);
    return fail_at(r, r->parser.problem_mark, EINVAL, r->parser.problem);
}

static int count_node(struct reader *r, yaml_mark_t mark)
{
    if (++r->nodes > JSON_NODES_MAX)
        return fail_at(r, mark, E2BIG, "the document has too many values");
    return 0;
}

static int charge_copy(struct reader *r, yaml_mark_t mark, const cJSON *node)
{
    r->copies += json_cost(node);
    if (r->copies > YAML_COPIES_MAX)
        return fail_at(r, mark, E2BIG, "aliases make the document too large");
    return 0;
}

/* ---- anchors ---- */

static struct anchor *find_anchor(struct reader *r, const char *name)
{
    /* The latest wins: YAML lets an anchor be given again. */
    for (size_t i = r->anchors_used; i > 0; i--) {
        if (strcmp(r->anchors[i - 1].name, name) == 0)
            return &r->anchors[i - 1];
    }
    return NULL;
}

static void forget_anchors(struct reader *r)
{
    for (size_t i = 0; i < r->anchors_used; i++) {
        free(r->anchors[i].name);
        cJSON_Delete(r->anchors[i].node);
    }
    r->anchors_used = 0;
}

/* Remembers a name, and gives its place; NO_ANCHOR when the node has none. */
#define NO_ANCHOR ((size_t)-1)

static int open_anchor(struct reader *r, const yaml_event_t *event, const yaml_char_t *name,
                       size_t *ret_place)
{
    *ret_place = NO_ANCHOR;
    if (!name)
        return 0;
    if (r->anchors_used >= YAML_ANCHORS_MAX)
        return fail_at(r, event->start_mark, E2BIG, "more than 1000 anchors");
    MLT_GROW(r->anchors, r->anchors_used, r->anchors_capacity);
    *ret_place = r->anchors_used;
    r->anchors[r->anchors_used++] = (struct anchor){.name = mlt_strdup((const char *)name)};
    return 0;
}

static int close_anchor(struct reader *r, const yaml_event_t *event, size_t place,
                        const cJSON *node)
{
    if (place == NO_ANCHOR)
        return 0;
    int rc = charge_copy(r, event->start_mark, node);
    if (rc == 0)
        r->anchors[place].node = json_copy(node);
    return rc;
}

static int read_alias(struct reader *r, const yaml_event_t *event, cJSON **ret_node)
{
    const struct anchor *anchor = find_anchor(r, (const char *)event->data.alias.anchor);
    if (!anchor)
        return fail_at(r, event->start_mark, EINVAL, "an alias without its anchor");
    if (!anchor->node)
        return fail_at(r, event->start_mark, EINVAL, "an alias inside its own anchor");
    if (r->depth + json_depth(anchor->node) - 1 > JSON_DEPTH_MAX)
        return fail_at(r, event->start_mark, EINVAL, "nested too deeply (the limit is 100)");
    int rc = charge_copy(r, event->start_mark, anchor->node);
    if (rc == 0)
        *ret_node = json_copy(anchor->node);
    return rc;
}

/* ---- scalars ---- */

static cJSON *string_node(const yaml_event_t *event)
{
    return json_must(cJSON_CreateString((const char *)event->data.scalar.value));
}

/* The node of a tag such as !!int; *ret_fits says whether the text has that type. */
static cJSON *tagged_node(const yaml_event_t *event, const char *tag, bool *ret_fits)
{
    static const struct {
        const char *tag;
        enum yaml_kind kind;
    } tags[] = {{YAML_INT_TAG, YAML_NUMBER},
                {YAML_FLOAT_TAG, YAML_NUMBER},
                {YAML_BOOL_TAG, YAML_BOOL},
                {YAML_NULL_TAG, YAML_NULL}};
    *ret_fits = true;
    if (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0)
        return string_node(event);
    cJSON *node = NULL;
    enum yaml_kind kind = yaml_resolve((const char *)event->data.scalar.value, &node);
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(tags); i++) {
        if (strcmp(tags[i].tag, tag) == 0 && tags[i].kind == kind)
            return node;
    }
    cJSON_Delete(node);
    *ret_fits = false;
    return NULL;
}

static int read_scalar(struct reader *r, const yaml_event_t *event, cJSON **ret_node)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    if (strlen(text) != event->data.scalar.length)
        return fail_at(r, event->start_mark, EINVAL, "a zero byte in a scalar");
    int rc = count_node(r, event->start_mark);
    if (rc < 0)
        return rc;
    if (tag) {
        bool fits;
        cJSON *node = tagged_node(event, tag, &fits);
        if (!fits)
            return fail_at(r, event->start_mark, EINVAL, "a tag that is not supported here");
        *ret_node = json_must(node);
        return 0;
    }
    cJSON *node = NULL;
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        enum yaml_kind kind = yaml_resolve(text, &node);
        if (kind == YAML_UNREPRESENTABLE)
            return fail_at(r, event->start_mark, EINVAL, "a number that JSON cannot hold");
        if (kind == YAML_STRING)
            node = string_node(event);
    } else {
        node = string_node(event);
    }
    *ret_node = json_must(node);
    return 0;
}

/* ---- sequences and mappings ---- */

static int read_node(struct reader *r, const yaml_event_t *event, cJSON **ret_node);

static int read_sequence(struct reader *r, cJSON **ret_node)
{
    cleanup_json cJSON *array = json_must(cJSON_CreateArray());
    for (;;) {
        cleanup_event yaml_event_t event = {0};
        cJSON *item = NULL;
        int rc = next_event(r, &event);
        if (rc == 0 && event.type == YAML_SEQUENCE_END_EVENT)
            break;
        if (rc == 0)
            rc = read_node(r, &event, &item);
        if (rc < 0)
            return rc;
        (void)cJSON_AddItemToArray(array, item);
    }
    *ret_node = steal_ptr(&array);
    return 0;
}

static int check_key(struct reader *r, const yaml_event_t *key, const cJSON *object, size_t count)
{
    if (key->type != YAML_SCALAR_EVENT)
        return fail_at(r, key->start_mark, EINVAL, "a name must be a plain or quoted text");
    const char *name = (const char *)key->data.scalar.value;
    if (strlen(name) != key->data.scalar.length)
        return fail_at(r, key->start_mark, EINVAL, "a zero byte in a name");
    if (key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(name, "<<") == 0)
        return fail_at(r, key->start_mark, EINVAL, "merge keys (<<) are not supported");
    if (count < JSON_SORTED_CHECK && json_member(object, name))
        return fail_at(r, key->start_mark, EINVAL, "this name stands twice in one mapping");
    return 0;
}

static int read_pair(struct reader *r, const yaml_event_t *key, cJSON *object, size_t count)
{
    cleanup_event yaml_event_t event = {0};
    cJSON *item = NULL;
    int rc = check_key(r, key, object, count);
    if (rc == 0)
        rc = next_event(r, &event);
    if (rc == 0)
        rc = read_node(r, &event, &item);
    if (rc < 0)
        return rc;
    size_t size = key->data.scalar.length + 1;
    item->string = json_text_alloc(size);
    memcpy(item->string, key->data.scalar.value, size);
    (void)cJSON_AddItemToArray(object, item);
    return 0;
}

static int read_mapping(struct reader *r, const yaml_event_t *start, cJSON **ret_node)
{
    cleanup_json cJSON *object = json_must(cJSON_CreateObject());
    for (size_t count = 0;; count++) {
        cleanup_event yaml_event_t key = {0};
        int rc = next_event(r, &key);
        if (rc == 0 && key.type == YAML_MAPPING_END_EVENT)
            break;
        if (rc == 0)
            rc = read_pair(r, &key, object, count);
        if (rc < 0)
            return rc;
    }
    if (json_size(object, "") > JSON_SORTED_CHECK && json_duplicate(object))
        return fail_at(r, start->start_mark, EINVAL, "a name stands twice in this mapping");
    *ret_node = steal_ptr(&object);
    return 0;
}

static int read_container(struct reader *r, const yaml_event_t *event, cJSON **ret_node)
{
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    const char *tag =
        (const char *)(mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    if (tag && strcmp(tag, mapping ? YAML_MAP_TAG : YAML_SEQ_TAG) != 0)
        return fail_at(r, event->start_mark, EINVAL, "a tag that is not supported here");
    if (r->depth >= JSON_DEPTH_MAX)
        return fail_at(r, event->start_mark, EINVAL, "nested too deeply (the limit is 100)");
    int rc = count_node(r, event->start_mark);
    if (rc < 0)
        return rc;
    r->depth++;
    rc = mapping ? read_mapping(r, event, ret_node) : read_sequence(r, ret_node);
    r->depth--;
    return rc;
}

static int read_node(struct reader *r, const yaml_event_t *event, cJSON **ret_node)
{
    const yaml_char_t *name = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return read_alias(r, event, ret_node);
    if (event->type == YAML_SCALAR_EVENT)
        name = event->data.scalar.anchor;
    else if (event->type == YAML_MAPPING_START_EVENT)
        name = event->data.mapping_start.anchor;
    else
        name = event->data.sequence_start.anchor;
    cleanup_json cJSON *node = NULL;
    size_t place;
    int rc = open_anchor(r, event, name, &place);
    if (rc == 0)
        rc = event->type == YAML_SCALAR_EVENT ? read_scalar(r, event, &node)
                                              : read_container(r, event, &node);
    if (rc == 0)
        rc = close_anchor(r, event, place, node);
    if (rc == 0)
        *ret_node = steal_ptr(&node);
    return rc;
}

/* ---- the stream ---- */

static int read_document(struct reader *r, cJSON *documents)
{
    cleanup_event yaml_event_t event = {0};
    cleanup_event yaml_event_t end = {0};
    cleanup_json cJSON *node = NULL;
    int rc = next_event(r, &event);
    if (rc == 0)
        rc = read_node(r, &event, &node);
    if (rc == 0)
        rc = next_event(r, &end); /* libyaml gives nothing but the document's end here */
    if (rc < 0)
        return rc;
    bool empty = event.type == YAML_SCALAR_EVENT && event.data.scalar.length == 0 &&
                 event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE && cJSON_IsNull(node);
    if (!empty)
        (void)cJSON_AddItemToArray(documents, steal_ptr(&node));
    forget_anchors(r);
    return 0;
}

static int read_stream(struct reader *r, cJSON **ret_documents)
{
    cleanup_json cJSON *documents = json_must(cJSON_CreateArray());
    for (;;) {
        cleanup_event yaml_event_t event = {0};
        int rc = next_event(r, &event);
        if (rc == 0 && event.type == YAML_DOCUMENT_START_EVENT)
            rc = read_document(r, documents);
        if (rc < 0)
            return rc;
        if (event.type == YAML_STREAM_END_EVENT)
            break;
    }
    *ret_documents = steal_ptr(&documents);
    return 0;
}

int json_parse_yaml(const char *text, size_t length, cJSON **ret_documents, struct mlt_error *err)
{
    if (length > JSON_SIZE_MAX)
        return mlt_fail(err, E2BIG, "the document has %zu bytes, the limit is %u", length,
                        JSON_SIZE_MAX);
    /* libyaml refuses a few things that JSON has (tabs before a value, surrogate pairs). */
    cJSON *node;
    size_t space = 0;
    while (space < length && memchr(" \t\r\n", text[space], 4))
        space++;
    if (space < length && (text[space] == '{' || text[space] == '[') &&
        json_parse(text, length, &node, NULL) == 0) {
        *ret_documents = json_must(cJSON_CreateArray());
        (void)cJSON_AddItemToArray(*ret_documents, node);
        return 0;
    }
    struct reader r = {.err = err};
    if (!yaml_parser_initialize(&r.parser))
        abort();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, length);
    int rc = read_stream(&r, ret_documents);
    forget_anchors(&r);
    free(r.anchors);
    yaml_parser_delete(&r.parser);
    return rc;
}
