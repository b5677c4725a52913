/* Numbers and quantities: see number.h. */
#include "lib/base/number.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mlt_parse_integer(const char *text, int64_t min, int64_t max, int64_t *ret_value, struct mlt_error *err)
{
    char *end = NULL;
    errno = 0;
    intmax_t value = strtoimax(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)text[0]) || text[0] == '+' || errno == ERANGE || value < min ||
        value > max)
        return mlt_fail(err, EINVAL, "`%.64s` is not a whole number from %" PRId64 " to %" PRId64, text, min, max);
    *ret_value = value;
    return 0;
}

/* Suffixes in thousandths of the base unit, as a factor over a divisor. */
static const struct suffix {
    const char *name;
    int64_t factor;
    int64_t divisor;
} suffixes[] = {
    {"n", 1, 1000000},
    {"u", 1, 1000},
    {"m", 1, 1},
    {"", 1000, 1},
    {"k", 1000000, 1},
    {"M", 1000000000, 1},
    {"G", 1000000000000, 1},
    {"T", 1000000000000000, 1},
    {"P", 1000000000000000000, 1},
    {"Ki", 1000LL << 10, 1},
    {"Mi", 1000LL << 20, 1},
    {"Gi", 1000LL << 30, 1},
    {"Ti", 1000LL << 40, 1},
    {"Pi", 1000LL << 50, 1},
};

#define QUANTITY_DIGITS_MAX 24 /* what a 128-bit product below can hold with the largest factor */

/* Reads "12.5" as digits 125 with 1 decimal; returns what follows, or NULL. */
static const char *read_digits(const char *text, unsigned __int128 *ret_digits, int *ret_decimals)
{
    unsigned __int128 digits = 0;
    int count = 0, decimals = 0;
    bool seen_point = false;
    const char *p = text;
    for (; isdigit((unsigned char)*p) || (*p == '.' && !seen_point); p++) {
        if (*p == '.') {
            seen_point = true;
            continue;
        }
        if (++count > QUANTITY_DIGITS_MAX)
            return NULL;
        digits = digits * 10 + (unsigned)(*p - '0');
        decimals += seen_point ? 1 : 0;
    }
    if (count == 0)
        return NULL;
    *ret_digits = digits;
    *ret_decimals = decimals;
    return p;
}

/* "e3" and "E-2": a decimal exponent. Returns false where the text is something else. */
static bool read_exponent(const char *text, int *ret_exponent)
{
    if ((text[0] != 'e' && text[0] != 'E') || !text[1])
        return false;
    int64_t exponent;
    const char *number = text[1] == '+' ? text + 2 : text + 1;
    if (mlt_parse_integer(number, -18, 18, &exponent, NULL) < 0)
        return false;
    *ret_exponent = (int)exponent;
    return true;
}

int mlt_quantity_parse_milli(const char *text, int64_t *ret_milli, struct mlt_error *err)
{
    unsigned __int128 value;
    int decimals, exponent = 0;
    const char *rest = read_digits(text[0] == '+' ? text + 1 : text, &value, &decimals);
    if (!rest)
        return mlt_fail(err, EINVAL, "`%.64s` is not a quantity (such as 2, 500m or 8Gi)", text);
    int64_t factor = 0, divisor = 1;
    if (read_exponent(rest, &exponent)) {
        factor = 1000;
    } else {
        for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
            if (strcmp(rest, suffixes[i].name) == 0) {
                factor = suffixes[i].factor;
                divisor = suffixes[i].divisor;
            }
    }
    if (factor == 0)
        return mlt_fail(err, EINVAL, "`%.64s` is not a quantity (such as 2, 500m or 8Gi)", text);
    const unsigned __int128 limit = (unsigned __int128)INT64_MAX;
    if (value && (unsigned __int128)factor > ~(unsigned __int128)0 / value)
        return mlt_fail(err, ERANGE, "quantity `%.64s` is too large", text);
    value *= (unsigned __int128)factor;
    for (; exponent > 0; exponent--) {
        if (value > limit * 1000000)
            return mlt_fail(err, ERANGE, "quantity `%.64s` is too large", text);
        value *= 10;
    }
    for (decimals -= exponent; decimals > 0; decimals--) /* rounded up at each digit is rounded up */
        value = (value + 9) / 10;
    value = (value + (unsigned __int128)divisor - 1) / (unsigned __int128)divisor;
    if (value > limit)
        return mlt_fail(err, ERANGE, "quantity `%.64s` is too large", text);
    *ret_milli = (int64_t)value;
    return 0;
}

int mlt_quantity_parse(const char *text, int64_t *ret_value, struct mlt_error *err)
{
    int64_t milli;
    int rc = mlt_quantity_parse_milli(text, &milli, err);
    if (rc < 0)
        return rc;
    *ret_value = milli / 1000 + (milli % 1000 ? 1 : 0);
    return 0;
}

void mlt_quantity_format_milli(int64_t milli, char *text)
{
    if (milli % 1000 == 0)
        (void)snprintf(text, MLT_QUANTITY_TEXT_MAX, "%" PRId64, milli / 1000);
    else
        (void)snprintf(text, MLT_QUANTITY_TEXT_MAX, "%" PRId64 "m", milli);
}

void mlt_quantity_format_bytes(int64_t bytes, char *text)
{
    static const char *const names[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
    size_t unit = 0;
    while (bytes && bytes % 1024 == 0 && unit + 1 < sizeof names / sizeof names[0]) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, MLT_QUANTITY_TEXT_MAX, "%" PRId64 "%s", bytes, names[unit]);
}

void mlt_bytes_for_people(int64_t bytes, char *text)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof names / sizeof names[0]) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, MLT_QUANTITY_TEXT_MAX, unit ? "%.1f %s" : "%.0f %s", value, names[unit]);
}
