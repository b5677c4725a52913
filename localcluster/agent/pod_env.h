/* The environment and the command line of a container. Pure. */
#ifndef LOCALCLUSTER_AGENT_POD_ENV_H
#define LOCALCLUSTER_AGENT_POD_ENV_H

#include "localcluster/agent/pod_spec.h"
#include "localcluster/agent/pod_value.h"

/* Variables in order; a name stands once, with its last value. */
struct pod_env_list {
    struct pod_env_pair {
        char *name, *value;
    } * pairs;
    size_t count, capacity;
};

const char *pod_env_get(const struct pod_env_list *list, const char *name); /* or NULL */
void pod_env_set(struct pod_env_list *list, const char *name, const char *value);
void pod_env_release(struct pod_env_list *list);

/* Adds what the container's env and envFrom say to *list (which may hold defaults already).
 * -EINVAL with the kubelet's words; *list may then be half filled. */
int pod_env_build(const struct pod_spec *spec, const struct pod_container *c,
                  const struct pod_facts *facts, struct pod_env_list *list,
                  struct mlt_error *err) MLT_MUST_USE;

/* Replaces $(NAME) by the variable and $$ by $; an unknown $(NAME) stays as it is. The caller
 * frees. Source: k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go. */
char *pod_env_expand(const char *text, const struct pod_env_list *list);

/* command followed by args, expanded; NULL-terminated, the caller frees with pod_words_free().
 * -EINVAL when there is no command: no image here could have one. */
int pod_command(const struct pod_container *c, const struct pod_env_list *list, char ***ret,
                struct mlt_error *err) MLT_MUST_USE;
void pod_words_free(char **words);

#endif
