/* Patches: the input is one JSON list [target, patch]. A JSON patch that fails changes nothing; the
 * difference of two trees leads from one to the other unless it had to say null. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/cleanup.h"
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_null_member(const cJSON *node)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        if ((cJSON_IsObject(node) && cJSON_IsNull(item)) || has_null_member(item))
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *input = NULL;
    if (json_parse((const char *)data, size, &input, NULL) != 0 || json_size(input, "") != 2)
        return 0;
    const cJSON *target = json_find(input, "[0]"), *patch = json_find(input, "[1]");
    struct mlt_error err = {0};
    cleanup_json cJSON *patched = json_copy(target), *merged = json_copy(target);
    if (json_patch(&patched, patch, &err) != 0 &&
        (err.text[0] == '\0' || !json_equal(patched, target)))
        abort();
    json_merge_patch(&merged, patch);
    cleanup_json cJSON *difference = json_merge_diff(target, patch), *reached = json_copy(target);
    json_merge_patch(&reached, difference);
    if (!has_null_member(patch) && !json_equal(reached, patch))
        abort();
    return 0;
}
