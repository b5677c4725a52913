/* OpenSSL with the channel's algorithms only. That they are enough, each test with a real launcher
 * shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "launcher/tls_provider.h"

static bool has_cipher(const char *name)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

static void test_only_what_the_channel_needs_is_there(void **state)
{
    (void)state;
    unsigned char bytes[16];
    assert_true(has_cipher("AES-128-GCM"));
    assert_true(has_cipher("id-aes128-GCM")); /* by each of its names */
    assert_false(has_cipher("CHACHA20-POLY1305"));
    assert_false(has_cipher("AES-128-CBC"));
    assert_int_equal(RAND_bytes(bytes, sizeof bytes), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_the_channel_needs_is_there),
    };
    if (!tls_provider_load()) {
        (void)printf("skipped: libcrypto is shared here, and the default provider serves\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
