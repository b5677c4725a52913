/* Bearer tokens: see auth.h. */
#include "localcluster/api/auth.h"

#include <string.h>
#include <strings.h>

/* Takes the same time wherever the first difference is. */
static bool equal(const char *a, const char *b, size_t length)
{
    volatile unsigned char difference = 0;
    for (size_t i = 0; i < length; i++)
        difference = (unsigned char)(difference | ((unsigned char)a[i] ^ (unsigned char)b[i]));
    return difference == 0;
}

bool api_auth_allows(const char *token, const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (!token)
        return true;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *given = authorization + sizeof scheme - 1;
    given += strspn(given, " ");
    size_t length = strlen(token);
    return strlen(given) == length && equal(given, token, length);
}

bool api_auth_is_public(const char *segment)
{
    static const char *const names[] = {"healthz", "livez", "readyz", "version"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(segment, names[i]) == 0)
            return true;
    return false;
}
