/* /metrics, /healthz and /readyz. See endpoints.h. */
#include "controller/endpoints.h"

#include <string.h>
#include "controller/internal.h"

#define TEXT "text/plain; charset=utf-8"

static bool path_is(const char *target, const char *path)
{
    size_t length = strcspn(target, "?");
    return length == strlen(path) && memcmp(target, path, length) == 0;
}

/* "[+] what" or "[-] what: why not", as the API server's own endpoints say it. */
static void tell(struct mlt_text *out, bool is_well, const char *what, const char *why)
{
    mlt_text_printf(out, "[%c] %s", is_well ? '+' : '-', what);
    if (!is_well && *why)
        mlt_text_printf(out, ": %s", why);
    mlt_text_putc(out, '\n');
}

static int verdict(struct mlt_text *out, bool is_well, const char *name)
{
    mlt_text_printf(out, "%s %s\n", name, is_well ? "ok" : "failed");
    return is_well ? 200 : 503;
}

static int health(const struct controller *c, int64_t now_ms, struct mlt_text *out)
{
    bool turns =
        c->effects.timer_ms == INT64_MAX || now_ms - c->effects.timer_ms <= ENDPOINTS_TIMER_LATE_MS;
    bool lead_is_held = !c->leader.leads || c->leader.stopping ||
                        kube_lease_deadline_ms(c->leader.lease) + ENDPOINTS_TIMER_LATE_MS > now_ms;
    tell(out, turns, "loop", "its timer is long overdue");
    tell(out, lead_is_held, "leader", "the lease has run out, and the process has not ended");
    return verdict(out, turns && lead_is_held, "healthz");
}

static int readiness(const struct controller *c, struct mlt_text *out)
{
    bool stays = !c->exited && !c->leader.stopping;
    for (int kind = 0; kind < VIEW_COUNT; kind++)
        tell(out, view_source_synced(&c->view, (enum view_kind)kind),
             view_source_name((enum view_kind)kind),
             view_source_trouble(&c->view, (enum view_kind)kind));
    tell(out, stays, "running", "the controller is stopping");
    tell(out, true, leader_leads(&c->leader) ? "leads" : "stands by", "");
    return verdict(out, stays && view_synced(&c->view), "readyz");
}

int endpoints_answer(const struct controller *c, int64_t now_ms, const char *method,
                     const char *target, struct mlt_text *out, const char **ret_content_type)
{
    *ret_content_type = TEXT;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        mlt_text_puts(out, "only GET and HEAD are known here\n");
        return 405;
    }
    if (path_is(target, "/healthz"))
        return health(c, now_ms, out);
    if (path_is(target, "/readyz"))
        return readiness(c, out);
    if (path_is(target, "/metrics")) {
        *ret_content_type = "text/plain; version=0.0.4; charset=utf-8";
        controller_metrics(c, out);
        return 200;
    }
    mlt_text_puts(out, "/metrics, /healthz and /readyz are served here\n");
    return 404;
}
