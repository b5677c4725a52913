/* Finding kubeconfigs by the environment, reading the files that they name, and credential plugins.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/json/json.h"
#include "lib/kube/transport/internal.h"

/* A folder of the test's own; everything in it is named by a path relative to it. */
static char folder[60];

static const char *in_folder(const char *name)
{
    static char path[4][300];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *name, mode_t mode, const char *format, ...) MLT_PRINTF(3, 4);
static void write_file(const char *name, mode_t mode, const char *format, ...)
{
    va_list list;
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    va_start(list, format);
    assert_true(vfprintf(file, format, list) >= 0);
    va_end(list);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(in_folder(name), mode), 0);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/mltrain-config-XXXXXX");
    assert_non_null(mkdtemp(folder));
    unsetenv("KUBECONFIG");
    unsetenv("KUBERNETES_SERVICE_HOST");
    unsetenv("KUBERNETES_SERVICE_PORT");
    setenv("HOME", folder, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cleanup_free char *command = mlt_asprintf("rm -rf '%s'", folder);
    return system(command);
}

#define CONFIG(context, server)                                                                \
    "current-context: " context "\ncontexts: [{name: " context ", context: {cluster: " context \
    ", user: " context "}}]\nclusters: [{name: " context ", cluster: {server: '" server        \
    "'}}]\nusers: [{name: " context ", user: {token: of-" context "}}]\n"

static void expect(const char *path, const char *context, const char *server)
{
    struct kube_config c = {0};
    struct mlt_error err = {0};
    if (kube_config_load(path, context, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.server, server);
    kube_config_release(&c);
}

/* ---- which file ---- */

static void test_a_path_goes_before_the_environment_and_that_before_home(void **state)
{
    (void)state;
    assert_int_equal(mkdir(in_folder(".kube"), 0700), 0);
    write_file(".kube/config", 0600, CONFIG("home", "https://home"));
    write_file("env", 0600, CONFIG("env", "https://env"));
    write_file("path", 0600, CONFIG("path", "https://path"));
    expect(NULL, NULL, "https://home");
    setenv("KUBECONFIG", in_folder("env"), 1);
    expect(NULL, NULL, "https://env");
    expect(in_folder("path"), NULL, "https://path");
    setenv("KUBECONFIG", "", 1);
    expect(NULL, NULL, "https://home");
}

static void test_a_list_of_files_is_merged_and_missing_ones_are_passed_over(void **state)
{
    (void)state;
    write_file("a", 0600, CONFIG("a", "https://a"));
    write_file("b", 0600, CONFIG("b", "https://b"));
    write_file("empty", 0600, "%s", "");
    cleanup_free char *list = mlt_asprintf("%s::%s:%s:%s", in_folder("missing"), in_folder("empty"),
                                           in_folder("b"), in_folder("a"));
    setenv("KUBECONFIG", list, 1);
    expect(NULL, NULL, "https://b");
    expect(NULL, "a", "https://a");
    struct kube_config c;
    struct mlt_error err = {0};
    assert_int_equal(kube_config_load(NULL, "c", &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "`c`"));
}

static void test_nothing_at_all_is_said_in_words(void **state)
{
    (void)state;
    struct kube_config c;
    struct mlt_error err = {0};
    assert_int_equal(kube_config_load(NULL, NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "KUBECONFIG"));
    assert_int_equal(kube_config_load(NULL, "x", &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "`x`"));
    assert_int_equal(kube_config_load(in_folder("missing"), NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "missing"));
}

static void test_a_broken_file_is_named(void **state)
{
    (void)state;
    static const char *const rows[] = {"a: [", "- 1", "hello", "{current-context: [1]}"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct kube_config c;
        struct mlt_error err = {0};
        write_file("broken", 0600, "%s", rows[i]);
        int r = kube_config_load(in_folder("broken"), NULL, &c, &err);
        if (r >= 0 || (i < 3 && !strstr(err.text, "broken")))
            fail_msg("%s: %d %s", rows[i], r, err.text);
    }
}

/* ---- the files that it names ---- */

static void test_certificates_and_tokens_are_read_beside_the_kubeconfig(void **state)
{
    (void)state;
    struct kube_config c = {0};
    struct mlt_error err = {0};
    assert_int_equal(mkdir(in_folder("pki"), 0700), 0);
    write_file("pki/ca.crt", 0600, "the CA");
    write_file("tok", 0600, "the token\n");
    write_file(
        "config", 0600,
        "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'https://x', certificate-authority: pki/ca.crt}}]\n"
        "users: [{name: x, user: {tokenFile: tok}}]\n");
    assert_int_equal(kube_config_load(in_folder("config"), NULL, &c, &err), 0);
    assert_string_equal(c.ca_data, "the CA");
    assert_string_equal(c.token, "the");
    assert_string_equal(c.token_file, in_folder("tok"));
    kube_config_release(&c);
    unlink(in_folder("pki/ca.crt"));
    assert_int_equal(kube_config_load(in_folder("config"), NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "pki/ca.crt"));
}

static void test_a_pod_uses_its_service_account(void **state)
{
    (void)state;
    struct kube_config c = {0};
    struct mlt_error err = {0};
    write_file("ca.crt", 0600, "the CA");
    write_file("token", 0600, "pod-token\n");
    assert_int_equal(config_in_cluster(folder, "10.0.0.1", "443", &c, &err), 0);
    assert_string_equal(c.server, "https://10.0.0.1:443");
    assert_string_equal(c.token, "pod-token");
    assert_string_equal(c.ca_data, "the CA");
    assert_string_equal(c.namespace_, "default");
    kube_config_release(&c);
    write_file("namespace", 0600, "research");
    assert_int_equal(config_in_cluster(folder, "fd00::1", "443", &c, &err), 0);
    assert_string_equal(c.server, "https://[fd00::1]:443");
    assert_string_equal(c.namespace_, "research");
    kube_config_release(&c);
    unlink(in_folder("token"));
    assert_int_equal(config_in_cluster(folder, "10.0.0.1", "443", &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "service account"));
}

/* ---- credential plugins ---- */

static void write_plugin_config(const char *extra)
{
    write_file(
        "config", 0600,
        "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'https://x', certificate-authority-data: Q0E=}}]\n"
        "users: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: "
        "./plugin, args: [one, 'two words'], env: [{name: GREETING, value: hello}]%s}}}]\n",
        extra);
}

#define CREDENTIAL(status)                            \
    "{\"apiVersion\":\"client.authentication.k8s.io/" \
    "v1\",\"kind\":\"ExecCredential\",\"status\":" status "}"

static void test_a_plugin_gets_arguments_and_environment_and_gives_a_token(void **state)
{
    (void)state;
    struct kube_config c = {0};
    struct mlt_error err = {0};
    setenv("GREETING", "overridden", 1);
    write_plugin_config(", provideClusterInfo: true");
    write_file("plugin", 0700,
               "#!/bin/sh\nprintf '%%s' \"$KUBERNETES_EXEC_INFO\" > %s\nread line && exit 3\n"
               "echo '" CREDENTIAL("{\"token\":\"'\"$GREETING-$1-$2-$#\"'\"}") "'\n",
               in_folder("info"));
    if (kube_config_load(in_folder("config"), NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.token, "hello-one-two words-2");
    kube_config_release(&c);
    cleanup_free char *text = NULL;
    cleanup_json cJSON *info = NULL;
    assert_int_equal(read_whole_file(in_folder("info"), 10000, &text, NULL), 0);
    assert_int_equal(json_parse(text, strlen(text), &info, NULL), 0);
    assert_string_equal(json_string(info, "kind", ""), "ExecCredential");
    assert_string_equal(json_string(info, "spec.cluster.server", ""), "https://x");
    assert_string_equal(json_string(info, "spec.cluster.certificate-authority-data", ""), "Q0E=");
    assert_false(json_bool(info, "spec.interactive", true));
    unsetenv("GREETING");
}

static void test_a_plugin_may_give_a_certificate(void **state)
{
    (void)state;
    struct kube_config c = {0};
    struct mlt_error err = {0};
    write_plugin_config("");
    write_file("plugin", 0700, "#!/bin/sh\necho '%s'\n",
               CREDENTIAL("{\"clientCertificateData\":\"cert\",\"clientKeyData\":\"key\"}"));
    if (kube_config_load(in_folder("config"), NULL, &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.client_certificate_data, "cert");
    assert_string_equal(c.client_key_data, "key");
    assert_null(c.token);
    kube_config_release(&c);
}

static void test_plugins_that_fail_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script, *words;
    } rows[] = {
        {"an exit code", "exit 5", "exit code 5"},
        {"a signal", "kill -9 $$", "signal 9"},
        {"no JSON", "echo hello", "output of the credential plugin"},
        {"another kind", "echo '{\"kind\":\"Secret\"}'", "expected ExecCredential"},
        {"another version",
         "echo "
         "'{\"apiVersion\":\"client.authentication.k8s.io/v1alpha1\",\"kind\":\"ExecCredential\"}'",
         "v1alpha1"},
        {"nothing in it", "echo '" CREDENTIAL("{}") "'", "neither a token"},
        {"a certificate alone", "echo '" CREDENTIAL("{\"clientCertificateData\":\"c\"}") "'",
         "neither a token"},
        {"output without end", "yes", "printed more than"},
    };
    write_plugin_config("");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct kube_config c;
        struct mlt_error err = {0};
        write_file("plugin", 0700, "#!/bin/sh\n%s\n", rows[i].script);
        int r = kube_config_load(in_folder("config"), NULL, &c, &err);
        if (r >= 0 || !strstr(err.text, rows[i].words) || !strstr(err.text, "plugin"))
            fail_msg("%s: %d %s", rows[i].name, r, err.text);
    }
}

static void test_a_plugin_that_is_not_there_brings_its_hint(void **state)
{
    (void)state;
    struct kube_config c;
    struct mlt_error err = {0};
    write_plugin_config(", installHint: 'get it from the shelf'");
    assert_int_equal(kube_config_load(in_folder("config"), NULL, &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "get it from the shelf"));
}

static void test_a_plugin_that_hangs_is_killed_with_its_children(void **state)
{
    (void)state;
    struct kube_config c = {.server = mlt_strdup("https://x")};
    struct mlt_error err = {0};
    write_file("plugin", 0700, "#!/bin/sh\nsleep 1000 & echo $! > %s\nwait\n", in_folder("pid"));
    c.exec = cJSON_CreateObject();
    json_set_string(c.exec, "apiVersion", "client.authentication.k8s.io/v1beta1");
    json_set_string(c.exec, "command", in_folder("plugin"));
    assert_int_equal(exec_plugin_run(&c, 500, &err), -ETIMEDOUT);
    kube_config_release(&c);
    cleanup_free char *text = NULL;
    assert_int_equal(read_whole_file(in_folder("pid"), 100, &text, NULL), 0);
    /* The orphan is gone or waits to be reaped by init. */
    cleanup_free char *path = mlt_asprintf("/proc/%ld/stat", strtol(text, NULL, 10));
    for (int i = 0; i < 100; i++) {
        cleanup_free char *stat = NULL;
        if (read_whole_file(path, 4096, &stat, NULL) < 0 || strstr(stat, ") Z "))
            return;
        (void)usleep(10000);
    }
    fail_msg("the plugin's child is still there");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!freopen("/dev/null", "r", stdin)) /* a person who runs the test by hand has a terminal */
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_path_goes_before_the_environment_and_that_before_home),
        TEST(test_a_list_of_files_is_merged_and_missing_ones_are_passed_over),
        TEST(test_nothing_at_all_is_said_in_words),
        TEST(test_a_broken_file_is_named),
        TEST(test_certificates_and_tokens_are_read_beside_the_kubeconfig),
        TEST(test_a_pod_uses_its_service_account),
        TEST(test_a_plugin_gets_arguments_and_environment_and_gives_a_token),
        TEST(test_a_plugin_may_give_a_certificate),
        TEST(test_plugins_that_fail_are_named),
        TEST(test_a_plugin_that_is_not_there_brings_its_hint),
        TEST(test_a_plugin_that_hangs_is_killed_with_its_children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
