/* What to do next for one job: a table of phase and facts, first match wins. PURE: a phase and a
 * set of facts go in, one action comes out; facts.c gathers the facts, the verbs do what is said.
 * Level-triggered: nothing here remembers anything, so a controller that knows only what the API
 * server and the launchers tell comes to the same action. */
#ifndef CONTROLLER_RECONCILE_H
#define CONTROLLER_RECONCILE_H

#include <stdint.h>
#include "trainingjob/status.h"

/* XX(NAME, words) */
#define RECONCILE_FACT_MAP(XX)                                              \
    XX(GATE, "a change that must be stored first is not stored yet")        \
    XX(WRITING, "a status write is under way")                              \
    XX(DUE, "a change that may wait has waited long enough")                \
    XX(DELETING, "the job object is being deleted")                         \
    XX(REFUSED, "the spec cannot be accepted")                              \
    XX(SUSPEND, "spec.suspend is true")                                     \
    XX(CANCEL, "the job is to be cancelled")                                \
    XX(DEADLINE, "activeDeadlineSeconds have passed")                       \
    XX(PROBING, "a dry run is under way, or waits for its next try")        \
    XX(PROBED, "the API server would accept the pods")                      \
    XX(VOLUMES_OPEN, "a claim of its pods is not known yet, or not bound")  \
    XX(IN_QUEUE, "the ledger has the job among those that wait")            \
    XX(PLACED, "the ledger has reserved a place")                           \
    XX(KEY_ASKED, "the creation of the Secret is under way")                \
    XX(KEY, "the Secret exists")                                            \
    XX(PODS_LEFT, "pods of the job run, or are being created")              \
    XX(TO_CREATE, "a member has a node and no pod")                         \
    XX(TO_DELETE, "a pod is to be deleted")                                 \
    XX(SILENT, "a launcher that was told to stop is out of reach")          \
    XX(DEAD, "a member's pod has ended")                                    \
    XX(READY, "all members are ready for the next START")                   \
    XX(PAST, "the members are ready for a later attempt than the status's") \
    XX(SENT, "START of the status's attempt was sent")                      \
    XX(EXECED, "all ranks of the attempt run")                              \
    XX(ACTIVE, "ranks run, or may run")                                     \
    XX(FAILING, "ranks are being stopped after a failure")                  \
    XX(UNTOLD, "for so long that the status should say it")                 \
    XX(STOP_PENDING, "the status says that the ranks are to stop")          \
    XX(STOP_ORDERED, "the ranks have been told to stop")                    \
    XX(VERDICT, "the attempt has ended with a failure or by order")         \
    XX(COMPLETED, "the ranks have done the job")                            \
    XX(BACKING_OFF, "the next attempt has to wait")                         \
    XX(NO_PLACE, "no node has room for a member")                           \
    XX(LATE, "startTimeoutSeconds have passed")                             \
    XX(SETTLING, "the launchers are about to tell the last checkpoints")    \
    XX(LET_GO, "the launchers have been told to exit")                      \
    XX(UNCLEAN, "a pod is there that cleanPodPolicy wants gone")            \
    XX(EXPIRED, "ttlSecondsAfterFinished have passed")

enum reconcile_fact_number {
#define XX(name, words) RECONCILE_NUMBER_##name,
    RECONCILE_FACT_MAP(XX)
#undef XX
        RECONCILE_FACT_COUNT
};
#define RECONCILE_BIT(name) (UINT64_C(1) << RECONCILE_NUMBER_##name)
_Static_assert(RECONCILE_FACT_COUNT <= 64, "a set of facts is a uint64_t");

/* XX(NAME, the verb's file and what it does) */
#define RECONCILE_ACTION_MAP(XX)                              \
    XX(WAIT, "nothing to do until something happens")         \
    XX(SAVE, "write the status")                              \
    XX(REFUSE, "fail the job: its spec cannot be accepted")   \
    XX(ACCEPT, "queue the job")                               \
    XX(PROBE, "ask the API server with a dry run")            \
    XX(ENQUEUE, "hand the job to the ledger")                 \
    XX(ADMIT, "write the placement")                          \
    XX(MAKE_KEY, "create the Secret")                         \
    XX(CREATE_PODS, "create the pods that are missing")       \
    XX(DELETE_PODS, "delete the pods that are to go")         \
    XX(UNDO, "give the whole gang back and queue again")      \
    XX(PREPARE_START, "write the next attempt")               \
    XX(START, "send START")                                   \
    XX(NOTE_RUNNING, "write that the job runs")               \
    XX(STOP, "order the ranks to stop, with grace")           \
    XX(TAKE_STOP_BACK, "write that they are not to stop")     \
    XX(SUSPEND, "write that the job is suspended")            \
    XX(RESUME, "queue the suspended job again")               \
    XX(CANCEL, "write that the job was cancelled")            \
    XX(TIME_OUT, "write that the deadline has passed")        \
    XX(NOTE_RESTARTING, "write that ranks are being stopped") \
    XX(JUDGE, "apply the failure policy to the verdict")      \
    XX(COMPLETE, "write that the job has succeeded")          \
    XX(LET_GO, "tell the launchers to exit")                  \
    XX(LEAVE, "write that the ranks have made way")           \
    XX(REQUEUE, "queue the job that has made way")            \
    XX(DELETE_JOB, "delete the job object")

enum reconcile_action {
#define XX(name, words) RECONCILE_##name,
    RECONCILE_ACTION_MAP(XX)
#undef XX
};

enum reconcile_action reconcile(enum trainingjob_phase phase, uint64_t facts);

const char *reconcile_action_name(enum reconcile_action action);

/* Appends the names of the facts, for logs and failing tests: "GATE WRITING". */
struct mlt_text;
void reconcile_facts_print(uint64_t facts, struct mlt_text *out);

#endif
