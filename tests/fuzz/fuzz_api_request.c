/* The API server's request handler, from the request line to the store. An input is a small
 * conversation: requests separated by a line "----", each "METHOD TARGET CONTENT-TYPE ACCEPT\nBODY"
 * ("-" for no header). Each must be answered, by JSON where JSON is promised; watches are read; and
 * a second server over the same store must come up and know the same objects. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "localcluster/api/request.h"

#define REQUESTS_MAX 16
#define START_MS 1764000000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char toys[] = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, "
                           "metadata: {name: toys.example.com}, spec: "
                           "{group: example.com, scope: Namespaced, names: {plural: toys, kind: "
                           "Toy}, versions: [{name: v1, served: true, "
                           "storage: true, subresources: {status: {}, scale: {specReplicasPath: "
                           ".spec.n, statusReplicasPath: .status.n}}, "
                           "additionalPrinterColumns: [{name: N, type: integer, jsonPath: "
                           ".spec.n}], schema: {openAPIV3Schema: {type: object, "
                           "properties: {spec: {type: object, required: [n], properties: {n: "
                           "{type: integer, minimum: 0, default: 1}, s: "
                           "{type: string, pattern: '^a+$', maxLength: 9}, l: {type: array, "
                           "maxItems: 3, x-kubernetes-list-type: set, items: "
                           "{type: string, enum: [x, y]}}, m: {type: object, additionalProperties: "
                           "{type: integer}}}}}}}}]}}";

/* The definition is given at the first start only: a conversation may delete it. */
static struct api_server *serve(struct store *store, struct mlt_random *random, bool first)
{
    struct api_server *server = NULL;
    const struct api_server_config config = {.store = store,
                                             .random = random,
                                             .crds_yaml = first ? toys : NULL,
                                             .crds_yaml_length = sizeof toys - 1};
    if (api_server_new(&config, START_MS, &server, NULL) < 0)
        abort();
    return server;
}

/* The next word of the request line; "-" and the end give NULL. */
static char *word(char **rest)
{
    char *text = *rest ? strsep(rest, " ") : NULL;
    return text && strcmp(text, "-") != 0 ? text : NULL;
}

static void answer(struct api_server *server, char *text, int64_t now_ms,
                   struct api_watch **ret_watch)
{
    char *body = strchr(text, '\n');
    if (body)
        *body++ = '\0';
    struct api_answer a;
    struct api_request q = {.body = body ? body : "", .now_ms = now_ms};
    q.body_length = strlen(q.body);
    char *rest = text;
    q.method = word(&rest);
    q.target = word(&rest);
    q.content_type = word(&rest);
    q.accept = word(&rest);
    q.method = q.method ? q.method : "";
    q.target = q.target ? q.target : "";
    api_request(server, &q, &a);
    cleanup_json cJSON *tree = NULL;
    if (a.status < 100 || a.status > 599)
        abort();
    if (a.kind == API_ANSWER_BODY && strncmp(a.content_type, "application/json", 16) == 0 &&
        json_parse(mlt_text_string(&a.body), a.body.length, &tree, NULL) < 0)
        abort();
    *ret_watch = a.kind == API_ANSWER_WATCH ? a.watch : NULL;
    api_answer_release(&a);
    for (int i = 0; i < 1000 && api_server_work(server, now_ms); i++)
        continue;
}

/* All objects of all kinds, as one text; the caller frees it. */
static char *everything(struct api_server *server)
{
    static const char *const targets[] = {
        "/api/v1/pods",    "/api/v1/configmaps",        "/api/v1/namespaces",
        "/api/v1/secrets", "/apis/example.com/v1/toys", "/api/v1/events"};
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(64u << 20);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct api_answer a;
        const struct api_request q = {
            .method = "GET", .target = targets[i], .body = "", .now_ms = START_MS};
        api_request(server, &q, &a);
        mlt_text_puts(&out, mlt_text_string(&a.body));
        api_answer_release(&a);
    }
    return mlt_strdup(mlt_text_string(&out));
}

/* The cluster that the inputs meet. Making one costs more than a conversation, so it lives for some
 * inputs. */
static struct cluster {
    struct mlt_random random;
    struct store *store;
    struct api_server *server;
    unsigned inputs;
} cluster;

#define INPUTS_PER_CLUSTER 64
#define INPUTS_ALONE 16 /* the first ones get a cluster each: the corpus as a test */

static void talk(struct api_server *server, char *text)
{
    struct api_watch *watches[REQUESTS_MAX] = {NULL};
    for (int i = 0; i < REQUESTS_MAX && text; i++) {
        char *next = strstr(text, "\n----\n");
        if (next)
            *next = '\0';
        answer(server, text, START_MS + i * 1000, &watches[i]);
        text = next ? next + 6 : NULL;
    }
    for (int i = 0; i < REQUESTS_MAX; i++) {
        cleanup_text struct mlt_text out = MLT_TEXT_INIT(64u << 20);
        if (watches[i])
            (void)api_watch_read(watches[i], START_MS + 100000, 1u << 20, &out);
        api_watch_free(watches[i]);
    }
}

/* Another server over the same store must know the same objects. */
static void end_cluster(struct cluster *c)
{
    cleanup_free char *before = everything(c->server);
    api_server_free(c->server);
    c->server = serve(c->store, &c->random, false);
    cleanup_free char *after = everything(c->server);
    if (strcmp(before, after) != 0)
        abort();
    api_server_free(c->server);
    store_free(c->store);
    c->server = NULL;
    c->store = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster *c = &cluster;
    if (!c->server) {
        mlt_random_init(&c->random, 1);
        c->store = store_memory_new();
        c->server = serve(c->store, &c->random, true);
    }
    cleanup_free char *copy = mlt_calloc(1, size + 1);
    memcpy(copy, data, size);
    talk(c->server, copy);
    c->inputs++;
    if (c->inputs <= INPUTS_ALONE || c->inputs % INPUTS_PER_CLUSTER == 0)
        end_cluster(c);
    return 0;
}
