/* What /proc tells of processes: see proc_look.h. */
#include "launcher/proc_look.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/number.h"

/* ---- parsers ---- */

/* pid (comm) state ppid pgrp session ...; utime is the 14th field, starttime the 22nd. comm may
 * hold anything, parentheses too. */
bool proc_look_parse_stat(const char *text, struct proc_look_process *ret)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    struct proc_look_process p = {0};
    unsigned long long own[2], start;
    long long children[2];
    int pid, parent, session;
    if (!open || !close || close < open || sscanf(text, "%d", &pid) != 1 ||
        sscanf(close + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %*d %*d %llu",
               &p.state, &parent, &session, &own[0], &own[1], &children[0], &children[1],
               &start) != 8)
        return false;
    p.pid = pid;
    p.parent = parent;
    p.session = session;
    p.start = start;
    p.ticks = own[0] + own[1] + (uint64_t)children[0] + (uint64_t)children[1];
    (void)snprintf(p.name, sizeof p.name, "%.*s", (int)(close - open - 1), open + 1);
    *ret = p;
    return true;
}

bool proc_look_parse_catches(const char *status, int signal)
{
    const char *line = strstr(status, "\nSigCgt:");
    if (!line || signal < 1 || signal > 64)
        return false;
    unsigned long long mask = strtoull(line + sizeof "\nSigCgt:" - 1, NULL, 16);
    return mask >> (signal - 1) & 1;
}

const char *proc_look_parse_variable(const char *text, size_t length, const char *name)
{
    size_t name_length = strlen(name);
    for (size_t at = 0; at < length; at += strlen(text + at) + 1)
        if (strncmp(text + at, name, name_length) == 0 && text[at + name_length] == '=')
            return text + at + name_length + 1;
    return NULL;
}

/* ---- readers ---- */

ssize_t proc_look_file(pid_t pid, const char *file, char *buffer, size_t size)
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

bool proc_look_one(pid_t pid, struct proc_look_process *ret)
{
    char text[1024];
    return proc_look_file(pid, "stat", text, sizeof text) > 0 && proc_look_parse_stat(text, ret);
}

static int add(struct proc_look *l, const struct proc_look_process *p)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 256;
        struct proc_look_process *list = realloc(l->list, capacity * sizeof *list);
        if (!list)
            return -ENOMEM;
        l->list = list;
        l->capacity = capacity;
    }
    l->list[l->count++] = *p;
    return 0;
}

int proc_look_walk(struct proc_look *ret)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int rc = 0;
    for (struct dirent *entry = readdir(dir); entry && rc == 0; entry = readdir(dir)) {
        if (!isdigit((unsigned char)entry->d_name[0]) || ret->count >= PROC_LOOK_PROCESSES_MAX)
            continue;
        struct proc_look_process p;
        if (proc_look_one((pid_t)strtol(entry->d_name, NULL, 10), &p))
            rc = add(ret, &p);
    }
    (void)closedir(dir);
    return rc;
}

void proc_look_release(struct proc_look *l)
{
    free(l->list);
    *l = (struct proc_look){0};
}

bool proc_look_signal(const struct proc_look_process *p, int signal)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd < 0)
        return errno == ENOSYS && kill(p->pid, signal) == 0;
    struct proc_look_process again;
    bool sent = proc_look_one(p->pid, &again) && again.start == p->start &&
                syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
    (void)close(fd);
    return sent;
}

/* ---- questions about a tree ---- */

const struct proc_look_process *proc_look_find(const struct proc_look *l, pid_t pid)
{
    for (size_t i = 0; i < l->count; i++)
        if (l->list[i].pid == pid)
            return &l->list[i];
    return NULL;
}

/* The first for which the answer is yes; with `all`, none, and what is below such a one is not
 * asked. */
static const struct proc_look_process *ask_tree(const struct proc_look *l, pid_t root, bool all,
                                                proc_look_question *question, void *arg)
{
    const struct proc_look_process *top = proc_look_find(l, root);
    cleanup_free const struct proc_look_process **queue = malloc((l->count + 1) * sizeof *queue);
    size_t first = 0, count = 0;
    if (top && queue)
        queue[count++] = top;
    while (first < count) {
        const struct proc_look_process *p = queue[first++];
        bool yes = question(arg, p);
        if (yes && !all)
            return p;
        for (size_t i = 0; !yes && i < l->count && count < l->count; i++)
            if (l->list[i].parent == p->pid)
                queue[count++] = &l->list[i];
    }
    return NULL;
}

const struct proc_look_process *proc_look_topmost(const struct proc_look *l, pid_t root,
                                                  proc_look_question *question, void *arg)
{
    return ask_tree(l, root, false, question, arg);
}

void proc_look_each_topmost(const struct proc_look *l, pid_t root, proc_look_question *question,
                            void *arg)
{
    (void)ask_tree(l, root, true, question, arg);
}

struct sum {
    pid_t session;
    uint64_t ticks;
};

/* Asked of each process of the tree: what is in the session is counted by its session. */
static bool add_ticks(void *arg, const struct proc_look_process *p)
{
    struct sum *sum = arg;
    if (p->session != sum->session)
        sum->ticks += p->ticks;
    return false;
}

uint64_t proc_look_ticks(const struct proc_look *l, pid_t root)
{
    struct sum sum = {.session = root};
    for (size_t i = 0; i < l->count; i++)
        if (l->list[i].session == root)
            sum.ticks += l->list[i].ticks;
    (void)proc_look_topmost(l, root, add_ticks, &sum);
    return sum.ticks;
}

static const struct proc_look_process *only_child(const struct proc_look *l, pid_t parent)
{
    const struct proc_look_process *child = NULL;
    for (size_t i = 0; i < l->count; i++) {
        if (l->list[i].parent != parent)
            continue;
        if (child)
            return NULL;
        child = &l->list[i];
    }
    return child;
}

const struct proc_look_process *proc_look_worker(const struct proc_look *l, pid_t root,
                                                 proc_look_question *waits, void *arg)
{
    const struct proc_look_process *p = proc_look_find(l, root);
    for (size_t depth = 0; p && depth < l->count; depth++) {
        const struct proc_look_process *child = only_child(l, p->pid);
        if (!child || !waits(arg, p))
            break;
        p = child;
    }
    return p;
}

void proc_look_wait_channel(pid_t pid, char *text, size_t size)
{
    if (proc_look_file(pid, "wchan", text, size) < 0 || strcmp(text, "0") == 0)
        text[0] = '\0';
}

bool proc_look_waits(void *arg, const struct proc_look_process *p)
{
    static const char *const shells[] = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"};
    char channel[64];
    (void)arg;
    proc_look_wait_channel(p->pid, channel, sizeof channel);
    if (channel[0])
        return strcmp(channel, "do_wait") == 0;
    bool is_shell = false;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(shells); i++)
        is_shell = is_shell || strcmp(p->name, shells[i]) == 0;
    return is_shell && p->state == 'S';
}

bool proc_look_catches(void *arg, const struct proc_look_process *p)
{
    char status[PROC_LOOK_STATUS_MAX];
    return proc_look_file(p->pid, "status", status, sizeof status) > 0 &&
           proc_look_parse_catches(status, *(const int *)arg);
}

/* torchrun gives TORCHELASTIC_USE_AGENT_STORE to what it starts, and mltrain to nobody (torch/
 * distributed/elastic/agent/server/local_elastic_agent.py, rank_env.c). */
uint32_t proc_look_local_rank(pid_t pid)
{
    cleanup_free char *text = malloc(PROC_LOOK_ENVIRONMENT_MAX);
    ssize_t length = text ? proc_look_file(pid, "environ", text, PROC_LOOK_ENVIRONMENT_MAX) : -1;
    int64_t rank;
    if (length <= 0 ||
        !proc_look_parse_variable(text, (size_t)length, "TORCHELASTIC_USE_AGENT_STORE"))
        return PROC_LOOK_LOCAL_RANK_NONE;
    const char *value = proc_look_parse_variable(text, (size_t)length, "LOCAL_RANK");
    if (!value || mlt_parse_integer(value, 0, UINT32_MAX - 1, &rank, NULL) < 0)
        return PROC_LOOK_LOCAL_RANK_NONE;
    return (uint32_t)rank;
}
