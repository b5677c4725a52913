/* Raw bytes on a connection of the HTTP server: whatever they are, the handler sees only what is
 * within the limits, and the connection ends or is answered. Bytes of one connection; the server
 * lives on for the next ones and must still answer an honest request at the end. */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/httpd/httpd.h"

#define BODY_MAX 2000
#define HEADER_MAX 4096
#define TURNS_MAX                                                                   \
    40 /* of the loop, for one connection; the second half waits a millisecond each \
        */
#define CONNECTIONS_LEFT_MAX 50 /* clients that have gone are noticed */
#define HONEST_MAX 200

static struct server {
    uv_loop_t loop;
    struct httpd *httpd;
    unsigned asked;
} server;

static void handle(void *arg, struct httpd_request *request, const struct httpd_message *message)
{
    struct server *s = arg;
    s->asked++;
    REQUIRE(message->body_length <= BODY_MAX && message->body[message->body_length] == '\0');
    REQUIRE(strlen(message->target) <= HEADER_MAX && message->method[0]);
    const char *type = httpd_request_header(request, "content-type");
    httpd_respond(request, 200, NULL, NULL, 0, type ? type : "", type ? strlen(type) : 0);
}

static void start(struct server *s)
{
    const struct httpd_config config = {
        .address = "127.0.0.1", .body_max = BODY_MAX, .header_max = HEADER_MAX};
    REQUIRE(uv_loop_init(&s->loop) == 0);
    REQUIRE(httpd_new(&s->loop, &config, handle, s, &s->httpd, NULL) == 0);
}

/* Sends the bytes and reads what comes until the server closes or has nothing to say. */
static size_t talk(struct server *s, const void *data, size_t size, char *answer, size_t room)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(httpd_port(s->httpd))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Where the server closes first its ports stay in TIME_WAIT, and come free again; libFuzzer's
     * alarm interrupts a connect that goes on. */
    for (int i = 0; connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EISCONN; i++) {
        REQUIRE(i < 1000 && (errno == EADDRNOTAVAIL || errno == EINTR || errno == EALREADY));
        (void)usleep(10000);
    }
    REQUIRE(fd >= 0);
    if (size > 0)
        REQUIRE(send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size);
    /* Closed by a reset: thousands of connections in TIME_WAIT would use up the ports. */
    const struct linger reset = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    size_t length = 0;
    for (int i = 0; i < TURNS_MAX; i++) {
        (void)uv_run(&s->loop, UV_RUN_NOWAIT);
        ssize_t n = recv(fd, answer + length, room - length, MSG_DONTWAIT);
        if (n == 0)
            break;
        if (n > 0)
            length += (size_t)n;
        if (length == room)
            length = 1;
        if (length > 0 && n < 0)
            break; /* answered, and nothing more */
        if (n < 0)
            (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, i < TURNS_MAX / 2 ? 0 : 1);
    }
    (void)close(fd);
    return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char honest[] = "GET /x HTTP/1.1\r\nHost: a\r\nContent-Type: b\r\n\r\n";
    char answer[8192];
    if (size > 1 << 14)
        return 0;
    if (!server.httpd)
        start(&server);
    size_t length = talk(&server, data, size, answer, sizeof answer);
    REQUIRE(length < 9 || memcmp(answer, "HTTP/1.", 7) == 0 || length == 1);
    unsigned before = server.asked;
    for (int i = 0; i < HONEST_MAX && server.asked == before; i++)
        (void)talk(&server, honest, sizeof honest - 1, answer, sizeof answer);
    REQUIRE(server.asked > before);
    REQUIRE(httpd_connections(server.httpd) <= CONNECTIONS_LEFT_MAX);
    return 0;
}
