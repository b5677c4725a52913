/* `mltrain-launcher rsh HOST COMMAND...`: runs a command in another pod of the job, in the
 * foreground (launcher/remote.h). */
#ifndef LAUNCHER_REMOTE_CALL_H
#define LAUNCHER_REMOTE_CALL_H

/* `argv`: the words behind `rsh`, ends with NULL. Its exit code: the command's, 128 + n when signal
 * n ended it, REMOTE_EXIT_FAILED with words on stderr when it could not be run or not to its end.
 */
int remote_call(char *const *argv);

/* Waits until it is killed. */
int remote_keep(void);

#endif
