/* Finds and kills what the ranks have started: see reap.h. */
#include "launcher/reap.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

#define ENVIRONMENT_MAX (256u * 1024) /* bytes of one /proc/PID/environ */

struct process {
    pid_t pid, parent, session;
    unsigned long long start; /* clock ticks since boot: tells a pid from its next owner */
    char state;
    bool ours;
};

struct walk {
    struct process *list;
    size_t count, capacity;
};

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

static ssize_t read_proc(pid_t pid, const char *file, char *buffer, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t length = 0;
    while (length < size - 1) {
        ssize_t n = read(fd, buffer + length, size - 1 - length);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    buffer[length] = '\0';
    return (ssize_t)length;
}

/* proc(5): pid (comm) state ppid pgrp session ... starttime is the 22nd. comm may hold anything. */
static bool read_stat(pid_t pid, struct process *ret)
{
    char text[1024];
    if (read_proc(pid, "stat", text, sizeof text) <= 0)
        return false;
    const char *after = strrchr(text, ')');
    int parent, session;
    if (!after ||
        sscanf(after + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
               "%llu",
               &ret->state, &parent, &session, &ret->start) != 4)
        return false;
    ret->pid = pid;
    ret->parent = parent;
    ret->session = session;
    return true;
}

static int add(struct walk *w, const struct process *p)
{
    if (w->count == w->capacity) {
        size_t capacity = w->capacity ? w->capacity * 2 : 256;
        struct process *list = realloc(w->list, capacity * sizeof *list);
        if (!list)
            return -ENOMEM;
        w->list = list;
        w->capacity = capacity;
    }
    w->list[w->count++] = *p;
    return 0;
}

static int read_all(struct walk *w)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        if (!isdigit((unsigned char)entry->d_name[0]) || w->count >= REAP_PROCESSES_MAX)
            continue;
        struct process p = {0};
        if (read_stat((pid_t)strtol(entry->d_name, NULL, 10), &p))
            rc = add(w, &p);
    }
    (void)closedir(dir);
    return rc;
}

static bool has_marker(const struct reap *r, pid_t pid)
{
    cleanup_free char *text = malloc(ENVIRONMENT_MAX);
    if (!text)
        return false;
    ssize_t length = read_proc(pid, "environ", text, ENVIRONMENT_MAX);
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

/* Marks our own descendants: first those that can be told by themselves, then what hangs below
 * them. */
static void mark(struct reap *r, struct walk *w, const pid_t *spare, size_t spare_count)
{
    pid_t self = getpid();
    for (size_t i = 0; i < w->count; i++) {
        struct process *p = &w->list[i];
        if (p->pid == self || is_spared(p->pid, spare, spare_count))
            continue;
        p->ours = is_session_of_ours(r, p->session) ||
                  (p->parent == self && (!r->adopts_others || has_marker(r, p->pid)));
    }
    bool more = true;
    while (more) {
        more = false;
        for (size_t i = 0; i < w->count; i++) {
            struct process *p = &w->list[i];
            for (size_t j = 0; !p->ours && p->pid != self && j < w->count; j++)
                if (w->list[j].ours && w->list[j].pid == p->parent)
                    more = p->ours = !is_spared(p->pid, spare, spare_count);
        }
    }
    for (size_t i = 0; i < w->count; i++)
        if (w->list[i].ours && w->list[i].session > 1 && w->list[i].session != getsid(0))
            reap_remember(r, w->list[i].session);
}

/* SIGKILL to this very process: a pid may have a new owner since it was read. */
static void kill_exactly(const struct process *p)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd < 0) {
        if (errno == ENOSYS)
            (void)kill(p->pid, SIGKILL);
        return;
    }
    struct process again = {0};
    if (read_stat(p->pid, &again) && again.start == p->start)
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    (void)close(fd);
}

int reap_kill_all(struct reap *r, const pid_t *spare, size_t spare_count)
{
    struct walk w = {0};
    int rc = read_all(&w);
    if (rc < 0) {
        free(w.list);
        return rc;
    }
    mark(r, &w, spare, spare_count);
    int left = 0;
    for (size_t i = 0; i < w.count; i++) {
        if (!w.list[i].ours || w.list[i].state == 'X')
            continue;
        /* A zombie of ours is left until we have reaped it; one of a process of ours goes with it.
         */
        left++;
        if (w.list[i].state != 'Z')
            kill_exactly(&w.list[i]);
    }
    free(w.list);
    return left;
}
