/* The few algorithms that the channel needs: see tls_provider.h. */
#include "launcher/tls_provider.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "lib/base/cleanup.h"

#define NAME "mltrain"
#define DISPATCH_MAX 16
#define ALGORITHMS_MAX 4 /* of one operation */

/* libcrypto's own: its algorithms are taken from there. No header declares it, but its type is that
 * of every provider's one entry, and the archives of OpenSSL 3 have it. NULL in a shared libcrypto,
 * which sanitizers need. */
extern OSSL_provider_init_fn ossl_default_provider_init __attribute__((weak));

/* For TLS 1.3 with TLS_AES_128_GCM_SHA256, a pre-shared key and X25519: the records and the
 * handshake, the binder (an HMAC "signature"), and the random generator with its ciphers. RSA is
 * never used, but a ClientHello without any signature algorithm is not made. */
static const struct {
    int operation;
    const char *names[ALGORITHMS_MAX];
} needed[] = {
    {OSSL_OP_DIGEST, {"SHA2-256"}},
    {OSSL_OP_CIPHER, {"AES-128-GCM", "AES-256-CTR", "AES-256-ECB"}},
    {OSSL_OP_MAC, {"HMAC"}},
    {OSSL_OP_KDF, {"HKDF", "TLS13-KDF"}},
    {OSSL_OP_RAND, {"CTR-DRBG", "SEED-SRC"}},
    {OSSL_OP_KEYMGMT, {"X25519", "HMAC", "RSA"}},
    {OSSL_OP_KEYEXCH, {"X25519"}},
    {OSSL_OP_SIGNATURE, {"HMAC"}},
};

static struct {
    OSSL_FUNC_provider_query_operation_fn *query; /* the default provider's */
    OSSL_FUNC_provider_get_capabilities_fn *get_capabilities;
    OSSL_DISPATCH dispatch[DISPATCH_MAX + 1];
    OSSL_ALGORITHM algorithms[MLT_ARRAY_LENGTH(needed)][ALGORITHMS_MAX + 1];
} slim;

/* "AES-128-GCM:id-aes128-GCM:2.16.840...": the first name counts. */
static bool is_named(const OSSL_ALGORITHM *algorithm, const char *name)
{
    size_t length = strlen(name);
    return strncmp(algorithm->algorithm_names, name, length) == 0 &&
           (algorithm->algorithm_names[length] == ':' || !algorithm->algorithm_names[length]);
}

static const OSSL_ALGORITHM *query(void *context, int operation, int *ret_no_store)
{
    *ret_no_store = 0;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(needed); i++) {
        if (needed[i].operation != operation)
            continue;
        OSSL_ALGORITHM *to = slim.algorithms[i];
        const OSSL_ALGORITHM *from = slim.query(context, operation, ret_no_store);
        for (; from && from->algorithm_names; from++)
            for (size_t n = 0; n < ALGORITHMS_MAX && needed[i].names[n]; n++)
                if (is_named(from, needed[i].names[n]))
                    *to++ = *from;
        *to = (OSSL_ALGORITHM){0};
        return slim.algorithms[i];
    }
    return NULL;
}

struct capability_filter {
    OSSL_CALLBACK *callback;
    void *arg;
};

/* A group of another key exchange would only be looked for in vain. */
static int pass_capability(const OSSL_PARAM params[], void *arg)
{
    const struct capability_filter *filter = arg;
    const OSSL_PARAM *algorithm = OSSL_PARAM_locate_const(params, OSSL_CAPABILITY_TLS_GROUP_ALG);
    const char *name = NULL;
    if (algorithm && OSSL_PARAM_get_utf8_string_ptr(algorithm, &name) &&
        strcmp(name, "X25519") != 0)
        return 1;
    return filter->callback(params, filter->arg);
}

static int get_capabilities(void *context, const char *capability, OSSL_CALLBACK *callback,
                            void *arg)
{
    struct capability_filter filter = {.callback = callback, .arg = arg};
    return slim.get_capabilities(context, capability, pass_capability, &filter);
}

static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                void **ret_context)
{
    const OSSL_DISPATCH *all;
    if (!ossl_default_provider_init(handle, in, &all, ret_context))
        return 0;
    size_t count = 0;
    for (; all->function_id && count < DISPATCH_MAX; all++) {
        slim.dispatch[count] = *all;
        if (all->function_id == OSSL_FUNC_PROVIDER_QUERY_OPERATION) {
            slim.query = OSSL_FUNC_provider_query_operation(all);
            slim.dispatch[count].function = (void (*)(void))query;
        } else if (all->function_id == OSSL_FUNC_PROVIDER_GET_CAPABILITIES) {
            slim.get_capabilities = OSSL_FUNC_provider_get_capabilities(all);
            slim.dispatch[count].function = (void (*)(void))get_capabilities;
        }
        count++;
    }
    *out = slim.dispatch;
    return slim.query != NULL;
}

bool tls_provider_load(void)
{
    return ossl_default_provider_init && OSSL_PROVIDER_add_builtin(NULL, NAME, init) &&
           OSSL_PROVIDER_load(NULL, NAME);
}
