/* Words for the numbers of why.c: one sentence, the same for the same numbers. */
#include "gang/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/number.h"

/* A sentence that grows within GANG_REASON_MAX; what does not fit is cut. */
struct sentence {
    char *text;
    size_t length;
    const struct gang_names *names;
};

static void say(struct sentence *s, const char *format, ...) MLT_PRINTF(2, 3);

static void say(struct sentence *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int written = vsnprintf(s->text + s->length, GANG_REASON_MAX - s->length, format, args);
    va_end(args);
    if (written > 0)
        s->length += (size_t)written;
    if (s->length > GANG_REASON_MAX - 1)
        s->length = GANG_REASON_MAX - 1;
}

static void say_number(struct sentence *s, uint32_t resource, int64_t amount)
{
    char text[MLT_QUANTITY_TEXT_MAX];
    if (resource == GANG_CPU_MILLI)
        mlt_quantity_format_milli(amount, text);
    else if (resource == GANG_MEMORY)
        mlt_bytes_for_people(amount, text);
    else
        (void)snprintf(text, sizeof text, "%" PRId64, amount);
    say(s, "%s", text);
}

static void say_amount(struct sentence *s, const struct gang *g, uint32_t resource, int64_t amount)
{
    static const char *const names[GANG_DEVICE_0] = {"cpu", "memory", "pods per node"};
    say_number(s, resource, amount);
    say(s, " %s",
        resource < GANG_DEVICE_0 ? names[resource] : g->device_names[resource - GANG_DEVICE_0]);
}

static void say_name(struct sentence *s, uint64_t job, gang_job_name_f *name, void *arg)
{
    const char *text = name ? name(arg, job) : NULL;
    if (text)
        say(s, "%s", text);
    else
        say(s, "job %" PRIu64, job);
}

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

/* "4 pods x 8 nvidia.com/gpu" */
static void say_need(struct sentence *s, const struct gang *g, const struct gang_why *why)
{
    if (why->pod != GANG_NO_POD)
        say(s, "a new place for pod %u: ", why->pod);
    say(s, "needs %u pod%s", why->pods_asked, plural(why->pods_asked));
    if (why->resource != GANG_PODS) {
        say(s, " x ");
        say_amount(s, g, why->resource, why->asked);
    }
}

/* "a pod needs 8 nvidia.com/gpu, 16 cpu and 64.0 GiB memory on one node" */
static void say_whole_request(struct sentence *s, const struct gang *g, const struct gang_why *why)
{
    uint32_t asked = 0, said = 0;
    for (uint32_t r = 0; r < g->resources; r++)
        asked += why->request[r] > 0 && r != GANG_PODS;
    say(s, "one pod needs ");
    for (uint32_t i = 0; i < g->resources; i++) {
        uint32_t r = (i + GANG_DEVICE_0) % g->resources; /* devices first */
        if (why->request[r] <= 0 || r == GANG_PODS)
            continue;
        say(s, "%s", said == 0 ? "" : said + 1 == asked ? " and " : ", ");
        say_amount(s, g, r, why->request[r]);
        said++;
    }
    say(s, " on one node");
}

static void say_holders(struct sentence *s, const struct gang_why *why, gang_job_name_f *name,
                        void *arg)
{
    if (why->holders_count) {
        say(s, "; ");
        say_number(s, why->resource, why->held_by_gangs);
        say(s, " held by %u job%s (", why->holders_count, plural(why->holders_count));
        for (uint32_t i = 0; i < why->holders_count && i < GANG_HOLDERS_MAX; i++) {
            say(s, "%s", i ? ", " : "");
            say_name(s, why->holders[i].job, name, arg);
            say(s, name ? " " : ": ");
            say_number(s, why->resource, why->holders[i].amount);
        }
        say(s, "%s)", why->holders_count > GANG_HOLDERS_MAX ? ", ..." : "");
    }
    if (why->held_by_others) {
        say(s, "; ");
        say_number(s, why->resource, why->held_by_others);
        say(s, " used by other pods");
    }
}

/* "1 avoided after trouble for 12 s more" */
static void say_avoided(struct sentence *s, const struct gang_why *why)
{
    int64_t seconds = (why->avoided_ms + 999) / 1000;
    say(s, "avoided after trouble");
    if (why->nodes_avoided == 1)
        say(s, " for %" PRId64 " s more", seconds);
    else if (why->nodes_avoided)
        say(s, ", the first for %" PRId64 " s more", seconds);
}

static void say_nodes(struct sentence *s, const struct gang_why *why)
{
    if (why->nodes_unschedulable)
        say(s, "; %u of its %u nodes %s not schedulable now", why->nodes_unschedulable,
            why->nodes_allowed, why->nodes_unschedulable == 1 ? "is" : "are");
    if (why->nodes_avoided) {
        say(s, "; %u node%s ", why->nodes_avoided, plural(why->nodes_avoided));
        say_avoided(s, why);
    }
}

/* ", in one rack: rack 7 has the most room, for 3 such pods" */
static void say_domain(struct sentence *s, const struct gang *g, const struct gang_why *why)
{
    const char *level = g->fits_topology.level[why->level].name, *name = NULL;
    say(s, "; all pods have to be in one %s", level);
    if (why->largest_domain == GANG_NO_DOMAIN) {
        say(s, ", and none has room for one of them");
        return;
    }
    if (s->names->domain)
        name = s->names->domain(s->names->arg, why->level, why->largest_domain);
    if (name)
        say(s, ", and %s %s", level, name);
    else
        say(s, ", and %s %u", level, why->largest_domain);
    say(s, ", which has the most room, holds %" PRIu64 " of them", why->largest_domain_pods);
}

static void say_no_room(struct sentence *s, const struct gang *g, const struct gang_why *why,
                        gang_job_name_f *name, void *arg)
{
    say_need(s, g, why);
    if (why->nodes_unschedulable + why->nodes_avoided >= why->nodes_allowed) {
        say(s, "; no node can be used now (of %u: %u not schedulable, %u ", why->nodes_allowed,
            why->nodes_unschedulable, why->nodes_avoided);
        say_avoided(s, why);
        say(s, ")");
        return;
    }
    say(s, "; ");
    say_number(s, why->resource, why->free);
    say(s, " of ");
    say_number(s, why->resource, why->total);
    say(s, why->resource == GANG_PODS ? " places for pods free" : " free");
    if (why->pods_fit == 0 && why->free >= why->asked && !why->together) {
        say(s, ", at most ");
        say_number(s, why->resource, why->largest);
        say(s, " on one node");
    } else if (why->pods_fit == 0) {
        say(s, ", no such pod fits now");
    } else if (why->kind == GANG_WHY_TOPOLOGY) {
        say_domain(s, g, why);
    } else if (!why->with_other_roles) {
        say(s, ", at most %" PRIu64 " such pod%s fit%s now", why->pods_fit, plural(why->pods_fit),
            why->pods_fit == 1 ? "s" : "");
    } else {
        say(s, ", not enough together with its other roles");
    }
    if (why->together) {
        say(s, "; ");
        say_whole_request(s, g, why);
    }
    say_holders(s, why, name, arg);
    say_nodes(s, why);
}

static void say_too_large(struct sentence *s, const struct gang *g, const struct gang_why *why)
{
    if (why->nodes == 0) {
        say(s, "no node is known yet");
    } else if (why->nodes_allowed == 0) {
        say(s, "none of the %u node%s may be used by it", why->nodes, plural(why->nodes));
    } else if (why->asked > why->largest) {
        say(s, "needs ");
        say_amount(s, g, why->resource, why->asked);
        say(s, " on one node; the largest node has ");
        say_number(s, why->resource, why->largest);
    } else if (why->pods_fit == 0) {
        say_whole_request(s, g, why);
        say(s, "; no node has all of it");
    } else if (why->level && why->largest_domain_pods < why->pods_asked) {
        say_need(s, g, why);
        say_domain(s, g, why);
        say(s, " when it is empty");
    } else if (why->with_other_roles) {
        say_need(s, g, why);
        say(s, "; the empty cluster cannot hold them together with its other roles");
    } else {
        say_need(s, g, why);
        say(s, "; the empty cluster holds at most %" PRIu64 " such pod%s, it has ", why->pods_fit,
            plural(why->pods_fit));
        say_number(s, why->resource, why->total);
    }
}

static void say_queue_name(struct sentence *s, const struct gang_why *why)
{
    const char *name = s->names->queue ? s->names->queue(s->names->arg, why->queue) : NULL;
    if (name)
        say(s, "queue %s", name);
    else
        say(s, "queue %u", why->queue);
}

static void say_quota(struct sentence *s, const struct gang *g, const struct gang_why *why)
{
    say_queue_name(s, why);
    if (why->never_enough) {
        say(s, " may never use more than ");
        say_amount(s, g, why->resource, why->limit);
        say(s, "; needs ");
    } else {
        say(s, " uses ");
        say_number(s, why->resource, why->used);
        say(s, " of ");
        say_amount(s, g, why->resource, why->limit);
        say(s, " that it may use now; needs ");
    }
    say_number(s, why->resource, why->asked_in_all);
}

static void say_queue(struct sentence *s, const struct gang_why *why)
{
    say_queue_name(s, why);
    if (why->time_limit_max_ms)
        say(s, " lets no job run longer than %" PRId64 " s; ", why->time_limit_max_ms / 1000);
    else
        say(s, " runs %" PRId64 " of at most %" PRId64 " jobs", why->used, why->limit);
    if (why->time_limit_max_ms && why->asked_in_all)
        say(s, "its limit is %" PRId64 " s", why->asked_in_all / 1000);
    else if (why->time_limit_max_ms)
        say(s, "it has no limit");
}

static void say_any(struct sentence *s, const struct gang *g, const struct gang_why *why,
                    gang_job_name_f *name, void *arg)
{
    switch (why->kind) {
    case GANG_WHY_TOO_LARGE:
        say_too_large(s, g, why);
        break;
    case GANG_WHY_QUOTA:
        say_quota(s, g, why);
        break;
    case GANG_WHY_QUEUE:
        say_queue(s, why);
        break;
    case GANG_WHY_RESERVED:
        say(s, "there is room, but the start of ");
        say_name(s, why->blocked_by, name, arg);
        say(s, " is reserved there, and would become later");
        break;
    case GANG_WHY_STOPPING:
        say(s, "%" PRIu64 " job%s asked to leave for it %s not left yet", why->pods_fit,
            plural(why->pods_fit), why->pods_fit == 1 ? "has" : "have");
        break;
    case GANG_WHY_BEHIND:
    case GANG_WHY_NO_ROOM:
    case GANG_WHY_OTHERS:
    case GANG_WHY_TOPOLOGY:
        say_no_room(s, g, why, name, arg);
        break;
    }
}

void gang_why_write_named(const struct gang *g, const struct gang_why *why,
                          const struct gang_names *names, char *text)
{
    struct sentence s = {.text = text, .names = names};
    text[0] = '\0';
    if (why->kind != GANG_WHY_BEHIND) {
        say_any(&s, g, why, names->job, names->arg);
        return;
    }
    say(&s, "waits behind ");
    say_name(&s, why->blocked_by, names->job, names->arg);
    say(&s, why->first_in_order ? " (first in order)" : " (before it in order)");
    if (why->blocker) {
        say(&s, ", which ");
        say_any(&s, g, why->blocker, names->job, names->arg);
    }
}

void gang_why_write(const struct gang *g, const struct gang_why *why, gang_job_name_f *name,
                    void *arg, char *text)
{
    gang_why_write_named(g, why, &(struct gang_names){.arg = arg, .job = name}, text);
}
