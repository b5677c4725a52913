/* Tests of localcluster/api/schema_*.c: unknown fields, defaults, validation. */
#include "tests/unit/localcluster/api_client.h"

#include <stdio.h>
#include <string.h>
#include "lib/base/cleanup.h"
#include "localcluster/api/schema.h"

static cJSON *parse(const char *text)
{
    cJSON *documents = NULL, *tree;
    struct mlt_error err = {0};
    if (json_parse_yaml(text, strlen(text), &documents, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    tree = cJSON_DetachItemFromArray(documents, 0);
    cJSON_Delete(documents);
    return tree;
}

/* The schema of member `x`, the object, and the field error ("" for none). */
static const struct {
    const char *sentence, *schema, *object, *error;
} rows[] = {
    {"a fitting value is fine", "{type: integer}", "{x: 3}", ""},
    {"a wrong type is named", "{type: integer}", "{x: a}",
     "x: Invalid value: \"string\": x in body must be of type integer: \"string\""},
    {"a fraction is no integer", "{type: integer}", "{x: 1.5}",
     "must be of type integer: \"number\""},
    {"an integer is a number", "{type: number}", "{x: 1}", ""},
    {"null needs nullable", "{type: integer}", "{x: null}", "must be of type integer: \"null\""},
    {"null is fine where nullable", "{type: integer, nullable: true}", "{x: null}", ""},
    {"int-or-string takes both", "{x-kubernetes-int-or-string: true}", "{x: 10%}", ""},
    {"int-or-string takes no list", "{x-kubernetes-int-or-string: true}", "{x: []}",
     "must be of type"},
    {"an enum lists its values", "{type: string, enum: [a, b]}", "{x: c}",
     "x: Unsupported value: \"c\": supported values: \"a\", \"b\""},
    {"minimum", "{type: integer, minimum: 1}", "{x: 0}",
     "x: Invalid value: 0: x in body should be greater than or equal to 1"},
    {"exclusive minimum", "{type: integer, minimum: 1, exclusiveMinimum: true}", "{x: 1}",
     "should be greater than 1"},
    {"maximum", "{type: integer, maximum: 5}", "{x: 6}", "should be less than or equal to 5"},
    {"multipleOf", "{type: integer, multipleOf: 5}", "{x: 6}", "should be a multiple of 5"},
    {"int32 has a range", "{type: integer, format: int32}", "{x: 3000000000}",
     "must be of type int32"},
    {"a pattern", "{type: string, pattern: '^[a-z]+$'}", "{x: A}",
     "x in body should match '^[a-z]+$'"},
    {"a pattern with \\d", "{type: string, pattern: '^\\d+$'}", "{x: '12'}", ""},
    {"a pattern that would take for ever fails", "{type: string, pattern: '^(a+)+$'}",
     "{x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab}", "should match"},
    {"a string too long", "{type: string, maxLength: 2}", "{x: abc}",
     "x: Too long: may not be more than 2 bytes"},
    {"length counts characters", "{type: string, maxLength: 2}", "{x: \"\\u00e4\\u00f6\"}", ""},
    {"a string too short", "{type: string, minLength: 2}", "{x: a}",
     "should be at least 2 chars long"},
    {"too many items", "{type: array, items: {type: integer}, maxItems: 1}", "{x: [1, 2]}",
     "x: Too many: 2: must have at most 1 items"},
    {"too few items", "{type: array, items: {type: integer}, minItems: 1}", "{x: []}",
     "should have at least 1 items"},
    {"the index of a bad item", "{type: array, items: {type: integer}}", "{x: [1, a]}",
     "x[1]: Invalid value"},
    {"a set has no value twice",
     "{type: array, items: {type: string}, x-kubernetes-list-type: set}", "{x: [a, a]}",
     "x[1]: Duplicate value: \"a\""},
    {"a list map has no key twice",
     "{type: array, items: {type: object}, x-kubernetes-list-type: map, "
     "x-kubernetes-list-map-keys: [n]}",
     "{x: [{n: 1}, {n: 1, m: 2}]}", "x[1]: Duplicate value"},
    {"a required member", "{type: object, required: [y]}", "{x: {}}", "x.y: Required value"},
    {"too many members", "{type: object, maxProperties: 1}", "{x: {a: 1, b: 2}}", "x: Too many"},
    {"values of a map", "{type: object, additionalProperties: {type: string}}", "{x: {a: 1}}",
     "x.a: Invalid value: \"integer\""},
    {"oneOf", "{oneOf: [{required: [a]}, {required: [b]}], type: object}", "{x: {a: 1, b: 1}}",
     "must validate one and only one schema (oneOf)"},
    {"anyOf", "{anyOf: [{required: [a]}, {required: [b]}], type: object}", "{x: {}}",
     "must validate at least one schema (anyOf)"},
    {"not", "{not: {required: [a]}, type: object}", "{x: {a: 1}}",
     "must not validate the schema (not)"},
    {"a time", "{type: string, format: date-time}", "{x: yesterday}", "must be of type date-time"},
};

static void test_values_are_checked_in_the_servers_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(rows); i++) {
        cleanup_json cJSON *part = parse(rows[i].schema), *object = parse(rows[i].object);
        cleanup_json cJSON *schema = cJSON_CreateObject();
        cleanup_causes struct api_causes causes = {0};
        json_set_string(schema, "type", "object");
        json_set(schema, "properties.x", json_copy(part));
        api_schema_validate(schema, object, &causes);
        char text[2048] = "";
        if (causes.count)
            (void)snprintf(text, sizeof text, "%s: %s", json_string(causes.list, "[0].field", ""),
                           json_string(causes.list, "[0].message", ""));
        if (rows[i].error[0] ? !strstr(text, rows[i].error) : text[0] != '\0')
            fail_msg("%s: got `%s`, expected `%s`", rows[i].sentence, text, rows[i].error);
    }
}

static void test_defaults_fill_what_is_absent_and_only_that(void **state)
{
    cleanup_json cJSON *schema = parse(
        "{type: object, properties: {a: {type: integer, default: 1}, b: {type: object, properties: "
        "{c: {type: "
        "string, default: x}}}, l: {type: array, items: {type: object, properties: {d: {type: "
        "integer, "
        "default: 2}}}}, n: {type: string}, m: {type: object, additionalProperties: {type: object, "
        "properties: {e: {type: integer, default: 3}}}}}}");
    cleanup_json cJSON *tree = parse("{l: [{}, {d: 5}], n: null, m: {k: {}}}");
    (void)state;
    api_schema_default(schema, tree);
    cleanup_json cJSON *wanted = parse("{l: [{d: 2}, {d: 5}], m: {k: {e: 3}}, a: 1}");
    cleanup_free char *got = json_print(tree);
    if (!json_equal(tree, wanted))
        fail_msg("got %s", got);
}

static void test_unknown_fields_are_removed_and_named(void **state)
{
    cleanup_json cJSON *schema = parse(
        "{type: object, properties: {spec: {type: object, properties: {a: {type: array, items: "
        "{type: object, "
        "properties: {b: {type: string}}}}, free: {type: object, "
        "x-kubernetes-preserve-unknown-fields: "
        "true}, map: {type: object, additionalProperties: {type: object, properties: {q: {type: "
        "string}}}}}}}}");
    cleanup_json cJSON *tree =
        parse("{apiVersion: v1, kind: K, metadata: {name: x}, spec: {a: [{b: x, bb: y}], free: "
              "{any: thing}, map: {k: {z: 1}}, c: 1}}");
    struct api_fit fit = {0};
    (void)state;
    api_schema_fit(schema, NULL, tree, &fit);
    cleanup_free char *unknown = json_print(fit.unknown), *left = json_print(tree);
    assert_string_equal(unknown, "[\"spec.a[0].bb\",\"spec.map[k].z\",\"spec.c\"]");
    assert_contains(left, "{\"any\":\"thing\"}");
    assert_null(strstr(left, "\"bb\""));
    api_fit_release(&fit);
}

/* Such a schema is refused today, and may stand in an older store. */
static void test_what_is_no_schema_is_passed_over(void **state)
{
    static const struct {
        const char *schema, *object;
    } odd[] = {
        {"{type: object, properties: [{default: 1}]}", "{x: 1}"},
        {"{properties: {x: {properties: [{rule: y}], additionalProperties: {default: 2}}}}",
         "{x: {y: null}}"},
        {"{properties: {x: {x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [1, null]}}}",
         "{x: [{a: 1}, {a: 1}]}"},
        {"{properties: {x: [1]}, required: 3, enum: {a: b}, anyOf: x, not: [1]}", "{x: {y: 1}}"},
    };
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(odd); i++) {
        cleanup_json cJSON *schema = parse(odd[i].schema), *object = parse(odd[i].object);
        cleanup_causes struct api_causes causes = {0}, faults = {0};
        struct api_fit fit = {0};
        api_schema_fit(schema, NULL, object, &fit);
        api_schema_default(schema, object);
        api_schema_validate(schema, object, &causes);
        api_schema_check(schema, "schema", &faults);
        assert_true(faults.count > 0);
        api_fit_release(&fit);
    }
}

static const struct {
    const char *schema, *error;
} faults_of[] = {
    {"{type: object, properties: {a: {type: array, items: {type: string}}}, required: [a]}", ""},
    {"{additionalProperties: true, nullable: null}", ""},
    {"{minimum: 0.5, maximum: 12345678901234567890, default: [any]}", ""},
    {"{properties: [{type: string}]}", "s.properties: Invalid value: [{\"type\":\"string\"}]: must "
                                       "be an object of schemas"},
    {"{properties: {a: {items: [1]}}}", "s.properties[a].items: Invalid value: [1]: must be a "
                                        "schema"},
    {"{properties: {a: 1}}", "s.properties[a]: Invalid value: 1: must be a schema"},
    {"{allOf: [{type: object}, {type: 1}]}", "s.allOf[1].type: Invalid value: 1: must be a string"},
    {"{x-kubernetes-list-map-keys: [a, 1]}", "s.x-kubernetes-list-map-keys[1]: Invalid value: 1: "
                                             "must be a string"},
    {"{maxLength: 1.5}", "s.maxLength: Invalid value: 1.5: must be a whole number"},
    {"{additionalProperties: 1}", "must be a schema, true or false"},
    {"{not: {not: {required: a}}}", "s.not.not.required: Invalid value: \"a\": must be a list of "
                                    "strings"},
};

static void test_a_schema_has_the_form_of_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(faults_of); i++) {
        cleanup_json cJSON *schema = parse(faults_of[i].schema);
        cleanup_causes struct api_causes causes = {0};
        char text[512] = "";
        api_schema_check(schema, "s", &causes);
        if (causes.count)
            (void)snprintf(text, sizeof text, "%s: %s", json_string(causes.list, "[0].field", ""),
                           json_string(causes.list, "[0].message", ""));
        assert_true(causes.count <= 1);
        if (faults_of[i].error[0] ? !strstr(text, faults_of[i].error) : text[0] != '\0')
            fail_msg("%s: got `%s`", faults_of[i].schema, text);
    }
}

static void test_cel_is_found_wherever_it_stands(void **state)
{
    cleanup_json cJSON *with =
        parse("{type: object, properties: {a: {items: {x-kubernetes-validations: [{rule: x}]}}}}");
    cleanup_json cJSON *without = parse("{type: object, properties: {a: {type: string}}}");
    (void)state;
    assert_true(api_schema_has_cel(with));
    assert_false(api_schema_has_cel(without));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_checked_in_the_servers_words),
        cmocka_unit_test(test_defaults_fill_what_is_absent_and_only_that),
        cmocka_unit_test(test_unknown_fields_are_removed_and_named),
        cmocka_unit_test(test_what_is_no_schema_is_passed_over),
        cmocka_unit_test(test_a_schema_has_the_form_of_one),
        cmocka_unit_test(test_cel_is_found_wherever_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
