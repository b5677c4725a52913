/* json_parse(): what it accepts is printed and read back as the same tree. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *node = NULL, *back = NULL, *documents = NULL;
    if (json_parse((const char *)data, size, &node, &err) != 0)
        return err.code == 0 || err.text[0] == '\0' ? (abort(), 0) : 0;
    cleanup_free char *text = json_print(node);
    if (json_parse(text, strlen(text), &back, &err) != 0 || !json_equal(node, back))
        abort();
    cleanup_free char *yaml = json_print_yaml(node);
    if (json_parse_yaml(yaml, strlen(yaml), &documents, &err) != 0)
        abort();
    if (!json_equal(node, cJSON_GetArrayItem(documents, 0)))
        abort();
    return 0;
}
