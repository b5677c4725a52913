/* Base64 as Kubernetes uses it (RFC 4648 section 4, padded). Pure. */
#ifndef KUBE_BASE64_H
#define KUBE_BASE64_H

#include <stddef.h>
#include "lib/base/error.h"

/* The caller frees the result. */
char *kube_base64_encode(const void *data, size_t length);

/* Decodes text; white space between characters is skipped, as Go's decoder skips line ends. The
 * result is NUL-terminated (the NUL is not counted) and freed by the caller. -EINVAL. */
int kube_base64_decode(const char *text, char **ret_data, size_t *ret_length,
                       struct mlt_error *err) MLT_MUST_USE;

#endif
