/* The table that decides for one job. Read it from the top; a row matches when the phase is among
 * its phases, all facts of `all` hold and none of `none`. PURE. */
#include "controller/reconcile.h"

#include <stddef.h>
#include "lib/base/cleanup.h"
#include "lib/base/text.h"

#define IN(name) (1u << TRAININGJOB_PHASE_##name)
#define ANY (~0u)
#define NEW IN(NONE)
#define QUEUED IN(QUEUED)
#define ADMITTED IN(ADMITTED)
#define STARTING IN(STARTING)
#define RUNNING IN(RUNNING)
#define RESTARTING IN(RESTARTING)
#define PREEMPTING IN(PREEMPTING)
#define AT_WORK (STARTING | RUNNING | RESTARTING) /* ranks run, have run, or are about to */
#define STARTED (AT_WORK | PREEMPTING)
#define SUSPENDED IN(SUSPENDED)
#define FINISHED (IN(SUCCEEDED) | IN(FAILED))

#define F(name) RECONCILE_BIT(name)

struct row {
    unsigned phases;
    uint64_t all, none;
    enum reconcile_action action;
};

static const struct row rows[] = {
    /* A job that is being deleted only stops and is let go: the garbage collector takes its pods
       and its Secret. */
    {ANY, F(DELETING) | F(ACTIVE), F(STOP_ORDERED) | F(LET_GO), RECONCILE_STOP},
    {ANY, F(DELETING), F(ACTIVE) | F(LET_GO), RECONCILE_LET_GO},
    {ANY, F(DELETING), 0, RECONCILE_WAIT},
    /* What the next step relies on is stored before the step is taken. */
    {ANY, F(GATE) | F(WRITING), 0, RECONCILE_WAIT},
    {ANY, F(GATE), 0, RECONCILE_SAVE},

    {NEW, F(REFUSED), 0, RECONCILE_REFUSE},
    {NEW, 0, 0, RECONCILE_ACCEPT},

    {QUEUED, F(CANCEL), 0, RECONCILE_CANCEL},
    {QUEUED, F(SUSPEND), 0, RECONCILE_SUSPEND},
    {QUEUED, F(REFUSED), 0, RECONCILE_REFUSE},
    {QUEUED, F(TO_DELETE), 0, RECONCILE_DELETE_PODS},
    {QUEUED, F(PLACED), F(WRITING), RECONCILE_ADMIT},
    {QUEUED, 0, F(PROBED) | F(PROBING), RECONCILE_PROBE},
    {QUEUED, F(PROBED), F(PROBING) | F(VOLUMES_OPEN) | F(IN_QUEUE) | F(PLACED) | F(PODS_LEFT),
     RECONCILE_ENQUEUE},

    /* Admitted is the time before the first START: whatever goes wrong undoes the whole gang. */
    {ADMITTED, F(CANCEL), 0, RECONCILE_CANCEL},
    {ADMITTED, F(SUSPEND), 0, RECONCILE_SUSPEND},
    {ADMITTED, F(DEAD), 0, RECONCILE_UNDO},
    {ADMITTED, F(LATE), 0, RECONCILE_UNDO},
    {ADMITTED, 0, F(KEY) | F(KEY_ASKED), RECONCILE_MAKE_KEY},
    {ADMITTED, F(KEY) | F(TO_CREATE), 0, RECONCILE_CREATE_PODS},
    {ADMITTED, F(TO_DELETE), 0, RECONCILE_DELETE_PODS},
    {ADMITTED, F(READY), F(BACKING_OFF), RECONCILE_PREPARE_START}, /* undone while it had to wait */

    /* Success first: an order to stop that comes too late stops nothing. */
    {STARTED, F(COMPLETED), 0, RECONCILE_COMPLETE},
    {STARTED, F(VERDICT) | F(CANCEL), 0, RECONCILE_CANCEL},
    {STARTED, F(VERDICT) | F(DEADLINE), 0, RECONCILE_TIME_OUT},
    {STARTED, F(VERDICT) | F(SUSPEND), 0, RECONCILE_SUSPEND},
    /* Who makes way for another job is not judged: it is as if it was suspended. */
    {PREEMPTING, F(VERDICT), 0, RECONCILE_LEAVE},
    {AT_WORK, F(VERDICT), 0, RECONCILE_JUDGE},
    {STARTED, F(ACTIVE) | F(CANCEL), F(STOP_ORDERED), RECONCILE_STOP},
    {STARTED, F(ACTIVE) | F(DEADLINE), F(STOP_ORDERED), RECONCILE_STOP},
    {STARTED, F(ACTIVE) | F(SUSPEND), F(STOP_ORDERED), RECONCILE_STOP},
    {PREEMPTING, F(ACTIVE), F(STOP_ORDERED), RECONCILE_STOP},
    /* No wish for it stands any more, and nobody was told. */
    {AT_WORK, F(ACTIVE) | F(STOP_PENDING), F(STOP_ORDERED) | F(CANCEL) | F(DEADLINE) | F(SUSPEND),
     RECONCILE_TAKE_STOP_BACK},
    {ADMITTED | STARTED, F(SILENT), 0, RECONCILE_DELETE_PODS},
    {STARTED, F(CANCEL), F(ACTIVE), RECONCILE_CANCEL},
    {STARTED, F(DEADLINE), F(ACTIVE), RECONCILE_TIME_OUT},
    {STARTED, F(SUSPEND), F(ACTIVE), RECONCILE_SUSPEND},

    /* It holds its place until its pods are gone: then the other one can have it. */
    {PREEMPTING, F(STOP_PENDING), F(ACTIVE), RECONCILE_LEAVE},
    {PREEMPTING, 0, F(ACTIVE) | F(LET_GO) | F(SETTLING), RECONCILE_LET_GO},
    {PREEMPTING, F(LET_GO) | F(TO_DELETE), 0, RECONCILE_DELETE_PODS},
    {PREEMPTING, F(LET_GO), F(ACTIVE) | F(PODS_LEFT), RECONCILE_REQUEUE},

    /* START follows its stored attempt at once; one status write lies between verdict and START. */
    {STARTING, F(READY), F(SENT) | F(ACTIVE) | F(PAST), RECONCILE_START},
    {STARTING, F(READY) | F(PAST), F(ACTIVE) | F(WRITING), RECONCILE_PREPARE_START},
    {STARTING | RESTARTING, F(EXECED) | F(ACTIVE), F(FAILING), RECONCILE_NOTE_RUNNING},
    {STARTING | RUNNING, F(FAILING) | F(UNTOLD), 0, RECONCILE_NOTE_RESTARTING},
    {AT_WORK, F(NO_PLACE), F(ACTIVE), RECONCILE_UNDO},
    {AT_WORK, F(LATE), F(ACTIVE), RECONCILE_UNDO},
    {AT_WORK, F(TO_DELETE), F(ACTIVE), RECONCILE_DELETE_PODS},
    /* Somebody may have deleted the Secret. Its answer holds no pod up: mostly it is there. */
    {AT_WORK, F(TO_CREATE), F(ACTIVE) | F(KEY) | F(KEY_ASKED), RECONCILE_MAKE_KEY},
    {AT_WORK, F(TO_CREATE), F(ACTIVE), RECONCILE_CREATE_PODS},
    {RESTARTING | RUNNING, F(READY), F(ACTIVE) | F(BACKING_OFF) | F(WRITING),
     RECONCILE_PREPARE_START},

    {SUSPENDED, F(CANCEL), 0, RECONCILE_CANCEL},
    {SUSPENDED, 0, F(LET_GO) | F(SETTLING), RECONCILE_LET_GO},
    {SUSPENDED, F(LET_GO) | F(TO_DELETE), 0, RECONCILE_DELETE_PODS},
    {SUSPENDED, F(LET_GO), F(SUSPEND) | F(PODS_LEFT), RECONCILE_RESUME},

    {FINISHED, 0, F(LET_GO) | F(SETTLING), RECONCILE_LET_GO},
    {FINISHED, F(LET_GO) | F(EXPIRED), 0, RECONCILE_DELETE_JOB},
    {FINISHED, F(LET_GO) | F(UNCLEAN), 0, RECONCILE_DELETE_PODS},

    /* Nothing presses: what may wait is written when it is due. */
    {ANY, F(DUE), F(WRITING), RECONCILE_SAVE},
};

enum reconcile_action reconcile(enum trainingjob_phase phase, uint64_t facts)
{
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++)
        if ((rows[i].phases & (1u << phase)) && (facts & rows[i].all) == rows[i].all &&
            (facts & rows[i].none) == 0)
            return rows[i].action;
    return RECONCILE_WAIT;
}

static const char *const action_names[] = {
#define XX(name, words) [RECONCILE_##name] = #name,
    RECONCILE_ACTION_MAP(XX)
#undef XX
};

const char *reconcile_action_name(enum reconcile_action action)
{
    return action_names[action];
}

void reconcile_facts_print(uint64_t facts, struct mlt_text *out)
{
    static const char *const names[] = {
#define XX(name, words) [RECONCILE_NUMBER_##name] = #name,
        RECONCILE_FACT_MAP(XX)
#undef XX
    };
    for (size_t i = 0; i < RECONCILE_FACT_COUNT; i++)
        if (facts & (UINT64_C(1) << i))
            mlt_text_printf(out, "%s%s", out->length ? " " : "", names[i]);
}
