/* Takes a request apart and hands it to a verb: see request.h. */
#include "localcluster/api/request.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/name.h"
#include "localcluster/api/auth.h"
#include "localcluster/api/call.h"
#include "localcluster/api/protobuf_reader.h"

#define QUERY_PARAMETERS_MAX 64

const char *api_query(const struct api_call *c, const char *name)
{
    const cJSON *value = json_member(c->query, name);
    return value ? value->valuestring : NULL;
}

bool api_query_is_true(const struct api_call *c, const char *name)
{
    const char *value = api_query(c, name);
    return value &&
           (strcmp(value, "true") == 0 || strcmp(value, "1") == 0 || strcmp(value, "t") == 0 ||
            strcmp(value, "T") == 0 || strcmp(value, "True") == 0 || strcmp(value, "TRUE") == 0);
}

void api_time_now(const struct api_call *c, char *text)
{
    mlt_time_format(c->request->now_ms, text);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX (and + in a query) in place; false for broken escapes and for NUL bytes. */
static bool decode(char *text, bool query)
{
    char *out = text;
    for (const char *p = text; *p; p++) {
        if (*p == '%') {
            int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            *out++ = (char)(high * 16 + low);
            p += 2;
        } else {
            *out++ = query && *p == '+' ? ' ' : *p;
        }
    }
    *out = '\0';
    return true;
}

static bool read_query(struct api_call *c, char *text)
{
    c->query = cJSON_CreateObject();
    size_t count = 0;
    char *rest = text;
    for (char *part = strsep(&rest, "&"); part; part = strsep(&rest, "&")) {
        if (!part[0])
            continue;
        char *equals = strchr(part, '=');
        const char *value = "";
        if (equals) {
            *equals = '\0';
            value = equals + 1;
            if (!decode(equals + 1, true))
                return false;
        }
        if (!decode(part, true) || ++count > QUERY_PARAMETERS_MAX)
            return false;
        if (!json_member(c->query, part)) /* the first value counts, as in Go */
            cJSON_AddItemToObject(c->query, part, cJSON_CreateString(value));
    }
    return true;
}

static int take_apart(struct api_call *c)
{
    const char *target = c->request->target;
    if (strlen(target) > API_TARGET_MAX)
        return api_refuse(c->answer, 414, "RequestURITooLong",
                          "the request's URI is longer than %u bytes", API_TARGET_MAX);
    c->path = mlt_strdup(target);
    char *question = strchr(c->path, '?');
    if (question)
        *question = '\0';
    if (!read_query(c, question ? question + 1 : c->path + strlen(c->path)))
        return api_refuse(c->answer, 400, "BadRequest", "the request's query is malformed");
    char *rest = c->path;
    for (char *part = strsep(&rest, "/"); part; part = strsep(&rest, "/")) {
        if (!part[0])
            continue;
        if (c->segment_count == API_SEGMENTS_MAX || !decode(part, false) || !part[0])
            return api_refuse_not_found(c->answer, NULL, NULL);
        c->segments[c->segment_count++] = part;
    }
    return 0;
}

/* ---- Accept ---- */

static bool has_parameter(const char *clause, size_t length, const char *parameter)
{
    size_t size = strlen(parameter);
    for (const char *p = memchr(clause, ';', length); p;) {
        p++;
        size_t left = (size_t)(clause + length - p);
        while (left && *p == ' ') {
            p++;
            left--;
        }
        if (left >= size && strncmp(p, parameter, size) == 0 &&
            (left == size || p[size] == ';' || p[size] == ' '))
            return true;
        p = memchr(p, ';', left);
    }
    return false;
}

static bool media_is(const char *clause, size_t length, const char *media)
{
    size_t size = strlen(media);
    return length >= size && strncmp(clause, media, size) == 0 &&
           (length == size || clause[size] == ';' || clause[size] == ' ');
}

/* One clause of Accept; false when it cannot be served. */
static bool accept_clause(struct api_view *view, const char *clause, size_t length)
{
    bool json = media_is(clause, length, "application/json") || media_is(clause, length, "*/*") ||
                media_is(clause, length, "application/*");
    bool yaml = media_is(clause, length, "application/yaml");
    if (!json && !yaml)
        return false;
    bool v1 = has_parameter(clause, length, "v=v1");
    bool table = has_parameter(clause, length, "as=Table");
    bool metadata = has_parameter(clause, length, "as=PartialObjectMetadata") ||
                    has_parameter(clause, length, "as=PartialObjectMetadataList");
    if ((table || metadata) && !v1)
        return false;
    if (!table && !metadata && memmem(clause, length, ";as=", 4))
        return false; /* some other conversion */
    *view = (struct api_view){.yaml = yaml,
                              .format = table      ? API_FORMAT_TABLE
                                        : metadata ? API_FORMAT_METADATA
                                                   : API_FORMAT_OBJECT};
    return true;
}

static int negotiate(struct api_call *c)
{
    const char *accept = c->request->accept;
    c->view = (struct api_view){.format = API_FORMAT_OBJECT};
    if (!accept || !accept[0])
        return 0;
    bool found = false;
    for (const char *p = accept; *p && !found;) {
        p += strspn(p, " ,");
        size_t length = strcspn(p, ",");
        found = accept_clause(&c->view, p, length);
        p += length;
    }
    if (!found)
        return api_refuse(c->answer, 406, "NotAcceptable",
                          "only the following media types are accepted: application/json, "
                          "application/yaml (this server does not speak `%.100s`)",
                          accept);
    const char *include = api_query(c, "includeObject");
    if (include && strcmp(include, "Object") == 0)
        c->view.include = API_INCLUDE_OBJECT;
    else if (include && strcmp(include, "None") == 0)
        c->view.include = API_INCLUDE_NONE;
    return 0;
}

/* ---- bodies ---- */

static bool body_is_yaml(const char *content_type)
{
    return media_is(content_type, strlen(content_type), "application/yaml");
}

static bool body_is_json(const char *content_type)
{
    size_t length = strlen(content_type);
    return media_is(content_type, length, "application/json") ||
           media_is(content_type, length, "*/*") ||
           memmem(content_type, length, "+json", 5) != NULL;
}

int api_read_body(struct api_call *c, cJSON **ret_tree)
{
    const struct api_request *q = c->request;
    const char *type = q->content_type ? q->content_type : "application/json";
    struct mlt_error err = {0};
    cleanup_json cJSON *tree = NULL;
    int rc;
    if (q->body_length > API_BODY_MAX)
        return api_refuse(c->answer, 413, "RequestEntityTooLarge",
                          "Request entity too large: limit is %u", API_BODY_MAX);
    if (body_is_yaml(type)) {
        cleanup_json cJSON *documents = NULL;
        rc = json_parse_yaml(q->body, q->body_length, &documents, &err);
        if (rc == 0)
            tree = cJSON_DetachItemFromArray(documents, 0);
    } else if (media_is(type, strlen(type), API_PROTOBUF_TYPE)) {
        rc = api_protobuf_read(q->body, q->body_length, &tree, &err);
    } else if (body_is_json(type)) {
        rc = json_parse(q->body, q->body_length, &tree, &err);
    } else {
        return api_refuse(
            c->answer, 415, "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml (got `%.100s`)",
            type);
    }
    if (rc < 0)
        return api_refuse(c->answer, 400, "BadRequest", "the request's body cannot be read: %s",
                          err.text);
    if (!cJSON_IsObject(tree) && !cJSON_IsArray(tree))
        return api_refuse(c->answer, 400, "BadRequest", "the request's body is not an object");
    *ret_tree = steal_ptr(&tree);
    return 0;
}

/* ---- routing ---- */

/* Finds resource, namespace, name and subresource in /api/v1/... and /apis/G/V/...; false when it
 * is not a path to a resource. */
static bool route_resource(struct api_call *c)
{
    const char *group = "", *version;
    size_t i;
    if (c->segment_count >= 3 && strcmp(c->segments[0], "api") == 0) {
        version = c->segments[1];
        i = 2;
    } else if (c->segment_count >= 4 && strcmp(c->segments[0], "apis") == 0) {
        group = c->segments[1];
        version = c->segments[2];
        i = 3;
    } else {
        return false;
    }
    c->namespace_ = "";
    size_t left = c->segment_count - i;
    /* /namespaces/NS/PLURAL..., but /namespaces/NS and /namespaces/NS/status are about the
     * namespace */
    if (left >= 3 && strcmp(c->segments[i], "namespaces") == 0 &&
        !(group[0] == '\0' && left == 3 &&
          (strcmp(c->segments[i + 2], "status") == 0 ||
           strcmp(c->segments[i + 2], "finalize") == 0))) {
        c->namespace_ = c->segments[i + 1];
        i += 2;
        left -= 2;
    }
    if (left > 3)
        return false;
    c->resource = api_resource_find(c->server, group, version, c->segments[i]);
    c->name = left > 1 ? c->segments[i + 1] : NULL;
    c->subresource = left > 2 ? c->segments[i + 2] : NULL;
    if (!c->resource)
        return false;
    bool namespaced = api_resource_is(c->resource, API_NAMESPACED);
    return namespaced ? (c->namespace_[0] || !c->name) : !c->namespace_[0];
}

static int read_options(struct api_call *c)
{
    const char *dry_run = api_query(c, "dryRun");
    if (dry_run && dry_run[0] && strcmp(dry_run, "All") != 0)
        return api_refuse(
            c->answer, 422, "Invalid",
            " \"\" is invalid: dryRun: Unsupported value: \"%.64s\": supported values: \"All\"",
            dry_run);
    c->dry_run = dry_run && dry_run[0];
    const char *validation = api_query(c, "fieldValidation");
    c->validation = API_VALIDATION_WARN;
    if (validation && strcmp(validation, "Strict") == 0)
        c->validation = API_VALIDATION_STRICT;
    else if (validation && strcmp(validation, "Ignore") == 0)
        c->validation = API_VALIDATION_IGNORE;
    else if (validation && validation[0] && strcmp(validation, "Warn") != 0)
        return api_refuse(
            c->answer, 422, "Invalid",
            " \"\" is invalid: fieldValidation: Unsupported value: \"%.64s\": supported values: "
            "\"Ignore\", \"Strict\", \"Warn\"",
            validation);
    return 0;
}

static int method_not_allowed(struct api_call *c)
{
    return api_refuse(c->answer, 405, "MethodNotAllowed",
                      "the server does not allow this method on the requested resource");
}

static int dispatch_resource(struct api_call *c)
{
    const char *method = c->request->method;
    bool status = c->subresource && strcmp(c->subresource, "status") == 0;
    if (read_options(c) < 0)
        return -EINVAL;
    if (c->subresource && (!status || !api_resource_is(c->resource, API_HAS_STATUS)))
        return api_subresource(c);
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0) {
        if (c->name && !api_query_is_true(c, "watch"))
            return api_get(c);
        return api_query_is_true(c, "watch") ? api_watch_begin(c) : api_list(c);
    }
    if (strcmp(method, "POST") == 0 && !c->name)
        return api_create(c);
    if (strcmp(method, "PUT") == 0 && c->name)
        return api_update(c);
    if (strcmp(method, "PATCH") == 0 && c->name)
        return api_patch_verb(c);
    if (strcmp(method, "DELETE") == 0 && !status)
        return c->name ? api_delete(c) : api_delete_collection(c);
    return method_not_allowed(c);
}

static void dispatch(struct api_call *c)
{
    if (take_apart(c) < 0)
        return;
    bool found = false;
    if (!api_auth_allows(c->server->token, c->request->authorization) &&
        !(c->segment_count == 1 && api_auth_is_public(c->segments[0]))) {
        (void)api_refuse(c->answer, 401, "Unauthorized", "Unauthorized");
        return;
    }
    if (api_discovery(c, &found) < 0 || found)
        return;
    if (negotiate(c) < 0)
        return;
    if (api_review(c, &found) < 0 || found)
        return;
    if (!route_resource(c)) {
        (void)api_refuse_not_found(c->answer, NULL, NULL);
        return;
    }
    (void)dispatch_resource(c);
}

/* JSON to YAML at the very end, for those who asked for it. */
static void show_as_yaml(struct api_answer *a)
{
    cleanup_json cJSON *tree = NULL;
    if (json_parse(mlt_text_string(&a->body), a->body.length, &tree, NULL) < 0)
        return;
    cleanup_free char *text = json_print_yaml(tree);
    mlt_text_clear(&a->body);
    mlt_text_puts(&a->body, text);
    a->content_type = "application/yaml";
}

void api_request(struct api_server *s, const struct api_request *request, struct api_answer *ret)
{
    struct api_call c = {.server = s, .request = request, .answer = ret};
    api_answer_init(ret);
    dispatch(&c);
    if (c.view.yaml && ret->kind == API_ANSWER_BODY &&
        strcmp(ret->content_type, "application/json") == 0)
        show_as_yaml(ret);
    if (ret->kind == API_ANSWER_BODY && ret->body.failed) {
        mlt_text_clear(&ret->body);
        (void)api_refuse(ret, 500, "InternalError",
                         "Internal error occurred: the answer is larger than %u bytes",
                         API_ANSWER_MAX);
    }
    free(c.path);
    cJSON_Delete(c.query);
}
