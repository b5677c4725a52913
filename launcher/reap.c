/* Finds and kills what the ranks have started: see reap.h. */
#include "launcher/reap.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "launcher/proc_look.h"
#include "lib/base/cleanup.h"

void reap_init(struct reap *r, const char *id)
{
    *r = (struct reap){.adopts_others = getpid() == 1};
    (void)snprintf(r->marker, sizeof r->marker, "%s=%.64s", REAP_MARKER, id);
    if (!r->adopts_others)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void reap_remember(struct reap *r, pid_t rank)
{
    for (size_t i = 0; i < r->sessions_count; i++)
        if (r->sessions[i] == rank)
            return;
    if (r->sessions_count < REAP_SESSIONS_MAX)
        r->sessions[r->sessions_count++] = rank;
}

void reap_forget(struct reap *r)
{
    r->sessions_count = 0;
}

/* ---- one walk ---- */

static bool has_marker(const struct reap *r, pid_t pid)
{
    cleanup_free char *text = malloc(PROC_LOOK_ENVIRONMENT_MAX);
    if (!text)
        return false;
    ssize_t length = proc_look_file(pid, "environ", text, PROC_LOOK_ENVIRONMENT_MAX);
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(text + at) + 1)
        if (strcmp(text + at, r->marker) == 0)
            return true;
    return false;
}

static bool is_session_of_ours(const struct reap *r, pid_t session)
{
    for (size_t i = 0; i < r->sessions_count; i++)
        if (r->sessions[i] == session)
            return true;
    return false;
}

static bool is_spared(pid_t pid, const pid_t *spare, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (spare[i] == pid)
            return true;
    return false;
}

/* Marks what hangs below something that is marked. */
static void mark_below(struct proc_look *w, const pid_t *spare, size_t spare_count)
{
    pid_t self = getpid();
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < w->count; i++) {
            struct proc_look_process *p = &w->list[i];
            for (size_t j = 0; !p->marked && p->pid != self && j < w->count; j++)
                if (w->list[j].marked && w->list[j].pid == p->parent)
                    more = p->marked = !is_spared(p->pid, spare, spare_count);
        }
    }
}

static void remember_sessions(struct reap *r, const struct proc_look *w)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->list[i].marked && w->list[i].session > 1 && w->list[i].session != getsid(0))
            reap_remember(r, w->list[i].session);
}

/* Marks our own descendants: first those that can be told by themselves, then what hangs below
 * them. */
static void mark(struct reap *r, struct proc_look *w, const pid_t *spare, size_t spare_count)
{
    pid_t self = getpid();
    for (size_t i = 0; i < w->count; i++) {
        struct proc_look_process *p = &w->list[i];
        if (p->pid == self || is_spared(p->pid, spare, spare_count))
            continue;
        p->marked = is_session_of_ours(r, p->session) ||
                    (p->parent == self && (!r->adopts_others || has_marker(r, p->pid)));
    }
    mark_below(w, spare, spare_count);
    remember_sessions(r, w);
}

static int kill_marked(const struct proc_look *w)
{
    int left = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (!w->list[i].marked || w->list[i].state == 'X')
            continue;
        /* A zombie of ours is left until we have reaped it; one of a process of ours goes with it.
         */
        left++;
        if (w->list[i].state != 'Z')
            (void)proc_look_signal(&w->list[i], SIGKILL);
    }
    return left;
}

int reap_kill_all(struct reap *r, const pid_t *spare, size_t spare_count)
{
    struct proc_look w = {0};
    int rc = proc_look_walk(&w);
    if (rc < 0) {
        proc_look_release(&w);
        return rc;
    }
    mark(r, &w, spare, spare_count);
    int left = kill_marked(&w);
    proc_look_release(&w);
    return left;
}

int reap_kill_tree(struct reap *r, pid_t root)
{
    struct proc_look w = {0};
    int rc = proc_look_walk(&w);
    if (rc < 0) {
        proc_look_release(&w);
        return rc;
    }
    for (size_t i = 0; i < w.count; i++)
        w.list[i].marked = w.list[i].pid == root || w.list[i].session == root;
    mark_below(&w, NULL, 0);
    remember_sessions(r, &w);
    int left = kill_marked(&w);
    proc_look_release(&w);
    return left;
}
