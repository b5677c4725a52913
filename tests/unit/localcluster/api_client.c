/* See api_client.h. */
#include "tests/unit/localcluster/api_client.h"

#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "localcluster/api/crd_files.h"

static struct mlt_text watch_text = MLT_TEXT_INIT(64u << 20);

static void forget(struct api_client *c)
{
    free(c->text);
    cJSON_Delete(c->tree);
    free(c->content_type);
    free(c->warnings);
    free(c->log.namespace_);
    free(c->log.pod);
    free(c->log.uid);
    free(c->log.node);
    free(c->log.container);
    c->log = (struct api_log_query){0};
    c->text = c->content_type = c->warnings = NULL;
    c->tree = NULL;
    c->watch = NULL;
}

static void serve(struct api_client *c, bool with_crds)
{
    struct mlt_error err = {0};
    struct api_server_config config = {
        .store = c->store, .random = &c->random, .history_events = API_TEST_HISTORY};
    if (with_crds)
        config.crds_yaml = api_crd_files(&config.crds_yaml_length);
    if (api_server_new(&config, c->now_ms, &c->server, &err) < 0)
        fail_msg("%s", err.text);
}

void api_client_start(struct api_client *c, bool with_crds)
{
    *c = (struct api_client){.now_ms = API_TEST_START_MS, .store = store_memory_new()};
    mlt_random_init(&c->random, 7);
    serve(c, with_crds);
}

void api_client_stop(struct api_client *c)
{
    forget(c);
    api_server_free(c->server);
    store_free(c->store);
    mlt_text_release(&watch_text);
}

void api_client_restart(struct api_client *c)
{
    api_server_free(c->server);
    serve(c, false);
}

int api_client_send(struct api_client *c, const char *method, const char *target,
                    const char *content_type, const char *accept, const char *body, size_t length)
{
    struct api_answer a;
    cleanup_text struct mlt_text warnings = MLT_TEXT_INIT(65536);
    const struct api_request q = {.method = method,
                                  .target = target,
                                  .content_type = content_type,
                                  .accept = accept,
                                  .body = body ? body : "",
                                  .body_length = length,
                                  .now_ms = c->now_ms};
    forget(c);
    api_request(c->server, &q, &a);
    c->status = a.status;
    c->kind = a.kind;
    c->watch = a.watch;
    c->log = a.log;
    a.log = (struct api_log_query){0};
    c->content_type = mlt_strdup(a.content_type);
    for (size_t i = 0; i < a.warning_count; i++)
        mlt_text_printf(&warnings, "%s\n", a.warnings[i]);
    c->warnings = mlt_strdup(mlt_text_string(&warnings));
    c->text = mlt_strdup(mlt_text_string(&a.body));
    if (json_parse(c->text, strlen(c->text), &c->tree, NULL) < 0)
        c->tree = NULL;
    api_answer_release(&a);
    while (api_server_work(c->server, c->now_ms))
        continue;
    return c->status;
}

int api_client_get(struct api_client *c, const char *target)
{
    return api_client_send(c, "GET", target, NULL, NULL, NULL, 0);
}

int api_client_post(struct api_client *c, const char *target, const char *body)
{
    return api_client_send(c, "POST", target, "application/json", NULL, body, strlen(body));
}

int api_client_put(struct api_client *c, const char *target, const char *body)
{
    return api_client_send(c, "PUT", target, "application/json", NULL, body, strlen(body));
}

int api_client_delete(struct api_client *c, const char *target)
{
    return api_client_send(c, "DELETE", target, NULL, NULL, NULL, 0);
}

int api_client_merge(struct api_client *c, const char *target, const char *body)
{
    return api_client_send(c, "PATCH", target, API_MERGE, NULL, body, strlen(body));
}

const char *api_client_at(const struct api_client *c, const char *path)
{
    return json_string(c->tree, path, "");
}

const char *api_client_read(struct api_client *c, struct api_watch *w, bool *ret_over)
{
    mlt_text_clear(&watch_text);
    bool goes_on = api_watch_read(w, c->now_ms, 1u << 20, &watch_text);
    if (ret_over)
        *ret_over = !goes_on;
    return mlt_text_string(&watch_text);
}
