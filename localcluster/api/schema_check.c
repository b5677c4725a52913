/* Whether a custom resource's schema has the form of one: see schema.h. */
#include "localcluster/api/schema.h"

#include "lib/base/cleanup.h"
#include "localcluster/api/schema_path.h"

enum shape {
    SHAPE_TEXT,
    SHAPE_FLAG,
    SHAPE_NUMBER,
    SHAPE_COUNT,
    SHAPE_LIST,
    SHAPE_TEXTS,
    SHAPE_SCHEMA,
    SHAPE_SCHEMA_OR_FLAG,
    SHAPE_SCHEMAS,
    SHAPE_SCHEMA_MAP,
};

/* The members that say something to this server. Source: JSONSchemaProps in
 * k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1/types_jsonschema.go; `items` is never a
 * list there. */
static const struct {
    const char *name;
    enum shape shape;
} members[] = {
    {"type", SHAPE_TEXT},
    {"format", SHAPE_TEXT},
    {"pattern", SHAPE_TEXT},
    {"description", SHAPE_TEXT},
    {"nullable", SHAPE_FLAG},
    {"uniqueItems", SHAPE_FLAG},
    {"exclusiveMinimum", SHAPE_FLAG},
    {"exclusiveMaximum", SHAPE_FLAG},
    {"minimum", SHAPE_NUMBER},
    {"maximum", SHAPE_NUMBER},
    {"multipleOf", SHAPE_NUMBER},
    {"minLength", SHAPE_COUNT},
    {"maxLength", SHAPE_COUNT},
    {"minItems", SHAPE_COUNT},
    {"maxItems", SHAPE_COUNT},
    {"minProperties", SHAPE_COUNT},
    {"maxProperties", SHAPE_COUNT},
    {"enum", SHAPE_LIST},
    {"required", SHAPE_TEXTS},
    {"properties", SHAPE_SCHEMA_MAP},
    {"items", SHAPE_SCHEMA},
    {"not", SHAPE_SCHEMA},
    {"additionalProperties", SHAPE_SCHEMA_OR_FLAG},
    {"allOf", SHAPE_SCHEMAS},
    {"anyOf", SHAPE_SCHEMAS},
    {"oneOf", SHAPE_SCHEMAS},
    {"x-kubernetes-validations", SHAPE_LIST},
    {"x-kubernetes-list-type", SHAPE_TEXT},
    {"x-kubernetes-list-map-keys", SHAPE_TEXTS},
    {"x-kubernetes-int-or-string", SHAPE_FLAG},
    {"x-kubernetes-embedded-resource", SHAPE_FLAG},
    {"x-kubernetes-preserve-unknown-fields", SHAPE_FLAG},
};

struct check {
    struct api_causes *causes;
    struct mlt_text path;
};

static void check_schema(struct check *c, const cJSON *schema);

static void refuse(struct check *c, const cJSON *node, const char *wanted)
{
    api_cause_value(c->causes, API_CAUSE_TYPE, mlt_text_string(&c->path), node, "must be %s",
                    wanted);
}

/* All of a list or map, at its own path each. */
static void check_parts(struct check *c, const cJSON *parts, bool are_texts)
{
    size_t index = 0;
    const cJSON *part;
    cJSON_ArrayForEach(part, parts)
    {
        size_t mark = cJSON_IsObject(parts) ? schema_path_member(&c->path, part->string, true)
                                            : schema_path_item(&c->path, index++);
        if (!are_texts)
            check_schema(c, part);
        else if (!cJSON_IsString(part))
            refuse(c, part, "a string");
        schema_path_cut(&c->path, mark);
    }
}

static void check_member(struct check *c, const cJSON *node, enum shape shape)
{
    static const char *const wanted[] = {"a string",
                                         "true or false",
                                         "a number",
                                         "a whole number",
                                         "a list",
                                         "a list of strings",
                                         "a schema",
                                         "a schema, true or false",
                                         "a list of schemas",
                                         "an object of schemas"};
    int64_t number;
    bool is_whole = json_is_integer(node, &number), is_list = cJSON_IsArray(node),
         is_object = cJSON_IsObject(node), is_flag = cJSON_IsBool(node);
    const bool fits[] = {[SHAPE_TEXT] = cJSON_IsString(node),
                         [SHAPE_FLAG] = is_flag,
                         [SHAPE_NUMBER] = is_whole || cJSON_IsNumber(node) || cJSON_IsRaw(node),
                         [SHAPE_COUNT] = is_whole,
                         [SHAPE_LIST] = is_list,
                         [SHAPE_TEXTS] = is_list,
                         [SHAPE_SCHEMA] = is_object,
                         [SHAPE_SCHEMA_OR_FLAG] = is_object || is_flag,
                         [SHAPE_SCHEMAS] = is_list,
                         [SHAPE_SCHEMA_MAP] = is_object};
    if (!fits[shape])
        refuse(c, node, wanted[shape]);
    else if (shape == SHAPE_SCHEMA || (shape == SHAPE_SCHEMA_OR_FLAG && is_object))
        check_schema(c, node);
    else if (shape == SHAPE_TEXTS || shape == SHAPE_SCHEMAS || shape == SHAPE_SCHEMA_MAP)
        check_parts(c, node, shape == SHAPE_TEXTS);
}

static void check_schema(struct check *c, const cJSON *schema)
{
    if (!cJSON_IsObject(schema)) {
        refuse(c, schema, "a schema");
        return;
    }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(members); i++) {
        const cJSON *node = json_member(schema, members[i].name);
        if (!node || cJSON_IsNull(node)) /* Go's decoder takes null for absent */
            continue;
        size_t mark = schema_path_member(&c->path, members[i].name, false);
        check_member(c, node, members[i].shape);
        schema_path_cut(&c->path, mark);
    }
}

void api_schema_check(const cJSON *schema, const char *path, struct api_causes *causes)
{
    struct check c = {.causes = causes, .path = MLT_TEXT_INIT(SCHEMA_PATH_MAX)};
    mlt_text_puts(&c.path, path);
    check_schema(&c, schema);
    mlt_text_release(&c.path);
}
