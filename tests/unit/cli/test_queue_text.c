/* Queues as rows: the tree, the resources, what each cell says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/queue_text.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lib/json/json.h"

#define NOW_MS INT64_C(1764000120000) /* 2025-11-24T16:02:00Z */

/* All cells, a line for each row, `|` between them. `queues` is YAML. */
static char *table(const char *queues, bool every_resource)
{
    cJSON *documents cleanup_json = NULL;
    struct mlt_error err = {0};
    struct mlt_text text = MLT_TEXT_INIT(100000);
    struct queue_row *rows = NULL;
    if (json_parse_yaml(queues, strlen(queues), &documents, &err) < 0)
        fail_msg("%s", err.text);
    size_t count = queue_rows(cJSON_GetArrayItem(documents, 0), every_resource, &rows);
    for (size_t i = 0; i < count; i++)
        for (int column = 0; column < QUEUE_COLUMN_COUNT; column++) {
            char cell[QUEUE_CELL_MAX];
            queue_cell(&rows[i], (enum queue_column)column, NOW_MS, cell);
            mlt_text_printf(&text, "%s%s", cell, column + 1 < QUEUE_COLUMN_COUNT ? "|" : "\n");
        }
    free(rows);
    return mlt_text_take(&text);
}

static void expect(const char *queues, bool every_resource, const char *lines)
{
    cleanup_free char *got = table(queues, every_resource);
    assert_string_equal(got, lines);
}

static void test_a_row_says_what_a_queue_has_and_uses(void **state)
{
    (void)state;
    static const char queues[] =
        "- metadata: {name: a}\n"
        "  spec: {quota: [{resource: cpu, nominal: 4}, {resource: nvidia.com/gpu, nominal: "
        "'16'}]}\n"
        "  status: {running: 2, pending: 1, waitingSince: '2025-11-24T16:00:00Z', usage: {cpu: "
        "1500m, nvidia.com/gpu: '20', amd.com/gpu: '1'}, borrowed: {nvidia.com/gpu: '4'}, "
        "lent: {cpu: '1'}, requested: {nvidia.com/gpu: '8'}}\n";
    expect(queues, false,
           "a|nvidia.com/gpu|16|20|4|0|8|2|1|2m\n"
           "|amd.com/gpu|no limit|1|0|0|0|||\n");
    expect(queues, true,
           "a|cpu|4|1500m|0|1|0|2|1|2m\n"
           "|nvidia.com/gpu|16|20|4|0|8|||\n"
           "|amd.com/gpu|no limit|1|0|0|0|||\n");
}

static void test_children_stand_below_their_parents(void **state)
{
    (void)state;
    expect("- metadata: {name: z}\n"
           "- {metadata: {name: c}, spec: {parent: b}}\n"
           "- {metadata: {name: b}, spec: {parent: z}}\n"
           "- {metadata: {name: a}, spec: {parent: z}}\n"
           "- {metadata: {name: d}, spec: {parent: nobody}}\n",
           false,
           "d|||||||||\n"
           "z|||||||||\n"
           "  a|||||||||\n"
           "  b|||||||||\n"
           "    c|||||||||\n");
}

static void test_a_circle_is_shown_once(void **state)
{
    (void)state;
    expect("- {metadata: {name: a}, spec: {parent: b}}\n"
           "- {metadata: {name: b}, spec: {parent: a}}\n"
           "- {metadata: {name: c}, spec: {parent: c}}\n",
           false,
           "a|||||||||\n"
           "  b|||||||||\n"
           "c|||||||||\n");
}

static void test_a_terminal_gets_no_control_characters(void **state)
{
    (void)state;
    expect("- metadata: {name: \"a\\e[2J\"}\n"
           "  status: {usage: {\"x/\\n\": \"\\t\"}, waitingSince: soon, running: many}\n",
           false, "a?[2J|x/?|no limit|?|0|0|0|many||\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_says_what_a_queue_has_and_uses),
        cmocka_unit_test(test_children_stand_below_their_parents),
        cmocka_unit_test(test_a_circle_is_shown_once),
        cmocka_unit_test(test_a_terminal_gets_no_control_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
