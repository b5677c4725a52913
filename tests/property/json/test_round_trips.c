/* Random trees: what is printed is read back as the same, in JSON and in YAML, and the difference
 * between two trees turns the one into the other. Seed: MLTRAIN_SEED, printed; default 1. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/random.h"
#include "lib/base/number.h"
#include "lib/json/json.h"

#define TREES 20000

static uint64_t seed(void)
{
    int64_t value = 1;
    const char *text = getenv("MLTRAIN_SEED");
    if (text && mlt_parse_integer(text, 0, INT64_MAX, &value, NULL) < 0)
        fail_msg("MLTRAIN_SEED is not a number: %s", text);
    return (uint64_t)value;
}

/* Pieces that printers and parsers stumble over. */
static const char *const pieces[] = {
    "a",
    "b",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    ":",
    ": ",
    "#",
    " #",
    "-",
    "- ",
    "?",
    "*",
    "&",
    "!",
    "|",
    ">",
    "'",
    "\"",
    "\\",
    "%",
    "@",
    "`",
    "{",
    "}",
    "[",
    "]",
    ",",
    "true",
    "null",
    "~",
    "0",
    "12",
    "0x1",
    "1e3",
    ".",
    "---",
    "...",
    "=",
    "<<",
    "yes",
    "\r",
    "\x7f",
    "\x1",
    "\xC3\xA9",
    "\xE2\x82\xAC",
    "\xEF\xBB\xBF",
    "\xC2\x85",
    "\xE2\x80\xA8",
    "\xF0\x9F\x98\x80",
    "end",
};

#define TEXT_MAX 256

static const char *random_text(struct mlt_random *r, char text[TEXT_MAX])
{
    size_t used = 0;
    text[0] = '\0';
    for (uint64_t n = mlt_random_below(r, 7); n > 0; n--) {
        const char *piece = pieces[mlt_random_below(r, MLT_ARRAY_LENGTH(pieces))];
        used += (size_t)snprintf(text + used, TEXT_MAX - used, "%s", piece);
    }
    return text;
}

static cJSON *random_number(struct mlt_random *r)
{
    switch (mlt_random_below(r, 4)) {
    case 0:
        return json_new_integer(mlt_random_between(r, -20, 20));
    case 1:
        return json_new_integer((int64_t)mlt_random_next(r));
    case 2:
        return cJSON_CreateNumber((double)mlt_random_between(r, -1000000, 1000000) / 1024);
    default:
        return cJSON_CreateNumber((double)(int64_t)mlt_random_next(r) * 1e-30);
    }
}

static cJSON *random_tree(struct mlt_random *r, int depth, bool nulls)
{
    char text[TEXT_MAX];
    uint64_t kind = mlt_random_below(r, depth > 0 ? 6 : 4);
    if (kind == 0 && nulls)
        return cJSON_CreateNull();
    if (kind <= 1)
        return cJSON_CreateBool(mlt_random_below(r, 2) == 1);
    if (kind == 2)
        return random_number(r);
    if (kind == 3)
        return cJSON_CreateString(random_text(r, text));
    cJSON *node = kind == 4 ? cJSON_CreateArray() : cJSON_CreateObject();
    for (uint64_t n = mlt_random_below(r, 5); n > 0; n--) {
        const char *name = random_text(r, text);
        if (kind == 4)
            json_append(node, random_tree(r, depth - 1, nulls));
        else if (!json_member(node, name))
            (void)cJSON_AddItemToObject(node, name, random_tree(r, depth - 1, nulls));
    }
    return node;
}

/* Another tree that shares much with the first. */
static cJSON *changed(struct mlt_random *r, const cJSON *from)
{
    cJSON *to = json_copy(from);
    for (uint64_t n = mlt_random_below(r, 3); n > 0 && cJSON_IsObject(to) && to->child; n--) {
        cJSON *victim = to->child;
        for (uint64_t skip = mlt_random_below(r, 4); skip > 0 && victim->next; skip--)
            victim = victim->next;
        if (mlt_random_below(r, 2))
            cJSON_Delete(cJSON_DetachItemViaPointer(to, victim));
        else if (cJSON_IsObject(victim))
            json_set(victim, "new", random_tree(r, 1, false));
        else
            json_set(to, "added", random_tree(r, 2, false));
    }
    return to;
}

static void test_json_is_read_back_as_it_was_printed(void **state)
{
    (void)state;
    struct mlt_random r;
    mlt_random_init(&r, seed());
    for (int i = 0; i < TREES; i++) {
        cleanup_json cJSON *tree = random_tree(&r, 4, true), *back = NULL, *again = NULL;
        cleanup_free char *text = json_print(tree);
        cleanup_free char *indented = json_print_indented(tree);
        struct mlt_error err = {0};
        if (json_parse(text, strlen(text), &back, &err) != 0 || !json_equal(tree, back))
            fail_msg("tree %d: %s: %s", i, text, err.text);
        if (json_parse(indented, strlen(indented), &again, &err) != 0 || !json_equal(tree, again))
            fail_msg("tree %d: %s: %s", i, indented, err.text);
    }
}

static void test_yaml_is_read_back_as_it_was_printed(void **state)
{
    (void)state;
    struct mlt_random r;
    mlt_random_init(&r, seed());
    for (int i = 0; i < TREES; i++) {
        cleanup_json cJSON *tree = random_tree(&r, 4, true), *documents = NULL;
        cleanup_free char *text = json_print_yaml(tree);
        cleanup_free char *json = json_print(tree);
        struct mlt_error err = {0};
        if (json_parse_yaml(text, strlen(text), &documents, &err) != 0)
            fail_msg("tree %d: %s\n%s\n%s", i, err.text, json, text);
        if (json_size(documents, "") != 1 || !json_equal(tree, documents->child))
            fail_msg("tree %d: another tree came back\n%s\n%s", i, json, text);
    }
}

static void test_the_difference_turns_one_tree_into_the_other(void **state)
{
    (void)state;
    struct mlt_random r;
    mlt_random_init(&r, seed());
    int equal = 0;
    for (int i = 0; i < TREES; i++) {
        cleanup_json cJSON *from = random_tree(&r, 4, false);
        cleanup_json cJSON *to = i % 2 ? changed(&r, from) : random_tree(&r, 4, false);
        cleanup_json cJSON *patch = json_merge_diff(from, to);
        bool same = json_equal(from, to);
        equal += same;
        if (same && cJSON_IsObject(from) && patch->child)
            fail_msg("tree %d: equal trees differ", i);
        json_merge_patch(&from, patch);
        if (!json_equal(from, to))
            fail_msg("tree %d: the patch does not lead there", i);
    }
    assert_true(equal > 100 && equal < TREES - 100);
}

static void test_the_number_of_values_has_a_limit(void **state)
{
    (void)state;
    size_t size = 2 * (JSON_NODES_MAX + 1) + 1;
    cleanup_free char *text = mlt_calloc(size + 1, 1);
    text[0] = '[';
    for (size_t i = 0; i <= JSON_NODES_MAX; i++)
        memcpy(text + 1 + 2 * i, "1,", 2);
    struct mlt_error err = {0};
    cJSON *node = NULL;
    assert_int_equal(json_parse(text, size, &node, &err), -E2BIG);
    assert_non_null(strstr(err.text, "more than 2000000 values"));
}

int main(void)
{
    print_message("seed %llu\n", (unsigned long long)seed());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_is_read_back_as_it_was_printed),
        cmocka_unit_test(test_yaml_is_read_back_as_it_was_printed),
        cmocka_unit_test(test_the_difference_turns_one_tree_into_the_other),
        cmocka_unit_test(test_the_number_of_values_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
