/* Environment, references and command lines of containers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agent_fixture.h"
#include "localcluster/agent/pod_env.h"

/* The objects of the pretended API: a ConfigMap "cm" and a Secret "s". */
static cJSON *config_map, *secret;

static const cJSON *find(void *arg, enum pod_source kind, const char *name)
{
    (void)arg;
    if (kind == POD_SOURCE_CONFIGMAP && strcmp(name, "cm") == 0)
        return config_map;
    return kind == POD_SOURCE_SECRET && strcmp(name, "s") == 0 ? secret : NULL;
}

static const struct pod_facts facts = {.pod_ip = "127.1.2.3",
                                       .host_ip = "127.0.0.1",
                                       .node_cpu_milli = 2500,
                                       .node_memory = 1 << 30,
                                       .find = find};

static int set_up(void **state)
{
    (void)state;
    config_map = fixture_json("{'data':{'k':'v','x':'y'},'binaryData':{'b':'AQI='}}");
    secret = fixture_json("{'data':{'p':'c2VjcmV0'}}"); /* "secret" */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cJSON_Delete(config_map);
    cJSON_Delete(secret);
    return 0;
}

static const struct row {
    const char *sentence, *env; /* the container's members */
    const char *name, *value;   /* expected; value NULL: not set */
    const char *error;          /* expected instead */
} rows[] = {
    {"a value", "'env':[{'name':'A','value':'1'}]", "A", "1", NULL},
    {"without a value it is empty", "'env':[{'name':'A'}]", "A", "", NULL},
    {"the last one of a name wins", "'env':[{'name':'A','value':'1'},{'name':'A','value':'2'}]",
     "A", "2", NULL},
    {"earlier variables are expanded",
     "'env':[{'name':'A','value':'1'},{'name':'B','value':'<$(A)>'}]", "B", "<1>", NULL},
    {"later ones are not", "'env':[{'name':'B','value':'$(A)'},{'name':'A','value':'1'}]", "B",
     "$(A)", NULL},
    {"a dollar is doubled to stay", "'env':[{'name':'A','value':'1'},{'name':'B','value':'$$(A)'}]",
     "B", "$(A)", NULL},
    {"an open parenthesis stays", "'env':[{'name':'B','value':'$(A'}]", "B", "$(A", NULL},
    {"a field of the pod",
     "'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'metadata.uid'}}}]", "A", "u-1",
     NULL},
    {"a label with a slash and dots",
     "'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':"
     "'metadata.labels[\\u0027mltrain.io/a.b\\u0027]'}}}]",
     "A", "label", NULL},
    {"the pod's address",
     "'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'status.podIP'}}}]", "A", "127.1.2.3",
     NULL},
    {"an unknown field is an error",
     "'env':[{'name':'A','valueFrom':{'fieldRef':{'fieldPath':'status.phase'}}}]", "A", NULL,
     "unsupported fieldPath: status.phase"},
    {"a limit is rounded up",
     "'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu'}}}]", "A", "2",
     NULL},
    {"a limit in the divisor's units",
     "'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'limits.cpu','divisor':'1m'}}}"
     "]",
     "A", "1500", NULL},
    {"memory in mebibytes",
     "'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'requests.memory',"
     "'divisor':'1Mi'}}}]",
     "A", "64", NULL},
    {"a limit that is not set is the node's",
     "'env':[{'name':'A','valueFrom':{'resourceFieldRef':{'resource':'limits.memory'}}}]", "A",
     "1073741824", NULL},
    {"a key of a ConfigMap",
     "'env':[{'name':'A','valueFrom':{'configMapKeyRef':{'name':'cm','key':'k'}}}]", "A", "v",
     NULL},
    {"a key of a Secret is decoded",
     "'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'p'}}}]", "A", "secret",
     NULL},
    {"a referenced value is not expanded",
     "'env':[{'name':'v','value':'no'},{'name':'A','valueFrom':{'configMapKeyRef':"
     "{'name':'cm','key':'k'}}}]",
     "A", "v", NULL},
    {"a missing ConfigMap",
     "'env':[{'name':'A','valueFrom':{'configMapKeyRef':{'name':'no','key':'k'}}}]", "A", NULL,
     "configmap \"no\" not found"},
    {"a missing key", "'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'q'}}}]",
     "A", NULL, "couldn't find key q in Secret ns/s"},
    {"an optional key may be missing",
     "'env':[{'name':'A','valueFrom':{'secretKeyRef':{'name':'s','key':'q','optional':true}}}]",
     "A", NULL, NULL},
    {"everything of a ConfigMap, with a prefix",
     "'envFrom':[{'prefix':'P_','configMapRef':{'name':'cm'}}]", "P_x", "y", NULL},
    {"env goes over envFrom",
     "'env':[{'name':'k','value':'own'}],'envFrom':[{'configMapRef':{'name':'cm'}}]", "k", "own",
     NULL},
    {"a missing source", "'envFrom':[{'secretRef':{'name':'no'}}]", "A", NULL,
     "secret \"no\" not found"},
    {"an optional source may be missing", "'envFrom':[{'secretRef':{'name':'no','optional':true}}]",
     "A", NULL, NULL},
};

static struct pod_spec *pod_with(const char *members)
{
    char spec[2048];
    (void)snprintf(spec, sizeof spec,
                   "{'containers':[{'name':'a','resources':{'limits':{'cpu':'1500m'},"
                   "'requests':{'memory':'64Mi'}},%s}]}",
                   members);
    return fixture_pod(spec, "{'labels':{'mltrain.io/a.b':'label'}}");
}

static void test_variables_come_from_where_they_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct pod_env_list list = {0};
        struct mlt_error err = {0};
        struct pod_spec *spec = pod_with(r->env);
        int rc = pod_env_build(spec, &spec->containers[0], &facts, &list, &err);
        const char *value = rc == 0 ? pod_env_get(&list, r->name) : NULL;
        if (r->error ? rc != -EINVAL || strcmp(err.text, r->error) != 0 : rc != 0)
            fail_msg("%s: rc %d, `%s`", r->sentence, rc, err.text);
        if ((value == NULL) != (r->value == NULL) || (value && strcmp(value, r->value) != 0))
            fail_msg("%s: expected %s, got %s", r->sentence, r->value ? r->value : "nothing",
                     value ? value : "nothing");
        pod_env_release(&list);
        pod_spec_free(spec);
    }
}

static void test_the_command_is_command_and_args_expanded(void **state)
{
    (void)state;
    struct pod_env_list list = {0};
    char **words = NULL;
    struct pod_spec *spec = pod_with("'command':['run','--','$(N)'],'args':['$$(N)','$(NO)']");
    pod_env_set(&list, "N", "3");
    assert_int_equal(pod_command(&spec->containers[0], &list, &words, NULL), 0);
    assert_string_equal(words[0], "run");
    assert_string_equal(words[2], "3");
    assert_string_equal(words[3], "$(N)");
    assert_string_equal(words[4], "$(NO)");
    assert_null(words[5]);
    pod_words_free(words);
    pod_env_release(&list);
    pod_spec_free(spec);
}

static void test_a_container_without_command_cannot_run(void **state)
{
    (void)state;
    struct mlt_error err = {0};
    struct pod_env_list list = {0};
    char **words = NULL;
    struct pod_spec *spec = pod_with("'args':['x']");
    assert_int_equal(pod_command(&spec->containers[0], &list, &words, &err), -EINVAL);
    assert_non_null(strstr(err.text, "has no command"));
    assert_null(words);
    pod_spec_free(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variables_come_from_where_they_should),
        cmocka_unit_test(test_the_command_is_command_and_args_expanded),
        cmocka_unit_test(test_a_container_without_command_cannot_run),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
