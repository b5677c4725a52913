/* Rules of metadata, from apimachinery/pkg/api/validation and pkg/util/validation: see metadata.h.
 */
#include "localcluster/api/metadata.h"

#include <ctype.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/name.h"

#define SUBDOMAIN_WORDS                                                                          \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or " \
    "'.', and "                                                                                  \
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for "     \
    "validation is "                                                                             \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
#define LABEL_WORDS                                                                              \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and " \
    "must start "                                                                                \
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "     \
    "validation is "                                                                             \
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
#define QUALIFIED_WORDS                                                                           \
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end " \
    "with an "                                                                                    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "        \
    "validation is "                                                                              \
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define VALUE_WORDS                                                                             \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or " \
    "'.', and "                                                                                 \
    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "   \
    "'12345', regex "                                                                           \
    "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"

static bool is_name_part(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > 63 || !isalnum((unsigned char)text[0]) ||
        !isalnum((unsigned char)text[length - 1]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
            return false;
    return true;
}

bool api_is_qualified_name(const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash)
        return is_name_part(text);
    cleanup_free char *prefix = mlt_strndup(text, (size_t)(slash - text));
    return mlt_is_dns_subdomain(prefix) && is_name_part(slash + 1);
}

static void validate_name(const struct api_resource *r, const cJSON *tree,
                          struct api_causes *causes)
{
    const cJSON *node = json_find(tree, "metadata.name");
    const char *name = json_string(tree, "metadata.name", "");
    if (!name[0]) {
        api_cause(causes, API_CAUSE_REQUIRED, "metadata.name", "name or generateName is required");
    } else if (api_resource_is(r, API_LABEL_NAMES)) {
        if (!mlt_is_dns_label(name, 63))
            api_cause_value(causes, API_CAUSE_INVALID, "metadata.name", node, LABEL_WORDS);
    } else if (!mlt_is_dns_subdomain(name)) {
        api_cause_value(causes, API_CAUSE_INVALID, "metadata.name", node, SUBDOMAIN_WORDS);
    }
}

static void validate_labels(const cJSON *tree, struct api_causes *causes)
{
    const cJSON *label;
    cJSON_ArrayForEach(label, json_find(tree, "metadata.labels"))
    {
        cleanup_json cJSON *key = cJSON_CreateString(label->string);
        const char *value = cJSON_IsString(label) ? label->valuestring : "";
        if (!api_is_qualified_name(label->string))
            api_cause_value(causes, API_CAUSE_INVALID, "metadata.labels", key, QUALIFIED_WORDS);
        if (value[0] && !is_name_part(value))
            api_cause_value(causes, API_CAUSE_INVALID, "metadata.labels", label, VALUE_WORDS);
    }
}

static void validate_annotations(const cJSON *tree, struct api_causes *causes)
{
    size_t bytes = 0;
    const cJSON *annotation;
    cJSON_ArrayForEach(annotation, json_find(tree, "metadata.annotations"))
    {
        cleanup_free char *lower = mlt_strdup(annotation->string);
        for (char *p = lower; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        cleanup_json cJSON *key = cJSON_CreateString(annotation->string);
        if (!api_is_qualified_name(lower))
            api_cause_value(causes, API_CAUSE_INVALID, "metadata.annotations", key,
                            QUALIFIED_WORDS);
        bytes += strlen(annotation->string);
        bytes += cJSON_IsString(annotation) ? strlen(annotation->valuestring) : 0;
    }
    if (bytes > API_ANNOTATIONS_MAX)
        api_cause(causes, API_CAUSE_TOO_LONG, "metadata.annotations",
                  "may not be more than %u bytes", API_ANNOTATIONS_MAX);
}

static void validate_owners(const cJSON *tree, struct api_causes *causes)
{
    static const char *const required[] = {"apiVersion", "kind", "name", "uid"};
    size_t index = 0, controllers = 0;
    const cJSON *owner;
    cJSON_ArrayForEach(owner, json_find(tree, "metadata.ownerReferences"))
    {
        for (size_t i = 0; i < MLT_ARRAY_LENGTH(required); i++) {
            cleanup_free char *field =
                mlt_asprintf("metadata.ownerReferences[%zu].%s", index, required[i]);
            if (!json_string(owner, required[i], "")[0])
                api_cause(causes, API_CAUSE_REQUIRED, field, "must not be empty");
        }
        controllers += json_bool(owner, "controller", false) ? 1 : 0;
        index++;
    }
    if (controllers > 1)
        api_cause(causes, API_CAUSE_INVALID, "metadata.ownerReferences",
                  "Only one reference can have Controller set to true");
}

static void validate_finalizers(const cJSON *tree, struct api_causes *causes)
{
    const cJSON *finalizer;
    cJSON_ArrayForEach(finalizer, json_find(tree, "metadata.finalizers"))
    {
        if (cJSON_IsString(finalizer) && !api_is_qualified_name(finalizer->valuestring))
            api_cause_value(causes, API_CAUSE_INVALID, "metadata.finalizers", finalizer,
                            QUALIFIED_WORDS);
    }
    if (api_has_finalizer(tree, "orphan") && api_has_finalizer(tree, "foregroundDeletion"))
        api_cause(causes, API_CAUSE_INVALID, "metadata.finalizers",
                  "finalizer orphan and foregroundDeletion cannot be both set");
}

void api_metadata_validate(const struct api_resource *r, const cJSON *tree,
                           struct api_causes *causes)
{
    validate_name(r, tree, causes);
    validate_labels(tree, causes);
    validate_annotations(tree, causes);
    validate_owners(tree, causes);
    validate_finalizers(tree, causes);
}

/* ---- finalizers ---- */

static cJSON *find_finalizer(const cJSON *tree, const char *finalizer)
{
    cJSON *item;
    cJSON_ArrayForEach(item, json_find(tree, "metadata.finalizers"))
    {
        if (cJSON_IsString(item) && strcmp(item->valuestring, finalizer) == 0)
            return item;
    }
    return NULL;
}

bool api_has_finalizer(const cJSON *tree, const char *finalizer)
{
    return find_finalizer(tree, finalizer) != NULL;
}

void api_add_finalizer(cJSON *tree, const char *finalizer)
{
    if (!find_finalizer(tree, finalizer))
        json_append_string(json_set_array(tree, "metadata.finalizers"), finalizer);
}

void api_remove_finalizer(cJSON *tree, const char *finalizer)
{
    cJSON *item = find_finalizer(tree, finalizer);
    if (!item)
        return;
    cJSON *list = json_find(tree, "metadata.finalizers");
    cJSON_Delete(cJSON_DetachItemViaPointer(list, item));
    if (cJSON_GetArraySize(list) == 0)
        json_unset(tree, "metadata.finalizers");
}

/* ---- what clients may not set ---- */

void api_clean_metadata(cJSON *tree)
{
    static const char *const empty[] = {"metadata.labels", "metadata.annotations",
                                        "metadata.ownerReferences", "metadata.finalizers"};
    static const char *const nulls[] = {"metadata.creationTimestamp", "metadata.deletionTimestamp",
                                        "metadata.deletionGracePeriodSeconds"};
    json_unset(tree, "metadata.managedFields");
    json_unset(tree, "metadata.selfLink");
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(empty); i++) {
        const cJSON *node = json_find(tree, empty[i]);
        if (node && !node->child)
            json_unset(tree, empty[i]);
    }
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(nulls); i++) {
        const cJSON *node = json_find(tree, nulls[i]);
        if (node && cJSON_IsNull(node))
            json_unset(tree, nulls[i]);
    }
    /* A nil map or string of a Go client arrives as null or "". */
    cJSON *next = NULL, *metadata = json_member(tree, "metadata");
    for (cJSON *member = metadata ? metadata->child : NULL; member; member = next) {
        next = member->next;
        if (cJSON_IsNull(member) || (cJSON_IsString(member) && !member->valuestring[0]))
            cJSON_Delete(cJSON_DetachItemViaPointer(metadata, member));
    }
}
