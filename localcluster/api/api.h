/* mltrain-localcluster api: the embedded, Kubernetes-compatible API server of the one-machine
 * cluster. */
#ifndef LOCALCLUSTER_API_API_H
#define LOCALCLUSTER_API_API_H

/* The program `mltrain-localcluster api --dir DIR [--name NAME] [--ready-fd N]`: serves until
 * SIGTERM. Returns the exit code. argv[0] is the program's name for messages. */
int api_main(int argc, char **argv);

#endif
