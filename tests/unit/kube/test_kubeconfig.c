/* Kubeconfigs: which file, context, cluster and user win, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "lib/json/json.h"
#include "lib/kube/kubeconfig.h"

static cJSON *parse(const char *yaml)
{
    cJSON *documents = NULL;
    struct mlt_error err = {0};
    if (json_parse_yaml(yaml, strlen(yaml), &documents, &err) < 0)
        fail_msg("%s", err.text);
    cJSON *first = cJSON_DetachItemFromArray(documents, 0);
    cJSON_Delete(documents);
    return first;
}

static const char first[] =
    "apiVersion: v1\n"
    "kind: Config\n"
    "current-context: dev\n"
    "clusters:\n"
    "- name: c1\n"
    "  cluster: {server: 'https://one:6443/', certificate-authority: pki/ca.crt}\n"
    "contexts:\n"
    "- name: dev\n"
    "  context: {cluster: c1, user: u1, namespace: research}\n"
    "- name: crossing\n"
    "  context: {cluster: c2, user: u1}\n"
    "- name: anonymous\n"
    "  context: {cluster: c1}\n"
    "- name: lost\n"
    "  context: {cluster: nowhere, user: u1}\n"
    "- name: nobody\n"
    "  context: {cluster: c1, user: ghost}\n"
    "users:\n"
    "- name: u1\n"
    "  user: {token: first-token}\n";
static const char second[] = "current-context: other\n"
                             "clusters:\n"
                             "- name: c1\n"
                             "  cluster: {server: 'https://shadowed'}\n"
                             "- name: c2\n"
                             "  cluster:\n"
                             "    server: https://two\n"
                             "    certificate-authority-data: Q0E=\n"
                             "    certificate-authority: ignored.crt\n"
                             "    tls-server-name: two.internal\n"
                             "    proxy-url: http://proxy:3128\n"
                             "    insecure-skip-tls-verify: true\n"
                             "contexts:\n"
                             "- name: dev\n"
                             "  context: {cluster: c2, user: u2}\n"
                             "- name: other\n"
                             "  context: {cluster: c2, user: u2}\n"
                             "- name: plugin\n"
                             "  context: {cluster: c2, user: u3}\n"
                             "users:\n"
                             "- name: u1\n"
                             "  user: {token: shadowed, username: never}\n"
                             "- name: u2\n"
                             "  user: {client-certificate-data: Q0VSVA==, client-key: /abs/key, "
                             "tokenFile: tok, username: me,"
                             " password: pw}\n"
                             "- name: u3\n"
                             "  user: {exec: {apiVersion: client.authentication.k8s.io/v1, "
                             "command: ./bin/login, args: [x]}}\n";

/* Selects from both documents, the first in /home/a, the second in /home/b. */
static int pick(const char *context, struct kube_config *ret, struct mlt_error *err)
{
    cleanup_json cJSON *one = parse(first), *two = parse(second);
    const struct kube_config_source sources[] = {{one, "/home/a"}, {two, "/home/b"}};
    return kube_config_select(sources, 2, context, ret, err);
}

static void test_the_first_file_to_name_something_wins_as_a_whole(void **state)
{
    (void)state;
    struct kube_config c = {0};
    assert_int_equal(pick(NULL, &c, NULL), 0);
    assert_string_equal(c.context, "dev");
    assert_string_equal(c.server, "https://one:6443");
    assert_string_equal(c.namespace_, "research");
    assert_string_equal(c.ca_file, "/home/a/pki/ca.crt");
    assert_string_equal(c.token, "first-token");
    assert_null(c.username); /* u1 of the second file is shadowed entirely */
    assert_null(c.ca_data);
    assert_false(c.insecure_skip_tls_verify);
    kube_config_release(&c);
    kube_config_release(&c);
}

static void test_a_context_may_use_a_cluster_of_another_file(void **state)
{
    (void)state;
    struct kube_config c = {0};
    assert_int_equal(pick("crossing", &c, NULL), 0);
    assert_string_equal(c.server, "https://two");
    assert_string_equal(c.ca_data, "CA");
    assert_null(c.ca_file); /* data goes before a file */
    assert_string_equal(c.tls_server_name, "two.internal");
    assert_string_equal(c.proxy_url, "http://proxy:3128");
    assert_true(c.insecure_skip_tls_verify);
    assert_string_equal(c.token, "first-token");
    assert_string_equal(c.namespace_, "default");
    kube_config_release(&c);
}

static void test_users_bring_certificates_passwords_and_token_files(void **state)
{
    (void)state;
    struct kube_config c = {0}, copy;
    assert_int_equal(pick("other", &c, NULL), 0);
    kube_config_copy(&c, &copy);
    kube_config_release(&c);
    assert_string_equal(copy.client_certificate_data, "CERT");
    assert_string_equal(copy.client_key_file, "/abs/key");
    assert_string_equal(copy.token_file, "/home/b/tok");
    assert_string_equal(copy.username, "me");
    assert_string_equal(copy.password, "pw");
    assert_true(copy.insecure_skip_tls_verify);
    kube_config_release(&copy);
}

static void test_a_plugin_is_kept_with_its_path_made_whole(void **state)
{
    (void)state;
    struct kube_config c = {0};
    assert_int_equal(pick("plugin", &c, NULL), 0);
    assert_string_equal(json_string(c.exec, "command", ""), "/home/b/./bin/login");
    kube_config_release(&c);
}

static void test_a_user_is_not_needed(void **state)
{
    (void)state;
    struct kube_config c = {0};
    assert_int_equal(pick("anonymous", &c, NULL), 0);
    assert_null(c.token);
    kube_config_release(&c);
}

static void test_what_cannot_be_used_is_said_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *name, *yaml, *context;
        int code;
        const char *words;
    } rows[] = {
        {"no such context", first, "prod", -ENOENT, "`prod`"},
        {"a context without its cluster", first, "lost", -EINVAL, "contexts[lost].context.cluster"},
        {"a context without its user", first, "nobody", -EINVAL, "contexts[nobody].context.user"},
        {"no current context", "{}", NULL, -ENOENT, "current-context"},
        {"not an object", "[]", NULL, -EINVAL, "object"},
        {"a context of nothing", "{current-context: a, contexts: [{name: a, context: {}}]}", NULL,
         -EINVAL, "contexts[a].context.cluster"},
        {"a context that is a string", "{current-context: a, contexts: [{name: a, context: x}]}",
         NULL, -EINVAL, "contexts[a].context"},
        {"a cluster without server",
         "{current-context: a, contexts: [{name: a, context: {cluster: c}}],"
         " clusters: [{name: c, cluster: {}}]}",
         NULL, -EINVAL, "clusters[c].cluster.server"},
        {"a server without scheme",
         "{current-context: a, contexts: [{name: a, context: {cluster: c}}],"
         " clusters: [{name: c, cluster: {server: 'host:1'}}]}",
         NULL, -EINVAL, "`host:1`"},
        {"a server that is a number",
         "{current-context: a, contexts: [{name: a, context: {cluster: c}}],"
         " clusters: [{name: c, cluster: {server: 5}}]}",
         NULL, -EINVAL, "clusters[c].cluster.server"},
        {"data that is not base64",
         "{current-context: a, contexts: [{name: a, context: {cluster: c}}],"
         " clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: '*'}}]}",
         NULL, -EINVAL, "certificate-authority-data"},
        {"data with a NUL byte",
         "{current-context: a, contexts: [{name: a, context: {cluster: c}}],"
         " clusters: [{name: c, cluster: {server: 'https://h', certificate-authority-data: "
         "'QQBC'}}]}",
         NULL, -EINVAL, "NUL"},
        {"an auth-provider",
         "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}],"
         " clusters: [{name: c, cluster: {server: 'https://h'}}],"
         " users: [{name: u, user: {auth-provider: {name: gcp}}}]}",
         NULL, -EINVAL, "auth-provider"},
        {"a plugin without command",
         "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}],"
         " clusters: [{name: c, cluster: {server: 'https://h'}}], users: [{name: u, user: {exec: "
         "{}}}]}",
         NULL, -EINVAL, "users[u].user.exec.command"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kube_config c = {.server = NULL};
        struct mlt_error err = {0};
        cleanup_json cJSON *document = parse(rows[i].yaml);
        const struct kube_config_source source = {document, "/x"};
        int r = kube_config_select(&source, 1, rows[i].context, &c, &err);
        if (r != rows[i].code || !strstr(err.text, rows[i].words))
            fail_msg("%s: %d %s", rows[i].name, r, err.text);
        assert_null(c.server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_file_to_name_something_wins_as_a_whole),
        cmocka_unit_test(test_a_context_may_use_a_cluster_of_another_file),
        cmocka_unit_test(test_users_bring_certificates_passwords_and_token_files),
        cmocka_unit_test(test_a_plugin_is_kept_with_its_path_made_whole),
        cmocka_unit_test(test_a_user_is_not_needed),
        cmocka_unit_test(test_what_cannot_be_used_is_said_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
