/* What the exchange*.c files share. */
#ifndef LAUNCHER_EXCHANGE_INTERNAL_H
#define LAUNCHER_EXCHANGE_INTERNAL_H

#include <sys/queue.h>
#include "launcher/exchange.h"
#include "rendezvous/chain.h"

/* An output that waits to be taken. */
struct pending_output {
    STAILQ_ENTRY(pending_output) next;
    struct exchange_output out;
    char *bytes;                    /* owned: out.data, or NULL */
    char *words;                    /* owned: out.words or out.name, or NULL */
    struct exchange_entry *entries; /* owned */
    struct rendezvous_message held; /* owned: what data and entries point into */
};
STAILQ_HEAD(output_queue, pending_output);

/* Somebody waits for a result. Its output is taken at the beginning, so that it can always be told.
 */
struct request {
    struct pending_output *done; /* owned; NULL: told already, or cancelled */
    int64_t until_ms;
    bool last_word; /* the time is over: the controller is asked for words */
};

/* This member's part in a gather. */
struct part {
    TAILQ_ENTRY(part) kept; /* of those that are done */
    struct gather_name *name;
    uint64_t sequence;
    enum rendezvous_gather_state state;
    uint64_t lease_transitions; /* once DONE: the term of the controller that gave the result */
    struct request request;
    unsigned char *members, *data; /* owned */
    uint32_t members_length, length;
};

struct gather_name {
    struct chain_node node; /* first: by hash of the name */
    uint64_t next_sequence;
    struct part *open, *last; /* owned; last: ended, kept for others */
    char name[];              /* with the user's prefix */
};

/* What an answer's token stands for. */
struct token {
    struct chain_node node; /* first */
    struct put *put;        /* one of the two, owned */
    struct ask *ask;
};

struct put {
    struct chain_node node; /* first: by hash of the name */
    struct token token;
    struct request request;
    bool stored; /* the controller of this term has it */
    unsigned char *data;
    uint32_t length;
    char name[];
};

enum ask_kind {
    ASK_PUT,    /* what was put */
    ASK_MEMBER, /* another member */
    ASK_HERE,   /* this member */
};

struct ask {
    TAILQ_ENTRY(ask) next;
    struct token token;
    struct request request;
    enum ask_kind kind;
    bool now;  /* ASK_PUT: it does not wait */
    bool sent; /* ASK_MEMBER */
    uint32_t node_rank;
    uint64_t sequence;
    char name[];
};
TAILQ_HEAD(ask_queue, ask);

/* Somebody asks a user here. */
struct question {
    struct chain_node node; /* first: by its number */
    bool local;             /* asked in this very pod: `token` is an ask's */
    uint64_t token;
};

struct exchange {
    uint64_t attempt, lease_transitions;
    uint32_t node_rank, nodes;
    bool running, connected, supported;
    int64_t now_ms;                  /* the latest that was told */
    int64_t timer_ms, timer_told_ms; /* when the timer is to come; INT64_MAX: never */

    struct chain names, puts, tokens, questions;
    TAILQ_HEAD(, part) kept; /* the oldest first */
    size_t sent_bytes;       /* of parts that are sent, and kept */
    size_t staying_bytes;    /* of parts that stay */
    size_t put_bytes;
    struct ask_queue gets, here, fetches_sent, fetches; /* fetches: not sent yet */
    uint32_t fetches_sent_count;
    uint64_t last_token, last_question;
    struct output_queue outputs;
    struct pending_output *given;
};

/* exchange_output.c */
struct pending_output *exchange_output_new(enum exchange_output_kind kind); /* NULL: no memory */
void exchange_output_free(struct pending_output *o);                        /* NULL is fine */
void exchange_output_add(struct exchange *x, struct pending_output *o);
/* Sends, when the channel stands and WELCOME was heard. For want of memory nothing is sent: it is
 * said again with the next WELCOME, or the time ends it. */
void exchange_send(struct exchange *x, const struct rendezvous_message *m);
/* Takes the output that will tell the result; -ENOMEM. */
int exchange_request_init(struct exchange *x, struct request *r,
                          const struct exchange_request *from, struct mlt_error *err);
/* Tells the result, if it is still wanted. The output may have been filled in before. */
void exchange_request_done(struct exchange *x, struct request *r, enum exchange_outcome outcome,
                           const char *words);
void exchange_request_release(struct request *r);
/* At a look of the timer: 0: its time is not over; 1: it is, and the controller may have words (ask
 * it); 2: it is, and there is nobody to ask. */
int exchange_request_expired(struct exchange *x, struct request *r);
static inline bool exchange_request_is(const struct request *r, enum exchange_user user,
                                       uint64_t tag)
{
    return r->done && r->done->out.user == user && r->done->out.tag == tag;
}

/* exchange.c: whether something can be begun now, and its name on the wire: `ret_name` has
 * RENDEZVOUS_EXCHANGE_NAME_MAX + 1 bytes. -ECANCELED, -EOPNOTSUPP, -EINVAL. */
int exchange_may_begin(struct exchange *x, const struct exchange_request *request, int64_t now_ms,
                       char *ret_name, struct mlt_error *err);

/* Whose name it is, and without the prefix, a part of `wire_name`. */
bool exchange_user_of(const char *wire_name, enum exchange_user *ret_user, const char **ret_name);

/* exchange_part.c: gathers */
void exchange_parts_repeat(struct exchange *x);
bool exchange_parts_take(struct exchange *x, struct rendezvous_message *m);
void exchange_parts_timer(struct exchange *x);
bool exchange_parts_cancel(struct exchange *x, enum exchange_user user, uint64_t tag);
/* This member's part in that gather, if its data is here still, or NULL. */
const struct part *exchange_part_find(const struct exchange *x, const char *name,
                                      uint64_t sequence);
void exchange_parts_end(struct exchange *x, enum exchange_outcome outcome, const char *words);
void exchange_parts_forget(struct exchange *x);
void exchange_parts_check(const struct exchange *x);

/* exchange_put.c: values, and the tokens of all that VALUE answers */
int exchange_token_add(struct exchange *x, struct token *t, struct mlt_error *err); /* -ENOMEM */
void exchange_puts_repeat(struct exchange *x, bool is_new_controller);
/* The controller's answer; the timer's look. */
void exchange_put_take(struct exchange *x, struct put *put, const struct rendezvous_value *v);
void exchange_put_timer(struct exchange *x, struct put *put);
void exchange_puts_forget(struct exchange *x);

/* exchange_ask.c: gets, fetches and questions */
void exchange_asks_repeat(struct exchange *x, bool is_new_controller);
bool exchange_asks_take(struct exchange *x, struct rendezvous_message *m); /* a VALUE */
bool exchange_asks_take_get(struct exchange *x, const struct rendezvous_message *m);
void exchange_asks_timer(struct exchange *x);
bool exchange_asks_cancel(struct exchange *x, enum exchange_user user, uint64_t tag);
void exchange_asks_end(struct exchange *x, enum exchange_outcome outcome, const char *words);
void exchange_asks_forget(struct exchange *x);
void exchange_asks_check(const struct exchange *x);

#endif
