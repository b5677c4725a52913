/* Validation of custom resources by their schema, in the words of kube-apiserver: see schema.h. */
#include "localcluster/api/schema.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdint.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "localcluster/api/schema_path.h"

struct validation {
    struct api_causes *causes;
    struct mlt_text path;
};

static void validate_node(struct validation *v, const cJSON *schema, const cJSON *node);

static const char *here(const struct validation *v)
{
    return mlt_text_string(&v->path);
}

/* The API server names the value again in the detail: "spec.replicas in body must be of type
 * integer". */
#define INVALID(v, node, ...) \
    api_cause_value((v)->causes, API_CAUSE_INVALID, here(v), node, __VA_ARGS__)

/* ---- types ---- */

static const char *type_name(const cJSON *node)
{
    int64_t number;
    if (cJSON_IsNull(node))
        return "null";
    if (cJSON_IsString(node))
        return "string";
    if (cJSON_IsBool(node))
        return "boolean";
    if (cJSON_IsObject(node))
        return "object";
    if (cJSON_IsArray(node))
        return "array";
    return json_is_integer(node, &number) ? "integer" : "number";
}

static bool has_type(const cJSON *schema, const cJSON *node)
{
    const char *wanted = json_string(schema, "type", NULL), *got = type_name(node);
    if (cJSON_IsNull(node) && json_bool(schema, "nullable", false))
        return true;
    if (json_bool(schema, "x-kubernetes-int-or-string", false))
        return strcmp(got, "integer") == 0 || strcmp(got, "string") == 0;
    return !wanted || strcmp(wanted, got) == 0 ||
           (strcmp(wanted, "number") == 0 && strcmp(got, "integer") == 0);
}

static void wrong_type(struct validation *v, const cJSON *schema, const cJSON *node)
{
    cleanup_json cJSON *got = cJSON_CreateString(type_name(node));
    const char *wanted = json_string(schema, "type", "integer,string");
    api_cause_value(v->causes, API_CAUSE_TYPE, here(v), got,
                    "%s in body must be of type %s: \"%s\"", here(v), wanted, type_name(node));
}

/* ---- scalars ---- */

static void validate_enum(struct validation *v, const cJSON *schema, const cJSON *node)
{
    const cJSON *values = json_member(schema, "enum"), *value;
    if (!values)
        return;
    cleanup_text struct mlt_text list = MLT_TEXT_INIT(1024);
    const char *separator = "";
    cJSON_ArrayForEach(value, values)
    {
        if (json_equal(value, node))
            return;
        cleanup_free char *text = json_print(value);
        mlt_text_printf(&list, "%s%s", separator, text);
        separator = ", ";
    }
    api_cause_value(v->causes, API_CAUSE_UNSUPPORTED, here(v), node, "supported values: %s",
                    mlt_text_string(&list));
}

/* -1 for a pattern that does not compile or that needs too many steps, else whether it matches. */
static int matches(const char *pattern, const char *text)
{
    int code;
    PCRE2_SIZE where;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY,
                                   &code, &where, NULL);
    if (!re)
        return -1;
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(re, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(context, API_PATTERN_MATCH_LIMIT);
    int rc = pcre2_match(re, (PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, 0, data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(re);
    if (rc == PCRE2_ERROR_NOMATCH)
        return 0;
    return rc < 0 ? -1 : 1;
}

static int64_t characters(const char *text)
{
    int64_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
    return count;
}

static void validate_string(struct validation *v, const cJSON *schema, const cJSON *node)
{
    int64_t length = characters(node->valuestring), ms;
    int64_t max = json_integer(schema, "maxLength", INT64_MAX),
            min = json_integer(schema, "minLength", 0);
    const char *pattern = json_string(schema, "pattern", NULL);
    if (length > max)
        api_cause(v->causes, API_CAUSE_TOO_LONG, here(v), "may not be more than %lld bytes",
                  (long long)max);
    if (length < min)
        INVALID(v, node, "%s in body should be at least %lld chars long", here(v), (long long)min);
    if (pattern && matches(pattern, node->valuestring) != 1)
        INVALID(v, node, "%s in body should match '%s'", here(v), pattern);
    if (strcmp(json_string(schema, "format", ""), "date-time") == 0 &&
        mlt_time_parse(node->valuestring, &ms, NULL) < 0)
        INVALID(v, node, "%s in body must be of type date-time: \"%.64s\"", here(v),
                node->valuestring);
}

static double as_double(const cJSON *node)
{
    int64_t whole;
    return json_is_integer(node, &whole) ? (double)whole : node->valuedouble;
}

static void validate_number(struct validation *v, const cJSON *schema, const cJSON *node)
{
    double value = as_double(node);
    const cJSON *min = json_member(schema, "minimum"), *max = json_member(schema, "maximum");
    const cJSON *step = json_member(schema, "multipleOf");
    bool over = json_bool(schema, "exclusiveMinimum", false),
         under = json_bool(schema, "exclusiveMaximum", false);
    if (min && (over ? value <= as_double(min) : value < as_double(min))) {
        cleanup_free char *limit = json_print(min);
        INVALID(v, node, "%s in body should be greater than %s%s", here(v),
                over ? "" : "or equal to ", limit);
    }
    if (max && (under ? value >= as_double(max) : value > as_double(max))) {
        cleanup_free char *limit = json_print(max);
        INVALID(v, node, "%s in body should be less than %s%s", here(v),
                under ? "" : "or equal to ", limit);
    }
    if (step && as_double(step) > 0) {
        double left = fmod(value, as_double(step));
        cleanup_free char *text = json_print(step);
        if (left > 0 || left < 0)
            INVALID(v, node, "%s in body should be a multiple of %s", here(v), text);
    }
    if (strcmp(json_string(schema, "format", ""), "int32") == 0 &&
        (value > INT32_MAX || value < INT32_MIN))
        INVALID(v, node, "%s in body must be of type int32", here(v));
}

/* ---- lists and objects ---- */

/* Whether two items of a map-like list have equal keys; keys NULL: equal values (a set). */
static bool same_key(const cJSON *a, const cJSON *b, const cJSON *keys)
{
    if (!keys)
        return json_equal(a, b);
    const cJSON *key;
    cJSON_ArrayForEach(key, keys)
    {
        if (!cJSON_IsString(key))
            continue;
        const cJSON *x = json_member(a, key->valuestring), *y = json_member(b, key->valuestring);
        if ((x || y) && (!x || !y || !json_equal(x, y)))
            return false;
    }
    return true;
}

static void validate_unique(struct validation *v, const cJSON *schema, const cJSON *node)
{
    const char *type = json_string(schema, "x-kubernetes-list-type", "atomic");
    const cJSON *keys = json_member(schema, "x-kubernetes-list-map-keys");
    bool map = strcmp(type, "map") == 0;
    if ((!map && strcmp(type, "set") != 0 && !json_bool(schema, "uniqueItems", false)) ||
        (map && !keys))
        return;
    size_t index = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        bool twice = false;
        for (const cJSON *other = node->child; other != item && !twice; other = other->next)
            twice = same_key(item, other, map ? keys : NULL);
        size_t mark = schema_path_item(&v->path, index++);
        if (twice)
            api_cause_value(v->causes, API_CAUSE_DUPLICATE, here(v), item, "%s", "");
        schema_path_cut(&v->path, mark);
    }
}

static void validate_array(struct validation *v, const cJSON *schema, const cJSON *node)
{
    int64_t count = cJSON_GetArraySize(node), max = json_integer(schema, "maxItems", INT64_MAX);
    int64_t min = json_integer(schema, "minItems", 0);
    if (count > max) {
        api_cause(v->causes, API_CAUSE_TOO_MANY, here(v), "%lld: must have at most %lld items",
                  (long long)count, (long long)max);
        return; /* what is too long is not looked at item by item */
    }
    if (count < min) {
        cleanup_json cJSON *number = json_new_integer(count);
        INVALID(v, number, "%s in body should have at least %lld items", here(v), (long long)min);
    }
    const cJSON *items = json_member(schema, "items"), *item;
    size_t index = 0;
    cJSON_ArrayForEach(item, node)
    {
        size_t mark = schema_path_item(&v->path, index++);
        if (items)
            validate_node(v, items, item);
        schema_path_cut(&v->path, mark);
    }
    validate_unique(v, schema, node);
}

static void validate_required(struct validation *v, const cJSON *schema, const cJSON *node)
{
    const cJSON *name;
    cJSON_ArrayForEach(name, json_member(schema, "required"))
    {
        if (!cJSON_IsString(name) || json_member(node, name->valuestring))
            continue;
        size_t mark = schema_path_member(&v->path, name->valuestring, false);
        api_cause(v->causes, API_CAUSE_REQUIRED, here(v), "%s", "");
        schema_path_cut(&v->path, mark);
    }
}

static void validate_object(struct validation *v, const cJSON *schema, const cJSON *node)
{
    int64_t count = cJSON_GetArraySize(node),
            max = json_integer(schema, "maxProperties", INT64_MAX);
    int64_t min = json_integer(schema, "minProperties", 0);
    if (count > max) {
        api_cause(v->causes, API_CAUSE_TOO_MANY, here(v), "%lld: must have at most %lld items",
                  (long long)count, (long long)max);
        return;
    }
    if (count < min) {
        cleanup_json cJSON *number = json_new_integer(count);
        INVALID(v, number, "%s in body should have at least %lld properties", here(v),
                (long long)min);
    }
    validate_required(v, schema, node);
    const cJSON *properties = json_member(schema, "properties"), *member;
    const cJSON *additional = json_member(schema, "additionalProperties");
    cJSON_ArrayForEach(member, node)
    {
        const cJSON *child = json_member(properties, member->string);
        if (!child && cJSON_IsObject(additional))
            child = additional;
        if (!child)
            continue;
        size_t mark = schema_path_member(&v->path, member->string, false);
        validate_node(v, child, member);
        schema_path_cut(&v->path, mark);
    }
}

/* ---- combinations ---- */

static bool passes(struct validation *v, const cJSON *schema, const cJSON *node)
{
    cleanup_causes struct api_causes causes = {0};
    struct validation inner = {.causes = &causes, .path = v->path};
    validate_node(&inner, schema, node);
    v->path = inner.path; /* the buffer may have grown */
    return causes.count == 0;
}

static void validate_combinations(struct validation *v, const cJSON *schema, const cJSON *node)
{
    const cJSON *part;
    cJSON_ArrayForEach(part, json_member(schema, "allOf"))
    {
        validate_node(v, part, node);
    }
    const cJSON *any = json_member(schema, "anyOf"), *one = json_member(schema, "oneOf");
    int count = 0;
    cJSON_ArrayForEach(part, any)
    {
        count += passes(v, part, node) ? 1 : 0;
    }
    if (any && count == 0)
        INVALID(v, node, "\"%s\" must validate at least one schema (anyOf)", here(v));
    count = 0;
    cJSON_ArrayForEach(part, one)
    {
        count += passes(v, part, node) ? 1 : 0;
    }
    if (one && count != 1)
        INVALID(v, node,
                "\"%s\" must validate one and only one schema (oneOf). Found %s valid alternatives",
                here(v), count ? "several" : "none");
    const cJSON *not = json_member(schema, "not");
    if (not &&passes(v, not, node))
        INVALID(v, node, "\"%s\" must not validate the schema (not)", here(v));
}

static void validate_node(struct validation *v, const cJSON *schema, const cJSON *node)
{
    int64_t whole;
    if (!has_type(schema, node)) {
        wrong_type(v, schema, node);
        return;
    }
    if (cJSON_IsNull(node))
        return;
    validate_enum(v, schema, node);
    if (cJSON_IsString(node))
        validate_string(v, schema, node);
    else if (cJSON_IsArray(node))
        validate_array(v, schema, node);
    else if (cJSON_IsObject(node))
        validate_object(v, schema, node);
    else if (cJSON_IsNumber(node) || json_is_integer(node, &whole))
        validate_number(v, schema, node);
    validate_combinations(v, schema, node);
}

void api_schema_validate(const cJSON *schema, const cJSON *tree, struct api_causes *causes)
{
    struct validation v = {.causes = causes, .path = MLT_TEXT_INIT(SCHEMA_PATH_MAX)};
    validate_node(&v, schema, tree);
    mlt_text_release(&v.path);
}
