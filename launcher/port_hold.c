/* Holds a port: see port_hold.h. */
#include "launcher/port_hold.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void port_hold_init(struct port_hold *p)
{
    *p = (struct port_hold){.fd = -1};
}

void port_hold_release(struct port_hold *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
    p->port = 0;
}

static int bind_any(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {INADDR_ANY}};
    const struct sockaddr *address =
        family == AF_INET6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
    socklen_t length = family == AF_INET6 ? sizeof v6 : sizeof v4;
    int off = 0, on = 1;
    bool ok =
        family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    ok = ok && bind(fd, address, length) == 0 &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (!ok) {
        int error = errno;
        (void)close(fd);
        return -error;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static bool was_used(const struct port_hold *p, uint16_t port)
{
    size_t count = p->used < PORT_HOLD_HISTORY ? p->used : PORT_HOLD_HISTORY;
    for (size_t i = 0; i < count; i++)
        if (p->history[i] == port)
            return true;
    return false;
}

int port_hold_next(struct port_hold *p, uint16_t *ret_port, struct mlt_error *err)
{
    /* Used ports that the kernel offers are kept bound until another is found, so that it cannot
     * offer them twice; at most the whole history. */
    int refused[PORT_HOLD_HISTORY + 1];
    size_t refused_count = 0;
    int fd = -1;
    while (refused_count <= PORT_HOLD_HISTORY) {
        fd = bind_any(AF_INET6);
        if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
            fd = bind_any(AF_INET);
        if (fd < 0 || !was_used(p, port_of(fd)))
            break;
        refused[refused_count++] = fd;
        fd = -EADDRINUSE;
    }
    while (refused_count)
        (void)close(refused[--refused_count]);
    port_hold_release(p);
    if (fd < 0)
        return mlt_fail(err, -fd, "no port could be held for MASTER_PORT: %s", strerror(-fd));
    p->fd = fd;
    p->port = port_of(fd);
    p->history[p->used++ % PORT_HOLD_HISTORY] = p->port;
    *ret_port = p->port;
    return 0;
}
