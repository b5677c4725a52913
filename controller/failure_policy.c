/* The failure policy: what it was decides by the first table, how often in a row by the second.
 * PURE. */
#include "controller/failure_policy.h"

#include <stddef.h>
#include "lib/base/cleanup.h"
#include "rendezvous/message.h"
#include "trainingjob/trainingjob.h"

#define NO_RULE TRAININGJOB_NONE
#define ANY_RULE (-2)
#define ANY_CODE (-1)

enum end { END_ANY, END_REQUESTED, END_DIVERGED, END_INFRASTRUCTURE };

/* What is asked for. */
enum ask { ASK_RESTART, ASK_MOVE, ASK_STAY };

/* The first row that matches decides: what was not a failure of the job; the user's rules; what the
 * rank asks for by its exit code; the default. */
static const struct row {
    enum end end;
    int rule;     /* enum trainingjob_action, NO_RULE, ANY_RULE */
    int32_t code; /* of the rank, ANY_CODE */
    bool counts, charged;
    enum ask ask;
    const char *fails; /* the job fails, with this reason */
} rows[] = {
    {END_REQUESTED, ANY_RULE, ANY_CODE, false, false, ASK_RESTART, NULL},
    {END_DIVERGED, ANY_RULE, ANY_CODE, false, false, ASK_RESTART, NULL},
    {END_INFRASTRUCTURE, ANY_RULE, ANY_CODE, false, false, ASK_RESTART, NULL},
    {END_ANY, TRAININGJOB_ACTION_FAIL_JOB, ANY_CODE, true, false, ASK_RESTART,
     TRAININGJOB_REASON_RULE},
    {END_ANY, TRAININGJOB_ACTION_RESTART, ANY_CODE, true, true, ASK_RESTART, NULL},
    {END_ANY, TRAININGJOB_ACTION_RESTART_ON_NEW_NODE, ANY_CODE, true, true, ASK_MOVE, NULL},
    {END_ANY, TRAININGJOB_ACTION_IGNORE, ANY_CODE, true, false, ASK_RESTART, NULL},
    {END_ANY, NO_RULE, FAILURE_EXIT_IN_PLACE, true, true, ASK_STAY, NULL},
    {END_ANY, NO_RULE, FAILURE_EXIT_NEW_NODE, true, true, ASK_MOVE, NULL},
    {END_ANY, NO_RULE, FAILURE_EXIT_FAIL, true, false, ASK_RESTART, TRAININGJOB_REASON_RANK_ASKED},
    {END_ANY, ANY_RULE, ANY_CODE, true, true, ASK_RESTART, NULL},
};

/* Where the next attempt runs, after the 1st, 2nd, 3rd, 4th failure in a row, and again from the
 * 5th on: the longer nothing helps, the more is changed. A column for each enum ask. */
static const enum failure_where ladder[FAILURE_RUNGS][3] = {
    {FAILURE_IN_PLACE, FAILURE_NEW_NODE, FAILURE_IN_PLACE},
    {FAILURE_NEW_PODS, FAILURE_NEW_NODE, FAILURE_IN_PLACE},
    {FAILURE_IN_PLACE, FAILURE_NEW_NODE, FAILURE_IN_PLACE},
    {FAILURE_NEW_NODES, FAILURE_NEW_NODES, FAILURE_IN_PLACE},
};

static enum end end_of(const struct failure_facts *facts)
{
    if (facts->requested)
        return END_REQUESTED;
    if (facts->diverged)
        return END_DIVERGED;
    return facts->infrastructure ? END_INFRASTRUCTURE : END_ANY;
}

static const struct row *row_of(const struct failure_facts *facts)
{
    const struct row *row = rows;
    enum end end = end_of(facts);
    while (!((row->end == END_ANY || row->end == end) &&
             (row->rule == ANY_RULE || row->rule == facts->rule) &&
             (row->code == ANY_CODE || row->code == facts->code)))
        row++; /* the last one matches anything */
    return row;
}

static enum failure_where in_fresh_pods(enum failure_where where)
{
    return where == FAILURE_IN_PLACE || where == FAILURE_NEW_PODS ? FAILURE_NEW_PODS
                                                                  : FAILURE_NEW_NODES;
}

struct failure_decision failure_policy_decide(const struct failure_facts *facts)
{
    const struct row *row = row_of(facts);
    int64_t rung = row->counts ? (facts->fruitless - 1) % FAILURE_RUNGS : 0;
    struct failure_decision decision = {
        .fail = row->fails != NULL,
        .reason = row->fails,
        .counts = row->counts,
        .charged = row->charged,
        .stays = row->ask == ASK_STAY,
        .where = ladder[rung][row->ask],
    };
    if (row->charged && facts->charged >= facts->backoff_limit) {
        decision.fail = true;
        decision.reason = TRAININGJOB_REASON_BACKOFF;
    }
    decision.unloadable = row->counts && row->ask != ASK_STAY && facts->fruitless > 1 && rung == 0;
    if (!facts->in_place)
        decision.where = in_fresh_pods(decision.where);
    return decision;
}

const char *failure_policy_cause_word(uint32_t cause)
{
    switch ((enum rendezvous_cause)cause) { /* no default: the compiler misses who is not here */
    case RENDEZVOUS_CAUSE_EXITED:
        return "Exited";
    case RENDEZVOUS_CAUSE_SIGNAL_OUTSIDE:
        return "KilledFromOutside";
    case RENDEZVOUS_CAUSE_KILLED_BY_US:
        return "Stopped";
    case RENDEZVOUS_CAUSE_OUT_OF_MEMORY:
        return "OutOfMemory";
    case RENDEZVOUS_CAUSE_EXEC_FAILED:
        return "ExecFailed";
    case RENDEZVOUS_CAUSE_LAUNCHER_LOST:
        return "PodLost";
    case RENDEZVOUS_CAUSE_HUNG:
        return "Hung";
    case RENDEZVOUS_CAUSE_FENCED:
        return "Fenced";
    }
    return "Unknown";
}
