/* Names: see name.h. */
#include "lib/base/name.h"

#include <string.h>

#define SUBDOMAIN_MAX 253

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_label(const char *text, size_t length, size_t max)
{
    if (length == 0 || length > max || !is_alphanumeric(text[0]) || !is_alphanumeric(text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alphanumeric(text[i]) && text[i] != '-')
            return false;
    return true;
}

bool mlt_is_dns_label(const char *text, size_t max)
{
    return is_label(text, strlen(text), max);
}

bool mlt_is_dns_subdomain(const char *text)
{
    if (strlen(text) > SUBDOMAIN_MAX)
        return false;
    for (;;) {
        size_t length = strcspn(text, ".");
        if (!is_label(text, length, SUBDOMAIN_MAX))
            return false;
        if (!text[length])
            return true;
        text += length + 1;
    }
}
