/* The table that decides for one job, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "controller/reconcile.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"

#define F(name) RECONCILE_BIT(name)
#define P(name) TRAININGJOB_PHASE_##name

static const struct {
    const char *sentence;
    enum trainingjob_phase phase;
    uint64_t facts;
    enum reconcile_action action;
} rows[] = {
    {"a new job is queued", P(NONE), 0, RECONCILE_ACCEPT},
    {"a new job with a bad spec fails", P(NONE), F(REFUSED), RECONCILE_REFUSE},
    {"nothing is done before the gate is stored", P(ADMITTED), F(GATE) | F(TO_CREATE),
     RECONCILE_SAVE},
    {"a write under way is waited for", P(STARTING), F(GATE) | F(WRITING) | F(READY),
     RECONCILE_WAIT},
    {"a lazy write does not hold up creation", P(ADMITTED), F(WRITING) | F(KEY) | F(TO_CREATE),
     RECONCILE_CREATE_PODS},
    {"a job that is being deleted stops", P(RUNNING), F(DELETING) | F(ACTIVE) | F(GATE),
     RECONCILE_STOP},
    {"then lets go", P(RUNNING), F(DELETING) | F(STOP_ORDERED) | F(VERDICT), RECONCILE_LET_GO},
    {"and is then left alone", P(RUNNING), F(DELETING) | F(LET_GO) | F(TO_CREATE), RECONCILE_WAIT},

    {"a queued job is tried first", P(QUEUED), 0, RECONCILE_PROBE},
    {"a trial under way is waited for", P(QUEUED), F(PROBING), RECONCILE_WAIT},
    {"then it goes to the ledger", P(QUEUED), F(PROBED), RECONCILE_ENQUEUE},
    {"not before it is known where its volumes are", P(QUEUED), F(PROBED) | F(VOLUMES_OPEN),
     RECONCILE_WAIT},
    {"not while its former pods run", P(QUEUED), F(PROBED) | F(PODS_LEFT), RECONCILE_WAIT},
    {"its former pods are deleted", P(QUEUED), F(PROBED) | F(PODS_LEFT) | F(TO_DELETE),
     RECONCILE_DELETE_PODS},
    {"in the queue it waits", P(QUEUED), F(PROBED) | F(IN_QUEUE), RECONCILE_WAIT},
    {"and its note is written when due", P(QUEUED), F(PROBED) | F(IN_QUEUE) | F(DUE),
     RECONCILE_SAVE},
    {"a place becomes a placement", P(QUEUED), F(PROBED) | F(PLACED), RECONCILE_ADMIT},
    {"a queued job can be suspended", P(QUEUED), F(PROBED) | F(PLACED) | F(SUSPEND),
     RECONCILE_SUSPEND},
    {"and cancelled, which is stronger", P(QUEUED), F(CANCEL) | F(SUSPEND), RECONCILE_CANCEL},

    {"the Secret comes before the pods", P(ADMITTED), F(TO_CREATE), RECONCILE_MAKE_KEY},
    {"pods wait for the Secret", P(ADMITTED), F(KEY_ASKED) | F(TO_CREATE), RECONCILE_WAIT},
    {"then pods are created", P(ADMITTED), F(KEY) | F(TO_CREATE), RECONCILE_CREATE_PODS},
    {"a pod that ends before the first START undoes the gang", P(ADMITTED),
     F(KEY) | F(DEAD) | F(TO_CREATE), RECONCILE_UNDO},
    {"so does lateness", P(ADMITTED), F(KEY) | F(PODS_LEFT) | F(LATE), RECONCILE_UNDO},
    {"what came late of a former gang goes before it starts", P(ADMITTED),
     F(KEY) | F(PODS_LEFT) | F(TO_DELETE) | F(READY) | F(PAST), RECONCILE_DELETE_PODS},
    {"but not before the gang is undone", P(ADMITTED),
     F(KEY) | F(PODS_LEFT) | F(TO_DELETE) | F(DEAD), RECONCILE_UNDO},
    {"a ready gang gets its attempt written", P(ADMITTED), F(KEY) | F(READY) | F(PAST),
     RECONCILE_PREPARE_START},

    {"a stop that nobody wants any more is taken back", P(RUNNING), F(ACTIVE) | F(STOP_PENDING),
     RECONCILE_TAKE_STOP_BACK},
    {"not once the ranks were told", P(RUNNING), F(ACTIVE) | F(STOP_PENDING) | F(STOP_ORDERED),
     RECONCILE_WAIT},
    {"not while it is wanted", P(RUNNING), F(ACTIVE) | F(STOP_PENDING) | F(SUSPEND),
     RECONCILE_STOP},

    {"START follows the stored attempt", P(STARTING), F(READY), RECONCILE_START},
    {"not twice", P(STARTING), F(SENT), RECONCILE_WAIT},
    {"a gang that is ready for a later attempt gets that one written", P(STARTING),
     F(READY) | F(PAST), RECONCILE_PREPARE_START},
    {"running is noted", P(STARTING), F(SENT) | F(EXECED) | F(ACTIVE), RECONCILE_NOTE_RUNNING},
    {"a pod lost between write and START is created again", P(STARTING),
     F(KEY) | F(DEAD) | F(TO_CREATE), RECONCILE_CREATE_PODS},

    {"a running job is left alone", P(RUNNING), F(SENT) | F(EXECED) | F(ACTIVE), RECONCILE_WAIT},
    {"success is written", P(RUNNING), F(COMPLETED), RECONCILE_COMPLETE},
    {"even when it is to be suspended", P(RUNNING), F(COMPLETED) | F(SUSPEND), RECONCILE_COMPLETE},
    {"a failure is judged", P(RUNNING), F(VERDICT), RECONCILE_JUDGE},
    {"a stop is ordered once", P(RUNNING), F(ACTIVE) | F(SUSPEND), RECONCILE_STOP},
    {"and then waited for", P(RUNNING), F(ACTIVE) | F(SUSPEND) | F(STOP_ORDERED), RECONCILE_WAIT},
    {"the verdict of a stop suspends", P(RUNNING), F(VERDICT) | F(SUSPEND), RECONCILE_SUSPEND},
    {"or cancels", P(RUNNING), F(VERDICT) | F(CANCEL) | F(SUSPEND), RECONCILE_CANCEL},
    {"or ends the job by its deadline", P(RUNNING), F(VERDICT) | F(DEADLINE), RECONCILE_TIME_OUT},
    {"no pod is created while ranks run", P(RUNNING), F(ACTIVE) | F(DEAD) | F(TO_CREATE),
     RECONCILE_WAIT},

    {"who makes way is stopped", P(PREEMPTING), F(ACTIVE) | F(STOP_PENDING), RECONCILE_STOP},
    {"once", P(PREEMPTING), F(ACTIVE) | F(STOP_PENDING) | F(STOP_ORDERED), RECONCILE_WAIT},
    {"and not taken for running again", P(PREEMPTING),
     F(ACTIVE) | F(STOP_PENDING) | F(STOP_ORDERED) | F(EXECED), RECONCILE_WAIT},
    {"and not judged", P(PREEMPTING), F(VERDICT) | F(STOP_PENDING), RECONCILE_LEAVE},
    {"its success counts", P(PREEMPTING), F(COMPLETED) | F(STOP_PENDING), RECONCILE_COMPLETE},
    {"a user's wish counts more", P(PREEMPTING), F(VERDICT) | F(SUSPEND), RECONCILE_SUSPEND},
    {"its last checkpoints are waited for", P(PREEMPTING), F(PODS_LEFT) | F(SETTLING),
     RECONCILE_WAIT},
    {"then it lets go", P(PREEMPTING), F(PODS_LEFT) | F(READY) | F(PAST), RECONCILE_LET_GO},
    {"and holds its place until its pods are gone", P(PREEMPTING),
     F(LET_GO) | F(PODS_LEFT) | F(NO_PLACE) | F(LATE) | F(TO_CREATE), RECONCILE_WAIT},
    {"which are deleted when they do not go", P(PREEMPTING),
     F(LET_GO) | F(PODS_LEFT) | F(TO_DELETE), RECONCILE_DELETE_PODS},
    {"and is queued again", P(PREEMPTING), F(LET_GO) | F(DEAD) | F(TO_CREATE), RECONCILE_REQUEUE},

    {"a ready gang restarts", P(RESTARTING), F(READY) | F(PAST), RECONCILE_PREPARE_START},
    {"after its backoff", P(RESTARTING), F(READY) | F(PAST) | F(BACKING_OFF), RECONCILE_WAIT},
    {"before a pod is created again the Secret is", P(RESTARTING), F(DEAD) | F(TO_CREATE),
     RECONCILE_MAKE_KEY},
    {"whose answer does not hold it up", P(RESTARTING), F(KEY_ASKED) | F(DEAD) | F(TO_CREATE),
     RECONCILE_CREATE_PODS},
    {"nor is it asked for twice", P(RESTARTING), F(KEY) | F(DEAD) | F(TO_CREATE),
     RECONCILE_CREATE_PODS},
    {"even during the backoff", P(RESTARTING), F(KEY) | F(DEAD) | F(TO_CREATE) | F(BACKING_OFF),
     RECONCILE_CREATE_PODS},
    {"not while ranks run", P(RESTARTING), F(ACTIVE) | F(DEAD) | F(TO_CREATE), RECONCILE_WAIT},
    {"a member that fits nowhere sends the gang back", P(RESTARTING), F(NO_PLACE) | F(DEAD),
     RECONCILE_UNDO},
    {"a suspended restart needs no stop", P(RESTARTING), F(SUSPEND), RECONCILE_SUSPEND},

    {"the last checkpoints are waited for", P(SUSPENDED),
     F(SUSPEND) | F(PODS_LEFT) | F(TO_DELETE) | F(SETTLING), RECONCILE_WAIT},
    {"also at the end", P(SUCCEEDED), F(PODS_LEFT) | F(SETTLING), RECONCILE_WAIT},
    {"a suspended job lets go", P(SUSPENDED), F(SUSPEND) | F(PODS_LEFT), RECONCILE_LET_GO},
    {"deletes its pods", P(SUSPENDED), F(SUSPEND) | F(LET_GO) | F(PODS_LEFT) | F(TO_DELETE),
     RECONCILE_DELETE_PODS},
    {"and rests", P(SUSPENDED), F(SUSPEND) | F(LET_GO), RECONCILE_WAIT},
    {"until it is resumed", P(SUSPENDED), F(LET_GO), RECONCILE_RESUME},
    {"when its pods are gone", P(SUSPENDED), F(LET_GO) | F(PODS_LEFT), RECONCILE_WAIT},

    {"a finished job lets go", P(SUCCEEDED), F(PODS_LEFT), RECONCILE_LET_GO},
    {"is cleaned up", P(FAILED), F(LET_GO) | F(UNCLEAN), RECONCILE_DELETE_PODS},
    {"and is deleted in the end", P(SUCCEEDED), F(LET_GO) | F(EXPIRED), RECONCILE_DELETE_JOB},
    {"a finished job cannot be cancelled", P(SUCCEEDED), F(LET_GO) | F(CANCEL), RECONCILE_WAIT},
};

static void test_each_row_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        enum reconcile_action action = reconcile(rows[i].phase, rows[i].facts);
        if (action == rows[i].action)
            continue;
        struct mlt_text facts = MLT_TEXT_INIT(1024);
        reconcile_facts_print(rows[i].facts, &facts);
        fail_msg("%s: phase %s, facts %s: %s instead of %s", rows[i].sentence,
                 trainingjob_phase_name(rows[i].phase), mlt_text_string(&facts),
                 reconcile_action_name(action), reconcile_action_name(rows[i].action));
    }
}

/* Over every set of the facts that matter for it: no START and no pod before what they rely on is
 * stored. */
static void test_nothing_irreversible_is_done_behind_an_unstored_gate(void **state)
{
    (void)state;
    for (int phase = TRAININGJOB_PHASE_NONE; phase <= TRAININGJOB_PHASE_FAILED; phase++)
        for (int number = 0; number < RECONCILE_FACT_COUNT; number++)
            for (int other = 0; other < RECONCILE_FACT_COUNT; other++) {
                uint64_t facts = F(GATE) | UINT64_C(1) << number | UINT64_C(1) << other;
                enum reconcile_action action = reconcile((enum trainingjob_phase)phase, facts);
                bool deleting = facts & F(DELETING);
                assert_true(action == RECONCILE_SAVE || action == RECONCILE_WAIT ||
                            (deleting && (action == RECONCILE_STOP || action == RECONCILE_LET_GO)));
            }
}

static void test_start_needs_a_ready_gang_that_was_not_started(void **state)
{
    (void)state;
    for (int phase = TRAININGJOB_PHASE_NONE; phase <= TRAININGJOB_PHASE_FAILED; phase++)
        for (uint32_t set = 0; set < 1u << 16; set++) {
            /* The upper half of the facts, from TO_CREATE on. */
            uint64_t facts = (uint64_t)set << RECONCILE_NUMBER_PODS_LEFT;
            if (reconcile((enum trainingjob_phase)phase, facts) != RECONCILE_START)
                continue;
            assert_int_equal(phase, TRAININGJOB_PHASE_STARTING);
            assert_true(facts & F(READY));
            assert_false(facts & (F(SENT) | F(ACTIVE) | F(PAST) | F(VERDICT) | F(COMPLETED)));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row_of_the_table),
        cmocka_unit_test(test_nothing_irreversible_is_done_behind_an_unstored_gate),
        cmocka_unit_test(test_start_needs_a_ready_gang_that_was_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
