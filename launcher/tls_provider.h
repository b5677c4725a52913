/* What the channel needs of OpenSSL, and nothing else.
 *
 * OpenSSL 3 makes every algorithm of its default provider when the first TLS context is made: some
 * 150 ciphers and digests, of which one connection with one cipher suite uses a handful. That is
 * half of what OpenSSL's start costs each launcher, and memory in each pod. */
#ifndef LAUNCHER_TLS_PROVIDER_H
#define LAUNCHER_TLS_PROVIDER_H

#include <stdbool.h>

/* Loads a provider that has only those algorithms, in the default provider's own implementations.
 * Before the first use of OpenSSL. False when it cannot be loaded: then OpenSSL takes the default
 * provider by itself, slower, and the channel is the same. */
bool tls_provider_load(void);

#endif
