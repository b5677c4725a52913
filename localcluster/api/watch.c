/* Watches: cursors into the history. See request.h.
 *
 * A watch holds no queue of its own, only the revision up to which it has read; a slow client
 * therefore costs nothing, and one that falls out of the history window gets 410 and lists again.
 * Clients that asked for bookmarks get one every few seconds; the others get an empty line (white
 * space between JSON documents), because a write is the only way to notice that a client has left.
 */
#include <inttypes.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/call.h"
#include "localcluster/api/selection.h"
#include "localcluster/api/table.h"

struct api_watch {
    struct api_server *server;
    struct api_resource *resource;
    struct api_selection selection;
    struct api_view view;
    uint64_t cursor;             /* changes after this one are still to be seen */
    struct api_object **initial; /* ADDED events to begin with */
    size_t initial_count, initial_next;
    bool bookmarks;
    bool initial_end;    /* a bookmark that ends the initial events is due */
    int64_t ends_ms;     /* wall clock */
    int64_t bookmark_ms; /* when the next one is due */
};

/* ---- registration ---- */

static void collect_initial(struct api_watch *w)
{
    const struct api_bucket *b = w->resource->bucket;
    size_t i, end, capacity = 0;
    for (api_selection_range(&w->selection, b, &i, &end); i < end; i++) {
        if (!api_selection_has(&w->selection, b->objects[i]))
            continue;
        MLT_GROW(w->initial, w->initial_count, capacity);
        w->initial[w->initial_count++] = api_object_hold(b->objects[i]);
    }
}

/* sendInitialEvents has rules of its own: apimachinery/pkg/apis/meta/internalversion/validation. */
static int check_initial_events(struct api_call *c, bool *ret_initial)
{
    const char *wanted = api_query(c, "sendInitialEvents");
    const char *match = api_query(c, "resourceVersionMatch");
    *ret_initial = false;
    if (!wanted || !wanted[0]) {
        if (match && match[0])
            return api_refuse(
                c->answer, 422, "Invalid",
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch "
                "unless sendInitialEvents is provided");
        return 0;
    }
    *ret_initial = api_query_is_true(c, "sendInitialEvents");
    if (!match || strcmp(match, "NotOlderThan") != 0)
        return api_refuse(c->answer, 422, "Invalid",
                          "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                          "resourceVersionMatch to NotOlderThan");
    return 0;
}

static int too_old(struct api_answer *a, uint64_t asked, uint64_t floor)
{
    return api_refuse(a, 410, "Expired", "too old resource version: %" PRIu64 " (%" PRIu64 ")",
                      asked, floor);
}

static int start_revision(struct api_call *c, struct api_watch *w)
{
    const char *text = api_query(c, "resourceVersion");
    bool initial;
    if (check_initial_events(c, &initial) < 0)
        return -1;
    uint64_t asked = 0;
    if (text && text[0]) {
        char *end = NULL;
        asked = strtoull(text, &end, 10);
        if (*end || text[0] == '-' || text[0] == '+')
            return api_refuse(c->answer, 400, "BadRequest", "invalid resource version \"%.64s\"",
                              text);
    }
    w->cursor = c->server->revision;
    if (asked > c->server->revision) /* of another life of this cluster: list again */
        return too_old(c->answer, asked, c->server->revision);
    if (initial || (asked == 0 && !api_query(c, "sendInitialEvents"))) {
        collect_initial(w);
        w->initial_end = initial && w->bookmarks;
        return 0;
    }
    if (asked == 0)
        return 0;
    if (asked < c->server->history.floor)
        return too_old(c->answer, asked, c->server->history.floor);
    w->cursor = asked;
    return 0;
}

int api_watch_begin(struct api_call *c)
{
    if (c->server->watch_count >= API_WATCHES_MAX) {
        c->answer->retry_after_s = 1;
        return api_refuse(c->answer, 429, "TooManyRequests", "more than %d watches are open",
                          API_WATCHES_MAX);
    }
    struct api_watch *w = mlt_calloc(1, sizeof *w);
    w->server = c->server;
    w->resource = c->resource;
    w->view = c->view;
    w->bookmarks = api_query_is_true(c, "allowWatchBookmarks");
    c->server->watch_count++;
    if (api_selection_init(&w->selection, c) < 0 || start_revision(c, w) < 0) {
        api_watch_free(w);
        return -1;
    }
    const char *timeout = api_query(c, "timeoutSeconds");
    int64_t seconds = timeout ? strtoll(timeout, NULL, 10) : 0;
    if (seconds <= 0 || seconds > API_WATCH_SECONDS_MAX)
        seconds = API_WATCH_SECONDS_MAX;
    w->ends_ms = c->request->now_ms + seconds * 1000;
    w->bookmark_ms = c->request->now_ms + API_BOOKMARK_INTERVAL_MS;
    c->answer->kind = API_ANSWER_WATCH;
    c->answer->watch = w;
    return 0;
}

void api_watch_free(struct api_watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->initial_count; i++)
        api_object_drop(w->initial[i]);
    free(w->initial);
    if (w->selection.namespace_)
        api_selection_release(&w->selection);
    w->server->watch_count--;
    free(w);
}

/* ---- reading ---- */

/* {"type":T,"object":O}\n with the object as the client wants to see it. */
static void add_event(const struct api_watch *w, const char *type, struct api_object *o,
                      int64_t now_ms, struct mlt_text *out)
{
    mlt_text_printf(out, "{\"type\":\"%s\",\"object\":", type);
    if (w->view.format == API_FORMAT_OBJECT && api_shows_text(w->resource, o)) {
        mlt_text_add(out, o->text, o->length);
    } else {
        cleanup_json cJSON *owned = NULL;
        const cJSON *tree = api_tree_as(w->resource, o, &owned);
        cleanup_json cJSON *shown = NULL;
        if (w->view.format == API_FORMAT_TABLE) {
            shown = api_table_new(w->resource, o->revision, true);
            api_table_add(shown, w->resource, tree, w->view.include, now_ms);
        } else if (w->view.format == API_FORMAT_METADATA) {
            shown = api_partial_metadata(tree, true);
        }
        cleanup_free char *text = json_print(shown ? shown : tree);
        mlt_text_puts(out, text);
    }
    mlt_text_puts(out, "}\n");
}

/* A change as this watch sees it: what enters its selection is ADDED, what leaves it is DELETED. */
static void add_change(const struct api_watch *w, const struct api_change *change, int64_t now_ms,
                       struct mlt_text *out)
{
    if (change->object->bucket != w->resource->bucket)
        return;
    bool is = change->type != STORE_DELETED && api_selection_has(&w->selection, change->object);
    bool was;
    if (change->type == STORE_ADDED)
        was = false;
    else if (change->previous)
        was = api_selection_has(&w->selection, change->previous);
    else /* the version before was not kept: it may have been in */
        was =
            change->type == STORE_DELETED ? api_selection_has(&w->selection, change->object) : true;
    if (is)
        add_event(w, was ? "MODIFIED" : "ADDED", change->object, now_ms, out);
    else if (was)
        add_event(w, "DELETED", change->object, now_ms, out);
}

static void add_bookmark(const struct api_watch *w, bool initial_end, struct mlt_text *out)
{
    const char *kind = w->resource->kind, *version = w->resource->api_version;
    if (w->view.format != API_FORMAT_OBJECT) {
        kind = w->view.format == API_FORMAT_TABLE ? "Table" : "PartialObjectMetadata";
        version = "meta.k8s.io/v1";
    }
    mlt_text_printf(
        out,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{"
        "\"resourceVersion\":\"%" PRIu64 "\",\"creationTimestamp\":null%s}%s}}\n",
        kind, version, w->cursor,
        initial_end ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "",
        w->view.format == API_FORMAT_TABLE ? ",\"columnDefinitions\":[],\"rows\":[]" : "");
}

static void add_gone(const struct api_watch *w, struct mlt_text *out)
{
    mlt_text_printf(
        out,
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"
        "\"status\":\"Failure\",\"message\":\"too old resource version: %" PRIu64 " (%" PRIu64
        ")\",\"reason\":\"Expired\",\"code\":410}}\n",
        w->cursor, w->server->history.floor);
}

static bool read_initial(struct api_watch *w, int64_t now_ms, size_t max_bytes,
                         struct mlt_text *out)
{
    while (w->initial_next < w->initial_count) {
        if (out->length >= max_bytes)
            return false;
        add_event(w, "ADDED", w->initial[w->initial_next], now_ms, out);
        api_object_drop(w->initial[w->initial_next]);
        w->initial[w->initial_next++] = NULL;
    }
    if (w->initial_end) {
        add_bookmark(w, true, out);
        w->initial_end = false;
    }
    return true;
}

bool api_watch_read(struct api_watch *w, int64_t now_ms, size_t max_bytes, struct mlt_text *out)
{
    struct api_history *h = &w->server->history;
    if (!read_initial(w, now_ms, max_bytes, out))
        return true;
    if (w->cursor < h->floor) {
        add_gone(w, out);
        return false;
    }
    size_t end = h->first + h->count;
    for (size_t i = api_history_after(h, w->cursor); i < end && out->length < max_bytes; i++) {
        add_change(w, &h->changes[i], now_ms, out);
        w->cursor = h->changes[i].revision;
    }
    if (w->cursor < w->server->revision && out->length >= max_bytes)
        return true; /* more at the next reading */
    bool over = now_ms >= w->ends_ms || api_resource_is(w->resource, API_REMOVED);
    if (now_ms >= w->bookmark_ms || (over && w->bookmarks)) {
        if (w->bookmarks)
            add_bookmark(w, false, out);
        else
            mlt_text_putc(out, '\n');
        w->bookmark_ms = now_ms + API_BOOKMARK_INTERVAL_MS;
    }
    return !over;
}
