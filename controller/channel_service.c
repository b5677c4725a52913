/* The channel's EndpointSlice: look, then create or change it. See channel_service.h.
 *
 * A change carries the resourceVersion that was seen, so that a write of a former leader which
 * arrives late meets a newer object. The slice belongs to nobody: it outlives an uninstallation
 * together with the Service, whose address running pods know. */
#include "controller/channel_service.h"

#include <string.h>
#include "controller/internal.h"
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define MANAGER "mltrain-controller"
#define SERVICE_LABEL "metadata.labels[kubernetes.io/service-name]"
#define MANAGER_LABEL "metadata.labels[endpointslice.kubernetes.io/managed-by]"

static bool is_v6(const struct controller *c)
{
    return strchr(c->config.pod_ip, ':') != NULL;
}

/* One slice for each family, because a slice's family cannot be changed. */
static char *slice_name(const struct controller *c)
{
    return mlt_asprintf("%s-%s", c->config.channel_service, is_v6(c) ? "ipv6" : "ipv4");
}

/* What is ours in the object. */
static void fill(const struct controller *c, cJSON *slice)
{
    cJSON *endpoint = cJSON_CreateObject(), *port = cJSON_CreateObject();
    json_set_string(slice, SERVICE_LABEL, c->config.channel_service);
    json_set_string(slice, MANAGER_LABEL, MANAGER);
    json_append_string(json_set_array(endpoint, "addresses"), c->config.pod_ip);
    json_set_bool(endpoint, "conditions.ready", true);
    json_append(json_set_array(slice, "endpoints"), endpoint);
    json_set_string(port, "name", CHANNEL_SERVICE_PORT_NAME);
    json_set_string(port, "protocol", "TCP");
    json_set_integer(port, "port", c->config.channel_port);
    json_append(json_set_array(slice, "ports"), port);
}

static bool leads_here(const struct controller *c, const cJSON *slice)
{
    return json_size(slice, "endpoints") == 1 && json_size(slice, "endpoints[0].addresses") == 1 &&
           json_size(slice, "ports") == 1 &&
           strcmp(json_string(slice, "endpoints[0].addresses[0]", ""), c->config.pod_ip) == 0 &&
           json_bool(slice, "endpoints[0].conditions.ready", false) &&
           json_integer(slice, "ports[0].port", 0) == c->config.channel_port &&
           strcmp(json_string(slice, "ports[0].name", ""), CHANNEL_SERVICE_PORT_NAME) == 0 &&
           strcmp(json_string(slice, SERVICE_LABEL, ""), c->config.channel_service) == 0;
}

static void send(struct controller *c, struct apply_order order, const char *name)
{
    struct mlt_text path = MLT_TEXT_INIT(KUBE_PATH_MAX);
    kube_path(&path, KUBE_ENDPOINTSLICE, c->config.lease_namespace, name, NULL, NULL);
    order.path = mlt_text_string(&path);
    c->channel_service.asking = true;
    apply_send(c, &order);
    mlt_text_release(&path);
}

static void refused(struct controller *c, const struct apply_answer *answer)
{
    struct channel_service *s = &c->channel_service;
    s->is_written = false;
    s->next_ms = c->now_ms + CHANNEL_SERVICE_AGAIN_MS;
    if (!s->refused)
        controller_log(c, MLT_LOG_ERROR,
                       "launchers cannot reach this controller: the EndpointSlice of its channel "
                       "cannot be written service=%s/%s status=%d error=\"%s\"",
                       c->config.lease_namespace, c->config.channel_service, answer->status,
                       answer->words);
    s->refused = true;
}

static void written(struct controller *c, const struct apply_order *order,
                    const struct apply_answer *answer)
{
    struct channel_service *s = &c->channel_service;
    (void)order;
    s->asking = false;
    if (answer->status == 404 || answer->status == 409) {
        s->next_ms = c->now_ms; /* gone, there already, or changed: look again */
        return;
    }
    if (answer->status >= 400 || !answer->status) {
        refused(c, answer);
        return;
    }
    s->is_written = true;
    s->refused = false;
    s->next_ms = c->now_ms + CHANNEL_SERVICE_CHECK_MS;
    controller_log(c, MLT_LOG_INFO, "the channel's Service leads here service=%s/%s pod_ip=%s",
                   c->config.lease_namespace, c->config.channel_service, c->config.pod_ip);
}

static void create(struct controller *c)
{
    cleanup_free char *name = slice_name(c);
    cleanup_json cJSON *slice = cJSON_CreateObject();
    json_set_string(slice, "apiVersion", kube_api_version(KUBE_ENDPOINTSLICE));
    json_set_string(slice, "kind", "EndpointSlice");
    json_set_string(slice, "metadata.name", name);
    json_set_string(slice, "addressType", is_v6(c) ? "IPv6" : "IPv4");
    fill(c, slice);
    cleanup_free char *body = json_print(slice);
    send(c, (struct apply_order){.verb = "POST", .body = body, .done = written}, NULL);
}

static void change(struct controller *c, const cJSON *seen)
{
    cleanup_free char *name = slice_name(c);
    cleanup_json cJSON *patch = cJSON_CreateObject();
    json_set_string(patch, "metadata.resourceVersion",
                    json_string(seen, "metadata.resourceVersion", ""));
    fill(c, patch);
    cleanup_free char *body = json_print(patch);
    send(c,
         (struct apply_order){.verb = "PATCH",
                              .content_type = "application/merge-patch+json",
                              .body = body,
                              .done = written},
         name);
}

static void looked(struct controller *c, const struct apply_order *order,
                   const struct apply_answer *answer)
{
    struct channel_service *s = &c->channel_service;
    (void)order;
    s->asking = false;
    if (answer->status == 404) {
        s->is_written = false;
        create(c);
    } else if (answer->status != 200 || !answer->object) {
        refused(c, answer);
    } else if (!leads_here(c, answer->object)) {
        s->is_written = false;
        change(c, answer->object);
    } else {
        s->is_written = true;
        s->refused = false;
        s->next_ms = c->now_ms + CHANNEL_SERVICE_CHECK_MS;
    }
}

int64_t channel_service_pump(struct controller *c)
{
    struct channel_service *s = &c->channel_service;
    if (!c->config.channel_service || !leader_leads(&c->leader) || s->asking)
        return INT64_MAX;
    if (s->next_ms > c->now_ms)
        return s->next_ms;
    cleanup_free char *name = slice_name(c);
    send(c, (struct apply_order){.verb = "GET", .done = looked}, name);
    return INT64_MAX;
}

bool channel_service_ok(const struct controller *c)
{
    return !c->config.channel_service || c->channel_service.is_written;
}
