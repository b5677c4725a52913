/* The CRDs say what the C code does: the same fields, types, limits, choices and defaults; and they
 * stay small enough for client-side apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "jobs.h"
#include "lib/base/cleanup.h"
#include "trainingjob/spec_fields.h"
#include "trainingjob/trainingjob.h"

#define CRD_BYTES_MAX 250000

static void compare_tables(const struct field_table *table, const cJSON *schema, const char *where);

static bool is_required(const cJSON *schema, const char *name)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, json_member(schema, "required"))
    {
        if (strcmp(item->valuestring, name) == 0)
            return true;
    }
    return false;
}

static void expect_text(const cJSON *schema, const char *name, const char *expected,
                        const char *where)
{
    const char *got = json_string(schema, name, "(absent)");
    if (strcmp(got, expected) != 0)
        fail_msg("%s: %s is %s in the CRD, %s in C", where, name, got, expected);
}

static void expect_number(const cJSON *schema, const char *name, int64_t expected,
                          const char *where)
{
    int64_t got = json_integer(schema, name, -12345);
    if (got != expected)
        fail_msg("%s: %s is %lld in the CRD, %lld in C", where, name, (long long)got,
                 (long long)expected);
}

static void compare_enum(const struct field *f, const cJSON *schema, const char *where)
{
    const cJSON *names = json_member(schema, "enum");
    size_t count = 0;
    for (; f->names[count]; count++) {
        const cJSON *item = cJSON_GetArrayItem(names, (int)count);
        if (!item || strcmp(item->valuestring, f->names[count]) != 0)
            fail_msg("%s: choice %zu is %s in C", where, count, f->names[count]);
    }
    if (json_size(names, "") != count)
        fail_msg("%s: the CRD has %zu choices, C has %zu", where, json_size(names, ""), count);
    for (size_t i = 0; f->has_default && i < count; i++) {
        if ((f->values ? f->values[i] : (int)i) == (int)f->absent)
            expect_text(schema, "default", f->names[i], where);
    }
}

static void compare_list(const struct field *f, const cJSON *schema, const char *where)
{
    const cJSON *items = json_member(schema, "items");
    expect_text(schema, "type", "array", where);
    expect_number(schema, "maxItems", f->max, where);
    if (f->min > 0)
        expect_number(schema, "minItems", f->min, where);
    if (f->kind == FIELD_ENUMS)
        compare_enum(f, items, where);
    else if (f->kind == FIELD_INTEGERS)
        expect_text(items, "type", "integer", where);
    else
        compare_tables(f->table, items, where);
}

static void compare_field(const struct field *f, const cJSON *schema, const char *where)
{
    switch (f->kind) {
    case FIELD_STRING:
        expect_text(schema, "type", "string", where);
        expect_number(schema, "minLength", f->min, where);
        expect_number(schema, "maxLength", f->max, where);
        break;
    case FIELD_BOOL:
        expect_text(schema, "type", "boolean", where);
        if (f->has_default && json_bool(schema, "default", !f->absent) != (f->absent != 0))
            fail_msg("%s: another default", where);
        break;
    case FIELD_INTEGER:
        expect_text(schema, "type", "integer", where);
        expect_text(schema, "format", "int64", where);
        expect_number(schema, "minimum", f->min, where);
        expect_number(schema, "maximum", f->max, where);
        if (f->has_default)
            expect_number(schema, "default", f->absent, where);
        break;
    case FIELD_ENUM:
        expect_text(schema, "type", "string", where);
        compare_enum(f, schema, where);
        break;
    case FIELD_QUANTITY:
        assert_true(json_bool(schema, "x-kubernetes-int-or-string", false));
        break;
    case FIELD_TREE:
        expect_text(schema, "type", "object", where);
        break;
    case FIELD_OBJECT:
        compare_tables(f->table, schema, where);
        break;
    case FIELD_LIST:
    case FIELD_ARRAY:
    case FIELD_INTEGERS:
    case FIELD_ENUMS:
        compare_list(f, schema, where);
        break;
    }
    if (!f->has_default && json_member(schema, "default"))
        fail_msg("%s: only the CRD has a default", where);
}

static void compare_tables(const struct field_table *table, const cJSON *schema, const char *where)
{
    const cJSON *properties = json_member(schema, "properties"), *item;
    expect_text(schema, "type", "object", where);
    for (size_t i = 0; i < table->count; i++) {
        const struct field *f = &table->fields[i];
        char path[FIELDS_PATH_MAX];
        fields_path(path, where, f->name);
        const cJSON *property = json_member(properties, f->name);
        if (!property)
            fail_msg("%s is not in the CRD", path);
        if (is_required(schema, f->name) != f->required)
            fail_msg("%s: required in one of the two only", path);
        compare_field(f, property, path);
    }
    cJSON_ArrayForEach(item, properties)
    {
        size_t i = 0;
        while (i < table->count && strcmp(table->fields[i].name, item->string) != 0)
            i++;
        if (i == table->count)
            fail_msg("%s.%s is in the CRD only", where, item->string);
    }
}

static const cJSON *schema_of(const cJSON *crd)
{
    return json_find(crd, "spec.versions[0].schema.openAPIV3Schema.properties");
}

static void test_the_crds_have_the_fields_of_the_c_code(void **state)
{
    (void)state;
    cleanup_json cJSON *job = read_yaml_file("crds/trainingjobs.yaml");
    cleanup_json cJSON *queue = read_yaml_file("crds/trainingqueues.yaml");
    compare_tables(&trainingjob_spec_fields, json_member(schema_of(job), "spec"), "spec");
    compare_tables(&trainingqueue_fields, json_member(schema_of(queue), "spec"), "spec");
}

static void test_the_crds_stay_below_the_limit_of_client_side_apply(void **state)
{
    (void)state;
    static const char *const names[] = {"crds/trainingjobs.yaml", "crds/trainingqueues.yaml"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(names); i++) {
        cleanup_json cJSON *crd = read_yaml_file(names[i]);
        cleanup_free char *text = json_print(crd);
        print_message("%s: %zu bytes as JSON\n", names[i], strlen(text));
        assert_true(strlen(text) < CRD_BYTES_MAX);
    }
}

static void expect_names(const cJSON *list, const char *const *expected, size_t count)
{
    assert_int_equal(json_size(list, ""), count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(json_string(cJSON_GetArrayItem(list, (int)i), "", "?"), expected[i]);
}

static void test_status_has_the_phases_and_limits_of_the_c_code(void **state)
{
    (void)state;
    cleanup_json cJSON *crd = read_yaml_file("crds/trainingjobs.yaml");
    const cJSON *status = json_find(schema_of(crd), "status.properties");
    const char *phases[TRAININGJOB_PHASE_FAILED + 1];
    for (int i = 0; i <= TRAININGJOB_PHASE_FAILED; i++)
        phases[i] = trainingjob_phase_name((enum trainingjob_phase)i);
    expect_names(json_find(status, "phase.enum"), phases, MLT_ARRAY_LENGTH(phases));
    expect_number(status, "conditions.maxItems", TRAININGJOB_CONDITIONS_MAX, "conditions");
    expect_number(status, "failures.maxItems", TRAININGJOB_FAILURES_MAX, "failures");
    expect_number(status, "recovery.properties.avoidNodes.maxItems", TRAININGJOB_AVOID_MAX,
                  "avoid");
    expect_number(status, "recovery.properties.skippedCheckpoints.maxItems",
                  TRAININGJOB_SKIPPED_MAX, "skipped");
    expect_number(status, "placement.properties.workers.maxLength", TRAININGJOB_PLACEMENT_MAX,
                  "placement");
    expect_number(status, "queue.properties.explanation.maxLength", TRAININGJOB_MESSAGE_MAX,
                  "explanation");
    expect_number(status, "queue.properties.topologyLevels.maxLength", TRAININGJOB_LEVELS_MAX,
                  "topologyLevels");
}

/* Every field that the C code may write has a place in the schema; otherwise it would be pruned. */
static void expect_known(const cJSON *value, const cJSON *schema, const char *where)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        if (cJSON_IsArray(value)) {
            expect_known(item, json_member(schema, "items"), where);
            continue;
        }
        const cJSON *property = json_member(json_member(schema, "properties"), item->string);
        if (!property)
            fail_msg("status: %s.%s is not in the CRD", where, item->string);
        expect_known(item, property, item->string);
    }
}

static void test_no_field_of_status_is_pruned(void **state)
{
    (void)state;
    cleanup_json cJSON *crd = read_yaml_file("crds/trainingjobs.yaml");
    struct trainingjob_status status;
    cleanup_json cJSON *full = full_status();
    trainingjob_status_read(full, &status);
    cleanup_json cJSON *written = trainingjob_status_json(&status);
    trainingjob_status_release(&status);
    assert_true(json_equal(full, written));
    expect_known(written, json_member(schema_of(crd), "status"), "status");
}

static void test_names_columns_and_subresources(void **state)
{
    (void)state;
    static const char *const columns[] = {"Phase", "Queue",    "Workers", "GPUs",
                                          "Step",  "Restarts", "Age"};
    cleanup_json cJSON *job = read_yaml_file("crds/trainingjobs.yaml");
    cleanup_json cJSON *queue = read_yaml_file("crds/trainingqueues.yaml");
    expect_text(job, "spec.names.shortNames[0]", "tj", "job");
    expect_text(queue, "spec.names.shortNames[0]", "tq", "queue");
    expect_text(job, "spec.scope", "Namespaced", "job");
    expect_text(queue, "spec.scope", "Cluster", "queue");
    const cJSON *version = json_find(job, "spec.versions[0]");
    expect_text(version, "subresources.scale.specReplicasPath", ".spec.workers.replicas", "scale");
    assert_non_null(json_find(version, "subresources.status"));
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(columns); i++) {
        const cJSON *column =
            cJSON_GetArrayItem(json_member(version, "additionalPrinterColumns"), (int)i);
        expect_text(column, "name", columns[i], "column");
        assert_int_equal(json_integer(column, "priority", 0), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_crds_have_the_fields_of_the_c_code),
        cmocka_unit_test(test_the_crds_stay_below_the_limit_of_client_side_apply),
        cmocka_unit_test(test_status_has_the_phases_and_limits_of_the_c_code),
        cmocka_unit_test(test_no_field_of_status_is_pruned),
        cmocka_unit_test(test_names_columns_and_subresources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
