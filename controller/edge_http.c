/* Serves /metrics, /healthz and /readyz on the controller's loop. See edge_http.h. */
#include "controller/edge_http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "controller/endpoints.h"
#include "controller/metrics.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/httpd/httpd.h"

#define CONNECTIONS_MAX 64 /* probes and scrapers */
#define IDLE_TIMEOUT_S 120 /* Prometheus keeps its connection between two scrapes */

struct edge_http {
    struct httpd *server;
    const struct controller *controller;
};

static int64_t resident_bytes(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

static double seconds(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

/* What every program tells of itself, under the names that dashboards know. */
static void write_process(struct mlt_text *out)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    metrics_head(out, "process_cpu_seconds_total", "counter", "CPU time used, in seconds.");
    mlt_text_printf(out, "process_cpu_seconds_total %.6f\n",
                    seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    metrics_head(out, "process_resident_memory_bytes", "gauge", "Memory in use.");
    mlt_text_printf(out, "process_resident_memory_bytes %" PRId64 "\n", resident_bytes());
}

static void handle(void *arg, struct httpd_request *request, const struct httpd_message *message)
{
    const struct edge_http *h = arg;
    const char *type = "text/plain; charset=utf-8";
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(METRICS_TEXT_MAX);
    int status = 503;
    if (h->controller)
        status = endpoints_answer(h->controller, (int64_t)(uv_hrtime() / 1000000), message->method,
                                  message->target, &out, &type);
    else
        mlt_text_puts(&out, "the controller is starting or stopping\n");
    if (status == 200 && strncmp(message->target, "/metrics", 8) == 0)
        write_process(&out);
    if (out.failed)
        status = 500;
    httpd_respond(request, status, type, NULL, 0, mlt_text_string(&out), out.length);
}

int edge_http_new(uv_loop_t *loop, const char *address, uint16_t port, struct edge_http **ret,
                  struct mlt_error *err)
{
    struct edge_http *h = mlt_calloc(1, sizeof *h);
    struct httpd_config config = {
        .address = address,
        .port = port,
        .body_max = 1024,
        .connections_max = CONNECTIONS_MAX,
        .idle_timeout_s = IDLE_TIMEOUT_S,
    };
    int r = httpd_new(loop, &config, handle, h, &h->server, err);
    if (r < 0) {
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void edge_http_controller(struct edge_http *h, const struct controller *c)
{
    h->controller = c;
}

uint16_t edge_http_port(const struct edge_http *h)
{
    return httpd_port(h->server);
}

static void closed(void *arg)
{
    free(arg);
}

void edge_http_free(struct edge_http *h)
{
    if (h)
        httpd_free(h->server, closed, h);
}
