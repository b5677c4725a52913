/* The launcher's rules of the channel: see member.h. */
#include "rendezvous/member.h"

void member_init(struct member *m, uint64_t seed)
{
    *m = (struct member){0};
    mlt_random_init(&m->random, seed);
}

static enum member_decision refuse(struct member *m, const char **ret_why, const char *why)
{
    m->refusals++;
    *ret_why = why;
    return MEMBER_REFUSE;
}

static enum member_decision
consider_welcome(struct member *m, const struct rendezvous_welcome *welcome, const char **ret_why)
{
    if (welcome->lease_transitions < m->lease_transitions)
        return refuse(m, ret_why, "WELCOME from a controller that no longer leads");
    m->lease_transitions = welcome->lease_transitions;
    return MEMBER_OBEY;
}

static enum member_decision consider_start(struct member *m, uint64_t attempt,
                                           const struct rendezvous_start *start,
                                           const char **ret_why)
{
    if (start->lease_transitions < m->lease_transitions)
        return refuse(m, ret_why, "START from a controller that no longer leads");
    uint64_t digest = rendezvous_start_digest(attempt, start);
    if (attempt == m->started_attempt) {
        if (digest != m->started_digest)
            return refuse(m, ret_why, "a second, different START for the attempt that was started");
        m->lease_transitions = start->lease_transitions;
        *ret_why = "START was obeyed already";
        return MEMBER_IGNORE;
    }
    if (attempt < m->started_attempt)
        return refuse(m, ret_why, "START for an attempt before the one that was started");
    if (m->ready_attempt <= m->started_attempt)
        return refuse(m, ret_why, "START before this launcher said READY");
    if (attempt < m->ready_attempt)
        return refuse(m, ret_why,
                      "START for an attempt before the one that this launcher is ready for");
    m->lease_transitions = start->lease_transitions;
    m->started_attempt = attempt;
    m->started_digest = digest;
    return MEMBER_OBEY;
}

enum member_decision member_consider(struct member *m, const struct rendezvous_message *message,
                                     const char **ret_why)
{
    const char *unused;
    const char **why = ret_why ? ret_why : &unused;
    *why = "";
    switch (message->type) {
    case RENDEZVOUS_WELCOME:
        return consider_welcome(m, &message->welcome, why);
    case RENDEZVOUS_START:
        return consider_start(m, message->attempt, &message->start, why);
    case RENDEZVOUS_STOP:
        if (m->started_attempt == 0 || message->attempt != m->started_attempt)
            return refuse(m, why, "STOP for an attempt that does not run here");
        return MEMBER_OBEY;
    case RENDEZVOUS_CHECKPOINT_NOW:
    case RENDEZVOUS_EXAMINE:
        if (m->started_attempt == 0 || message->attempt != m->started_attempt)
            return refuse(m, why, "an order for an attempt that does not run here");
        return MEMBER_OBEY;
    case RENDEZVOUS_GET:
    case RENDEZVOUS_VALUE:
    case RENDEZVOUS_GATHERED:
        if (m->started_attempt == 0 || message->attempt != m->started_attempt)
            return refuse(m, why, "an exchange of an attempt that does not run here");
        return MEMBER_OBEY;
    case RENDEZVOUS_PING:
    case RENDEZVOUS_EXIT:
    case RENDEZVOUS_REFUSED:
        return MEMBER_OBEY;
    default:
        return refuse(m, why, "a message that only launchers send");
    }
}

int64_t member_reconnect_delay_ms(struct member *m)
{
    /* Exponential with full jitter:
     * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
    int64_t ceiling = MEMBER_RECONNECT_MS_MIN;
    for (unsigned i = 0; i < m->failures && ceiling < MEMBER_RECONNECT_MS_MAX; i++)
        ceiling *= 2;
    if (ceiling > MEMBER_RECONNECT_MS_MAX)
        ceiling = MEMBER_RECONNECT_MS_MAX;
    if (m->failures < 32)
        m->failures++;
    return mlt_random_between(&m->random, 0, ceiling);
}

void member_connected(struct member *m)
{
    m->failures = 0;
}
