/* The messages between agent and shim as plain data, in and out of JSON. */
#include "localcluster/shim/wire.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"

#define PATH_LENGTH_MAX 4096

static const char *const state_names[] = {
    [SHIM_STARTING] = "starting", [SHIM_RUNNING] = "running", [SHIM_TERMINATED] = "terminated"};

cJSON *shim_report_to_json(const struct shim_report *r)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "container", r->name);
    json_set_integer(object, "restart", r->restart);
    json_set_string(object, "state", state_names[r->state]);
    json_set_integer(object, "pid", r->process.pid);
    json_set_integer(object, "startTicks", (int64_t)r->process.start_ticks);
    json_set_integer(object, "startedMs", r->started_ms);
    json_set_integer(object, "finishedMs", r->finished_ms);
    json_set_integer(object, "exitCode", r->exit_code);
    json_set_integer(object, "signal", r->signal);
    json_set_bool(object, "outOfMemory", r->out_of_memory);
    json_set_bool(object, "noLimit", r->no_limit);
    json_set_bool(object, "startError", r->start_error);
    json_set_string(object, "message", r->message);
    return object;
}

static int read_state(const char *name, enum shim_state *ret, struct mlt_error *err)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++) {
        if (strcmp(state_names[i], name) == 0) {
            *ret = (enum shim_state)i;
            return 0;
        }
    }
    return mlt_fail(err, EINVAL, "state: `%s` is not starting, running or terminated", name);
}

int shim_report_from_json(const cJSON *object, struct shim_report *ret, struct mlt_error *err)
{
    struct shim_report r = {0};
    const char *name = "", *state = "", *message = "";
    int64_t pid = 0, ticks = 0, code = 0, signal_number = 0;
    if (json_read_string(object, "", "container", SHIM_NAME_MAX - 1, &name, err) < 0 ||
        json_read_string(object, "", "state", 16, &state, err) < 0 ||
        json_read_string(object, "", "message", SHIM_TEXT_MAX - 1, &message, err) < 0 ||
        json_read_integer(object, "", "restart", 0, INT_MAX, &r.restart, err) < 0 ||
        json_read_integer(object, "", "pid", 0, INT_MAX, &pid, err) < 0 ||
        json_read_integer(object, "", "startTicks", 0, INT64_MAX, &ticks, err) < 0 ||
        json_read_integer(object, "", "startedMs", 0, INT64_MAX, &r.started_ms, err) < 0 ||
        json_read_integer(object, "", "finishedMs", 0, INT64_MAX, &r.finished_ms, err) < 0 ||
        json_read_integer(object, "", "exitCode", 0, 255, &code, err) < 0 ||
        json_read_integer(object, "", "signal", 0, 64, &signal_number, err) < 0 ||
        json_read_bool(object, "", "outOfMemory", &r.out_of_memory, err) < 0 ||
        json_read_bool(object, "", "noLimit", &r.no_limit, err) < 0 ||
        json_read_bool(object, "", "startError", &r.start_error, err) < 0)
        return -EINVAL;
    if (*name == '\0')
        return mlt_fail(err, EINVAL, "container: a report names its container");
    if (read_state(state, &r.state, err) < 0)
        return -EINVAL;
    (void)snprintf(r.name, sizeof r.name, "%s", name);
    (void)snprintf(r.message, sizeof r.message, "%s", message);
    r.process.pid = (pid_t)pid;
    r.process.start_ticks = (uint64_t)ticks;
    r.exit_code = (int)code;
    r.signal = (int)signal_number;
    *ret = r;
    return 0;
}

static void set_words(cJSON *object, const char *name, char *const *words)
{
    cJSON *array = json_set_array(object, name);
    for (size_t i = 0; words && words[i]; i++)
        json_append_string(array, words[i]);
}

cJSON *shim_start_to_json(const struct shim_start *s)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "do", "start");
    json_set_string(object, "container", s->container);
    json_set_integer(object, "restart", s->restart);
    json_set_string(object, "program", s->program);
    set_words(object, "options", s->options);
    set_words(object, "command", s->command);
    json_set_string(object, "log", s->log);
    if (s->cgroup)
        json_set_string(object, "cgroup", s->cgroup);
    json_set_integer(object, "memory", s->memory);
    return object;
}

static int read_words(const cJSON *object, const char *name, char ***ret, struct mlt_error *err)
{
    const cJSON *array = NULL;
    if (json_read_array(object, "", name, SHIM_ARGUMENTS_MAX, &array, err) < 0)
        return -EINVAL;
    char **words = mlt_calloc(json_size(array, "") + 1, sizeof *words);
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, array)
    {
        if (cJSON_IsString(item))
            words[count++] = mlt_strdup(item->valuestring);
    }
    *ret = words;
    return 0;
}

static int read_text(const cJSON *object, const char *name, char **ret, struct mlt_error *err)
{
    const char *text = NULL;
    int rc = json_read_string(object, "", name, PATH_LENGTH_MAX, &text, err);
    if (rc > 0)
        *ret = mlt_strdup(text);
    return rc;
}

int shim_start_from_json(const cJSON *object, struct shim_start *ret, struct mlt_error *err)
{
    struct shim_start s = {0};
    if (read_text(object, "container", &s.container, err) < 0 ||
        read_text(object, "program", &s.program, err) < 0 ||
        read_text(object, "log", &s.log, err) < 0 ||
        read_text(object, "cgroup", &s.cgroup, err) < 0 ||
        json_read_integer(object, "", "restart", 0, INT_MAX, &s.restart, err) < 0 ||
        json_read_integer(object, "", "memory", 0, INT64_MAX, &s.memory, err) < 0 ||
        read_words(object, "options", &s.options, err) < 0 ||
        read_words(object, "command", &s.command, err) < 0) {
        shim_start_release(&s);
        return -EINVAL;
    }
    if (!s.container || !s.program || !s.log || !s.command[0] ||
        strlen(s.container) >= SHIM_NAME_MAX) {
        shim_start_release(&s);
        return mlt_fail(err, EINVAL, "a start needs container, program, log and command");
    }
    *ret = s;
    return 0;
}

static void free_words(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

void shim_start_release(struct shim_start *s)
{
    free(s->container);
    free(s->program);
    free(s->log);
    free(s->cgroup);
    free_words(s->options);
    free_words(s->command);
    *s = (struct shim_start){0};
}

cJSON *shim_signal_to_json(const char *container, int signal_number)
{
    cJSON *object = cJSON_CreateObject();
    json_set_string(object, "do", "signal");
    if (container)
        json_set_string(object, "container", container);
    json_set_integer(object, "signal", signal_number);
    return object;
}
