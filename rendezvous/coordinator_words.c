/* Words for people about a failure: which rank, where, what happened. */
#include "rendezvous/coordinator_internal.h"

#include <stdio.h>
#include <string.h>

static void say_what(const struct coordinator *c, struct mlt_text *t, const struct failure *f,
                     const char *lost_words)
{
    const char *name;
    switch (f->cause) {
    case RENDEZVOUS_CAUSE_LAUNCHER_LOST:
        mlt_text_printf(t, "was lost: %.512s", lost_words);
        break;
    case RENDEZVOUS_CAUSE_OUT_OF_MEMORY:
        mlt_text_puts(t, "ran out of memory");
        if (f->rank < 0)
            mlt_text_printf(t, ": %.512s", lost_words);
        break;
    case RENDEZVOUS_CAUSE_EXEC_FAILED:
        name = strerrordesc_np(f->code);
        mlt_text_printf(t, "could not be started: %s", name ? name : "unknown error");
        break;
    case RENDEZVOUS_CAUSE_FENCED:
        mlt_text_printf(t,
                        "was stopped by its fence: its launcher heard nothing of a controller "
                        "for %u s",
                        c->welcome.welcome.fence_ms / 1000);
        break;
    case RENDEZVOUS_CAUSE_KILLED_BY_US:
        mlt_text_puts(t, "was stopped by its launcher");
        break;
    default:
        if (!f->signal) {
            mlt_text_printf(t, "exited with code %d", f->code);
            break;
        }
        name = sigabbrev_np(f->signal);
        mlt_text_printf(t, "was killed by signal %d (SIG%s)%s", f->signal, name ? name : "?",
                        f->cause == RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE ? " from outside" : "");
    }
}

void failure_words(const struct coordinator *c, struct failure *f, const char *lost_words)
{
    const struct seat *s = &c->seats[f->seat];
    struct mlt_text t = MLT_TEXT_INIT(RENDEZVOUS_REASON_MAX - 1);
    if (f->rank >= 0)
        mlt_text_printf(&t, "rank %lld (%s %u", (long long)f->rank, s->role, s->slot);
    else
        mlt_text_printf(&t, "%s %u", s->role, s->slot);
    if (f->node[0])
        mlt_text_printf(&t, " on %s", f->node);
    mlt_text_puts(&t, f->rank >= 0 ? ") " : " ");
    say_what(c, &t, f, lost_words);
    (void)snprintf(f->words, sizeof f->words, "%s", mlt_text_string(&t));
    mlt_text_release(&t);
}
