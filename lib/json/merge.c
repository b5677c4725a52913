/* JSON merge patches, RFC 7386: applying one, and finding the one between two trees. */
#include "lib/json/internal.h"

void json_merge_patch(cJSON **target, const cJSON *patch)
{
    if (!cJSON_IsObject(patch)) {
        cJSON *replaced = *target;
        *target = json_copy(patch);
        cJSON_Delete(replaced);
        return;
    }
    if (!cJSON_IsObject(*target)) {
        cJSON_Delete(*target);
        *target = json_must(cJSON_CreateObject());
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, patch)
    {
        cJSON *old = json_member(*target, item->string);
        if (cJSON_IsNull(item)) {
            if (old)
                cJSON_Delete(cJSON_DetachItemViaPointer(*target, old));
        } else if (cJSON_IsObject(item) && cJSON_IsObject(old)) {
            json_merge_patch(&old,
                             item); /* an object is changed in place, so `old` stays the same */
        } else {
            cJSON *value = NULL;
            json_merge_patch(&value, item); /* drops the nulls of a new object, as the RFC says */
            json_put(*target, item->string, value);
        }
    }
}

cJSON *json_merge_diff(const cJSON *from, const cJSON *to)
{
    if (!cJSON_IsObject(from) || !cJSON_IsObject(to))
        return json_copy(to);
    cJSON *patch = json_must(cJSON_CreateObject());
    const cJSON *item;
    cJSON_ArrayForEach(item, from)
    {
        if (!json_member(to, item->string))
            json_put(patch, item->string, json_must(cJSON_CreateNull()));
    }
    cJSON_ArrayForEach(item, to)
    {
        const cJSON *old = json_member(from, item->string);
        if (old && json_equal(old, item))
            continue;
        json_put(patch, item->string,
                 cJSON_IsObject(old) && cJSON_IsObject(item) ? json_merge_diff(old, item)
                                                             : json_copy(item));
    }
    return patch;
}
