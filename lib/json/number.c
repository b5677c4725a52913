/* Numbers that keep their value: short ones are doubles, whole numbers of more than 15 digits stay
 * text.
 *
 * cJSON reads 9007199254740993 as 9007199254740992 and prints it as 9.00719925474099e+15, which Go
 * clients refuse for an integer field; so long whole numbers become cJSON_Raw nodes here. */
#include "lib/json/internal.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* strtod() and printf() obey the program's locale; JSON always has a point. */
static char decimal_point(void)
{
    return localeconv()->decimal_point[0];
}

/* A whole number that fits int64_t; without floor(), so that nobody has to link libm. */
static bool is_whole(double value)
{
    if (!(value >= -0x1p63 && value < 0x1p63))
        return false;
    double back = (double)(int64_t)value;
    return back >= value && back <= value;
}

static bool is_long_integer(const char *text, size_t length)
{
    size_t sign = length > 0 && text[0] == '-';
    for (size_t i = sign; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return length - sign > JSON_EXACT_DIGITS;
}

cJSON *json_number_node(const char *text, size_t length)
{
    if (is_long_integer(text, length)) {
        cJSON *raw = json_must(cJSON_CreateRaw(""));
        cJSON_free(raw->valuestring);
        raw->valuestring = json_text_alloc(length + 1);
        memcpy(raw->valuestring, text, length);
        raw->valuestring[length] = '\0';
        return raw;
    }
    char copy[JSON_NUMBER_MAX + 1];
    if (length > JSON_NUMBER_MAX)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    char *point = strchr(copy, '.');
    if (point)
        *point = decimal_point();
    double value = strtod(copy, NULL);
    return isfinite(value) ? json_must(cJSON_CreateNumber(value)) : NULL;
}

const char *json_number_text(const cJSON *node, char *buffer)
{
    double value = node->valuedouble;
    if (!isfinite(value))
        return "null"; /* JSON has no infinity; cJSON writes the same */
    if (value == 0)
        return "0";
    if (is_whole(value)) {
        (void)snprintf(buffer, JSON_NUMBER_TEXT_MAX, "%.0f", value);
        return buffer;
    }
    /* The shortest of two forms that reads back as the same double. */
    (void)snprintf(buffer, JSON_NUMBER_TEXT_MAX, "%.15g", value);
    if (strtod(buffer, NULL) != value)
        (void)snprintf(buffer, JSON_NUMBER_TEXT_MAX, "%.17g", value);
    char *point = strchr(buffer, decimal_point());
    if (point)
        *point = '.';
    return buffer;
}

bool json_is_integer(const cJSON *node, int64_t *ret_value)
{
    if (cJSON_IsNumber(node)) {
        double value = node->valuedouble;
        if (!is_whole(value))
            return false;
        *ret_value = (int64_t)value;
        return true;
    }
    if (!cJSON_IsRaw(node) || !node->valuestring[0])
        return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(node->valuestring, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret_value = value;
    return true;
}

cJSON *json_new_integer(int64_t value)
{
    char text[JSON_NUMBER_TEXT_MAX];
    int length = snprintf(text, sizeof text, "%lld", (long long)value);
    return json_number_node(text, (size_t)length);
}
