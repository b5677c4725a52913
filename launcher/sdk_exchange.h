/* What programs of this pod exchange with other ranks by libmltrain (sdk/mltrain.h): gathers, and
 * values that are put and got. Pure: the ranks of a pod take part in a gather as one member of the
 * exchange (launcher/exchange.h), when the last of them has come. What goes out goes through a
 * table of calls.
 *
 * Rounds. The first gather of a name that a rank begins meets the first of all others, and so on.
 * The time of a round is over when that of the first rank is that came; then the pod takes part all
 * the same, and says which of its ranks were missing: so that all ranks of the job learn it, and
 * the next round is the same one everywhere. Who comes to a round that is over hears so at once.
 *
 * A rank that has ended comes to nothing more. A round that it has not come to is over for the
 * ranks here as soon as one of them waits in it, and the pod says so to the others when they come.
 *
 * A connection that closes wants no answer: what it gave stays given. */
#ifndef LAUNCHER_SDK_EXCHANGE_H
#define LAUNCHER_SDK_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "launcher/exchange.h"
#include "launcher/sdk_bytes.h"
#include "sdk/socket_message.h"

#define SDK_EXCHANGE_NAMES_MAX 1024 /* names of gathers in one attempt */
#define SDK_EXCHANGE_WORDS_MAX 200  /* bytes of why a pod cannot take part */
#define SDK_EXCHANGE_LAST_MS 3000   /* for the others to hear that a rank of this pod is missing */
#define SDK_EXCHANGE_MISSING_TOLD 8 /* ranks that such words name; then how many more */

/* `tag` comes back with the result. Results as in launcher/exchange.h. */
struct sdk_exchange_ops {
    int (*gather)(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
                  int64_t time_ms, struct mlt_error *err);
    int (*put)(void *arg, uint64_t tag, const char *name, const void *data, size_t length,
               struct mlt_error *err);
    int (*get)(void *arg, uint64_t tag, const char *name, int64_t time_ms, struct mlt_error *err);
    void (*cancel)(void *arg, uint64_t tag);
    /* The answer to the question of a connection: a line with its newline, and bytes that follow it
     * (NULL: none), which the receiver refers to when it keeps them. */
    void (*answer)(void *arg, uint64_t connection, const char *line, struct sdk_bytes *body);
    /* sdk_exchange_timer() after so long; replaces the former one. Negative: stop. */
    void (*timer)(void *arg, int64_t delay_ms);
};

struct sdk_exchange;

struct sdk_exchange *sdk_exchange_new(const struct sdk_exchange_ops *ops,
                                      void *arg); /* NULL: no memory */
void sdk_exchange_free(struct sdk_exchange *x);

/* An attempt begins with `ranks` ranks here, whose numbers in the world go from `rank_base`: all
 * before is forgotten. */
void sdk_exchange_begin(struct sdk_exchange *x, uint32_t ranks, uint32_t rank_base);

/* The same of ranks that MPI's own starter has numbered: each number is told by _number(), before
 * the rank asks. False when it is another one than was told before. */
void sdk_exchange_begin_unnumbered(struct sdk_exchange *x, uint32_t ranks);
bool sdk_exchange_number(struct sdk_exchange *x, uint32_t rank, uint32_t number);

/* A rank has ended well, and all that it had said before was asked here: what it has not come to
 * fails for the others at once, also what they begin later. One that has failed ends the attempt
 * anyway, and the errors of the others would only hide it. */
void sdk_exchange_rank_ended(struct sdk_exchange *x, uint32_t rank, int64_t now_ms);

/* A GATHER, PUT or GET of local rank `rank`; `connection` is not 0 and not used again. There will
 * be one answer, perhaps at once. */
void sdk_exchange_ask(struct sdk_exchange *x, uint64_t connection, uint32_t rank,
                      const struct sdk_message *message, int64_t now_ms);

/* The connection is closed. One that has asked nothing is fine. */
void sdk_exchange_gone(struct sdk_exchange *x, uint64_t connection);

/* An EXCHANGE_DONE for EXCHANGE_USER_SDK. */
void sdk_exchange_done(struct sdk_exchange *x, const struct exchange_output *output,
                       int64_t now_ms);

void sdk_exchange_timer(struct sdk_exchange *x, int64_t now_ms);

#endif
