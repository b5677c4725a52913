/* What a credential plugin gave is used until it expires or is refused, and then the plugin is
 * asked again: EKS gives tokens for 15 minutes, and jobs are followed for days. */
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <signal.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/httpd/httpd.h"
#include "lib/json/json.h"
#include "lib/kube/transport/internal.h"

static char folder[] = "/tmp/mltrain-credential-XXXXXX";

struct fixture {
    uv_loop_t loop;
    struct httpd *server;
    struct kube_transport *client;
    struct kube_config config;
    char authorization[200];
    int answer; /* status of the next answers */
};

static void handler(void *arg, struct httpd_request *request, const struct httpd_message *m)
{
    struct fixture *f = arg;
    const char *value = httpd_request_header(request, "Authorization");
    (void)m;
    (void)snprintf(f->authorization, sizeof f->authorization, "%s", value ? value : "");
    httpd_respond(request, f->answer, "application/json", NULL, 0, "{}", 2);
}

static char *in_folder(const char *name)
{
    return mlt_asprintf("%s/%s", folder, name);
}

static void write_text(const char *name, const char *text)
{
    cleanup_free char *path = in_folder(name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

/* Each run of the plugin gives token-1, token-2 ... that expires at `expires` (a shell word). */
static void write_plugin(const char *expires)
{
    cleanup_free char *script = mlt_asprintf(
        "#!/bin/sh\ncd %s\nn=$(($(cat runs) + 1))\necho $n > runs\n"
        "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
        "\"status\":{\"token\":\"token-'$n'\",\"expirationTimestamp\":\"'%s'\"}}'\n",
        folder, expires);
    write_text("plugin", script);
}

static void start(struct fixture *f, const char *expires)
{
    struct mlt_error err = {0};
    struct httpd_config config = {.address = "127.0.0.1"};
    *f = (struct fixture){.answer = 200};
    write_text("runs", "0");
    write_plugin(expires);
    (void)uv_loop_init(&f->loop);
    assert_int_equal(httpd_new(&f->loop, &config, handler, f, &f->server, &err), 0);
    cleanup_free char *kubeconfig = mlt_asprintf(
        "current-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\n"
        "clusters: [{name: x, cluster: {server: 'http://127.0.0.1:%u'}}]\n"
        "users: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: "
        "./plugin, interactiveMode: Never}}}]\n",
        httpd_port(f->server));
    write_text("config", kubeconfig);
    cleanup_free char *path = in_folder("config");
    if (kube_config_load(path, NULL, &f->config, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(kube_transport_new(&f->loop, &f->config, &f->client, &err), 0);
}

static void stop(struct fixture *f)
{
    kube_transport_free(f->client, NULL, NULL);
    httpd_free(f->server, NULL, NULL);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    kube_config_release(&f->config);
}

/* The status, or a negative error with its words. */
static int ask(struct fixture *f, struct mlt_error *err)
{
    struct kube_answer answer = {0};
    int r = kube_request(f->client, "GET", "/x", NULL, NULL, &answer, err);
    int status = answer.status;
    kube_answer_release(&answer);
    return r < 0 ? r : status;
}

static void test_a_token_is_used_until_it_expires(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, "2100-01-01T00:00:00Z");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&f, NULL), 200);
        assert_string_equal(f.authorization, "Bearer token-1");
    }
    f.client->config.exec_expires_ms = 1000; /* long ago */
    assert_int_equal(ask(&f, NULL), 200);
    assert_string_equal(f.authorization, "Bearer token-2");
    assert_int_equal(ask(&f, NULL), 200);
    assert_string_equal(f.authorization, "Bearer token-2");
    stop(&f);
}

static void test_a_token_that_is_refused_is_replaced(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, "");
    f.answer = 401;
    assert_int_equal(ask(&f, NULL), 401);
    assert_string_equal(f.authorization, "Bearer token-1");
    f.answer = 200;
    assert_int_equal(ask(&f, NULL), 200);
    assert_string_equal(f.authorization, "Bearer token-2");
    stop(&f);
}

static void test_one_that_is_always_refused_does_not_run_the_plugin_each_time(void **state)
{
    struct fixture f;
    (void)state;
    start(&f, "");
    f.answer = 401;
    for (int i = 0; i < 5; i++)
        assert_int_equal(ask(&f, NULL), 401);
    assert_string_equal(f.authorization, "Bearer token-2");
    f.client->exec_ran_ms -= 11000; /* later */
    assert_int_equal(ask(&f, NULL), 401);
    assert_string_equal(f.authorization, "Bearer token-3");
    stop(&f);
}

static void test_a_plugin_that_fails_later_is_named(void **state)
{
    struct fixture f;
    struct mlt_error err = {0};
    (void)state;
    start(&f, "2100-01-01T00:00:00Z");
    write_text("plugin", "#!/bin/sh\nexit 7\n");
    f.client->config.exec_expires_ms = 1000;
    assert_true(ask(&f, &err) < 0);
    assert_non_null(strstr(err.text, "exit code 7"));
    stop(&f);
}

static void test_a_time_that_is_none_is_told(void **state)
{
    struct kube_config c = {0};
    struct mlt_error err = {0};
    (void)state;
    write_text("runs", "0");
    write_plugin("tomorrow");
    cleanup_free char *path = in_folder("config");
    assert_true(kube_config_load(path, NULL, &c, &err) < 0);
    assert_non_null(strstr(err.text, "expirationTimestamp"));
}

static void test_interactive_mode_is_obeyed(void **state)
{
    static const struct {
        const char *mode, *words; /* words NULL: it runs */
    } rows[] = {
        {"Never", NULL},
        {"IfAvailable", NULL},
        {"Always", "standard input is not a terminal"},
        {"Sometimes", "is not Never, IfAvailable or Always"},
    };
    (void)state;
    write_plugin("");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        struct kube_config c = {.exec = cJSON_CreateObject()};
        struct mlt_error err = {0};
        cleanup_free char *path = in_folder("plugin");
        json_set_string(c.exec, "apiVersion", "client.authentication.k8s.io/v1");
        json_set_string(c.exec, "command", path);
        json_set_string(c.exec, "interactiveMode", rows[i].mode);
        int r = exec_plugin_run(&c, 10000, &err);
        if (rows[i].words ? r >= 0 || !strstr(err.text, rows[i].words) : r < 0)
            fail_msg("%s: %d %s", rows[i].mode, r, err.text);
        kube_config_release(&c);
    }
}

/* The plugin asks at the terminal, and the person answers. */
static void test_a_person_at_a_terminal_can_be_asked(void **state)
{
    struct kube_config c = {.exec = cJSON_CreateObject()};
    struct mlt_error err = {0};
    int master, terminal, before = dup(STDIN_FILENO);
    (void)state;
    write_text("plugin", "#!/bin/sh\nread word\n"
                         "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":"
                         "\"ExecCredential\",\"status\":{\"token\":\"'$word'\"}}'\n");
    cleanup_free char *path = in_folder("plugin");
    json_set_string(c.exec, "apiVersion", "client.authentication.k8s.io/v1");
    json_set_string(c.exec, "command", path);
    json_set_string(c.exec, "interactiveMode", "Always");
    assert_int_equal(openpty(&master, &terminal, NULL, NULL, NULL), 0);
    assert_int_equal(dup2(terminal, STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(write(master, "opensesame\n", 11), 11);
    int r = exec_plugin_run(&c, 10000, &err);
    (void)dup2(before, STDIN_FILENO);
    (void)close(before);
    (void)close(terminal);
    (void)close(master);
    if (r < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.token, "opensesame");
    kube_config_release(&c);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"plugin", "runs", "config"};
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++) {
        cleanup_free char *path = in_folder(names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static int make_folder(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    /* A person who runs the test by hand has a terminal. */
    return mkdtemp(folder) && freopen("/dev/null", "r", stdin) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_token_is_used_until_it_expires),
        cmocka_unit_test(test_a_token_that_is_refused_is_replaced),
        cmocka_unit_test(test_one_that_is_always_refused_does_not_run_the_plugin_each_time),
        cmocka_unit_test(test_a_plugin_that_fails_later_is_named),
        cmocka_unit_test(test_a_time_that_is_none_is_told),
        cmocka_unit_test(test_interactive_mode_is_obeyed),
        cmocka_unit_test(test_a_person_at_a_terminal_can_be_asked),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
