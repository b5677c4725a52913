/* Plain YAML scalars: which of them are null, booleans and numbers, in YAML 1.2's core schema.
 * Source: https://yaml.org/spec/1.2.2/#103-core-schema. */
#include "lib/json/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

/* [0-9]+ and the like after an optional prefix; the whole rest must match. */
static bool all_of(const char *text, const char *set)
{
    return *text && text[strspn(text, set)] == '\0';
}

static cJSON *integer_node(const char *digits, int base, bool negative)
{
    errno = 0;
    unsigned long long value = strtoull(digits, NULL, base);
    if (errno != 0 || value > INT64_MAX)
        return NULL;
    return json_new_integer(negative ? -(int64_t)value : (int64_t)value);
}

/* Decimal digits as JSON wants them: no plus, no leading zeros. */
static cJSON *decimal_node(const char *digits, bool negative)
{
    char text[JSON_NUMBER_MAX + 1];
    while (digits[0] == '0' && digits[1] != '\0')
        digits++;
    int n = snprintf(text, sizeof text, "%s%s", negative ? "-" : "", digits);
    return n < (int)sizeof text ? json_number_node(text, (size_t)n) : NULL;
}

/* (\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool is_float(const char *text)
{
    static const char digits[] = "0123456789";
    size_t whole = strspn(text, digits), part = 0;
    text += whole;
    if (*text == '.') {
        part = strspn(++text, digits);
        text += part;
    }
    if (whole + part == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-')
            text++;
        return all_of(text, digits);
    }
    return *text == '\0';
}

enum yaml_kind yaml_resolve(const char *text, cJSON **ret_node)
{
    static const char *const null_words[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const true_words[] = {"true", "True", "TRUE", NULL};
    static const char *const false_words[] = {"false", "False", "FALSE", NULL};
    static const char *const infinite[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    const char *number = text + (text[0] == '-' || text[0] == '+');
    bool negative = text[0] == '-', is_signed = number != text;
    if (is_one_of(text, null_words)) {
        *ret_node = cJSON_CreateNull();
        return YAML_NULL;
    }
    bool yes = is_one_of(text, true_words);
    if (yes || is_one_of(text, false_words)) {
        *ret_node = cJSON_CreateBool(yes);
        return YAML_BOOL;
    }
    if (is_one_of(number, infinite))
        return YAML_UNREPRESENTABLE;
    if (!is_signed && number[0] == '0' && number[1] == 'x' &&
        all_of(number + 2, "0123456789abcdefABCDEF"))
        *ret_node = integer_node(number + 2, 16, false);
    else if (!is_signed && number[0] == '0' && number[1] == 'o' && all_of(number + 2, "01234567"))
        *ret_node = integer_node(number + 2, 8, false);
    else if (number[0] == '0' && number[1] != '\0' && all_of(number, "01234567"))
        *ret_node = integer_node(number, 8, negative);
    else if (all_of(number, "0123456789"))
        *ret_node = decimal_node(number, negative);
    else if (is_float(number))
        *ret_node = json_number_node(text + (text[0] == '+'), strlen(text) - (text[0] == '+'));
    else
        return YAML_STRING;
    return *ret_node ? YAML_NUMBER : YAML_UNREPRESENTABLE;
}
