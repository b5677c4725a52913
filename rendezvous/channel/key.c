/* Keys of the channel: from the controller's master key to a job's key, and from that to what
 * OpenSSL wants to see of a pre-shared key in TLS 1.3. */
#include "rendezvous/channel/key.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define SALT "mltrain channel psk v1"

void channel_openssl_init(void)
{
    /* The first call decides whether a configuration is ever loaded, also for providers that are
     * fetched later. */
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

/* OpenSSL's parameters are not const, though it only reads them here. */
static void *readable(const void *data)
{
    union {
        const void *from;
        void *to;
    } pointer = {.from = data};
    return pointer.to;
}

int channel_key_derive(const unsigned char master[CHANNEL_KEY_SIZE], const char *job_uid,
                       unsigned char ret_key[CHANNEL_KEY_SIZE])
{
    channel_openssl_init();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    EVP_KDF_free(kdf);
    if (!context)
        return -ENOMEM;
    char digest[] = "SHA256", salt[] = SALT;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, readable(master), CHANNEL_KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, strlen(salt)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, readable(job_uid), strlen(job_uid)),
        OSSL_PARAM_construct_end(),
    };
    unsigned char key[CHANNEL_KEY_SIZE];
    int ok = EVP_KDF_derive(context, key, sizeof key, params);
    EVP_KDF_CTX_free(context);
    if (ok != 1)
        return -EIO;
    memcpy(ret_key, key, sizeof key);
    OPENSSL_cleanse(key, sizeof key);
    return 0;
}

void channel_derive_key(const unsigned char master[CHANNEL_KEY_SIZE], const char *job_uid,
                        unsigned char ret_key[CHANNEL_KEY_SIZE])
{
    int rc = channel_key_derive(master, job_uid, ret_key);
    assert(rc == 0); /* only memory can be missing, and this is the controller's call, which may
                        abort then */
    (void)rc;
}

SSL_SESSION *channel_key_session(SSL *ssl, const unsigned char key[CHANNEL_KEY_SIZE])
{
    static const unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
    SSL_SESSION *session = cipher ? SSL_SESSION_new() : NULL;
    if (!session)
        return NULL;
    if (SSL_SESSION_set1_master_key(session, key, CHANNEL_KEY_SIZE) != 1 ||
        SSL_SESSION_set_cipher(session, cipher) != 1 ||
        SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) != 1) {
        SSL_SESSION_free(session);
        return NULL;
    }
    return session;
}

SSL_CTX *channel_key_context(const SSL_METHOD *method)
{
    channel_openssl_init();
    SSL_CTX *context = SSL_CTX_new(method);
    if (!context)
        return NULL;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1); /* header and content of a record in one go */
    if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_num_tickets(context, 0) != 1 || SSL_CTX_set_max_early_data(context, 0) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}
