/* GET of objects and collections, and how objects are shown: see call.h. */
#include "localcluster/api/call.h"

#include <inttypes.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/selection.h"
#include "localcluster/api/table.h"

/* ---- names of other versions ---- */

static void rename_member(cJSON *object, const char *from, const char *to)
{
    cJSON *value = cJSON_DetachItemFromObjectCaseSensitive(object, from);
    if (!value)
        return;
    cJSON_DeleteItemFromObjectCaseSensitive(object, to);
    cJSON_AddItemToObject(object, to, value);
}

/* core/v1 and events.k8s.io/v1: k8s.io/kubernetes/pkg/apis/events/v1/conversion.go. */
static const char *const event_names[][2] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"reportingComponent", "reportingController"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
};

void api_event_to_view(cJSON *event)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(event_names); i++)
        rename_member(event, event_names[i][0], event_names[i][1]);
    json_set_string(event, "apiVersion", "events.k8s.io/v1");
}

void api_event_from_view(cJSON *event)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(event_names); i++)
        rename_member(event, event_names[i][1], event_names[i][0]);
    json_set_string(event, "apiVersion", "v1");
}

bool api_shows_text(const struct api_resource *r, const struct api_object *o)
{
    (void)o;
    return r->storage && !api_resource_is(r, API_EVENTS_VIEW);
}

const cJSON *api_tree_as(const struct api_resource *r, struct api_object *o, cJSON **ret_owned)
{
    const cJSON *tree = api_object_tree(o);
    *ret_owned = NULL;
    if (api_shows_text(r, o))
        return tree;
    *ret_owned = json_copy(tree);
    if (api_resource_is(r, API_EVENTS_VIEW))
        api_event_to_view(*ret_owned);
    else
        json_set_string(*ret_owned, "apiVersion", r->api_version);
    return *ret_owned;
}

/* ---- one object ---- */

cJSON *api_partial_metadata(const cJSON *tree, bool with_type)
{
    cJSON *partial = cJSON_CreateObject();
    if (with_type || !tree) {
        json_set_string(partial, "kind", "PartialObjectMetadata");
        json_set_string(partial, "apiVersion", "meta.k8s.io/v1");
    }
    json_set(partial, "metadata", json_copy(json_member(tree, "metadata")));
    return partial;
}

int api_answer_object(struct api_call *c, int status, const cJSON *tree)
{
    switch (c->view.format) {
    case API_FORMAT_TABLE: {
        uint64_t revision = c->server->revision;
        cJSON *table = api_table_new(c->resource, revision, true);
        api_table_add(table, c->resource, tree, c->view.include, c->request->now_ms);
        api_answer_tree(c->answer, status, table);
        break;
    }
    case API_FORMAT_METADATA:
        api_answer_tree(c->answer, status, api_partial_metadata(tree, true));
        break;
    case API_FORMAT_OBJECT: {
        cleanup_free char *text = json_print(tree);
        api_answer_text(c->answer, status, text, strlen(text));
        break;
    }
    }
    return 0;
}

struct api_object *api_call_object(struct api_call *c)
{
    struct api_object *o = api_bucket_find(c->resource->bucket, c->namespace_, c->name);
    if (!o)
        (void)api_refuse_not_found(c->answer, c->resource, c->name);
    return o;
}

int api_get(struct api_call *c)
{
    struct api_object *o = api_call_object(c);
    if (!o)
        return -1;
    if (c->view.format == API_FORMAT_OBJECT && api_shows_text(c->resource, o)) {
        api_answer_text(c->answer, 200, o->text, o->length);
        return 0;
    }
    cleanup_json cJSON *owned = NULL;
    const cJSON *tree = api_tree_as(c->resource, o, &owned);
    return api_answer_object(c, 200, tree);
}

/* ---- collections ---- */

static void add_item(struct api_call *c, struct mlt_text *out, struct api_object *o)
{
    if (c->view.format == API_FORMAT_OBJECT && api_shows_text(c->resource, o)) {
        mlt_text_add(out, o->text, o->length);
        return;
    }
    cleanup_json cJSON *owned = NULL;
    const cJSON *tree = api_tree_as(c->resource, o, &owned);
    cleanup_json cJSON *partial =
        c->view.format == API_FORMAT_METADATA ? api_partial_metadata(tree, true) : NULL;
    cleanup_free char *text = json_print(partial ? partial : tree);
    mlt_text_puts(out, text);
}

static void list_objects(struct api_call *c, const struct api_selection *selection)
{
    struct mlt_text *out = &c->answer->body;
    bool metadata = c->view.format == API_FORMAT_METADATA;
    mlt_text_printf(
        out,
        "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%" PRIu64
        "\"},\"items\":[",
        metadata ? "PartialObjectMetadataList" : c->resource->list_kind,
        metadata ? "meta.k8s.io/v1" : c->resource->api_version, c->server->revision);
    const struct api_bucket *b = c->resource->bucket;
    size_t i, end;
    bool first = true;
    for (api_selection_range(selection, b, &i, &end); i < end; i++) {
        if (!api_selection_has(selection, b->objects[i]))
            continue;
        if (!first)
            mlt_text_putc(out, ',');
        first = false;
        add_item(c, out, b->objects[i]);
    }
    mlt_text_puts(out, "]}\n");
}

static void list_table(struct api_call *c, const struct api_selection *selection)
{
    cJSON *table = api_table_new(c->resource, c->server->revision, true);
    const struct api_bucket *b = c->resource->bucket;
    size_t i, end;
    for (api_selection_range(selection, b, &i, &end); i < end; i++) {
        if (!api_selection_has(selection, b->objects[i]))
            continue;
        cleanup_json cJSON *owned = NULL;
        const cJSON *tree = api_tree_as(c->resource, b->objects[i], &owned);
        api_table_add(table, c->resource, tree, c->view.include, c->request->now_ms);
    }
    api_answer_tree(c->answer, 200, table);
}

/* A client that has seen a later state than ours talks to a server that was set back: it must start
 * again. */
static int check_revision(struct api_call *c)
{
    const char *text = api_query(c, "resourceVersion");
    if (!text || !text[0])
        return 0;
    char *end = NULL;
    unsigned long long asked = strtoull(text, &end, 10);
    if (*end || text[0] == '-' || text[0] == '+')
        return api_refuse(c->answer, 400, "BadRequest", "invalid resource version \"%.64s\"", text);
    const char *match = api_query(c, "resourceVersionMatch");
    if (asked > c->server->revision ||
        (match && strcmp(match, "Exact") == 0 && asked != c->server->revision))
        return api_refuse(
            c->answer, 410, "Expired",
            "The provided resource version %llu is not available (the current one is %" PRIu64
            "): list again",
            asked, c->server->revision);
    return 0;
}

/* limit is accepted and not obeyed: a list is one consistent answer, which the API allows. */
int api_list(struct api_call *c)
{
    struct api_selection selection;
    const char *token = api_query(c, "continue");
    if (token && token[0])
        return api_refuse(c->answer, 410, "Expired",
                          "The provided continue parameter is not one of this server");
    if (check_revision(c) < 0 || api_selection_init(&selection, c) < 0)
        return -1;
    if (c->view.format == API_FORMAT_TABLE)
        list_table(c, &selection);
    else
        list_objects(c, &selection);
    api_selection_release(&selection);
    return 0;
}
