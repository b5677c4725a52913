/* Names: of the choices in a spec, of signals, of pods, Secrets and labels. */
#include "trainingjob/names.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/number.h"
#include "trainingjob/trainingjob.h"

#define XX(name, text) text,
const char *const trainingjob_framework_names[] = {TRAININGJOB_FRAMEWORK_MAP(XX) NULL};
const char *const trainingjob_binding_names[] = {TRAININGJOB_BINDING_MAP(XX) NULL};
const char *const trainingjob_format_names[] = {TRAININGJOB_FORMAT_MAP(XX) NULL};
const char *const trainingjob_clean_names[] = {TRAININGJOB_CLEAN_MAP(XX) NULL};
const char *const trainingjob_success_names[] = {TRAININGJOB_SUCCESS_MAP(XX) NULL};
const char *const trainingjob_wireup_names[] = {TRAININGJOB_WIREUP_MAP(XX) NULL};
const char *const trainingjob_action_names[] = {TRAININGJOB_ACTION_MAP(XX) NULL};
const char *const trainingjob_operator_names[] = {TRAININGJOB_OPERATOR_MAP(XX) NULL};
const char *const trainingjob_depends_names[] = {TRAININGJOB_DEPENDS_MAP(XX) NULL};
static const char *const phase_names[] = {TRAININGJOB_PHASE_MAP(XX) NULL};
static const char *const condition_names[] = {TRAININGJOB_CONDITION_MAP(XX) NULL};
#undef XX

/* The signals that ask a process to stop and leave it time to save; then the others that may end a
 * rank. Linux's numbers on x86 and ARM, because <signal.h> has no place in pure code; a test
 * compares. */
#define STOP_SIGNAL_MAP(XX)            \
    XX("SIGTERM", TRAININGJOB_SIGTERM) \
    XX("SIGINT", 2)                    \
    XX("SIGHUP", 1)                    \
    XX("SIGQUIT", 3)                   \
    XX("SIGUSR1", 10)                  \
    XX("SIGUSR2", 12)
#define OTHER_SIGNAL_MAP(XX) \
    XX("SIGKILL", 9)         \
    XX("SIGSEGV", 11)        \
    XX("SIGBUS", 7)          \
    XX("SIGABRT", 6)         \
    XX("SIGFPE", 8)          \
    XX("SIGILL", 4)          \
    XX("SIGPIPE", 13)        \
    XX("SIGALRM", 14)        \
    XX("SIGTRAP", 5)         \
    XX("SIGSYS", 31)         \
    XX("SIGXCPU", 24)        \
    XX("SIGXFSZ", 25)

#define NAME(name, number) name,
#define NUMBER(name, number) number,
const char *const trainingjob_signal_names[] = {STOP_SIGNAL_MAP(NAME) OTHER_SIGNAL_MAP(NAME) NULL};
const int trainingjob_signal_numbers[] = {STOP_SIGNAL_MAP(NUMBER) OTHER_SIGNAL_MAP(NUMBER)};
const char *const trainingjob_stop_signal_names[] = {STOP_SIGNAL_MAP(NAME) NULL};
const int trainingjob_stop_signal_numbers[] = {STOP_SIGNAL_MAP(NUMBER)};

int trainingjob_signal_number(const char *name)
{
    for (int i = 0; trainingjob_signal_names[i]; i++) {
        if (strcmp(trainingjob_signal_names[i], name) == 0)
            return trainingjob_signal_numbers[i];
    }
    return 0;
}

const char *trainingjob_signal_name(int number)
{
    for (int i = 0; trainingjob_signal_names[i]; i++) {
        if (trainingjob_signal_numbers[i] == number)
            return trainingjob_signal_names[i];
    }
    return NULL;
}

const char *trainingjob_framework_name(int framework)
{
    return trainingjob_framework_names[framework];
}

const char *trainingjob_format_name(int format)
{
    return trainingjob_format_names[format];
}

const char *trainingjob_action_name(int action)
{
    return trainingjob_action_names[action];
}

const char *trainingjob_phase_name(enum trainingjob_phase phase)
{
    return phase_names[phase];
}

const char *trainingjob_condition_name(enum trainingjob_condition_type type)
{
    return condition_names[type];
}

/* ---- pods and Secrets ---- */

int trainingjob_pod_name(const char *job, const char *role, int64_t index, int64_t creation,
                         char name[TRAININGJOB_POD_NAME_MAX], struct mlt_error *err)
{
    char text[2 * TRAININGJOB_POD_NAME_MAX], suffix[32] = "";
    if (creation > 1)
        (void)snprintf(suffix, sizeof suffix, "-r%lld", (long long)creation);
    int length = snprintf(text, sizeof text, "%s-%s-%lld%s", job, role, (long long)index, suffix);
    if (length < 0 || length >= TRAININGJOB_POD_NAME_MAX)
        return mlt_fail(err, EINVAL, "the pod name %s-%s-%lld%s has more than %d characters", job,
                        role, (long long)index, suffix, TRAININGJOB_POD_NAME_MAX - 1);
    memcpy(name, text, (size_t)length + 1);
    return 0;
}

int64_t trainingjob_pod_creation(const char *pod_name, const char *job, const char *role,
                                 int64_t index)
{
    char first[TRAININGJOB_POD_NAME_MAX];
    int64_t creation;
    if (trainingjob_pod_name(job, role, index, 1, first, NULL) < 0)
        return 0;
    size_t length = strlen(first);
    if (strncmp(pod_name, first, length) != 0)
        return 0;
    if (pod_name[length] == '\0')
        return 1;
    if (strncmp(pod_name + length, "-r", 2) != 0 ||
        mlt_parse_integer(pod_name + length + 2, 2, INT32_MAX, &creation, NULL) < 0)
        return 0;
    return creation;
}

void trainingjob_secret_name(const char *job, const char *uid,
                             char name[TRAININGJOB_SECRET_NAME_MAX])
{
    (void)snprintf(name, TRAININGJOB_SECRET_NAME_MAX, "%.*s-mltrain-key-%.8s", TRAININGJOB_NAME_MAX,
                   job, uid);
}

void trainingjob_selector(const char *job, char selector[TRAININGJOB_SELECTOR_MAX])
{
    (void)snprintf(selector, TRAININGJOB_SELECTOR_MAX, "%s=%.*s,%s=%s", TRAININGJOB_LABEL_JOB_NAME,
                   TRAININGJOB_NAME_MAX, job, TRAININGJOB_LABEL_ROLE, TRAININGJOB_ROLE_WORKER);
}

void trainingjob_label_pod(cJSON *pod, const struct trainingjob *job, const char *role,
                           int64_t index)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)index);
    json_set_string(pod, "metadata.labels[" TRAININGJOB_LABEL_JOB_NAME "]", job->metadata.name);
    json_set_string(pod, "metadata.labels[" TRAININGJOB_LABEL_JOB_UID "]", job->metadata.uid);
    json_set_string(pod, "metadata.labels[" TRAININGJOB_LABEL_ROLE "]", role);
    json_set_string(pod, "metadata.labels[" TRAININGJOB_LABEL_INDEX "]", text);
}
