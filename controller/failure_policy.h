/* What follows from a verdict: a table. PURE. */
#ifndef CONTROLLER_FAILURE_POLICY_H
#define CONTROLLER_FAILURE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes by which a rank asks. */
#define FAILURE_EXIT_IN_PLACE 75
#define FAILURE_EXIT_NEW_NODE 76
#define FAILURE_EXIT_FAIL 93

/* So many failures in place without a step in between: fresh pods; twice as many: other nodes. */
#define FAILURE_FRESH_PODS_AFTER 2
/* So many from one checkpoint without a step in between: an older checkpoint. */
#define FAILURE_POISONED_AFTER 3

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
    int64_t fruitless; /* failures in a row without a step in between, this one included */
};

struct failure_decision {
    bool fail;          /* the job fails */
    const char *reason; /* of the condition Failed, NULL */
    bool counts;        /* a failure of the job itself: counted as fruitless */
    bool charged;       /* costs a retry */
    bool skip;          /* the checkpoint that it resumed from is not used again */
    enum failure_where where;
};

struct failure_decision failure_policy_decide(const struct failure_facts *facts);

#endif
