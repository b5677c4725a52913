/* Objects for the tests of trainingjob/: see jobs.h. */
#include "jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"

#define FOLDER "tests/unit/trainingjob/"

cJSON *parse_yaml(const char *text)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *documents = NULL;
    if (json_parse_yaml(text, strlen(text), &documents, &err) != 0)
        fail_msg("%s", err.text);
    return cJSON_DetachItemFromArray(documents, 0);
}

cJSON *parse_json(const char *text)
{
    struct mlt_error err = {0};
    cJSON *node = NULL;
    if (json_parse(text, strlen(text), &node, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    return node;
}

cJSON *full_status(void)
{
    return read_yaml_file(FOLDER "status.yaml");
}

cJSON *full_job(void)
{
    return read_yaml_file(FOLDER "full.yaml");
}

cJSON *small_job(void)
{
    return read_yaml_file(FOLDER "small.yaml");
}

cJSON *with(const cJSON *object, const char *pointer, const char *value)
{
    struct mlt_error err = {0};
    cJSON *copy = json_copy(object);
    cleanup_json cJSON *patch = parse_json("[{}]");
    json_set_string(patch->child, "op", value ? "add" : "remove");
    json_set_string(patch->child, "path", pointer);
    if (value)
        json_set(patch->child, "value", parse_json(value));
    /* `add` inserts into lists, but the tests mean `replace` there. */
    cleanup_json cJSON *replace = json_copy(patch);
    json_set_string(replace->child, "op", value ? "replace" : "remove");
    if (json_patch(&copy, replace, NULL) != 0 && json_patch(&copy, patch, &err) != 0)
        fail_msg("%s: %s", pointer, err.text);
    return copy;
}

cJSON *with_row(const cJSON *object, const cJSON *row)
{
    cleanup_free char *value = json_print(json_member(row, "value"));
    return with(object, json_string(row, "at", "?"),
                json_bool(row, "remove", false) ? NULL : value);
}

cJSON *read_yaml_file(const char *name)
{
    cleanup_free char *path = mlt_asprintf("%s/%s", MLTRAIN_SOURCE_DIR, name);
    cleanup_file FILE *file = fopen(path, "r");
    cleanup_free char *text = mlt_calloc(1, 1 << 20);
    if (!file)
        fail_msg("%s cannot be opened", path);
    text[fread(text, 1, (1 << 20) - 1, file)] = '\0';
    return parse_yaml(text);
}
