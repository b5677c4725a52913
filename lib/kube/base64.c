/* Base64, for certificates in kubeconfigs and for the values of Secrets. */
#include "lib/kube/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *kube_base64_encode(const void *data, size_t length)
{
    const unsigned char *in = data;
    char *text = mlt_realloc(NULL, (length + 2) / 3 * 4 + 1, 1);
    char *out = text;
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t bits = (uint32_t)in[i] << 16;
        bits |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        bits |= left > 2 ? (uint32_t)in[i + 2] : 0;
        *out++ = alphabet[bits >> 18];
        *out++ = alphabet[bits >> 12 & 63];
        *out++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[bits & 63] : '=';
    }
    *out = '\0';
    return text;
}

/* Decodes without white space and padding; -1 for a character that does not belong. */
static long decode_digits(const char *text, size_t count, unsigned char *out)
{
    uint32_t bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < count; i++) {
        const char *at = strchr(alphabet, text[i]);
        if (!at)
            return -1;
        bits = bits << 6 | (uint32_t)(at - alphabet);
        if (i % 4 > 0)
            out[written++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    return (long)written;
}

int kube_base64_decode(const char *text, char **ret_data, size_t *ret_length, struct mlt_error *err)
{
    cleanup_free char *compact = mlt_realloc(NULL, strlen(text) + 1, 1);
    size_t count = 0, padding = 0;
    for (const char *c = text; *c; c++) {
        if (!strchr(" \t\r\n", *c))
            compact[count++] = *c;
    }
    if (count % 4 != 0)
        return mlt_fail(err, EINVAL, "base64 text must come in groups of 4 characters, it has %zu",
                        count);
    while (count > 0 && padding < 2 && compact[count - 1] == '=') {
        count--;
        padding++;
    }
    cleanup_free char *data = mlt_calloc(count + 1, 1);
    long length = decode_digits(compact, count, (unsigned char *)data);
    if (length < 0)
        return mlt_fail(err, EINVAL, "base64 text holds a character that is not of its alphabet");
    data[length] = '\0';
    *ret_length = (size_t)length;
    *ret_data = steal_ptr(&data);
    return 0;
}
