/* The shim of one pod: holds its sandbox, logs and exit codes while agents come and go.
 *
 * It is a program's main, called by localcluster/main.c for `mltrain-localcluster shim`, and its
 * arguments are private between the agent and itself. */
#ifndef LOCALCLUSTER_SHIM_SHIM_H
#define LOCALCLUSTER_SHIM_SHIM_H

/* Runs the shim until the agent tells it to leave. argv[0] is the word "shim".
 * Returns the exit code of the process: 0, 1 after an error, 64 for bad arguments. */
int shim_main(int argc, char **argv);

#endif
