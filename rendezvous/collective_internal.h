/* What the collective*.c files share. Private to rendezvous/. */
#ifndef RENDEZVOUS_COLLECTIVE_INTERNAL_H
#define RENDEZVOUS_COLLECTIVE_INTERNAL_H

#include <sys/queue.h>
#include "rendezvous/chain.h"
#include "rendezvous/collective.h"
#include "rendezvous/frame_bytes.h"

/* ---- gathers ---- */

struct contribution {
    uint32_t node_rank, stays, length;
    size_t offset; /* in `data` of the gather */
};

struct gather {
    uint64_t sequence;
    bool complete;
    enum rendezvous_outcome outcome; /* once complete */
    uint64_t *here, *waits; /* owned: bits by node rank: who has come; who wants the result */
    uint64_t *members;      /* owned: who takes part; NULL: all */
    uint32_t here_count, expected;
    uint64_t result_bytes; /* of all entries, kept or not */
    bool dropped;          /* too large, or no room: data is not kept any more */
    bool no_room;
    struct contribution *entries; /* owned; sorted once complete */
    uint32_t entries_count, entries_capacity;
    unsigned char *data; /* owned: of all entries */
    size_t data_length, data_capacity;
    struct frame_bytes *frame; /* owned: GATHERED, once somebody has asked for it */
};

struct gather_name {
    struct chain_node node; /* first: by hash of the name */
    struct gather *of[2];   /* owned, NULL: none; [0] has the lower sequence */
    char name[];
};

/* ---- values ---- */

/* A get that is not answered: in the list of the value that it waits for, or of the member that is
 * asked; in that of its asker; and in the table of all. */
struct waiting {
    struct chain_node node; /* first: by asker and token */
    LIST_ENTRY(waiting) of_asker;
    TAILQ_ENTRY(waiting) of_target;
    uint32_t asker;
    uint64_t token;      /* the asker's */
    struct value *value; /* waited for; NULL: a member is asked */
    uint32_t owner;      /* then: who is asked */
    uint64_t id;         /* and the token there */
    uint64_t sequence;
    bool asked;
    size_t bytes; /* charged */
    char name[];  /* "" with a value */
};
LIST_HEAD(waiting_list, waiting);
TAILQ_HEAD(waiting_queue, waiting);

struct value {
    struct chain_node node; /* first: by hash of the name */
    bool is_put;
    uint32_t writer;
    unsigned char *data; /* owned */
    uint32_t length;
    size_t bytes; /* charged */
    struct waiting_queue waiting;
    char name[];
};

/* What is known of one member; memory is taken for all of them with the first get that waits. */
struct asker {
    struct waiting_list asks;   /* its own gets */
    struct waiting_queue asked; /* gets of others; the first `asked_count` were said to it */
    uint32_t asked_count;
};

struct sending {
    STAILQ_ENTRY(sending) next;
    struct frame_bytes *frame;
    uint32_t to_count;
    uint32_t to[];
};

struct collective {
    struct collective_config config;
    size_t words_count; /* uint64_t in a set of members */
    size_t bytes;       /* charged */
    bool failed;
    uint64_t *ended, *gone; /* owned, one piece: bits by node rank, see collective_ended() */
    uint32_t ended_count;
    struct chain names, values, waiting;
    uint32_t open_gathers;
    struct asker *askers; /* owned, NULL before the first */
    uint64_t last_id;
    STAILQ_HEAD(, sending) sendings;
    struct sending *given;
    char reason[RENDEZVOUS_REASON_MAX];
};

/* collective.c */
/* Takes so much from the budgets; false, and nothing taken, when it is not there. */
bool collective_charge(struct collective *c, size_t bytes);
void collective_discharge(struct collective *c, size_t bytes);
void collective_send(struct collective *c, uint32_t to, const struct rendezvous_message *m);
void collective_send_frame(struct collective *c, uint32_t to, struct frame_bytes *frame);
/* To all in the set. */
void collective_send_all(struct collective *c, const uint64_t *set, struct frame_bytes *frame);
/* Copies a name for words: what is no printable ASCII becomes '?'. */
const char *collective_clean(const char *name, char *to, size_t size);

static inline bool set_has(const uint64_t *set, uint32_t i)
{
    return set[i / 64] >> i % 64 & 1;
}
static inline void set_add(uint64_t *set, uint32_t i)
{
    set[i / 64] |= UINT64_C(1) << i % 64;
}

/* collective_gather.c */
bool gather_take(struct collective *c, uint32_t node_rank, const struct rendezvous_gather *m,
                 const char **ret_why);
void gather_member_ended(struct collective *c);
void gather_release_all(struct collective *c);
void gather_check(const struct collective *c);

/* collective_value.c */
bool value_take_put(struct collective *c, uint32_t node_rank, const struct rendezvous_put *m,
                    const char **ret_why);
bool value_take_get(struct collective *c, uint32_t node_rank, const struct rendezvous_get *m,
                    const char **ret_why);
bool value_take_answer(struct collective *c, uint32_t node_rank, const struct rendezvous_value *m,
                       const char **ret_why);
void value_member_joined(struct collective *c, uint32_t node_rank);
void value_member_gone(struct collective *c, uint32_t node_rank);
void value_release_all(struct collective *c);
void value_check(const struct collective *c);

#endif
