/* json_parse_yaml(): what it accepts is printed as YAML and read back as the same documents. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_error err = {0};
    cleanup_json cJSON *documents = NULL;
    if (json_parse_yaml((const char *)data, size, &documents, &err) != 0) {
        if (err.code == 0 || err.text[0] == '\0')
            abort();
        return 0;
    }
    const cJSON *document;
    cJSON_ArrayForEach(document, documents)
    {
        cleanup_json cJSON *back = NULL;
        cleanup_free char *text = json_print_yaml(document);
        if (json_parse_yaml(text, strlen(text), &back, &err) != 0)
            abort();
        if (!json_equal(document, cJSON_GetArrayItem(back, 0)))
            abort();
    }
    return 0;
}
