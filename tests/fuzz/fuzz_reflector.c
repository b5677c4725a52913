/* The API server's answers to lists and watches, as a reflector reads them. Wherever the answers
 * are cut, the same objects come out. The input: a byte for the size of the pieces, then answers
 * separated by "\n----\n", each a status of three digits and a body. */
#include "tests/fuzz/fuzz.h"

#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/reflector.h"

#define SEPARATOR "\n----\n"
#define ANSWERS_MAX 16

struct seen {
    uint64_t hash;
    unsigned lists_open;
};

static void note(struct seen *s, char what, const cJSON *object)
{
    cleanup_free char *text = object ? json_print(object) : NULL;
    s->hash = s->hash * 31 + (unsigned char)what;
    for (const char *p = text; p && *p; p++)
        s->hash = s->hash * 31 + (unsigned char)*p;
}

static void list_begin(void *arg)
{
    note(arg, 'b', NULL);
}
static void listed(void *arg, const cJSON *object)
{
    REQUIRE(object);
    note(arg, 'l', object);
}
static void list_done(void *arg)
{
    note(arg, 'e', NULL);
}
static void changed(void *arg, const cJSON *object)
{
    REQUIRE(cJSON_IsObject(object));
    note(arg, 'c', object);
}
static void deleted(void *arg, const cJSON *object)
{
    REQUIRE(cJSON_IsObject(object));
    note(arg, 'd', object);
}

static int status_of(const char *text, size_t length)
{
    int status = 0;
    for (size_t i = 0; i < 3 && i < length; i++)
        status = status * 10 + (text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : 0);
    return status;
}

/* Feeds one answer in pieces; false when the reflector had enough of it. */
static void answer(struct kube_reflector *r, int64_t now_ms, const char *text, size_t length,
                   size_t piece)
{
    struct kube_reflector_want want;
    kube_reflector_status(r, now_ms, status_of(text, length), 0);
    for (size_t at = 3; at < length; at += piece) {
        kube_reflector_body(r, now_ms, text + at, length - at < piece ? length - at : piece);
        kube_reflector_poll(r, now_ms, &want);
        if (want.cancel)
            return;
    }
    kube_reflector_end(r, now_ms, NULL);
}

static uint64_t converse(const char *text, size_t size, size_t piece)
{
    static const struct kube_reflector_ops ops = {list_begin, listed, list_done, changed, deleted};
    struct mlt_random random;
    struct seen seen = {.hash = 1};
    mlt_random_init(&random, 1);
    struct kube_reflector *r = kube_reflector_new("/api/v1/pods", NULL, &ops, &seen, &random);
    struct kube_reflector_want want;
    int64_t now_ms = 1000;
    for (int i = 0; i < ANSWERS_MAX && size > 0; i++) {
        const char *end = memmem(text, size, SEPARATOR, sizeof SEPARATOR - 1);
        size_t length = end ? (size_t)(end - text) : size;
        kube_reflector_poll(r, now_ms, &want);
        if (!want.send) {
            now_ms += 3600 * 1000; /* after any backoff, and any silence */
            kube_reflector_poll(r, now_ms, &want);
        }
        REQUIRE(want.send || want.cancel || want.wake_ms > now_ms);
        if (want.send)
            answer(r, now_ms, text, length, piece);
        size_t skip = end ? length + sizeof SEPARATOR - 1 : size;
        text += skip;
        size -= skip;
    }
    note(&seen, kube_reflector_synced(r) ? 's' : 'u', NULL);
    kube_reflector_free(r);
    return seen.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    const char *text = (const char *)data + 1;
    uint64_t whole = converse(text, size - 1, 1u << 20);
    REQUIRE(whole == converse(text, size - 1, (size_t)data[0] % 64 + 1));
    return 0;
}
