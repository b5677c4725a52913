/* Finds, kills and counts what the ranks have started, wherever it has gone.
 *
 * A grandchild in a session of its own outlives its rank and the rank's process group, so that
 * neither is enough to stop it. Orphans come to us (PID 1, or child subreaper), and /proc is walked
 * again and again until nothing is left. Never kill(-1): in a container that would end `kubectl
 * exec` sessions too. As PID 1 we also inherit *their* orphans, so that being our child proves
 * nothing there; ours is who hangs below a rank, carries the marker in its environment, or shares a
 * session with one that does. */
#ifndef LAUNCHER_REAP_H
#define LAUNCHER_REAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The variable whose value tells this launcher's descendants from others'. */
#define REAP_MARKER "MLTRAIN_LAUNCHER_ID"
#define REAP_SESSIONS_MAX 1024 /* remembered; beyond it only marker and ancestry tell */

struct reap {
    char marker[96];    /* "MLTRAIN_LAUNCHER_ID=..." */
    bool adopts_others; /* PID 1: our children may be nobody of ours */
    pid_t sessions[REAP_SESSIONS_MAX];
    size_t sessions_count;
};

/* Makes the process a child subreaper unless it is PID 1. `id` is the marker's value, at most 64
 * bytes. */
void reap_init(struct reap *r, const char *id);

/* A rank was started: its pid is its session. */
void reap_remember(struct reap *r, pid_t rank);

/* Forgets the sessions: after the last process is gone, for the next attempt. */
void reap_forget(struct reap *r);

/* Sends SIGKILL to each living descendant but `spare` (0: none; a child that is not the ranks') and
 * gives how many there were. 0 means that none is left. -errno when /proc cannot be read. */
int reap_kill_all(struct reap *r, const pid_t *spare, size_t spare_count);

/* The same of what hangs below `root`, a child of ours that leads its session, or is in that
 * session. What was found to have left it is remembered. */
int reap_kill_tree(struct reap *r, pid_t root);

#endif
