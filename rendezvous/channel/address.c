/* Numeric addresses: see address.h. No name is ever looked up: the launcher is a static executable,
 * in which glibc's resolver does not work, and a training pod must not depend on DNS. */
#include "rendezvous/channel/address.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

int channel_address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret,
                          struct mlt_error *err)
{
    struct sockaddr_storage parsed = {0};
    if (uv_ip4_addr(address, port, (struct sockaddr_in *)&parsed) < 0 &&
        uv_ip6_addr(address, port, (struct sockaddr_in6 *)&parsed) < 0)
        return mlt_fail(err, EINVAL, "`%s` is not an IPv4 or IPv6 address", address);
    *ret = parsed;
    return 0;
}

uint16_t channel_address_port(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

void channel_address_format(const struct sockaddr_storage *address, char *text)
{
    char ip[48];
    bool six = address->ss_family == AF_INET6;
    int rc = six ? uv_ip6_name((const struct sockaddr_in6 *)address, ip, sizeof ip)
                 : uv_ip4_name((const struct sockaddr_in *)address, ip, sizeof ip);
    if (rc < 0)
        (void)snprintf(text, CHANNEL_ADDRESS_TEXT_MAX, "?");
    else
        (void)snprintf(text, CHANNEL_ADDRESS_TEXT_MAX, six ? "[%s]:%u" : "%s:%u", ip,
                       (unsigned)channel_address_port(address));
}
