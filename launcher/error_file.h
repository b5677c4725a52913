/* The message that a failed rank has written into its error file (torch's @record, or the user). */
#ifndef LAUNCHER_ERROR_FILE_H
#define LAUNCHER_ERROR_FILE_H

#include <stddef.h>

#define ERROR_FILE_BYTES_MAX (256u * 1024) /* looked at */
#define ERROR_FILE_MESSAGE_MAX 1024        /* bytes of the message that are kept, with the NUL */

/* The first member named "message" whose value is a string, at any depth, on one line, cut to
 * ERROR_FILE_MESSAGE_MAX; "" when there is none or the text is not JSON. Pure: a scanner that keeps
 * no tree, for {"message": "..."} and torch's {"message": {"message": "...", "extraInfo": {...}}}.
 * `message` holds ERROR_FILE_MESSAGE_MAX bytes. */
void error_file_message(const char *text, size_t length, char *message);

/* The same of a file; "" when it cannot be read. */
void error_file_read(const char *path, char *message);

#endif
