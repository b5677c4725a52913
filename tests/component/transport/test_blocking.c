/* Blocking requests against a server in another process that answers faster than we can go to sleep. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/kube/transport/transport.h"

#define REQUESTS 300
#define DEADLINE_S 30 /* a request that sleeps does so for a minute */

static void serve(int listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char buffer[8192];
        while (fd >= 0 && read(fd, buffer, sizeof buffer) > 0)
            if (write(fd, answer, sizeof answer - 1) < 0)
                break;
        (void)close(fd);
    }
}

static void test_a_request_that_is_answered_at_once_returns_at_once(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    pid_t server = fork();
    if (server == 0)
        serve(listener);

    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    struct kube_config config = {.server = url};
    struct kube_transport *t = NULL;
    struct mlt_error err = {0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(kube_transport_new(&loop, &config, &t, &err), 0);
    (void)alarm(DEADLINE_S);
    for (int i = 0; i < REQUESTS; i++) {
        struct kube_answer answer = {0};
        assert_int_equal(kube_request(t, "POST", "/x", NULL, "{}", &answer, &err), 0);
        assert_int_equal(answer.status, 200);
        kube_answer_release(&answer);
    }
    (void)alarm(0);
    kube_transport_free(t, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)close(listener);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_that_is_answered_at_once_returns_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
