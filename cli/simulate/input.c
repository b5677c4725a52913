/* Whole files, plain or packed by gzip. zlib reads both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "cli/simulate/readers.h"
#include "lib/base/alloc.h"

#define PIECE_MIN ((size_t)1 << 20)
#define PIECE_MAX ((size_t)1 << 28)    /* gzread() counts in int */
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* spreadsheets write it before UTF-8 */

static int read_all(const char *path, gzFile file, char **data, size_t *length,
                    struct mlt_error *err)
{
    size_t capacity = PIECE_MIN;
    *data = mlt_realloc(NULL, capacity, 1);
    for (;;) {
        if (*length == capacity) {
            if (capacity > SIM_FILE_MAX)
                return mlt_fail(err, E2BIG, "more than %zu bytes", SIM_FILE_MAX);
            capacity *= 2;
            *data = mlt_realloc(*data, capacity, 1);
        }
        size_t room = capacity - *length;
        int got = gzread(file, *data + *length, (unsigned)(room < PIECE_MAX ? room : PIECE_MAX));
        if (got < 0) {
            int number = 0;
            const char *words = gzerror(file, &number);
            int code = number == Z_ERRNO ? errno : EINVAL;
            if (number == Z_ERRNO)
                words = strerror(code);
            else if (strncmp(words, path, strlen(path)) == 0)
                words += strlen(path) + strlen(": "); /* zlib says the name as well */
            return mlt_fail(err, code, "%s", words);
        }
        if (got == 0)
            break;
        *length += (size_t)got;
    }
    return 0;
}

int sim_file_read(const char *path, char **ret_data, size_t *ret_length, struct mlt_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    errno = 0;
    int own = standard ? dup(STDIN_FILENO) : -1;
    gzFile file = standard ? (own < 0 ? NULL : gzdopen(own, "rb")) : gzopen(path, "rbe");
    if (!file) {
        int code = errno ? errno : ENOMEM;
        if (own >= 0)
            (void)close(own);
        return mlt_fail(err, code, "%s: %s", path, strerror(code));
    }
    char *data = NULL;
    size_t length = 0;
    int rc = read_all(path, file, &data, &length, err);
    /* A packed file that ends too early is seen when it is closed. */
    if (gzclose_r(file) == Z_BUF_ERROR && rc == 0)
        rc = mlt_fail(err, EINVAL, "the packed file ends too early");
    if (rc < 0) {
        free(data);
        return mlt_fail_in(err, "%s", path);
    }
    size_t mark = strlen(BYTE_ORDER_MARK);
    if (length >= mark && memcmp(data, BYTE_ORDER_MARK, mark) == 0) {
        length -= mark;
        memmove(data, data + mark, length);
    }
    *ret_data = data;
    *ret_length = length;
    return 0;
}
