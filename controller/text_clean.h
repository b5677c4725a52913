/* Text from ranks and launchers on its way into the status. PURE. */
#ifndef CONTROLLER_TEXT_CLEAN_H
#define CONTROLLER_TEXT_CLEAN_H

#include <stdbool.h>

/* Whether it is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool text_is_utf8(const char *text);

/* Replaces each byte that is no part of a well-formed character by `?`: an API server refuses a
 * whole status for one such byte, and a rank's last output may hold anything. */
void text_clean(char *text);

#endif
