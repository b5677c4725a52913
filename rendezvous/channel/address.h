/* Numeric addresses, private to rendezvous/channel/. */
#ifndef RENDEZVOUS_CHANNEL_ADDRESS_H
#define RENDEZVOUS_CHANNEL_ADDRESS_H

#include <stdint.h>
#include <uv.h>

#include "lib/base/error.h"

#define CHANNEL_ADDRESS_TEXT_MAX 64 /* "[ipv6]:port" and a NUL */

/* An IPv4 or IPv6 address; names are not looked up. -EINVAL. */
int channel_address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret,
                          struct mlt_error *err) MLT_MUST_USE;

/* "127.0.0.1:5000", "[::1]:5000". `text` holds CHANNEL_ADDRESS_TEXT_MAX bytes. */
void channel_address_format(const struct sockaddr_storage *address, char *text);

uint16_t channel_address_port(const struct sockaddr_storage *address);

#endif
