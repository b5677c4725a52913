/* The launcher's end of MLTRAIN_SOCKET: a Unix socket that training programs of this pod connect to
 * (sdk/socket_message.h). Knows nothing of ranks but their numbers: who may speak, and what follows
 * from it, is the owner's business.
 *
 * A client cannot hurt the launcher: it has one bounded buffer, is read a piece at a time, loses
 * its connection for the first line that is none, and nothing ever waits for it. What it is sent of
 * an exchange is kept once for all and written as it reads. */
#ifndef LAUNCHER_SDK_SOCKET_H
#define LAUNCHER_SDK_SOCKET_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "launcher/sdk_bytes.h"
#include "lib/base/error.h"
#include "rendezvous/message.h"
#include "sdk/socket_message.h"

#define SDK_SOCKET_NAME "sdk.sock"
#define SDK_SOCKET_CONNECTIONS_MAX 512 /* a rank and its helpers; each a descriptor and 9 KiB */
#define SDK_SOCKET_PER_RANK_MAX 8      /* beyond either, a connection is closed without a word */
#define SDK_SOCKET_BACKLOG RENDEZVOUS_RANKS_PER_MEMBER_MAX /* ranks that start at once */
#define SDK_SOCKET_PASSES_MAX 64 /* of sdk_socket_read(): 512 KiB of each connection */
#define SDK_SOCKET_PAUSE_MS 1000 /* after an accept() that failed, as without descriptors */

struct sdk_socket_ops {
    /* May the program speak for this rank? NULL, or the words why not. Its rank is below
     * RENDEZVOUS_RANKS_PER_MEMBER_MAX then. */
    const char *(*hello)(void *arg, const struct sdk_message *hello);
    /* The last report of all that came at once. */
    void (*reported)(void *arg, uint32_t rank, int64_t step, int64_t total);
    void (*asked)(void *arg, uint32_t rank, int64_t step);
    void (*unasked)(void *arg, uint32_t rank); /* the connection that asked is closed */
    void (*committed)(void *arg, uint32_t rank, int64_t step, const char *path);
    /* A GATHER, PUT, GET or REMOTE, the only one of its connection at a time: sdk_socket_reply() is
     * owed. `world`: as its HELLO has said.
     */
    void (*exchange)(void *arg, uint64_t connection, uint64_t world, uint32_t rank,
                     const struct sdk_message *message);
    void (*gone)(void *arg, uint64_t connection); /* ... before the reply */
};

struct sdk_socket;

/* Makes `dir`/SDK_SOCKET_NAME (one that a former launcher has left is replaced) and listens; every
 * user of the pod may connect. -ENAMETOOLONG when the path is too long for a socket, -errno. */
int sdk_socket_new(uv_loop_t *loop, const char *dir, const struct sdk_socket_ops *ops, void *arg,
                   struct sdk_socket **ret, struct mlt_error *err) MLT_MUST_USE;

/* For MLTRAIN_SOCKET; "" without a socket (NULL). */
const char *sdk_socket_path(const struct sdk_socket *s);

/* Reads what programs have sent up to now, as the loop would do later; also those that connect. */
void sdk_socket_read(struct sdk_socket *s);

/* Answers who asked last for this rank, if the question still stands. Without a socket (NULL), as
 * the following, nothing is done. */
void sdk_socket_answer(struct sdk_socket *s, uint32_t rank, bool save);

/* Replies to a connection that asked for an exchange: a line with its newline, of less than
 * SDK_ANSWER_MAX bytes, and bytes that follow it (NULL: none; referred to until they are out). One
 * that is closed, or was replied to, gets nothing. */
void sdk_socket_reply(struct sdk_socket *s, uint64_t connection, const char *line,
                      struct sdk_bytes *body);

/* Another attempt begins: what is connected belongs to the last one, and is closed without a word.
 */
void sdk_socket_restart(struct sdk_socket *s);

/* Takes the file away; the rest goes with the program. */
void sdk_socket_remove(struct sdk_socket *s);

#endif
