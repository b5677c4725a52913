/* The node agent of the one-machine cluster: registers one Node and runs the pods bound to it.
 *
 * It is a program's main, called by localcluster/main.c for `mltrain-localcluster agent`. */
#ifndef LOCALCLUSTER_AGENT_AGENT_H
#define LOCALCLUSTER_AGENT_AGENT_H

/* Runs the agent until SIGTERM or SIGINT. argv[0] is the word "agent"; `--help` lists the options.
 * Pods survive the end of the agent; the next agent on the same folder adopts them. With
 * `--stop-pods` it instead ends every pod of the node and returns.
 * Returns the exit code of the process: 0, 1 after an error (one line on stderr), 64 for bad
 * arguments. */
int agent_main(int argc, char **argv);

#endif
