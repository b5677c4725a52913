/* Text from ranks and launchers on its way into the status. PURE. */
#ifndef CONTROLLER_TEXT_CLEAN_H
#define CONTROLLER_TEXT_CLEAN_H

#include <stdbool.h>
#include <stddef.h>

/* Whether it is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool text_is_utf8(const char *text);

/* Replaces each byte that is no part of a well-formed character by `?`: an API server refuses a
 * whole status for one such byte, and a rank's last output may hold anything. */
void text_clean(char *text);

/* The same, and without what a terminal would obey: escape sequences and control characters go, a
 * tab is a space, blanks at the end go. Lines (a carriage return ends one, too) stay with
 * `keep_lines`, else they become spaces. */
void text_plain(char *text, bool keep_lines);

/* The end of a text: at most so many lines and bytes, beginning with a whole character. */
const char *text_last_lines(const char *text, size_t lines, size_t bytes);

/* The line of a rank's last output that says most, at most `size` - 1 bytes of it: what a C++
 * exception said, else what Python's faulthandler calls fatal (stacks and a list of modules come
 * after both), else, where the end is a box between rulers as MPI's starters make them, its first
 * line, else the last line. */
void text_telling_line(const char *text, char *ret_line, size_t size);

/* Cuts at so many bytes, after a whole character. */
void text_cut(char *text, size_t bytes);

#endif
