/* What /proc tells of processes: pure parsers of its texts, thin readers, and questions about the
 * tree below a process. Formats: proc(5). */
#ifndef LAUNCHER_PROC_LOOK_H
#define LAUNCHER_PROC_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_LOOK_PROCESSES_MAX 65536           /* looked at in one walk */
#define PROC_LOOK_ENVIRONMENT_MAX (256u * 1024) /* bytes of one /proc/PID/environ */
#define PROC_LOOK_STATUS_MAX 8192               /* bytes of one /proc/PID/status */
#define PROC_LOOK_NAME_MAX 16                   /* TASK_COMM_LEN */
#define PROC_LOOK_LOCAL_RANK_NONE UINT32_MAX

struct proc_look_process {
    pid_t pid, parent, session;
    char state;
    char name[PROC_LOOK_NAME_MAX];
    uint64_t start; /* clock ticks since boot: tells a pid from its next owner */
    uint64_t ticks; /* CPU time, its own and that of children it has waited for */
    bool marked;    /* the reader's own */
};

/* All processes of one walk; starts zeroed. */
struct proc_look {
    struct proc_look_process *list;
    size_t count, capacity;
};

/* ---- parsers ---- */

/* /proc/PID/stat. False when it is none. */
bool proc_look_parse_stat(const char *text, struct proc_look_process *ret);

/* Does the process of this /proc/PID/status have a handler for the signal? */
bool proc_look_parse_catches(const char *status, int signal);

/* The value of a variable in NAME=value strings that each end with NUL; NULL when it is not there.
 * `text` ends with a NUL behind its `length` bytes. */
const char *proc_look_parse_variable(const char *text, size_t length, const char *name);

/* ---- readers ---- */

/* Reads /proc/PID/FILE, at most size - 1 bytes, and ends them with a NUL. Its length, -errno. */
ssize_t proc_look_file(pid_t pid, const char *file, char *buffer, size_t size);

/* One process; false when it is gone. */
bool proc_look_one(pid_t pid, struct proc_look_process *ret);

/* Takes a walk. -errno; whatever was found before is in *ret. */
int proc_look_walk(struct proc_look *ret);
void proc_look_release(struct proc_look *l);

/* A signal to this very process: its pid may have a new owner since. False when it is gone. */
bool proc_look_signal(const struct proc_look_process *p, int signal);

/* ---- questions about a tree ---- */

/* NULL when the pid is not there. */
const struct proc_look_process *proc_look_find(const struct proc_look *l, pid_t pid);

/* Asked of processes from the top of a tree down, level by level. */
typedef bool proc_look_question(void *arg, const struct proc_look_process *p);

/* The topmost process of the tree of `root` for which the answer is yes; NULL when there is none,
 * or memory is short. */
const struct proc_look_process *proc_look_topmost(const struct proc_look *l, pid_t root,
                                                  proc_look_question *question, void *arg);

/* Asks all processes of the tree of `root`, but not those below one with the answer yes. */
void proc_look_each_topmost(const struct proc_look *l, pid_t root, proc_look_question *question,
                            void *arg);

/* CPU time of a tree, and of what has left it but is still in the session that `root` leads. */
uint64_t proc_look_ticks(const struct proc_look *l, pid_t root);

/* From `root` down as long as a process does nothing but wait for its only child, as a shell
 * does; `waits` says whether one does. */
const struct proc_look_process *proc_look_worker(const struct proc_look *l, pid_t root,
                                                 proc_look_question *waits, void *arg);

/* Does it wait for a child? By its wait channel; a shell that sleeps with a wait channel that is
 * not told counts as waiting. For proc_look_worker(). */
bool proc_look_waits(void *arg, const struct proc_look_process *p);

/* The kernel function that it sleeps in; "" for none or not told. `size` bytes. */
void proc_look_wait_channel(pid_t pid, char *text, size_t size);

/* For proc_look_topmost(): *arg, an int, is a signal that it catches. */
bool proc_look_catches(void *arg, const struct proc_look_process *p);

/* LOCAL_RANK of a process that torchrun has started, or of one below it;
 * PROC_LOOK_LOCAL_RANK_NONE when torchrun has not, or its environment cannot be read. */
uint32_t proc_look_local_rank(pid_t pid);

#endif
