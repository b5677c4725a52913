/* Credential plugins: `users[].user.exec` of a kubeconfig names a command that prints an
 * ExecCredential with a token or a client certificate. The command is run when the kubeconfig is
 * loaded, and again before a request when what it gave has expired or was refused.
 *
 * Source: k8s.io/client-go/plugin/pkg/client/auth/exec/exec.go. */
#include "lib/kube/transport/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/base/text.h"
#include "lib/json/json.h"
#include "lib/kube/base64.h"

#define PLUGIN_OUTPUT_MAX (1024u * 1024) /* bytes */
#define PLUGIN_ARGS_MAX 256
#define PLUGIN_ENV_MAX 256
#define PLUGIN_PERSON_MS (5 * 60 * 1000) /* where it may ask a person */
#define PLUGIN_EARLY_MS (10 * 1000)      /* so much before it expires a credential is replaced */
#define PLUGIN_PAUSE_MS (10 * 1000)      /* between two runs that requests cause */
#define PLUGIN_GROUP "client.authentication.k8s.io/"

extern char **environ;

/* ---- what the command is told ---- */

static char *exec_info(const struct kube_config *c, const char *api_version, bool with_person)
{
    cleanup_json cJSON *info = cJSON_CreateObject();
    json_set_string(info, "apiVersion", api_version);
    json_set_string(info, "kind", "ExecCredential");
    json_set_bool(info, "spec.interactive", with_person);
    if (json_bool(c->exec, "provideClusterInfo", false)) {
        json_set_string(info, "spec.cluster.server", c->server);
        json_set_string(info, "spec.cluster.tls-server-name", c->tls_server_name);
        json_set_bool(info, "spec.cluster.insecure-skip-tls-verify", c->insecure_skip_tls_verify);
        cleanup_free char *ca =
            c->ca_data ? kube_base64_encode(c->ca_data, strlen(c->ca_data)) : NULL;
        json_set_string(info, "spec.cluster.certificate-authority-data", ca);
    }
    cleanup_free char *text = json_print(info);
    return mlt_asprintf("KUBERNETES_EXEC_INFO=%s", text);
}

/* Later entries win with execve's users only by luck, so variables that are set anew are left out
 * of what is inherited. */
static bool is_replaced(const char *variable, char *const *added)
{
    size_t length = strcspn(variable, "=") + 1;
    for (; *added; added++) {
        if (strncmp(variable, *added, length) == 0)
            return true;
    }
    return false;
}

static void free_list(char ***list)
{
    for (char **item = *list; item && *item; item++)
        free(*item);
    free(*list);
}
#define cleanup_list __attribute__((cleanup(free_list)))

static char **make_environment(const struct kube_config *c, const char *api_version,
                               bool with_person)
{
    cleanup_list char **added = mlt_calloc(PLUGIN_ENV_MAX + 2, sizeof *added);
    size_t count = 0, inherited = 0;
    const cJSON *variable;
    cJSON_ArrayForEach(variable, json_member(c->exec, "env"))
    {
        if (count < PLUGIN_ENV_MAX)
            added[count++] = mlt_asprintf("%s=%s", json_string(variable, "name", ""),
                                          json_string(variable, "value", ""));
    }
    added[count++] = exec_info(c, api_version, with_person);
    while (environ[inherited])
        inherited++;
    char **all = mlt_calloc(inherited + count + 1, sizeof *all);
    size_t used = 0;
    for (size_t i = 0; i < inherited; i++) {
        if (!is_replaced(environ[i], added))
            all[used++] = mlt_strdup(environ[i]);
    }
    for (size_t i = 0; i < count; i++)
        all[used++] = steal_ptr(&added[i]);
    return all;
}

static char **make_arguments(const struct kube_config *c)
{
    char **arguments = mlt_calloc(PLUGIN_ARGS_MAX + 2, sizeof *arguments);
    size_t count = 0;
    const cJSON *argument;
    arguments[count++] = mlt_strdup(json_string(c->exec, "command", ""));
    cJSON_ArrayForEach(argument, json_member(c->exec, "args"))
    {
        if (count <= PLUGIN_ARGS_MAX)
            arguments[count++] = mlt_strdup(json_string(argument, "", ""));
    }
    return arguments;
}

/* ---- running it ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* `with_person`: it keeps our terminal, and stays in our group, for another group may not read it.
 */
static int start(char **arguments, char **environment, int output, bool with_person, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    if (!with_person)
        (void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    /* A group of its own, to be killed with its children; and our ignored signals are not for it.
     */
    sigset_t all;
    (void)sigfillset(&all);
    int flags = POSIX_SPAWN_SETSIGDEF | (with_person ? 0 : POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setflags(&attributes, (short)flags);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigdefault(&attributes, &all);
    int r = posix_spawnp(ret_pid, arguments[0], &actions, &attributes, arguments, environment);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return -r;
}

/* Reads until the command closes its output or the time is over: -ETIMEDOUT, -E2BIG. */
static int read_output(int fd, int timeout_ms, struct mlt_text *out)
{
    int64_t deadline_ms = now_ms() + timeout_ms;
    char buffer[4096];
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left_ms = deadline_ms - now_ms();
        int r = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (r == 0)
            return -ETIMEDOUT;
        ssize_t got = r > 0 ? read(fd, buffer, sizeof buffer) : -1;
        if (got < 0 && errno != EINTR)
            return -errno;
        if (got == 0)
            return 0;
        if (got > 0)
            mlt_text_add(out, buffer, (size_t)got);
        if (out->failed)
            return -E2BIG;
    }
}

/* Whether it may ask a person, by interactiveMode: Never, IfAvailable (also when there is none, as
 * in v1beta1), Always. */
static int ask_person(const struct kube_config *c, bool *ret, struct mlt_error *err)
{
    const char *mode = json_string(c->exec, "interactiveMode", "IfAvailable");
    const char *command = json_string(c->exec, "command", "");
    bool is_always = strcmp(mode, "Always") == 0;
    if (!is_always && strcmp(mode, "Never") != 0 && strcmp(mode, "IfAvailable") != 0)
        return mlt_fail(err, EINVAL,
                        "exec.interactiveMode: `%s` is not Never, IfAvailable or Always", mode);
    *ret = strcmp(mode, "Never") != 0 && isatty(STDIN_FILENO);
    if (is_always && !*ret)
        return mlt_fail(err, ENOTTY,
                        "the credential plugin `%s` has to ask a person (interactiveMode: Always), "
                        "and standard input is not a terminal",
                        command);
    return 0;
}

static int run(const struct kube_config *c, const char *api_version, int timeout_ms,
               struct mlt_text *out, struct mlt_error *err)
{
    bool with_person = false;
    int r = ask_person(c, &with_person, err);
    if (r < 0)
        return r;
    if (with_person && timeout_ms < PLUGIN_PERSON_MS)
        timeout_ms = PLUGIN_PERSON_MS;
    cleanup_list char **arguments = make_arguments(c);
    cleanup_list char **environment = make_environment(c, api_version, with_person);
    cleanup_close int reader = -1, writer = -1;
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return mlt_fail(err, errno, "make a pipe: %s", strerror(errno));
    reader = pipes[0];
    writer = pipes[1];
    pid_t pid = 0;
    r = start(arguments, environment, writer, with_person, &pid);
    const char *hint = json_string(c->exec, "installHint", "");
    if (r < 0)
        return mlt_fail(err, -r, "run the credential plugin `%s`: %s%s%s", arguments[0],
                        strerror(-r), hint[0] ? ". " : "", hint);
    (void)close(steal_fd(&writer));
    r = read_output(reader, timeout_ms, out);
    if (r < 0)
        (void)kill(with_person ? pid : -pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (r == -ETIMEDOUT)
        return mlt_fail(err, ETIMEDOUT, "the credential plugin `%s` gave no answer within %d ms",
                        arguments[0], timeout_ms);
    if (r == -E2BIG)
        return mlt_fail(err, E2BIG, "the credential plugin `%s` printed more than %u bytes",
                        arguments[0], PLUGIN_OUTPUT_MAX);
    if (r < 0)
        return mlt_fail(err, -r, "the credential plugin `%s`: %s", arguments[0], strerror(-r));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return mlt_fail(err, EACCES, "the credential plugin `%s` failed with %s %d", arguments[0],
                        WIFEXITED(status) ? "exit code" : "signal",
                        WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 0;
}

/* ---- what it answered ---- */

static void replace(char **field, const char *value)
{
    if (!value || !value[0])
        return;
    free(*field);
    *field = mlt_strdup(value);
}

static int take(struct kube_config *c, const char *api_version, const struct mlt_text *out,
                struct mlt_error *err)
{
    cleanup_json cJSON *answer = NULL;
    const char *command = json_string(c->exec, "command", "");
    int r = json_parse(mlt_text_string(out), out->length, &answer, err);
    if (r < 0)
        return mlt_fail_in(err, "the output of the credential plugin `%s`", command);
    const char *kind = json_string(answer, "kind", "");
    const char *version = json_string(answer, "apiVersion", "");
    if (strcmp(kind, "ExecCredential") != 0 || strcmp(version, api_version) != 0)
        return mlt_fail(
            err, EINVAL,
            "the credential plugin `%s` printed `%s` of `%s`, expected ExecCredential of `%s`",
            command, kind, version, api_version);
    replace(&c->token, json_string(answer, "status.token", NULL));
    replace(&c->client_certificate_data, json_string(answer, "status.clientCertificateData", NULL));
    replace(&c->client_key_data, json_string(answer, "status.clientKeyData", NULL));
    if (!c->client_certificate_data != !c->client_key_data || (!c->token && !c->client_key_data))
        return mlt_fail(
            err, EINVAL,
            "the credential plugin `%s` gave neither a token nor a certificate with its key",
            command);
    const char *expires = json_string(answer, "status.expirationTimestamp", "");
    c->exec_expires_ms = 0;
    if (*expires && mlt_time_parse(expires, &c->exec_expires_ms, err) < 0)
        return mlt_fail_in(err, "the credential plugin `%s`: status.expirationTimestamp", command);
    c->exec_gave = true;
    return 0;
}

int exec_plugin_run(struct kube_config *c, int timeout_ms, struct mlt_error *err)
{
    cleanup_free char *api_version = mlt_strdup(json_string(c->exec, "apiVersion", ""));
    if (strcmp(api_version, PLUGIN_GROUP "v1") != 0 &&
        strcmp(api_version, PLUGIN_GROUP "v1beta1") != 0)
        return mlt_fail(err, EINVAL, "exec.apiVersion: `%s` is not " PLUGIN_GROUP "v1 or v1beta1",
                        api_version);
    if (json_size(c->exec, "args") > PLUGIN_ARGS_MAX || json_size(c->exec, "env") > PLUGIN_ENV_MAX)
        return mlt_fail(err, E2BIG, "exec: more than %d args or %d variables", PLUGIN_ARGS_MAX,
                        PLUGIN_ENV_MAX);
    cleanup_text struct mlt_text out = MLT_TEXT_INIT(PLUGIN_OUTPUT_MAX);
    int r = run(c, api_version, timeout_ms, &out, err);
    return r < 0 ? r : take(c, api_version, &out, err);
}

static int64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const char *exec_plugin_refresh(struct kube_transport *t)
{
    struct kube_config *c = &t->config;
    struct mlt_error err = {0};
    int64_t left_ms = c->exec_expires_ms ? c->exec_expires_ms - wall_ms() : INT64_MAX;
    if (!c->exec_gave || (left_ms > PLUGIN_EARLY_MS && !t->credential_refused))
        return NULL;
    if (t->exec_ran_ms && now_ms() - t->exec_ran_ms < PLUGIN_PAUSE_MS)
        return NULL; /* one that always gives what is refused is not run for every request */
    int r = exec_plugin_run(c, PLUGIN_TIMEOUT_MS, &err);
    t->exec_ran_ms = now_ms();
    if (r == 0)
        t->credential_refused = false;
    if (r == 0 || (left_ms > 0 && !t->credential_refused))
        return NULL;
    (void)snprintf(t->exec_error, sizeof t->exec_error, "%s", err.text);
    return t->exec_error;
}
