/* A gang that exchanges: the launchers' ends (launcher/exchange.h), the controller's
 * (rendezvous/collective.h), channels between them that break, changes of leader, attempts that
 * end, and programs that put, gather, get and fetch. Everything is chosen by one seed. */
#ifndef TESTS_EXCHANGE_GANG_H
#define TESTS_EXCHANGE_GANG_H

#include <stdbool.h>
#include <stdint.h>
#include "launcher/exchange.h"
#include "lib/base/random.h"
#include "rendezvous/collective.h"
#include "rendezvous/frame_bytes.h"

#define GANG_MEMBERS_MAX 9
#define GANG_THREADS_MAX 4
#define GANG_ROUNDS 12 /* of each thread in an attempt */
#define GANG_ASKED_MAX 64
#define GANG_BLOB_MAX (RENDEZVOUS_CONTRIBUTION_MAX + 5000)

enum gang_bug {
    GANG_BUG_NONE,
    GANG_BUG_FORGETS_RESULTS, /* a launcher does not repeat what it has had the result of */
    GANG_BUG_MIXES_ATTEMPTS,  /* what was said in the last attempt is taken for this one's */
    GANG_BUG_NEVER_REPEATS,   /* a launcher says nothing again when its channel is back */
    GANG_BUG_FORGETS_ENDS,    /* the controller forgets at once that a member has ended */
    GANG_BUG_ENDS_TOO_EARLY,  /* ... and learns it before what the member says again */
};

/* What one thread of a member's program does next, or waits for. */
enum gang_phase { GANG_PUT, GANG_GATHER, GANG_GET, GANG_FETCH, GANG_PHASES };

struct gang_thread {
    enum gang_phase phase;
    uint64_t round;
    bool waits;
    uint64_t tag;
    bool expired;    /* its time was made short */
    bool has_stayed; /* some of this round's data stays with its member: */
    uint32_t stayed_with;
};

struct gang_frame {
    struct gang_frame *next;
    size_t length; /* 0: not of the exchange, all ranks have ended */
    char bytes[];
};

struct gang_member {
    struct exchange *exchange;
    bool connected, welcomed;
    bool finished; /* its ranks have ended */
    bool ended;    /* and everything of the attempt, or its pod */
    struct gang_frame *up, **up_last, *down, **down_last;
    int64_t timer_ms; /* INT64_MAX: none */
    struct gang_thread threads[GANG_THREADS_MAX];
    uint64_t asked[GANG_ASKED_MAX]; /* questions to be answered */
    unsigned asked_count;
};

struct gang {
    uint64_t seed;
    struct mlt_random random;
    bool trace, faults;
    enum gang_bug bug;
    uint32_t members_count, threads_count;
    uint32_t part[GANG_THREADS_MAX]; /* a bit for each member that takes part */
    struct gang_member members[GANG_MEMBERS_MAX];
    struct collective *collective;
    struct collective_budget budget;
    uint64_t attempt, lease, tags;
    int64_t now_ms;
    /* Of this attempt: per thread and round, who has begun it; who was told what. */
    uint32_t begun[GANG_THREADS_MAX][GANG_ROUNDS], fine[GANG_THREADS_MAX][GANG_ROUNDS];
    bool hasty[GANG_THREADS_MAX][GANG_ROUNDS]; /* somebody's time may be over */
    const char *violation;
    /* counts */
    unsigned results, barriers, gets, fetched, not_found, questions, timeouts, ended, cuts, leaders,
        attempts, lost, over;
};

void gang_init(struct gang *g, uint64_t seed, enum gang_bug bug);
void gang_release(struct gang *g);
void gang_step(struct gang *g);
/* Often one more change of leader, and channels that break just then, and no faults any more: what
 * waits in the attempt with the faults comes to its end, but for gets of what nobody will put, and
 * gathers with a member that waits for such. False: it does not. */
bool gang_settle(struct gang *g);
/* The same of a whole attempt without faults but one change of leader. */
bool gang_heal(struct gang *g);

#endif
