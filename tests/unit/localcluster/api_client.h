/* A client of the pure request handler over store_memory, for the tests of localcluster/api. */
#ifndef TESTS_UNIT_LOCALCLUSTER_API_CLIENT_H
#define TESTS_UNIT_LOCALCLUSTER_API_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include "lib/json/json.h"
#include "localcluster/api/request.h"

#define API_TEST_HISTORY 400            /* changes kept for watches */
#define API_TEST_START_MS 1764000000000 /* 2025-11-24T16:00:00Z */

struct api_client {
    struct store *store;
    struct mlt_random random;
    struct api_server *server;
    int64_t now_ms;
    /* of the last request: */
    int status;
    char *text;  /* the body */
    cJSON *tree; /* the body, parsed; NULL when it is no JSON */
    char *content_type;
    char *warnings; /* one a line */
    struct api_watch *watch;
    struct api_log_query log;
    enum api_answer_kind kind;
};

/* A fresh server with mltrain's CRDs; `with_crds` false: only the built-in kinds (faster). */
void api_client_start(struct api_client *c, bool with_crds);
void api_client_stop(struct api_client *c);

/* Drops the server and makes another over the same store, as after a kill. */
void api_client_restart(struct api_client *c);

/* Sends a request; content type and accept may be NULL. Afterwards work is done until none is left.
 */
int api_client_send(struct api_client *c, const char *method, const char *target,
                    const char *content_type, const char *accept, const char *body, size_t length);

int api_client_get(struct api_client *c, const char *target);
int api_client_post(struct api_client *c, const char *target, const char *body);
int api_client_put(struct api_client *c, const char *target, const char *body);
int api_client_delete(struct api_client *c, const char *target);
int api_client_merge(struct api_client *c, const char *target, const char *body);

/* A string at a path of the last answer, "" when it is absent. */
const char *api_client_at(const struct api_client *c, const char *path);

/* What a watch has to say now; valid until the next call. *ret_over (may be NULL): it has ended. */
const char *api_client_read(struct api_client *c, struct api_watch *w, bool *ret_over);

#define API_MERGE "application/merge-patch+json"
#define API_JSON_PATCH "application/json-patch+json"
#define API_STRATEGIC "application/strategic-merge-patch+json"
#define API_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

#define assert_contains(haystack, needle)                              \
    do {                                                               \
        const char *haystack_ = (haystack);                            \
        if (!strstr(haystack_, needle))                                \
            fail_msg("`%s` does not contain `%s`", haystack_, needle); \
    } while (0)

#endif
