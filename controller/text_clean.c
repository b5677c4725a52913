/* UTF-8, checked: see text_clean.h. PURE. */
#include "controller/text_clean.h"

#include <stddef.h>

/* Bytes of the well-formed character at `s`; 0 when there is none. */
static size_t character(const unsigned char *s)
{
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (s[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (s[0] < forms[i].first_low || s[0] > forms[i].first_high || s[1] < forms[i].second_low ||
            s[1] > forms[i].second_high)
            continue;
        for (size_t k = 2; k < forms[i].length; k++)
            if (s[k] < 0x80 || s[k] > 0xBF)
                return 0;
        return forms[i].length;
    }
    return 0;
}

bool text_is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        size_t length = character(s);
        if (!length)
            return false;
        s += length;
    }
    return true;
}

void text_clean(char *text)
{
    unsigned char *s = (unsigned char *)text;
    while (*s) {
        size_t length = character(s);
        if (!length)
            *s = '?';
        s += length ? length : 1;
    }
}
