/* The launcher's side of the channel, as far as it is rules and not processes: which messages are
 * accepted (fencing by lease transitions and attempt, idempotent START), and when to connect again.
 * Pure. */
#ifndef RENDEZVOUS_MEMBER_H
#define RENDEZVOUS_MEMBER_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/base/random.h"
#include "rendezvous/message.h"

#define MEMBER_RECONNECT_MS_MIN 50
#define MEMBER_RECONNECT_MS_MAX 2000

struct member {
    uint64_t lease_transitions; /* highest seen */
    uint64_t ready_attempt;     /* of the last READY sent, 0 before */
    uint64_t started_attempt;   /* of the last START obeyed, 0 before */
    uint64_t started_digest;
    uint64_t refusals;
    unsigned failures; /* to connect, in a row */
    struct mlt_random random;
};

enum member_decision {
    MEMBER_OBEY,
    MEMBER_IGNORE, /* a repetition of what is already so: no harm, no answer */
    MEMBER_REFUSE, /* stale or from an older leader: counted, logged once */
};

void member_init(struct member *m, uint64_t seed);

/* Looks at a decoded message from the controller. Refuses WELCOME and START with lower lease
 * transitions, START for an attempt older than the last READY or a second, different START for the
 * same attempt, STOP for another attempt than the one started. On MEMBER_OBEY of WELCOME and START
 * the member's own fields are updated. `ret_why` (may be NULL) is a static text. */
enum member_decision member_consider(struct member *m, const struct rendezvous_message *message,
                                     const char **ret_why);

/* The delay before the next attempt to connect: exponential with full jitter, at most
 * MEMBER_RECONNECT_MS_MAX. */
int64_t member_reconnect_delay_ms(struct member *m);
void member_connected(struct member *m);

#endif
