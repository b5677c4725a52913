/* How the launcher comes into pods with --launcher-delivery auto. It is mounted when every node
 * that pods may be placed on says that it can, and the API server has left the volume in the job's
 * dry run; else an init container copies it. Each pod is made for a node, and once more by what
 * that one says: so nodes that come or change after the dry run need no care, and pods that exist
 * are left as they are.
 *
 * Not every hindrance can be seen beforehand (a kubelet's gate, a runtime's configuration). So a
 * job for which the volume did not work, for whatever reason, gets copies from then on: until
 * another controller leads, which tries again. */
#include <string.h>
#include "controller/internal.h"
#include "lib/json/json.h"

void delivery_note_node(struct controller *c, struct view_node *n, const cJSON *object)
{
    bool cordoned = json_bool(object, "spec.unschedulable", false);
    enum delivery_lack lacks =
        delivery_node_lacks(json_string(object, "status.nodeInfo.kubeletVersion", ""),
                            json_string(object, "status.nodeInfo.containerRuntimeVersion", ""));
    c->delivery_stale |= cordoned != n->cordoned || lacks != n->lacks;
    n->cordoned = cordoned;
    n->lacks = lacks;
}

/* Nodes that are not ready count, since they come back; cordoned ones do not, since somebody has
 * taken them out. NULL: all can; or there is none. */
static const struct view_node *find_lacking(const struct view *v, unsigned *ret_count)
{
    unsigned count = 0;
    for (const struct view_node *n = v->nodes; n; n = n->hh.next) {
        if (n->cordoned)
            continue;
        if (n->lacks != DELIVERY_LACKS_NOTHING)
            return n;
        count++;
    }
    *ret_count = count;
    return NULL;
}

void delivery_look(struct controller *c)
{
    unsigned count = 0;
    if (c->config.delivery != DELIVERY_AUTO || !c->delivery_stale)
        return;
    c->delivery_stale = false;
    const struct view_node *lacking = find_lacking(&c->view, &count);
    enum delivery chosen = count && !lacking ? DELIVERY_IMAGE_VOLUME : DELIVERY_INIT_CONTAINER;
    if (chosen == c->delivery)
        return;
    c->delivery = chosen;
    if (lacking)
        controller_log(c, MLT_LOG_INFO, "launcher delivery how=%s node=%s why=\"%s\"",
                       delivery_word(chosen), lacking->name, delivery_lack_words(lacking->lacks));
    else
        controller_log(c, MLT_LOG_INFO, "launcher delivery how=%s nodes=%u", delivery_word(chosen),
                       count);
}

enum delivery delivery_of_pod(const struct job *job, const char *node)
{
    const struct controller *c = job->controller;
    if (c->config.delivery != DELIVERY_AUTO)
        return c->config.delivery;
    const struct view_node *n = node ? view_node(&c->view, node) : NULL;
    bool can = job->mounts && n && n->lacks == DELIVERY_LACKS_NOTHING;
    return can ? DELIVERY_IMAGE_VOLUME : DELIVERY_INIT_CONTAINER;
}

void delivery_failed(struct job *job, const char *words)
{
    bool was_tried = job->mounts || job->probe_mounts;
    if (job->controller->config.delivery != DELIVERY_AUTO || !was_tried || job->copies)
        return;
    job->copies = true;
    job->mounts = false;
    job_log(job, MLT_LOG_WARNING, "launcher is copied from now on words=\"%s\"", words);
}
