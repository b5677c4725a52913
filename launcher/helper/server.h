/* The PMIx server of one pod and one attempt, for a launcher on the other end of a socket.
 *
 * The library has a thread of its own and calls us there. Such a call does nothing but to put what
 * it is about on the heap and its address into a pipe; everything else happens in the one thread
 * that reads the pipe and the socket. */
#ifndef LAUNCHER_HELPER_SERVER_H
#define LAUNCHER_HELPER_SERVER_H

/* Serves until the launcher closes the socket: 0. What cannot go on: a program's exit code, after
 * REFUSED was sent where that could be. `mpi`: file of the ranks' MPI library; "": not known. */
int server_run(int fd, const char *mpi);

#endif
