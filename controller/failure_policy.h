/* What follows from a verdict: two tables. docs/failures.md has the same two for people, and a test
 * compares them. PURE. */
#ifndef CONTROLLER_FAILURE_POLICY_H
#define CONTROLLER_FAILURE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes by which a rank asks. */
#define FAILURE_EXIT_IN_PLACE 75
#define FAILURE_EXIT_NEW_NODE 76
#define FAILURE_EXIT_FAIL 93

/* Failures in a row without a step in between: after two in place fresh pods, after two more other
 * nodes, and so on. When other nodes did not help either, the checkpoint cannot be loaded. */
#define FAILURE_RUNGS 4

enum failure_where {
    FAILURE_IN_PLACE,  /* in the pods that are there */
    FAILURE_NEW_PODS,  /* every pod is created again */
    FAILURE_NEW_NODE,  /* the member that failed moves to another node */
    FAILURE_NEW_NODES, /* every pod is created again, that member elsewhere */
};

struct failure_facts {
    bool requested;      /* stopped by order */
    bool diverged;       /* stopped because the members disagreed after a change of controller */
    bool infrastructure; /* a node or a pod was lost: not the job's doing */
    int32_t code;        /* of the culprit; 0 when a signal ended it */
    int rule;            /* enum trainingjob_action of the first rule that matches, or -1 */
    bool in_place;       /* spec.failurePolicy.inPlace */
    int64_t charged;     /* retries charged so far */
    int64_t backoff_limit;
    int64_t fruitless; /* failures in a row without a step in between, this one included: 1 ... */
};

struct failure_decision {
    bool fail;          /* the job fails */
    const char *reason; /* of the condition Failed, NULL */
    bool counts;        /* a failure of the job itself: counted as fruitless */
    bool charged;       /* costs a retry */
    bool unloadable;    /* the checkpoint that it resumed from is not used again */
    bool stays;         /* the rank asked for its own pod and node */
    enum failure_where where;
};

struct failure_decision failure_policy_decide(const struct failure_facts *facts);

/* What status.failures[].cause calls an enum rendezvous_cause, in one word; "Unknown" for a number
 * that is none. */
const char *failure_policy_cause_word(uint32_t cause);

#endif
