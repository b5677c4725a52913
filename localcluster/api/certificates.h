/* The cluster's own certificate authority and its server certificate. Private to localcluster/api.
 */
#ifndef LOCALCLUSTER_API_CERTIFICATES_H
#define LOCALCLUSTER_API_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/base/error.h"

#define CERTIFICATE_EARLY_DAYS 366 /* valid before its making: clocks are set back, or are wrong \
                                    */
#define CERTIFICATE_DAYS 3650
#define CERTIFICATE_RENEW_DAYS \
    30 /* a server certificate with less left is made anew at the start */

struct certificate {
    char *certificate, *key; /* PEM, freed by the caller */
};

/* A new authority: ECDSA P-256, self-signed. */
int certificate_new_authority(const char *common_name, struct certificate *ret,
                              struct mlt_error *err) MLT_MUST_USE;

/* A server certificate for 127.0.0.1, ::1 and localhost, signed by the authority. */
int certificate_new_server(const struct certificate *authority, struct certificate *ret,
                           struct mlt_error *err) MLT_MUST_USE;

/* Whether a certificate can be read, is signed by the authority, fits its key and stays valid for a
 * while. */
bool certificate_is_good(const struct certificate *c, const struct certificate *authority);

/* `count` random bytes as hexadecimal text; the caller frees it. */
int certificate_random_hex(size_t count, char **ret, struct mlt_error *err) MLT_MUST_USE;

#endif
