/* Preloaded into a controller by every_write.py: counts what the controller does to the world, and
 * kills it before or after the n-th of these effects. The controller itself knows nothing of it.
 *
 * An effect is a request that writes, or a frame to a launcher. "Before": the process dies when it
 * hands the effect to libcurl or OpenSSL, nothing has left it yet. "After": the API server has
 * answered and the controller does not learn the answer, or the frame's bytes are in the socket.
 * Not counted is what comes by the clock and not by the story: renewals of the Lease, and PING.
 *
 * In $EVERY_WRITE_DIR: `plan` is "KEY before|after|count N"; while it exists each effect is added
 * to `effects`, a line each, and counted from 1 for each new KEY. Who dies replaces `plan` by
 * `fired`, so that the next controller lives. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "rendezvous/frame.h"

#define EXPORTED __attribute__((visibility("default")))
#define CALLS_MAX 4096 /* requests under way */
#define LABEL_MAX 400
#define FRAME_TYPE_AT 5 /* rendezvous/frame.h: length, version, type */

struct call {
    CURL *easy;
    char verb[16], url[LABEL_MAX];
};

static struct call calls[CALLS_MAX];
static char plan_key[64];
static unsigned counted;
static CURL *dies_after_request;
static bool dies_after_frame;

/* The library's own function of this name. */
static void *original(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) {
        (void)fprintf(stderr, "die_at_effect: no %s to stand before\n", name);
        abort();
    }
    return found;
}

/* ---- the plan ---- */

static void path_of(const char *name, char path[PATH_MAX])
{
    const char *dir = getenv("EVERY_WRITE_DIR");
    (void)snprintf(path, PATH_MAX, "%s/%s", dir ? dir : "/nowhere", name);
}

static void put(const char *name, const char *text)
{
    char path[PATH_MAX];
    path_of(name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        abort();
    (void)close(fd);
}

static bool read_plan(char key[64], char when[16], unsigned *ret_n)
{
    char path[PATH_MAX];
    path_of("plan", path);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool good = fscanf(file, "%63s %15s %u", key, when, ret_n) == 3;
    (void)fclose(file);
    return good;
}

static _Noreturn void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Counts an effect, and may not return. True: the controller shall die after it. */
static bool count_effect(const char *what)
{
    char key[64], when[16], line[LABEL_MAX + 32], plan[PATH_MAX];
    unsigned n;
    if (!read_plan(key, when, &n))
        return false;
    if (strcmp(key, plan_key) != 0) {
        (void)snprintf(plan_key, sizeof plan_key, "%s", key);
        counted = 0;
    }
    counted++;
    (void)snprintf(line, sizeof line, "%u %s\n", counted, what);
    put("effects", line);
    if (strcmp(when, "count") == 0 || counted != n)
        return false;
    put("fired.new", line);
    char from[PATH_MAX], to[PATH_MAX];
    path_of("fired.new", from);
    path_of("fired", to);
    path_of("plan", plan);
    if (strcmp(when, "before") != 0)
        return true; /* `fired` and the end of the plan come with the death */
    (void)rename(from, to);
    (void)unlink(plan);
    die();
}

static _Noreturn void die_after(void)
{
    char from[PATH_MAX], to[PATH_MAX];
    path_of("fired.new", from);
    path_of("fired", to);
    (void)rename(from, to);
    path_of("plan", to);
    (void)unlink(to);
    die();
}

/* ---- requests ---- */

static struct call *find_call(const CURL *easy)
{
    for (int i = 0; i < CALLS_MAX; i++)
        if (calls[i].easy == easy)
            return &calls[i];
    return NULL;
}

/* Every option has one argument that fits a register. */
EXPORTED CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    CURLcode (*real)(CURL *, CURLoption, ...) = original("curl_easy_setopt");
    va_list arguments;
    va_start(arguments, option);
    void *value = va_arg(arguments, void *);
    va_end(arguments);
    struct call *call = find_call(easy);
    if (option == CURLOPT_URL && !call)
        call = find_call(NULL);
    if (option == CURLOPT_URL && call) {
        const char *host = strstr(value, "://");
        const char *path = host ? strchr(host + 3, '/') : NULL;
        call->easy = easy;
        (void)snprintf(call->url, sizeof call->url, "%s", path ? path : (const char *)value);
    } else if (option == CURLOPT_CUSTOMREQUEST && call) {
        (void)snprintf(call->verb, sizeof call->verb, "%s", (const char *)value);
    }
    return real(easy, option, value);
}

EXPORTED void curl_easy_cleanup(CURL *easy)
{
    void (*real)(CURL *) = original("curl_easy_cleanup");
    struct call *call = easy ? find_call(easy) : NULL;
    if (call)
        *call = (struct call){0};
    real(easy);
}

EXPORTED CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    CURLMcode (*real)(CURLM *, CURL *) = original("curl_multi_add_handle");
    const struct call *call = find_call(easy);
    if (call && strcmp(call->verb, "GET") != 0 && !strstr(call->url, "/leases")) {
        char what[LABEL_MAX + 20];
        (void)snprintf(what, sizeof what, "%s %s", call->verb, call->url);
        if (count_effect(what))
            dies_after_request = easy;
    }
    return real(multi, easy);
}

EXPORTED CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    CURLMsg *(*real)(CURLM *, int *) = original("curl_multi_info_read");
    CURLMsg *message = real(multi, left);
    if (message && message->msg == CURLMSG_DONE && message->easy_handle == dies_after_request)
        die_after();
    return message;
}

/* ---- frames ---- */

/* Only the channel uses this function; libcurl uses the older SSL_write(). */
EXPORTED int SSL_write_ex(SSL *ssl, const void *data, size_t length, size_t *ret_written)
{
    int (*real)(SSL *, const void *, size_t, size_t *) = original("SSL_write_ex");
    uint8_t type = length > FRAME_TYPE_AT ? ((const uint8_t *)data)[FRAME_TYPE_AT] : 0;
    char what[64];
    const char *name = "?";
#define XX(NAME, number, direction, max) name = type == (number) ? #NAME : name;
    RENDEZVOUS_TYPE_MAP(XX)
#undef XX
    (void)snprintf(what, sizeof what, "frame %s", name);
    if (type != RENDEZVOUS_PING && count_effect(what))
        dies_after_frame = true;
    return real(ssl, data, length, ret_written);
}

EXPORTED int uv_write(uv_write_t *request, uv_stream_t *stream, const uv_buf_t buffers[],
                      unsigned count, uv_write_cb callback)
{
    int (*real)(uv_write_t *, uv_stream_t *, const uv_buf_t *, unsigned, uv_write_cb) =
        original("uv_write");
    int r = real(request, stream, buffers, count, callback);
    if (dies_after_frame)
        die_after();
    return r;
}

EXPORTED int uv_try_write(uv_stream_t *stream, const uv_buf_t buffers[], unsigned count)
{
    int (*real)(uv_stream_t *, const uv_buf_t *, unsigned) = original("uv_try_write");
    size_t length = 0;
    for (unsigned i = 0; i < count; i++)
        length += buffers[i].len;
    int written = real(stream, buffers, count);
    if (dies_after_frame && written >= 0 && (size_t)written == length)
        die_after(); /* otherwise the rest goes through uv_write() */
    return written;
}
