/* Status objects, field errors and Warning headers: see answer.h. The words are those of
 * kube-apiserver, because people and programs (kubectl) read them. */
#include "localcluster/api/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/resources.h"

#define VALUE_SHOWN_MAX 200 /* bytes of an offending value in a message */

static const struct {
    const char *reason, *words;
} causes[] = {
#define XX(name, reason, words) [API_CAUSE_##name] = {reason, words},
    API_CAUSE_MAP(XX)
#undef XX
};

void api_answer_init(struct api_answer *a)
{
    *a = (struct api_answer){.status = 200, .content_type = "application/json"};
    mlt_text_init(&a->body, API_ANSWER_MAX);
}

void api_answer_release(struct api_answer *a)
{
    mlt_text_release(&a->body);
    for (size_t i = 0; i < a->warning_count; i++)
        free(a->warnings[i]);
    a->warning_count = 0;
    free(a->log.namespace_);
    free(a->log.pod);
    free(a->log.uid);
    free(a->log.node);
    free(a->log.container);
    a->log = (struct api_log_query){0};
}

void api_causes_release(struct api_causes *c)
{
    cJSON_Delete(c->list);
    *c = (struct api_causes){0};
}

static void add_cause(struct api_causes *c, enum api_cause_type type, const char *field,
                      const char *message)
{
    c->count++;
    if (c->count > API_CAUSES_MAX)
        return;
    if (!c->list)
        c->list = cJSON_CreateArray();
    cJSON *cause = cJSON_CreateObject();
    json_set_string(cause, "reason", causes[type].reason);
    json_set_string(cause, "message", message);
    json_set_string(cause, "field", field[0] ? field : "<nil>");
    json_append(c->list, cause);
}

void api_cause(struct api_causes *c, enum api_cause_type type, const char *field,
               const char *format, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    cleanup_free char *message =
        mlt_asprintf("%s%s%s", causes[type].words, detail[0] ? ": " : "", detail);
    add_cause(c, type, field, message);
}

void api_cause_value(struct api_causes *c, enum api_cause_type type, const char *field,
                     const cJSON *value, const char *format, ...)
{
    char detail[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    cleanup_free char *shown = value ? json_print(value) : mlt_strdup("null");
    size_t length = strlen(shown);
    cleanup_free char *message =
        mlt_asprintf("%s: %.*s%s%s%s", causes[type].words, VALUE_SHOWN_MAX, shown,
                     length > VALUE_SHOWN_MAX ? "..." : "", detail[0] ? ": " : "", detail);
    add_cause(c, type, field, message);
}

static void set_status(struct api_answer *a, int code, const char *reason, const char *message,
                       cJSON *details)
{
    cJSON *status = cJSON_CreateObject();
    json_set_string(status, "kind", "Status");
    json_set_string(status, "apiVersion", "v1");
    (void)json_set_object(status, "metadata");
    json_set_string(status, "status", "Failure");
    json_set_string(status, "message", message);
    json_set_string(status, "reason", reason);
    if (details)
        json_set(status, "details", details);
    json_set_integer(status, "code", code);
    api_answer_tree(a, code, status);
}

int api_refuse(struct api_answer *a, int code, const char *reason, const char *format, ...)
{
    char message[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    set_status(a, code, reason, message, NULL);
    return -EINVAL;
}

/* "pods" or "trainingjobs.mltrain.io", and with kind "Pod" or "TrainingJob.mltrain.io". */
static char *qualified(const struct api_resource *r, bool kind)
{
    const char *name = kind ? r->kind : r->plural;
    return r->group[0] ? mlt_asprintf("%s.%s", name, r->group) : mlt_strdup(name);
}

static cJSON *new_details(const struct api_resource *r, const char *name, const char *kind)
{
    cJSON *details = cJSON_CreateObject();
    if (name && name[0])
        json_set_string(details, "name", name);
    if (r && r->group[0])
        json_set_string(details, "group", r->group);
    if (kind)
        json_set_string(details, "kind", kind);
    return details;
}

int api_refuse_not_found(struct api_answer *a, const struct api_resource *r, const char *name)
{
    if (!r)
        return api_refuse(a, 404, "NotFound", "the server could not find the requested resource");
    cleanup_free char *what = qualified(r, false);
    cleanup_free char *message = mlt_asprintf("%s \"%s\" not found", what, name);
    set_status(a, 404, "NotFound", message, new_details(r, name, r->plural));
    return -EINVAL;
}

int api_refuse_exists(struct api_answer *a, const struct api_resource *r, const char *name)
{
    cleanup_free char *what = qualified(r, false);
    cleanup_free char *message = mlt_asprintf("%s \"%s\" already exists", what, name);
    set_status(a, 409, "AlreadyExists", message, new_details(r, name, r->plural));
    return -EINVAL;
}

int api_refuse_conflict(struct api_answer *a, const struct api_resource *r, const char *name,
                        const char *why)
{
    cleanup_free char *what = qualified(r, false);
    cleanup_free char *message =
        mlt_asprintf("Operation cannot be fulfilled on %s \"%s\": %s", what, name, why);
    set_status(a, 409, "Conflict", message, new_details(r, name, r->plural));
    return -EINVAL;
}

int api_refuse_forbidden(struct api_answer *a, const struct api_resource *r, const char *name,
                         const char *why)
{
    cleanup_free char *what = qualified(r, false);
    cleanup_free char *message = mlt_asprintf("%s \"%s\" is forbidden: %s", what, name, why);
    set_status(a, 403, "Forbidden", message, new_details(r, name, r->plural));
    return -EINVAL;
}

int api_refuse_invalid(struct api_answer *a, const struct api_resource *r, const char *name,
                       struct api_causes *c)
{
    cleanup_free char *what = qualified(r, true);
    cleanup_text struct mlt_text message = MLT_TEXT_INIT(64 * 1024);
    bool many = cJSON_GetArraySize(c->list) > 1;
    mlt_text_printf(&message, "%s \"%s\" is invalid: %s", what, name, many ? "[" : "");
    const cJSON *cause;
    const char *separator = "";
    cJSON_ArrayForEach(cause, c->list)
    {
        mlt_text_printf(&message, "%s%s: %s", separator, json_string(cause, "field", ""),
                        json_string(cause, "message", ""));
        separator = ", ";
    }
    if (c->count > API_CAUSES_MAX)
        mlt_text_printf(&message, ", and %zu more", c->count - API_CAUSES_MAX);
    if (many)
        mlt_text_putc(&message, ']');
    cJSON *details = new_details(r, name, r->kind);
    json_set(details, "causes", steal_ptr(&c->list));
    set_status(a, 422, "Invalid", mlt_text_string(&message), details);
    return -EINVAL;
}

int api_refuse_store(struct api_answer *a, const struct mlt_error *err)
{
    return api_refuse(a, 500, "InternalError",
                      "Internal error occurred: the store refused the write: %s", err->text);
}

void api_warn(struct api_answer *a, const char *format, ...)
{
    if (a->warning_count == API_WARNINGS_MAX)
        return;
    char message[600];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    cleanup_text struct mlt_text value = MLT_TEXT_INIT(2048);
    mlt_text_puts(&value, "299 - \"");
    for (const char *p = message; *p; p++) {
        if (*p == '"' || *p == '\\')
            mlt_text_putc(&value, '\\');
        mlt_text_putc(&value, (unsigned char)*p < ' ' ? ' ' : *p);
    }
    mlt_text_putc(&value, '"');
    a->warnings[a->warning_count++] = mlt_text_take(&value);
}

void api_answer_text(struct api_answer *a, int status, const char *text, size_t length)
{
    a->kind = API_ANSWER_BODY;
    a->status = status;
    mlt_text_clear(&a->body);
    mlt_text_add(&a->body, text, length);
}

void api_answer_tree(struct api_answer *a, int status, cJSON *tree)
{
    cleanup_free char *text = json_print(tree);
    cJSON_Delete(tree);
    api_answer_text(a, status, text, strlen(text));
}
