/* The launcher's end of the exchange: what a pod says to the other pods of its gang while ranks
 * run. Pure: no clock, no socket. Three things, each scoped to the attempt and to a name:
 *
 *     gather   each member (launcher) gives one blob; all get all blobs, in the order of node
 *              ranks, when the last has come. Empty blobs: a barrier, whose answer is O(1)
 *     put/get  a value under a name, stored by the controller; a get waits for the put
 *     fetch    a value that stays with the member that has it, and comes through the controller
 *              when somebody asks (direct modex)
 *
 * It carries PMIx fences, PMI-1 barriers, NCCL ids and the world-size check. Those who use it
 * (enum exchange_user) have name spaces of their own, so that their names never meet. They call
 * exchange_gather(), _put(), _get(), _fetch() at any time, also from within the handling of a
 * result; what comes of it is an output EXCHANGE_DONE, never more than one, and always one but for
 * those that were cancelled. Nothing here depends on whether the channel stands: what is open is
 * said again with each WELCOME, under the same name, and counted once.
 *
 * Order. Before the answer to a gather comes, everybody's puts that were begun before their part
 * in it can be got: a put, then a gather, then gets that find it (see exchange_get()). Gathers of
 * one name are numbered by their order (one that was refused does not count): the third of "fence"
 * here meets the third of "fence" elsewhere, so all members begin those of one name in the same
 * order, one at a time. Gathers of different names are independent.
 *
 * Failure. A gather fails for all or for none, with these exceptions: a member that runs out of
 * time without a channel knows only of itself; and who lacks the result when the leader changes
 * cannot have it any more when another member is gone, or its time was over in the next gather of
 * that name (EXCHANGE_OVER), or when its own time is over just then. The first member whose time is
 * over makes it fail for all that still wait, and the words name who is missing. A member whose
 * ranks have all ended (or its launcher, for exchange_fetch()) makes fail at once what it has not
 * come to, also what others begin later: EXCHANGE_MEMBER_LOST, and the words name it. The end of
 * the attempt (STOP's grace is over, SIGKILL) ends all that is open with EXCHANGE_ENDED.
 *
 * After a change of leader the next one knows nothing, and the launchers say all again: what is
 * open, their puts, and their part in the last gather of each name, because another member may not
 * have its result yet. They say it with each WELCOME of that leader, a put until it has answered.
 * The part is dropped when the next gather of that name is complete, which tells that everybody has
 * the result. */
#ifndef LAUNCHER_EXCHANGE_H
#define LAUNCHER_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"
#include "rendezvous/message.h"

/* Maxima. Over them: -EMSGSIZE for one that is too large, -ENOSPC for one too many. */
#define EXCHANGE_NAME_MAX 128                        /* bytes of a name */
#define EXCHANGE_VALUE_MAX RENDEZVOUS_VALUE_MAX      /* bytes, gathered or fetched (1 MiB) */
#define EXCHANGE_PUT_MAX RENDEZVOUS_CONTRIBUTION_MAX /* bytes of a value that is put (64 KiB) */
#define EXCHANGE_NAMES_MAX 4096                      /* names of gathers in one attempt */
#define EXCHANGE_PUTS_MAX 16384                      /* of this launcher in one attempt */
#define EXCHANGE_PUT_BYTES_MAX (4u << 20)            /* of them together */
#define EXCHANGE_KEPT_BYTES_MAX (4u << 20)     /* of blobs that are sent, until all have them */
#define EXCHANGE_STAYING_BYTES_MAX (32u << 20) /* of blobs that stay */
#define EXCHANGE_OPEN_MAX 16384                /* gets and fetches that wait */
#define EXCHANGE_FETCHES_MAX 8          /* said to the controller at once; the rest waits here */
#define EXCHANGE_QUESTIONS_MAX 1024     /* of others, not answered yet; more are refused */
#define EXCHANGE_TIME_MS_DEFAULT 300000 /* for time_ms 0 */
#define EXCHANGE_TIME_MS_MAX 86400000
/* A member whose time is over asks who is missing, and waits so long for the words. */
#define EXCHANGE_LAST_WORD_MS 3000

/* Who uses it. XX(NAME, prefix of its names on the wire) */
#define EXCHANGE_USER_MAP(XX)             \
    XX(LAUNCHER, "launcher") /* itself */ \
    XX(PMI1, "pmi1")                      \
    XX(PMIX, "pmix")                      \
    XX(SDK, "sdk")

enum exchange_user {
#define XX(name, prefix) EXCHANGE_USER_##name,
    EXCHANGE_USER_MAP(XX)
#undef XX
        EXCHANGE_USERS
};

/* What came of it. The wire's (enum rendezvous_outcome), and two of our own. */
enum exchange_outcome {
#define XX(name, number, words) EXCHANGE_##name = number,
    RENDEZVOUS_OUTCOME_MAP(XX)
#undef XX
        EXCHANGE_ENDED = 100, /* the attempt has ended here */
    EXCHANGE_UNSUPPORTED,     /* the controller is of an earlier release */
};

struct exchange;

/* ---- for those who use it ---- */

/* Numbers of the caller's choice, returned with the result; those of one user that are open at a
 * time should differ, so that exchange_cancel() finds the right one. */
struct exchange_request {
    enum exchange_user user;
    uint64_t tag;
    const char *name; /* not empty, without NUL; copied */
    int64_t time_ms;  /* until it has failed; 0: EXCHANGE_TIME_MS_DEFAULT */
};

/* Begins a gather. `data` is copied, may be NULL when `length` is 0. `members`: the node ranks
 * (GROUP_RANK; START.node_rank) that take part, ascending, this one among them, the same in each of
 * them; NULL with count 0: all of the gang. Who takes part is a property of the name: all gathers
 * of one name in an attempt should have the same members.
 *
 * A blob above RENDEZVOUS_CONTRIBUTION_MAX stays here: the others' entry of it says how long it is,
 * and exchange_fetch() brings it. Blobs whose sum x members is above COLLECTIVE_RESULT_TOTAL_MAX
 * (64 MiB) or does not fit one frame stay as well: the result is EXCHANGE_TOO_LARGE for all, all
 * have come (it is still a barrier), and exchange_fetch() brings them. Either can be fetched until
 * the fetching member takes part in the next gather of this name.
 *
 * Results: 0; -EINVAL for a bad name or member list; -EMSGSIZE; -ENOSPC; -EBUSY when one of this
 * name is open; -ECANCELED when no attempt runs here; -EOPNOTSUPP when the controller is of an
 * earlier release; -ENOMEM. Then there is no output. */
int exchange_gather(struct exchange *x, const struct exchange_request *request, const void *data,
                    size_t length, const uint32_t *members, size_t members_count, int64_t now_ms,
                    struct mlt_error *err) MLT_MUST_USE;

/* Stores a value for all members of the attempt. EXCHANGE_OK when the controller has it. A name has
 * one writer: the same value from the same member once more is fine, another is EXCHANGE_EXISTS.
 * Results as above; -EEXIST when this launcher has put another value there. */
int exchange_put(struct exchange *x, const struct exchange_request *request, const void *data,
                 size_t length, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;

/* Waits until somebody has put it. time_ms -1: not at all, EXCHANGE_NOT_FOUND; which may be said of
 * what was put as well, in the moment after a change of leader in which its writer has not said it
 * again: where that matters, wait. */
int exchange_get(struct exchange *x, const struct exchange_request *request, int64_t now_ms,
                 struct mlt_error *err) MLT_MUST_USE;

/* Asks member `node_rank`: for its part in gather `sequence` of this name (as the entry of the
 * result says; the member that is asked has it still), or with EXCHANGE_QUESTION_SEQUENCE whatever
 * the user of the same kind there answers (output EXCHANGE_QUESTION). */
#define EXCHANGE_QUESTION_SEQUENCE UINT64_MAX
int exchange_fetch(struct exchange *x, const struct exchange_request *request, uint32_t node_rank,
                   uint64_t sequence, int64_t now_ms, struct mlt_error *err) MLT_MUST_USE;

/* Answers a question. EXCHANGE_OK with data (copied), EXCHANGE_NOT_FOUND, or EXCHANGE_REFUSED. An
 * unknown one, as of an attempt that is over, or that was answered, is ignored. */
void exchange_answer(struct exchange *x, uint64_t question, enum exchange_outcome outcome,
                     const void *data, size_t length);

/* No result is wanted any more (the program that asked is gone). A gather's part still counts; a
 * put stays. */
void exchange_cancel(struct exchange *x, enum exchange_user user, uint64_t tag);

/* ---- what comes out ---- */

#define EXCHANGE_OUTPUT_MAP(XX)                                                               \
    XX(SEND)     /* `data`, `length`: whole frames, for the controller */                     \
    XX(TIMER)    /* exchange_timer() after `delay_ms`; replaces the former; negative: stop */ \
    XX(DONE)     /* user, tag, outcome, words; data, entries, sequence */                     \
    XX(QUESTION) /* user, question, name: exchange_answer() is owed, perhaps later */

enum exchange_output_kind {
#define XX(name) EXCHANGE_DO_##name,
    EXCHANGE_OUTPUT_MAP(XX)
#undef XX
};

/* What one member gave. Members that gave nothing have no entry. */
struct exchange_entry {
    uint32_t node_rank;
    const unsigned char *data; /* NULL when it stays with its member */
    uint32_t length;           /* also of one that stays */
};

struct exchange_output {
    enum exchange_output_kind kind;
    int64_t delay_ms;
    enum exchange_user user;
    uint64_t tag;
    enum exchange_outcome outcome;
    const char *words;         /* DONE, not OK: for people, "" otherwise */
    const unsigned char *data; /* SEND; DONE of a get or a fetch */
    size_t length;
    const struct exchange_entry *entries; /* DONE of a gather: by node rank */
    uint32_t entries_count;
    uint64_t sequence; /* DONE of a gather, for exchange_fetch() */
    uint64_t question;
    const char *name; /* QUESTION: as its asker gave it */
};

/* The next output; false when there is none. What it points to is valid until the next call of
 * exchange_next() or exchange_free(); the other calls may be made meanwhile. */
bool exchange_next(struct exchange *x, struct exchange_output *ret);

/* ---- for the supervisor ---- */

struct exchange *exchange_new(void); /* NULL when memory is exhausted */
void exchange_free(struct exchange *x);

/* START was obeyed: from now on the calls above are taken. With more members than a GATHER can
 * name, or a rank that is none of them, they are not. */
void exchange_begin(struct exchange *x, uint64_t attempt, uint32_t node_rank, uint32_t nodes);
/* The attempt ends here: what is open ends with `words`, what is kept is dropped. */
void exchange_end(struct exchange *x, const char *words);
/* WELCOME was obeyed: what is open is said again. `supported`: WELCOME.takes_exchange;
 * `lease_transitions` tells whether it is another controller, which knows nothing. */
void exchange_welcomed(struct exchange *x, bool supported, uint64_t lease_transitions);
void exchange_closed(struct exchange *x); /* the channel */
/* A GATHERED, VALUE or GET of the attempt that runs; its content is taken over, or left. False: it
 * belongs to nothing that is open, as after a repetition. */
bool exchange_message(struct exchange *x, struct rendezvous_message *message);
void exchange_timer(struct exchange *x, int64_t now_ms);
/* Asserts what must hold between calls. */
void exchange_check(const struct exchange *x);

#endif
