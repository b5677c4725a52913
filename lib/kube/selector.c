/* Label and field selectors: parsing, and matching against objects.
 *
 * Grammar and meaning: k8s.io/apimachinery/pkg/labels/selector.go and pkg/fields/selector.go. In
 * short: all requirements must hold; != and notin also match an object that lacks the key. */
#include "lib/kube/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define REQUIREMENTS_MAX 1000
#define VALUES_MAX 10000 /* of one requirement; node affinity by name can list many nodes */
#define KEY_MAX 317      /* prefix (253), slash, name (63) */
#define VALUE_MAX 63     /* of a label */

/* X(ENUM, name in matchExpressions) */
#define OPERATOR_MAP(XX)               \
    XX(IN, "In")                       \
    XX(NOT_IN, "NotIn")                \
    XX(EXISTS, "Exists")               \
    XX(DOES_NOT_EXIST, "DoesNotExist") \
    XX(GREATER, "Gt")                  \
    XX(LESS, "Lt")

enum comparison {
#define XX(name, text) OPERATOR_##name,
    OPERATOR_MAP(XX)
#undef XX
        OPERATOR_COUNT
};

static const char *const operator_names[] = {
#define XX(name, text) [OPERATOR_##name] = text,
    OPERATOR_MAP(XX)
#undef XX
};

struct requirement {
    char *key;
    enum comparison comparison;
    char **values;
    size_t count, capacity;
};

struct kube_selector {
    struct requirement *requirements;
    size_t count, capacity;
};

static void add_value(struct requirement *r, const char *text, size_t length)
{
    MLT_GROW(r->values, r->count, r->capacity);
    r->values[r->count++] = mlt_strndup(text, length);
}

static struct requirement *add_requirement(struct kube_selector *s, const char *key, size_t length,
                                           enum comparison comparison)
{
    MLT_GROW(s->requirements, s->count, s->capacity);
    struct requirement *r = &s->requirements[s->count++];
    *r = (struct requirement){.key = mlt_strndup(key, length), .comparison = comparison};
    return r;
}

void kube_selector_free(struct kube_selector *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        for (size_t k = 0; k < s->requirements[i].count; k++)
            free(s->requirements[i].values[k]);
        free(s->requirements[i].values);
        free(s->requirements[i].key);
    }
    free(s->requirements);
    free(s);
}

static void cleanup_selector_pointer(struct kube_selector **s)
{
    kube_selector_free(*s);
}
#define cleanup_selector __attribute__((cleanup(cleanup_selector_pointer)))

/* ---- what may stand in a key and in a value ---- */

static bool is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits, -, _ and . with a letter or digit at both ends. */
static bool is_qualified(const char *text, size_t length, size_t max)
{
    if (length == 0 || length > max || !is_alphanumeric(text[0]) ||
        !is_alphanumeric(text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!is_alphanumeric(text[i]) && !strchr("-_.", text[i]))
            return false;
    }
    return true;
}

static int check_key(const char *text, size_t length, struct mlt_error *err)
{
    const char *slash = memchr(text, '/', length);
    size_t prefix = slash ? (size_t)(slash - text) : 0;
    const char *name = slash ? slash + 1 : text;
    if ((slash && !is_qualified(text, prefix, 253)) ||
        !is_qualified(name, length - (size_t)(name - text), 63))
        return mlt_fail(err, EINVAL, "`%.*s` is not a label's key",
                        (int)(length < 400 ? length : 400), text);
    return 0;
}

static int check_value(const char *text, size_t length, struct mlt_error *err)
{
    if (length > 0 && !is_qualified(text, length, VALUE_MAX))
        return mlt_fail(err, EINVAL, "`%.*s` is not a label's value",
                        (int)(length < 400 ? length : 400), text);
    return 0;
}

/* ---- the text form ---- */

struct scan {
    const char *at;
    struct mlt_error *err;
};

static void skip_space(struct scan *s)
{
    s->at += strspn(s->at, " \t\r\n");
}

static bool accept(struct scan *s, const char *token)
{
    skip_space(s);
    size_t length = strlen(token);
    if (strncmp(s->at, token, length) != 0)
        return false;
    s->at += length;
    return true;
}

/* A run of characters that mean nothing by themselves; may be empty. */
static size_t word(struct scan *s, const char **ret)
{
    skip_space(s);
    *ret = s->at;
    size_t length = strcspn(s->at, " \t\r\n,=!()<>");
    s->at += length;
    return length;
}

static int fail_at(const struct scan *s, const char *expected)
{
    return mlt_fail(s->err, EINVAL, "selector: expected %s before `%.100s`", expected, s->at);
}

static int parse_set(struct scan *s, struct requirement *r)
{
    if (!accept(s, "("))
        return fail_at(s, "`(`");
    do {
        const char *value;
        size_t length = word(s, &value);
        int e = check_value(value, length, s->err);
        if (e < 0)
            return e;
        if (r->count == VALUES_MAX)
            return mlt_fail(s->err, EINVAL, "selector: more than %d values", VALUES_MAX);
        add_value(r, value, length);
    } while (accept(s, ","));
    return accept(s, ")") ? 0 : fail_at(s, "`,` or `)`");
}

static int parse_single(struct scan *s, struct requirement *r)
{
    const char *value;
    size_t length = word(s, &value);
    int e = check_value(value, length, s->err);
    if (e < 0)
        return e;
    add_value(r, value, length);
    int64_t number;
    bool compares = r->comparison == OPERATOR_GREATER || r->comparison == OPERATOR_LESS;
    if (compares && mlt_parse_integer(r->values[0], INT64_MIN, INT64_MAX, &number, NULL) < 0)
        return mlt_fail(s->err, EINVAL, "selector: `%s` is not a whole number", r->values[0]);
    return 0;
}

/* The words `in` and `notin` are operators only between a key and a parenthesis. */
static bool accept_word(struct scan *s, const char *expected)
{
    struct scan before = *s;
    const char *text;
    size_t length = word(s, &text);
    if (length == strlen(expected) && strncmp(text, expected, length) == 0)
        return true;
    *s = before;
    return false;
}

static int parse_requirement(struct kube_selector *selector, struct scan *s)
{
    bool absent = accept(s, "!");
    const char *key;
    size_t length = word(s, &key);
    int e = check_key(key, length, s->err);
    if (e < 0)
        return e;
    struct requirement *r =
        add_requirement(selector, key, length, absent ? OPERATOR_DOES_NOT_EXIST : OPERATOR_EXISTS);
    skip_space(s);
    if (absent || *s->at == ',' || *s->at == '\0')
        return 0;
    bool in = accept_word(s, "in");
    if (in || accept_word(s, "notin")) {
        r->comparison = in ? OPERATOR_IN : OPERATOR_NOT_IN;
        return parse_set(s, r);
    }
    if (accept(s, "!="))
        r->comparison = OPERATOR_NOT_IN;
    else if (accept(s, "==") || accept(s, "="))
        r->comparison = OPERATOR_IN;
    else if (accept(s, ">"))
        r->comparison = OPERATOR_GREATER;
    else if (accept(s, "<"))
        r->comparison = OPERATOR_LESS;
    else
        return fail_at(s, "=, ==, !=, in, notin, < or >");
    return parse_single(s, r);
}

int kube_selector_parse(const char *text, struct kube_selector **ret, struct mlt_error *err)
{
    cleanup_selector struct kube_selector *selector = mlt_calloc(1, sizeof *selector);
    struct scan s = {.at = text, .err = err};
    skip_space(&s);
    while (*s.at) {
        if (selector->count == REQUIREMENTS_MAX)
            return mlt_fail(err, EINVAL, "selector: more than %d requirements", REQUIREMENTS_MAX);
        int r = parse_requirement(selector, &s);
        if (r < 0)
            return r;
        skip_space(&s);
        if (!*s.at)
            break;
        if (!accept(&s, ","))
            return fail_at(&s, "`,`");
        skip_space(&s);
        if (!*s.at)
            return fail_at(&s, "a requirement");
    }
    *ret = steal_ptr(&selector);
    return 0;
}

/* ---- the object form ---- */

static int read_labels(struct kube_selector *s, const cJSON *labels, struct mlt_error *err)
{
    const cJSON *label;
    cJSON_ArrayForEach(label, labels)
    {
        const char *value = cJSON_GetStringValue(label);
        if (s->count == REQUIREMENTS_MAX)
            return mlt_fail(err, EINVAL, "matchLabels: more than %d", REQUIREMENTS_MAX);
        int r = check_key(label->string, strlen(label->string), err);
        if (r >= 0 && !value)
            r = mlt_fail(err, EINVAL, "%s: expected a string", label->string);
        if (r >= 0)
            r = check_value(value, strlen(value), err);
        if (r < 0)
            return mlt_fail_in(err, "matchLabels");
        struct requirement *q =
            add_requirement(s, label->string, strlen(label->string), OPERATOR_IN);
        add_value(q, value, strlen(value));
    }
    return 0;
}

static int read_operator(const char *name, enum comparison *ret, struct mlt_error *err)
{
    for (size_t i = 0; i < OPERATOR_COUNT; i++) {
        if (strcmp(name, operator_names[i]) == 0) {
            *ret = (enum comparison)i;
            return 0;
        }
    }
    return mlt_fail(err, EINVAL,
                    "operator: `%s` is not one of In, NotIn, Exists, DoesNotExist, Gt, Lt", name);
}

static int check_count(const struct requirement *q, struct mlt_error *err)
{
    switch (q->comparison) {
    case OPERATOR_IN:
    case OPERATOR_NOT_IN:
        return q->count > 0 ? 0 : mlt_fail(err, EINVAL, "values: expected at least one");
    case OPERATOR_GREATER:
    case OPERATOR_LESS: {
        int64_t number;
        bool good = q->count == 1 &&
                    mlt_parse_integer(q->values[0], INT64_MIN, INT64_MAX, &number, NULL) >= 0;
        return good ? 0 : mlt_fail(err, EINVAL, "values: expected one whole number");
    }
    case OPERATOR_EXISTS:
    case OPERATOR_DOES_NOT_EXIST:
    default:
        return q->count == 0 ? 0 : mlt_fail(err, EINVAL, "values: expected none for this operator");
    }
}

static int read_expression(struct kube_selector *s, const cJSON *expression, struct mlt_error *err)
{
    const char *key = NULL, *name = NULL;
    const cJSON *values = NULL, *value;
    enum comparison comparison = OPERATOR_COUNT;
    int r = json_read_string(expression, "", "key", KEY_MAX, &key, err);
    if (r >= 0)
        r = check_key(key ? key : "", key ? strlen(key) : 0, err);
    if (r >= 0)
        r = json_read_string(expression, "", "operator", 20, &name, err);
    if (r >= 0)
        r = read_operator(name ? name : "", &comparison, err);
    if (r >= 0)
        r = json_read_array(expression, "", "values", VALUES_MAX, &values, err);
    if (r < 0)
        return r;
    struct requirement *q = add_requirement(s, key, strlen(key), comparison);
    cJSON_ArrayForEach(value, values)
    {
        const char *text = cJSON_GetStringValue(value);
        if (!text)
            return mlt_fail(err, EINVAL, "values: expected strings");
        /* Not checked as a label's value: matchFields of node affinity holds names of nodes. */
        add_value(q, text, strlen(text));
    }
    return check_count(q, err);
}

int kube_selector_from_object(const cJSON *object, struct kube_selector **ret,
                              struct mlt_error *err)
{
    cleanup_selector struct kube_selector *selector = mlt_calloc(1, sizeof *selector);
    const cJSON *labels = NULL, *expressions = NULL;
    int r = json_read_object(object, "", "matchLabels", &labels, err);
    if (r >= 0)
        r = json_read_array(object, "", "matchExpressions", REQUIREMENTS_MAX, &expressions, err);
    if (r >= 0)
        r = read_labels(selector, labels, err);
    if (r < 0)
        return r;
    int index = 0;
    const cJSON *expression;
    cJSON_ArrayForEach(expression, expressions)
    {
        r = read_expression(selector, expression, err);
        if (r < 0)
            return mlt_fail_in(err, "matchExpressions[%d]", index);
        index++;
    }
    *ret = steal_ptr(&selector);
    return 0;
}

/* ---- matching ---- */

static bool has_value(const struct requirement *r, const char *value)
{
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->values[i], value) == 0)
            return true;
    }
    return false;
}

static bool compares(const struct requirement *r, const char *value)
{
    int64_t left, right;
    if (mlt_parse_integer(value, INT64_MIN, INT64_MAX, &left, NULL) < 0 ||
        mlt_parse_integer(r->values[0], INT64_MIN, INT64_MAX, &right, NULL) < 0)
        return false;
    return r->comparison == OPERATOR_GREATER ? left > right : left < right;
}

/* `value` is NULL when the object lacks the key. */
static bool holds(const struct requirement *r, const char *value)
{
    switch (r->comparison) {
    case OPERATOR_IN:
        return value && has_value(r, value);
    case OPERATOR_NOT_IN:
        return !value || !has_value(r, value);
    case OPERATOR_EXISTS:
        return value != NULL;
    case OPERATOR_DOES_NOT_EXIST:
        return value == NULL;
    case OPERATOR_GREATER:
    case OPERATOR_LESS:
        return value && compares(r, value);
    case OPERATOR_COUNT:
    default:
        return false;
    }
}

bool kube_selector_matches(const struct kube_selector *s, const cJSON *labels)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct requirement *r = &s->requirements[i];
        if (!holds(r, cJSON_GetStringValue(json_member(labels, r->key))))
            return false;
    }
    return true;
}

/* ---- field selectors ---- */

static int parse_field(struct kube_selector *selector, const char *text, size_t length,
                       struct mlt_error *err)
{
    size_t path = 0;
    while (path < length && text[path] != '=' && text[path] != '!')
        path++;
    const char *relation = text + path;
    size_t left = length - path, skip = 0;
    bool differs = left >= 2 && strncmp(relation, "!=", 2) == 0;
    if (differs || (left >= 2 && strncmp(relation, "==", 2) == 0))
        skip = 2;
    else if (left >= 1 && relation[0] == '=')
        skip = 1;
    if (path == 0 || skip == 0)
        return mlt_fail(err, EINVAL,
                        "field selector: `%.*s` is not PATH=VALUE, PATH==VALUE or PATH!=VALUE",
                        (int)(length < 200 ? length : 200), text);
    struct requirement *r =
        add_requirement(selector, text, path, differs ? OPERATOR_NOT_IN : OPERATOR_IN);
    add_value(r, relation + skip, left - skip);
    return 0;
}

int kube_field_selector_parse(const char *text, struct kube_selector **ret, struct mlt_error *err)
{
    cleanup_selector struct kube_selector *selector = mlt_calloc(1, sizeof *selector);
    while (*text) {
        size_t length = strcspn(text, ",");
        if (selector->count == REQUIREMENTS_MAX)
            return mlt_fail(err, EINVAL, "field selector: more than %d terms", REQUIREMENTS_MAX);
        int r = length > 0 ? parse_field(selector, text, length, err) : 0;
        if (r < 0)
            return r;
        text += length + (text[length] == ',');
    }
    *ret = steal_ptr(&selector);
    return 0;
}

/* A field that is absent is the empty string, as on the server: spec.nodeName= finds unbound pods.
 */
bool kube_field_selector_matches(const struct kube_selector *s, const cJSON *object)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct requirement *r = &s->requirements[i];
        const cJSON *node = json_find(object, r->key);
        const char *value = json_string(node, "", "");
        if (cJSON_IsBool(node))
            value = cJSON_IsTrue(node) ? "true" : "false";
        if (!holds(r, value))
            return false;
    }
    return true;
}
