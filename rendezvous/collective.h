/* The controller's side of the exchange between the members of one attempt: gathers (a barrier is
 * one without data), values that are put and got, and values that stay with their member and are
 * passed on when another asks. launcher/exchange.h says what that is to its users. Pure: messages
 * in, frames out, no time: who waits for too long says so himself (GATHERED with words for all).
 *
 * A gather is counted by name and sequence: it is complete when each member that takes part has
 * said GATHER, however often. Of each name the two latest are kept, because a member may come back
 * and ask for the last one while others are in the next; in the one after that nobody can be, but
 * after gathers whose time was over: who still lacks an older one is told OVER. After a change of
 * leader all of this is empty, and the members say it again: see GATHER's state.
 *
 * What is kept has maxima, per job and over all jobs; what is over them is told to who asked, in
 * words, and harms nobody else. Memory is taken when the first message comes. */
#ifndef RENDEZVOUS_COLLECTIVE_H
#define RENDEZVOUS_COLLECTIVE_H

#include <stdbool.h>
#include <stdint.h>
#include "rendezvous/message.h"

/* The bytes of a result times those it goes to. Above it, and above what fits into one GATHERED,
 * the outcome is TOO_LARGE for all: they are told that all have come, and get the data from each
 * other. An entry counts 12 bytes more than its data. */
#define COLLECTIVE_RESULT_TOTAL_MAX (64u * 1024 * 1024)
#define COLLECTIVE_RESULT_MAX (RENDEZVOUS_PAYLOAD_MAX - 4096)
#define COLLECTIVE_NAMES_MAX 4096             /* of gathers */
#define COLLECTIVE_VALUES_MAX 65536           /* put, or waited for */
#define COLLECTIVE_WAITING_MAX 65536          /* gets not answered yet */
#define COLLECTIVE_ASKED_MAX 4                /* gets that one member is asked at a time */
#define COLLECTIVE_BYTES_MAX (32u << 20)      /* of one job */
#define COLLECTIVE_BYTES_ALL_MAX (256u << 20) /* of all jobs: struct collective_budget */
#define COLLECTIVE_MISSING_MAX 8              /* members named in words */

/* What the jobs of one controller use together. */
struct collective_budget {
    size_t used, max; /* bytes */
};

struct collective_config {
    uint64_t attempt;
    uint32_t members; /* node ranks 0 to members - 1 */
    bool adopted;     /* begun under another leader, to whom members may have come */
    struct collective_budget *budget; /* NULL: none */
    /* Writes a member's name for people, "worker 3", to `to`. */
    void (*name)(const void *arg, uint32_t node_rank, char *to, size_t size);
    const void *arg;
};

struct collective;

/* NULL when memory is exhausted. */
struct collective *collective_new(const struct collective_config *config);
void collective_free(struct collective *c); /* NULL is fine; gives back what the budget counts */

/* PUT, GET, GATHER or VALUE of a member in this attempt. False: it makes no sense (it is answered
 * all the same, where an answer is possible), and `ret_why` says why, a static text. */
bool collective_take(struct collective *c, uint32_t node_rank, const struct rendezvous_message *m,
                     const char **ret_why);
/* A member has come back on a new channel: what it waits for it will say again, and what it was
 * asked for is asked again. */
void collective_joined(struct collective *c, uint32_t node_rank);
/* No rank of the member runs any more, and what it had come to before it has said, also to this
 * controller: gathers that it takes part in and has not come to fail, those of now and those that
 * are begun later. `gone`: its launcher answers nothing either, and who asks it is told so. */
void collective_ended(struct collective *c, uint32_t node_rank, bool gone);

/* One frame for one or more members. `frame` and `to` are valid until the next call; who keeps the
 * frame takes a reference. */
struct collective_output {
    const uint32_t *to; /* node ranks, ascending */
    uint32_t to_count;
    struct frame_bytes *frame; /* rendezvous/frame_bytes.h */
};
bool collective_next(struct collective *c, struct collective_output *ret);

/* Memory ran out for something that may not be lost. */
bool collective_failed(const struct collective *c);

size_t collective_bytes(const struct collective *c);

/* Asserts what must hold between calls. */
void collective_check(const struct collective *c);

#endif
