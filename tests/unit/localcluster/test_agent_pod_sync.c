/* What is done next with a pod, as a table of situations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "agent_fixture.h"
#include "lib/base/text.h"
#include "localcluster/agent/pod_sync.h"

#define NOW_MS 1000000

#define ONE "{'restartPolicy':'Never','containers':[{'name':'a'}]}"
#define TWO "{'restartPolicy':'Never','containers':[{'name':'a'},{'name':'b'}]}"
#define INIT                                                                 \
    "{'restartPolicy':'Never','initContainers':[{'name':'i'},{'name':'j'}]," \
    "'containers':[{'name':'a'}]}"
#define INIT_RETRIED \
    "{'restartPolicy':'OnFailure','initContainers':[{'name':'i'}],'containers':[{'name':'a'}]}"
#define ALWAYS "{'containers':[{'name':'a'}]}"
#define ON_FAILURE "{'restartPolicy':'OnFailure','containers':[{'name':'a'}]}"
#define SIDECAR                                                                          \
    "{'restartPolicy':'Never','initContainers':[{'name':'s','restartPolicy':'Always'}]," \
    "'containers':[{'name':'a'}]}"
#define DEADLINE "{'restartPolicy':'Never','activeDeadlineSeconds':5,'containers':[{'name':'a'}]}"
#define DELETING "{'deletionTimestamp':'2026-01-01T00:00:00Z','deletionGracePeriodSeconds':7}"
#define DELETED_AT_ONCE \
    "{'deletionTimestamp':'2026-01-01T00:00:00Z','deletionGracePeriodSeconds':0}"

/* What is known besides the containers' states. */
enum flag {
    NO_SANDBOX = 1,
    GONE = 2,
    FAILING = 4,
    TERM_SENT = 8, /* SIGKILL is due 3 s from now */
    KILL_SENT = 16,
    FINISHED = 32,
    BACK_OFF = 64, /* the first container may start again 4 s from now */
    OLD = 128,     /* seen 5 s ago */
    KILL_DUE = 256,
};

static const struct row {
    const char *sentence, *spec, *metadata, *states;
    int flags;
    const char *actions; /* "verb index@ms, ..." then the time of the next look, relative to now */
    int64_t wake;        /* relative, -1 for never */
} rows[] = {
    {"a new pod gets its sandbox", ONE, NULL, "w", NO_SANDBOX, "create sandbox", -1},
    {"with a sandbox its container starts", ONE, NULL, "w", 0, "start 0", -1},
    {"a container that was asked for is not asked for again", ONE, NULL, "s", 0, "", -1},
    {"a running pod needs nothing", ONE, NULL, "r", 0, "", -1},
    {"all containers start at once", TWO, NULL, "w w", 0, "start 0, start 1", -1},
    {"one container of two has ended, the other goes on", TWO, NULL, "t1 r", 0, "", -1},
    {"init containers start one by one", INIT, NULL, "w w w", 0, "start 0", -1},
    {"the next one waits for the one that runs", INIT, NULL, "r w w", 0, "", -1},
    {"the second follows the first", INIT, NULL, "t0 w w", 0, "start 1", -1},
    {"the containers follow the last init container", INIT, NULL, "t0 t0 w", 0, "start 2", -1},
    {"a failed init container ends a pod that never restarts", INIT, NULL, "t1 w w", 0, "leave",
     -1},
    {"a failed init container is tried again", INIT_RETRIED, NULL, "t1 w", 0, "start 0", -1},
    {"and waits for its time", INIT_RETRIED, NULL, "t1 w", BACK_OFF, "", 4000},
    {"a pod that has succeeded gives its sandbox back", ONE, NULL, "t0", 0, "leave", -1},
    {"a pod that has failed gives its sandbox back", ONE, NULL, "t9", 0, "leave", -1},
    {"after which nothing is left to do", ONE, NULL, "t9", NO_SANDBOX, "", -1},
    {"a finished pod is not started again", ONE, NULL, "w", NO_SANDBOX | FINISHED, "", -1},
    {"Always starts again after success", ALWAYS, NULL, "t0", 0, "start 0", -1},
    {"Always waits while it backs off", ALWAYS, NULL, "t1", BACK_OFF, "", 4000},
    {"OnFailure starts again after a failure", ON_FAILURE, NULL, "t1", 0, "start 0", -1},
    {"OnFailure is done after success", ON_FAILURE, NULL, "t0", 0, "leave", -1},
    {"Always makes a new sandbox when the shim was lost", ALWAYS, NULL, "t137", NO_SANDBOX,
     "create sandbox", -1},
    {"Never does not", ONE, NULL, "t137", NO_SANDBOX, "", -1},
    {"a sidecar starts and is waited for", SIDECAR, NULL, "s w", 0, "", -1},
    {"then the containers start beside it", SIDECAR, NULL, "r w", 0, "start 1", -1},
    {"a sidecar that ended starts again", SIDECAR, NULL, "t0 r", 0, "start 0", -1},
    {"sidecars are ended with the last container", SIDECAR, NULL, "r t0", 0, "terminate@30000",
     30000},
    {"a deletion is SIGTERM first", ONE, DELETING, "r", 0, "terminate@7000", 7000},
    {"then a wait", ONE, DELETING, "r", TERM_SENT, "", 3000},
    {"then SIGKILL", ONE, DELETING, "r", TERM_SENT | KILL_DUE, "kill", -1},
    {"once", ONE, DELETING, "r", TERM_SENT | KILL_DUE | KILL_SENT, "", -1},
    {"grace 0 is SIGKILL at once", ONE, DELETED_AT_ONCE, "r", 0, "kill", -1},
    {"a second, shorter deletion shortens what is left", ONE, DELETED_AT_ONCE, "r", TERM_SENT,
     "kill", -1},
    {"nothing runs any more: the sandbox goes, then the object", ONE, DELETING, "t0", TERM_SENT,
     "leave, delete object", -1},
    {"a deleted pod that never ran goes at once", ONE, DELETING, "w", NO_SANDBOX, "delete object",
     -1},
    {"a deleted pod does not start its containers", INIT, DELETING, "t0 w w", 0,
     "leave, delete object", -1},
    {"a deleted pod does not restart them", ALWAYS, DELETING, "t1", 0, "leave, delete object", -1},
    {"a pod without object has two seconds", ONE, NULL, "r", GONE, "terminate@2000", 2000},
    {"and is removed when nothing runs", ONE, NULL, "t0", GONE, "leave, remove", -1},
    {"a removed pod that never ran is removed", ONE, NULL, "w", GONE | NO_SANDBOX, "remove", -1},
    {"the deadline is looked at when it comes", DEADLINE, NULL, "r", 0, "", 5000},
    {"past it the pod fails", DEADLINE, NULL, "r", OLD, "fail", -1},
    {"a failing pod is ended with its own grace", DEADLINE, NULL, "r", OLD | FAILING,
     "terminate@30000", 30000},
    {"a rejected pod is left alone", ONE, NULL, "w", NO_SANDBOX | FAILING, "", -1},
    {"a rejected pod that is deleted goes", ONE, DELETING, "w", NO_SANDBOX | FAILING,
     "delete object", -1},
};

static void apply_flags(int flags, struct pod_known *known)
{
    known->sandbox = !(flags & NO_SANDBOX);
    known->gone = flags & GONE;
    known->failing = flags & FAILING;
    known->term_sent = flags & TERM_SENT;
    known->kill_sent = flags & KILL_SENT;
    known->finished = flags & FINISHED;
    known->kill_ms = flags & TERM_SENT ? NOW_MS + (flags & KILL_DUE ? 0 : 3000) : 0;
    known->start_ms = flags & OLD ? NOW_MS - 5000 : NOW_MS;
    if (flags & BACK_OFF)
        known->containers[0].retry_ms = NOW_MS + 4000;
}

static void describe(const struct pod_actions *actions, struct mlt_text *out)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct pod_action *a = &actions->list[i];
        mlt_text_printf(out, "%s%s", i ? ", " : "", pod_action_text(a->kind));
        if (a->kind == POD_ACTION_START)
            mlt_text_printf(out, " %zu", a->index);
        if (a->kind == POD_ACTION_TERMINATE)
            mlt_text_printf(out, "@%" PRId64, a->at_ms - NOW_MS);
    }
}

static void test_each_situation_has_its_next_step(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        static struct pod_known known;
        struct pod_actions actions;
        struct mlt_text text = MLT_TEXT_INIT(4096);
        struct pod_spec *spec = fixture_pod(r->spec, r->metadata);
        fixture_known(spec, r->states, &known);
        apply_flags(r->flags, &known);
        pod_sync(spec, &known, (struct pod_now){NOW_MS, NOW_MS}, &actions);
        describe(&actions, &text);
        int64_t wake = actions.wake_ms == INT64_MAX ? -1 : actions.wake_ms - NOW_MS;
        if (strcmp(mlt_text_string(&text), r->actions) != 0 || wake != r->wake) {
            print_error("%s: expected [%s] %" PRId64 ", got [%s] %" PRId64 "\n", r->sentence,
                        r->actions, r->wake, mlt_text_string(&text), wake);
            wrong++;
        }
        mlt_text_release(&text);
        pod_spec_free(spec);
    }
    assert_int_equal(wrong, 0);
}

static const struct phase_row {
    const char *sentence, *spec, *metadata, *states;
    int flags;
    enum pod_phase phase;
} phases[] = {
    {"nothing has started", ONE, NULL, "w", 0, POD_PENDING},
    {"starting is pending", ONE, NULL, "s", 0, POD_PENDING},
    {"one of two runs, the other not yet", TWO, NULL, "r w", 0, POD_PENDING},
    {"init containers run", INIT, NULL, "t0 r w", 0, POD_PENDING},
    {"a container runs", ONE, NULL, "r", 0, POD_RUNNING},
    {"one has failed, one runs", TWO, NULL, "t1 r", 0, POD_RUNNING},
    {"all have succeeded", TWO, NULL, "t0 t0", 0, POD_SUCCEEDED},
    {"one of them has failed", TWO, NULL, "t0 t1", 0, POD_FAILED},
    {"an init container has failed", INIT, NULL, "t3 w w", 0, POD_FAILED},
    {"an init container will be tried again", INIT_RETRIED, NULL, "t3 w", 0, POD_PENDING},
    {"Always is never over", ALWAYS, NULL, "t0", 0, POD_RUNNING},
    {"waiting to be restarted", ALWAYS, NULL, "w+", 0, POD_RUNNING},
    {"OnFailure with a failure goes on", ON_FAILURE, NULL, "t1", 0, POD_RUNNING},
    {"sidecars still run", SIDECAR, NULL, "r t0", 0, POD_RUNNING},
    {"sidecars were ended with a signal", SIDECAR, NULL, "t143 t0", 0, POD_SUCCEEDED},
    {"rejected", ONE, NULL, "w", FAILING, POD_FAILED},
    {"past its deadline but still running", ONE, NULL, "r", FAILING, POD_RUNNING},
    {"deleted and ended with 0", ALWAYS, DELETING, "t0", 0, POD_SUCCEEDED},
    {"deleted and killed", ALWAYS, DELETING, "t137", 0, POD_FAILED},
    {"deleted before it started", ONE, DELETING, "w", 0, POD_FAILED},
};

static void test_the_phase_is_the_kubelets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        const struct phase_row *r = &phases[i];
        static struct pod_known known;
        struct pod_spec *spec = fixture_pod(r->spec, r->metadata);
        fixture_known(spec, r->states, &known);
        apply_flags(r->flags, &known);
        if (pod_phase(spec, &known) != r->phase)
            fail_msg("%s: got %d", r->sentence, (int)pod_phase(spec, &known));
        pod_spec_free(spec);
    }
}

/* Carries out what is decided on a machine where everything works, and counts. */
static void test_a_pod_comes_to_its_end_by_these_steps_alone(void **state)
{
    (void)state;
    struct pod_spec *spec = fixture_pod(INIT, NULL);
    static struct pod_known known;
    struct pod_actions actions;
    int starts = 0, left = 0;
    pod_known_init(&known, spec, NOW_MS);
    for (int64_t now = NOW_MS; now < NOW_MS + 50 && !left; now++) {
        pod_sync(spec, &known, (struct pod_now){now, now}, &actions);
        for (size_t i = 0; i < actions.count; i++) {
            struct shim_report report = {
                .state = SHIM_TERMINATED, .started_ms = now, .finished_ms = now};
            switch (actions.list[i].kind) {
            case POD_ACTION_CREATE_SANDBOX:
                known.sandbox = true;
                break;
            case POD_ACTION_START:
                pod_known_starting(&known, actions.list[i].index);
                report = known.containers[actions.list[i].index].current;
                report.state = SHIM_TERMINATED;
                assert_true(pod_known_report(&known, &report, now));
                starts++;
                break;
            case POD_ACTION_LEAVE:
                left = 1;
                break;
            default:
                fail_msg("unexpected: %s", pod_action_text(actions.list[i].kind));
            }
        }
    }
    assert_int_equal(starts, 3);
    assert_int_equal(left, 1);
    assert_int_equal(pod_phase(spec, &known), POD_SUCCEEDED);
    pod_spec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_situation_has_its_next_step),
        cmocka_unit_test(test_the_phase_is_the_kubelets),
        cmocka_unit_test(test_a_pod_comes_to_its_end_by_these_steps_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
