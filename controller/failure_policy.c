/* The failure policy. Order: what was not a failure of the job; the user's rules; what the rank
 * asks for by its exit code; the default. Then the budget, then the place of the next attempt.
 * PURE. */
#include "controller/failure_policy.h"

#include <stddef.h>
#include "lib/base/cleanup.h"
#include "trainingjob/trainingjob.h"

#define NO_RULE (-1)
#define ANY_CODE (-1)

/* What a matching rule or code means. */
struct row {
    int rule;     /* enum trainingjob_action or NO_RULE */
    int32_t code; /* of the rank, ANY_CODE */
    bool fail, charged, new_node;
    const char *reason;
};

static const struct row rows[] = {
    {TRAININGJOB_ACTION_FAIL_JOB, ANY_CODE, true, false, false, TRAININGJOB_REASON_RULE},
    {TRAININGJOB_ACTION_RESTART, ANY_CODE, false, true, false, NULL},
    {TRAININGJOB_ACTION_RESTART_ON_NEW_NODE, ANY_CODE, false, true, true, NULL},
    {TRAININGJOB_ACTION_IGNORE, ANY_CODE, false, false, false, NULL},
    {NO_RULE, FAILURE_EXIT_IN_PLACE, false, true, false, NULL},
    {NO_RULE, FAILURE_EXIT_NEW_NODE, false, true, true, NULL},
    {NO_RULE, FAILURE_EXIT_FAIL, true, false, false, "RankAskedToFail"},
    {NO_RULE, ANY_CODE, false, true, false, NULL},
};

static const struct row *row_of(const struct failure_facts *facts)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if (rows[i].rule == facts->rule &&
            (rows[i].code == ANY_CODE || rows[i].code == facts->code))
            return &rows[i];
    return &rows[MLT_ARRAY_LENGTH(rows) - 1];
}

/* Where the next attempt runs: the longer nothing helps, the more is changed. */
static enum failure_where where(const struct failure_facts *facts, bool new_node)
{
    bool asked_in_place = facts->rule == NO_RULE && facts->code == FAILURE_EXIT_IN_PLACE;
    if (asked_in_place && facts->in_place)
        return FAILURE_IN_PLACE; /* it knows: neither its pod nor its node is in the way */
    bool fresh = facts->fruitless > 0 && facts->fruitless % FAILURE_FRESH_PODS_AFTER == 0;
    bool elsewhere = facts->fruitless > 0 && facts->fruitless % (2 * FAILURE_FRESH_PODS_AFTER) == 0;
    if (elsewhere && !asked_in_place)
        return FAILURE_NEW_NODES;
    if (new_node)
        return facts->in_place ? FAILURE_NEW_NODE : FAILURE_NEW_NODES;
    if (fresh || !facts->in_place)
        return FAILURE_NEW_PODS;
    return FAILURE_IN_PLACE;
}

struct failure_decision failure_policy_decide(const struct failure_facts *facts)
{
    struct failure_decision decision = {0};
    if (facts->requested || facts->diverged || facts->infrastructure) {
        decision.where = facts->in_place ? FAILURE_IN_PLACE : FAILURE_NEW_PODS;
        return decision;
    }
    const struct row *row = row_of(facts);
    decision.counts = true;
    decision.charged = row->charged;
    decision.fail = row->fail;
    decision.reason = row->reason;
    if (!decision.fail && decision.charged && facts->charged + 1 > facts->backoff_limit) {
        decision.fail = true;
        decision.reason = TRAININGJOB_REASON_BACKOFF;
    }
    decision.where = where(facts, row->new_node);
    decision.skip = facts->fruitless > 0 && facts->fruitless % FAILURE_POISONED_AFTER == 0;
    return decision;
}
