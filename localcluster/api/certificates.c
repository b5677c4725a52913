/* X.509 with OpenSSL: see certificates.h. */
#include "localcluster/api/certificates.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static int fail(struct mlt_error *err, const char *what)
{
    char words[200];
    ERR_error_string_n(ERR_get_error(), words, sizeof words);
    return mlt_fail(err, EIO, "%s: %s", what, words);
}

/* What a BIO in memory holds, as text; the BIO is freed. */
static char *take_text(BIO *bio)
{
    char *data = NULL;
    long length = BIO_get_mem_data(bio, &data);
    char *text = mlt_strndup(data, (size_t)length);
    (void)BIO_free(bio);
    return text;
}

static int to_pem(X509 *x, EVP_PKEY *key, struct certificate *ret, struct mlt_error *err)
{
    BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
    if (!a || !b || !PEM_write_bio_X509(a, x) ||
        !PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL)) {
        (void)BIO_free(a);
        (void)BIO_free(b);
        return fail(err, "writing a certificate");
    }
    *ret = (struct certificate){.certificate = take_text(a), .key = take_text(b)};
    return 0;
}

static X509 *read_certificate(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    (void)BIO_free(bio);
    return x;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    (void)BIO_free(bio);
    return key;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

/* Names, serial number and times; the certificate is not signed yet. */
static X509 *new_certificate(const char *common_name, EVP_PKEY *key, X509 *issuer)
{
    X509 *x = X509_new();
    unsigned char serial[16];
    if (!x || RAND_bytes(serial, sizeof serial) != 1) {
        X509_free(x);
        return NULL;
    }
    serial[0] &= 0x7f; /* positive */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    X509_NAME *name = X509_get_subject_name(x);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) &&
                X509_set_version(x, 2) == 1 &&
                X509_time_adj_ex(X509_getm_notBefore(x), -CERTIFICATE_EARLY_DAYS, 0, NULL) &&
                X509_time_adj_ex(X509_getm_notAfter(x), CERTIFICATE_DAYS, 0, NULL) &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                           (const unsigned char *)common_name, -1, -1, 0) == 1 &&
                X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name) == 1 &&
                X509_set_pubkey(x, key) == 1;
    BN_free(number);
    if (!good) {
        X509_free(x);
        return NULL;
    }
    return x;
}

int certificate_new_authority(const char *common_name, struct certificate *ret,
                              struct mlt_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? new_certificate(common_name, key, NULL) : NULL;
    int rc;
    if (x && add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(x, x, NID_subject_key_identifier, "hash") &&
        X509_sign(x, key, EVP_sha256()) > 0)
        rc = to_pem(x, key, ret, err);
    else
        rc = fail(err, "making a certificate authority");
    X509_free(x);
    EVP_PKEY_free(key);
    return rc;
}

int certificate_new_server(const struct certificate *authority, struct certificate *ret,
                           struct mlt_error *err)
{
    X509 *issuer = read_certificate(authority->certificate);
    EVP_PKEY *issuer_key = read_key(authority->key), *key = EVP_EC_gen("P-256");
    X509 *x =
        issuer && issuer_key && key ? new_certificate("mltrain API server", key, issuer) : NULL;
    int rc;
    if (x && add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x, issuer, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x, issuer, NID_ext_key_usage, "serverAuth") &&
        add_extension(x, issuer, NID_authority_key_identifier, "keyid") &&
        add_extension(x, issuer, NID_subject_alt_name, "IP:127.0.0.1,IP:::1,DNS:localhost") &&
        X509_sign(x, issuer_key, EVP_sha256()) > 0)
        rc = to_pem(x, key, ret, err);
    else
        rc = fail(err, "making a server certificate");
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
    return rc;
}

bool certificate_is_good(const struct certificate *c, const struct certificate *authority)
{
    X509 *x = read_certificate(c->certificate), *issuer = read_certificate(authority->certificate);
    EVP_PKEY *key = read_key(c->key), *issuer_key = issuer ? X509_get_pubkey(issuer) : NULL;
    int days = 0, seconds = 0;
    bool good = x && key && issuer_key && X509_check_private_key(x, key) == 1 &&
                X509_verify(x, issuer_key) == 1 &&
                ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) == 1 &&
                days >= CERTIFICATE_RENEW_DAYS;
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
    ERR_clear_error();
    return good;
}

int certificate_random_hex(size_t count, char **ret, struct mlt_error *err)
{
    unsigned char bytes[64];
    if (count > sizeof bytes || RAND_bytes(bytes, (int)count) != 1)
        return fail(err, "random bytes");
    char *text = mlt_calloc(1, count * 2 + 1);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    *ret = text;
    return 0;
}
