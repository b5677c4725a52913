/* Reads JSON text into a cJSON tree: RFC 8259, strictly.
 *
 * Our own parser, because cJSON's rounds long integers, keeps duplicate names, accepts invalid
 * UTF-8 and tells no line. Refused although the grammar has them: \u0000 and lone surrogates, which
 * a C string of UTF-8 cannot hold. */
#include "lib/json/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"

struct parser {
    const char *text;
    size_t length, at;
    size_t nodes;
    int depth;
    struct mlt_error *err;
};

static int fail(struct parser *p, const char *what)
{
    size_t line = 1, start = 0;
    for (size_t i = 0; i < p->at; i++) {
        if (p->text[i] == '\n') {
            line++;
            start = i + 1;
        }
    }
    return mlt_fail(p->err, EINVAL, "line %zu, column %zu: %s", line, p->at - start + 1, what);
}

static void skip_space(struct parser *p)
{
    while (p->at < p->length && strchr(" \t\r\n", p->text[p->at]) && p->text[p->at] != '\0')
        p->at++;
}

static char peek(const struct parser *p)
{
    return p->at < p->length ? p->text[p->at] : '\0';
}

/* ---- strings ---- */

static int read_hex4(struct parser *p, unsigned int *ret_code)
{
    unsigned int code = 0;
    if (p->length - p->at < 4)
        return fail(p, "expected four hexadecimal digits after \\u");
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        char c = p->text[p->at];
        const char *digit = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;
        if (!digit)
            return fail(p, "expected four hexadecimal digits after \\u");
        code = code * 16 + (unsigned int)(digit - digits);
        p->at++;
    }
    *ret_code = code;
    return 0;
}

/* After `\u`: one escape, or the two of a surrogate pair. */
static int read_unicode(struct parser *p, char *out, size_t *ret_used)
{
    unsigned int code, low;
    int rc = read_hex4(p, &code);
    if (rc < 0)
        return rc;
    if (code == 0)
        return fail(p, "\\u0000 cannot be part of a string here");
    if (code >= 0xDC00 && code <= 0xDFFF)
        return fail(p, "a low surrogate without a high one before it");
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (p->length - p->at < 2 || p->text[p->at] != '\\' || p->text[p->at + 1] != 'u')
            return fail(p, "a high surrogate without a low one after it");
        p->at += 2;
        rc = read_hex4(p, &low);
        if (rc < 0)
            return rc;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail(p, "a high surrogate without a low one after it");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *ret_used = json_utf8_encode(code, out);
    return 0;
}

static int read_escape(struct parser *p, char *out, size_t *ret_used)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = peek(p);
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        p->at++;
        out[0] = to[found - from];
        *ret_used = 1;
        return 0;
    }
    if (c != 'u')
        return fail(p, "an unknown escape in a string");
    p->at++;
    return read_unicode(p, out, ret_used);
}

/* Where the closing quote stands; escapes are only skipped. */
static size_t string_end(const struct parser *p)
{
    size_t i = p->at;
    while (i < p->length && p->text[i] != '"')
        i += p->text[i] == '\\' ? 2 : 1;
    return i;
}

/* The text between the quotes; the current byte is the opening one. An escape is never shorter than
 * what it stands for, so the distance to the closing quote is room enough. */
static int read_text(struct parser *p, char **ret_text)
{
    p->at++;
    size_t end = string_end(p);
    if (end >= p->length) {
        p->at = p->length;
        return fail(p, "a string without a closing quote");
    }
    char *out = json_text_alloc(end - p->at + 1);
    size_t used = 0;
    int rc = 0;
    while (p->text[p->at] != '"') {
        char c = p->text[p->at];
        size_t n = 1;
        if (c == '\\') {
            p->at++;
            rc = read_escape(p, out + used, &n);
        } else if ((unsigned char)c < 0x20) {
            rc = fail(p, "a control character in a string");
        } else {
            n = json_utf8_length(p->text + p->at, end - p->at);
            if (n == 0)
                rc = fail(p, "a string that is not UTF-8");
            memcpy(out + used, p->text + p->at, n);
            p->at += n;
        }
        if (rc < 0) {
            cJSON_free(out);
            return rc;
        }
        used += n;
    }
    p->at++;
    out[used] = '\0';
    *ret_text = out;
    return 0;
}

/* ---- numbers and words ---- */

static size_t digits(struct parser *p)
{
    size_t start = p->at;
    while (peek(p) >= '0' && peek(p) <= '9')
        p->at++;
    return p->at - start;
}

static int read_number(struct parser *p, cJSON **ret_node)
{
    size_t start = p->at;
    if (peek(p) == '-')
        p->at++;
    bool zero = peek(p) == '0';
    size_t whole = digits(p);
    if (whole == 0)
        return fail(p, "expected a digit");
    if (zero && whole > 1)
        return fail(p, "a number with a leading zero");
    if (peek(p) == '.') {
        p->at++;
        if (digits(p) == 0)
            return fail(p, "expected a digit after the point");
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        p->at++;
        if (peek(p) == '+' || peek(p) == '-')
            p->at++;
        if (digits(p) == 0)
            return fail(p, "expected a digit in the exponent");
    }
    if (p->at - start > JSON_NUMBER_MAX)
        return fail(p, "a number of more than 256 characters");
    cJSON *node = json_number_node(p->text + start, p->at - start);
    if (!node)
        return fail(p, "a number that is too large");
    *ret_node = node;
    return 0;
}

static int read_word(struct parser *p, cJSON **ret_node)
{
    static const char *const words[] = {"null", "true", "false"};
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(words[i]);
        if (p->length - p->at < length || memcmp(p->text + p->at, words[i], length) != 0)
            continue;
        p->at += length;
        *ret_node = json_must(i == 0 ? cJSON_CreateNull() : cJSON_CreateBool(i == 1));
        return 0;
    }
    return fail(p, p->at < p->length ? "expected a value" : "expected a value, but the text ends");
}

/* ---- arrays and objects ---- */

static int read_value(struct parser *p, cJSON **ret_node);

/* After an item: 1 when a comma promises another, 0 at the end. */
static int after_item(struct parser *p, char close, const char *complaint)
{
    skip_space(p);
    if (peek(p) == ',') {
        p->at++;
        skip_space(p);
        return 1;
    }
    if (peek(p) != close)
        return fail(p, complaint);
    p->at++;
    return 0;
}

static int read_array(struct parser *p, cJSON **ret_node)
{
    cleanup_json cJSON *array = json_must(cJSON_CreateArray());
    int rc = 1;
    p->at++;
    skip_space(p);
    if (peek(p) == ']') {
        p->at++;
        rc = 0;
    }
    while (rc > 0) {
        cJSON *item = NULL;
        rc = read_value(p, &item);
        if (rc < 0)
            return rc;
        (void)cJSON_AddItemToArray(array, item);
        rc = after_item(p, ']', "expected `,` or `]`");
    }
    if (rc < 0)
        return rc;
    *ret_node = steal_ptr(&array);
    return 0;
}

static int fail_duplicate(struct parser *p, const char *name)
{
    char what[128];
    (void)snprintf(what, sizeof what, "the name `%.80s` stands twice in one object", name);
    return fail(p, what);
}

static int read_member(struct parser *p, cJSON *object, size_t count)
{
    char *name = NULL;
    cJSON *item = NULL;
    if (peek(p) != '"')
        return fail(p, "expected a name in quotes");
    int rc = read_text(p, &name);
    if (rc < 0)
        return rc;
    if (count < JSON_SORTED_CHECK && json_member(object, name))
        rc = fail_duplicate(p, name);
    skip_space(p);
    if (rc == 0 && peek(p) != ':')
        rc = fail(p, "expected `:` after a name");
    if (rc == 0) {
        p->at++;
        rc = read_value(p, &item);
    }
    if (rc < 0) {
        cJSON_free(name);
        return rc;
    }
    item->string = name;
    (void)cJSON_AddItemToArray(object, item);
    return 0;
}

static int read_object(struct parser *p, cJSON **ret_node)
{
    cleanup_json cJSON *object = json_must(cJSON_CreateObject());
    size_t count = 0;
    int rc = 1;
    p->at++;
    skip_space(p);
    if (peek(p) == '}') {
        p->at++;
        rc = 0;
    }
    while (rc > 0) {
        rc = read_member(p, object, count++);
        if (rc < 0)
            return rc;
        rc = after_item(p, '}', "expected `,` or `}`");
    }
    if (rc < 0)
        return rc;
    const char *twice = count > JSON_SORTED_CHECK ? json_duplicate(object) : NULL;
    if (twice)
        return fail_duplicate(p, twice);
    *ret_node = steal_ptr(&object);
    return 0;
}

static int read_value(struct parser *p, cJSON **ret_node)
{
    int rc;
    char *text = NULL;
    if (++p->nodes > JSON_NODES_MAX)
        return mlt_fail(p->err, E2BIG, "the document has more than %d values", JSON_NODES_MAX);
    skip_space(p);
    switch (peek(p)) {
    case '"':
        rc = read_text(p, &text);
        if (rc == 0)
            *ret_node = json_string_node(text);
        return rc;
    case '{':
    case '[':
        if (p->depth >= JSON_DEPTH_MAX)
            return fail(p, "objects and arrays are nested too deeply (the limit is 100)");
        p->depth++;
        rc = peek(p) == '{' ? read_object(p, ret_node) : read_array(p, ret_node);
        p->depth--;
        return rc;
    case '-':
    case '0' ... '9':
        return read_number(p, ret_node);
    default:
        return read_word(p, ret_node);
    }
}

int json_parse(const char *text, size_t length, cJSON **ret_node, struct mlt_error *err)
{
    if (length > JSON_SIZE_MAX)
        return mlt_fail(err, E2BIG, "the document has %zu bytes, the limit is %u", length,
                        JSON_SIZE_MAX);
    struct parser p = {.text = text, .length = length, .err = err};
    cleanup_json cJSON *node = NULL;
    int rc = read_value(&p, &node);
    if (rc < 0)
        return rc;
    skip_space(&p);
    if (p.at < p.length)
        return fail(&p, "only white space may follow the value");
    *ret_node = steal_ptr(&node);
    return 0;
}
