/* Keys of the channel, private to rendezvous/channel/. */
#ifndef RENDEZVOUS_CHANNEL_KEY_H
#define RENDEZVOUS_CHANNEL_KEY_H

#include <openssl/ssl.h>

#include "rendezvous/channel/channel.h"

/* Starts OpenSSL without reading any configuration file, whatever OPENSSL_CONF says. Repetition is
 * fine. */
void channel_openssl_init(void);

/* channel_derive_key() that can fail: -EIO, -ENOMEM. */
int channel_key_derive(const unsigned char master[CHANNEL_KEY_SIZE], const char *job_uid,
                       unsigned char ret_key[CHANNEL_KEY_SIZE]) MLT_MUST_USE;

/* The session that stands for an external PSK in TLS 1.3 (RFC 8446, 2.2): key, cipher suite,
 * version. NULL when memory is exhausted. Freed with SSL_SESSION_free(). */
SSL_SESSION *channel_key_session(SSL *ssl, const unsigned char key[CHANNEL_KEY_SIZE]);

/* A context for either side: TLS 1.3 only, one cipher suite, no certificates, tickets, cache or
 * early data. */
SSL_CTX *channel_key_context(const SSL_METHOD *method);

#endif
