/* An error: a code and a message of fixed size, on the caller's stack.
 *
 * A function that can fail returns a negative errno value and takes `struct mlt_error *err` last; NULL
 * means that the caller does not want the words. On failure its outputs (`ret_...`) are untouched.
 * Nothing has to be freed. Libraries return errors; programs log them, once. */
#ifndef MLT_BASE_ERROR_H
#define MLT_BASE_ERROR_H

#include <stdarg.h>

#define MLT_ERROR_TEXT_MAX 512

struct mlt_error {
    int code;                      /* positive errno value, 0 when there is no error */
    char text[MLT_ERROR_TEXT_MAX]; /* a sentence without a full stop; cut at the end when too long */
};

#define MLT_MUST_USE __attribute__((warn_unused_result))
#define MLT_PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))

/* Sets *err (when not NULL) and returns -code, so that a failure is one line:
 *     return mlt_fail(err, EINVAL, "`%s` is not a count from 1 to 4096", text);
 * `code` is a positive errno value. */
int mlt_fail(struct mlt_error *err, int code, const char *format, ...) MLT_PRINTF(3, 4);

/* Prefixes the message of an error that a callee has set with `where: ` and returns its negative code
 * (-EINVAL when err is NULL):  return mlt_fail_in(err, "spec.workers.replicas"); */
int mlt_fail_in(struct mlt_error *err, const char *format, ...) MLT_PRINTF(2, 3);

#endif
