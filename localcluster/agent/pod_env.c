/* Builds a container's environment and expands $(VAR) in it, in command and in args. */
#include "localcluster/agent/pod_env.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define EXPANDED_MAX (2u * 1024 * 1024) /* bytes; the kernel's limit for one word is 128 KiB */

const char *pod_env_get(const struct pod_env_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->pairs[i].name, name) == 0)
            return list->pairs[i].value;
    }
    return NULL;
}

void pod_env_set(struct pod_env_list *list, const char *name, const char *value)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->pairs[i].name, name) == 0) {
            free(list->pairs[i].value);
            list->pairs[i].value = mlt_strdup(value);
            return;
        }
    }
    MLT_GROW(list->pairs, list->count, list->capacity);
    list->pairs[list->count++] = (struct pod_env_pair){mlt_strdup(name), mlt_strdup(value)};
}

void pod_env_release(struct pod_env_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->pairs[i].name);
        free(list->pairs[i].value);
    }
    free(list->pairs);
    *list = (struct pod_env_list){0};
}

char *pod_env_expand(const char *text, const struct pod_env_list *list)
{
    struct mlt_text out = MLT_TEXT_INIT(EXPANDED_MAX);
    for (const char *at = text; *at;) {
        const char *close = at[0] == '$' && at[1] == '(' ? strchr(at, ')') : NULL;
        if (at[0] == '$' && at[1] == '$') {
            mlt_text_putc(&out, '$');
            at += 2;
        } else if (close) {
            cleanup_free char *name = mlt_strndup(at + 2, (size_t)(close - at - 2));
            const char *value = pod_env_get(list, name);
            if (value)
                mlt_text_puts(&out, value);
            else
                mlt_text_add(&out, at, (size_t)(close - at + 1));
            at = close + 1;
        } else {
            mlt_text_putc(&out, *at++);
        }
    }
    char *result = out.failed ? NULL : mlt_strdup(mlt_text_string(&out));
    mlt_text_release(&out);
    return result ? result : mlt_strdup(text);
}

struct from_arg {
    struct pod_env_list *list;
    const char *prefix;
};

/* A key that cannot be the name of a variable is left out, as the kubelet does. */
static int from_key(void *arg, const char *key, const char *data, size_t length,
                    struct mlt_error *err)
{
    struct from_arg *from = arg;
    (void)err;
    if (strchr(key, '=') || memchr(data, '\0', length))
        return 0;
    cleanup_free char *name = mlt_asprintf("%s%s", from->prefix, key);
    pod_env_set(from->list, name, data);
    return 0;
}

static int one(const struct pod_spec *spec, const struct pod_container *c,
               const struct pod_env *env, const struct pod_facts *facts, struct pod_env_list *list,
               struct mlt_error *err)
{
    struct mlt_text out = MLT_TEXT_INIT(POD_VALUE_MAX);
    int rc = pod_value_resolve(spec, c, &env->value, facts, &out, err);
    if (rc == 0 && out.failed)
        rc = mlt_fail(err, EINVAL, "env %s: the value is too long", env->name);
    else if (rc == 0 && out.length > 0 && memchr(out.data, '\0', out.length))
        rc = mlt_fail(err, EINVAL, "env %s: the value holds a NUL byte", env->name);
    if (rc == 0 && env->value.source == POD_SOURCE_VALUE) {
        cleanup_free char *value = pod_env_expand(mlt_text_string(&out), list);
        pod_env_set(list, env->name, value);
    } else if (rc == 0) {
        pod_env_set(list, env->name, mlt_text_string(&out));
    }
    mlt_text_release(&out);
    return rc == -ENOENT ? 0 : rc;
}

int pod_env_build(const struct pod_spec *spec, const struct pod_container *c,
                  const struct pod_facts *facts, struct pod_env_list *list, struct mlt_error *err)
{
    for (size_t i = 0; i < c->env_count; i++) {
        const struct pod_env *env = &c->env[i];
        int rc;
        if (env->name) {
            rc = one(spec, c, env, facts, list, err);
        } else {
            struct from_arg arg = {list, env->prefix};
            rc = pod_value_each_key(spec, &env->value, facts, from_key, &arg, err);
        }
        if (rc < 0 && rc != -ENOENT)
            return rc;
    }
    return 0;
}

int pod_command(const struct pod_container *c, const struct pod_env_list *list, char ***ret,
                struct mlt_error *err)
{
    if (!c->command)
        return mlt_fail(err, EINVAL,
                        "container %s has no command, and the host's file system, which is the "
                        "image here, names none",
                        c->name);
    size_t count = 0, used = 0;
    for (size_t i = 0; c->command[i]; i++)
        count++;
    for (size_t i = 0; c->args && c->args[i]; i++)
        count++;
    char **words = mlt_calloc(count + 1, sizeof *words);
    for (size_t i = 0; c->command[i]; i++)
        words[used++] = pod_env_expand(c->command[i], list);
    for (size_t i = 0; c->args && c->args[i]; i++)
        words[used++] = pod_env_expand(c->args[i], list);
    *ret = words;
    return 0;
}

void pod_words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}
