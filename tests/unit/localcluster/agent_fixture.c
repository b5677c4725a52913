/* Fixtures of the agent's tests. */
#include "agent_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/json/json.h"
#include "localcluster/agent/pod_folder.h"

cJSON *fixture_json(const char *text)
{
    cJSON *object = NULL;
    struct mlt_error err = {0};
    char *copy = mlt_strdup(text);
    for (char *c = copy; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    if (json_parse(copy, strlen(copy), &object, &err) < 0)
        fail_msg("%s: %s", err.text, copy);
    free(copy);
    return object;
}

struct pod_spec *fixture_pod(const char *spec, const char *metadata)
{
    struct pod_spec *pod = NULL;
    struct mlt_error err = {0};
    cJSON *object = fixture_json("{'metadata':{'name':'p','namespace':'ns','uid':'u-1'}}");
    json_set(object, "spec", fixture_json(spec));
    if (metadata) {
        cJSON *patch = cJSON_CreateObject();
        json_set(patch, "metadata", fixture_json(metadata));
        json_merge_patch(&object, patch);
        cJSON_Delete(patch);
    }
    if (pod_spec_read(object, &pod, &err) < 0) {
        cJSON_Delete(object);
        fail_msg("%s", err.text);
    }
    return pod;
}

void fixture_known(const struct pod_spec *spec, const char *states, struct pod_known *ret)
{
    const char *at = states;
    pod_known_init(ret, spec, 0);
    ret->sandbox = true;
    for (size_t i = 0; i < ret->container_count && *at; i++) {
        struct pod_container_known *c = &ret->containers[i];
        c->state = *at == 'w'   ? POD_CONTAINER_WAITING
                   : *at == 's' ? POD_CONTAINER_STARTING
                   : *at == 'r' ? POD_CONTAINER_RUNNING
                                : POD_CONTAINER_TERMINATED;
        if (*at == 't')
            c->current.exit_code = (int)strtol(at + 1, NULL, 10);
        at += strcspn(at, " ");
        c->has_last = at[-1] == '+';
        at += strspn(at, " ");
    }
}

char *fixture_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mlt_asprintf("%s/mltrain-unit-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

void fixture_folder_remove(char *path)
{
    folder_remove(path);
    free(path);
}
