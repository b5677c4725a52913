/* Protobuf to JSON by the table of kinds: see protobuf_reader.h. Source of the envelope:
 * apimachinery/pkg/runtime/serializer/protobuf. */
#include "localcluster/api/protobuf_reader.h"

#include <errno.h>
#include <string.h>
#include "lib/base/alloc.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock_text.h"
#include "lib/kube/base64.h"
#include "localcluster/api/kinds.h"

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct bytes {
    const unsigned char *data;
    size_t left;
};

/* One field as it stands in a message. */
struct field {
    unsigned number;
    enum wire wire;
    uint64_t number_value; /* WIRE_VARINT */
    struct bytes bytes;    /* WIRE_BYTES */
};

static int read_varint(struct bytes *in, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!in->left)
            return -EINVAL;
        unsigned char c = *in->data++;
        in->left--;
        value |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) {
            *ret = value;
            return 0;
        }
    }
    return -EINVAL;
}

/* 1 for a field, 0 at the end. */
static int read_field(struct bytes *in, struct field *f)
{
    uint64_t tag, length = 0;
    if (!in->left)
        return 0;
    if (read_varint(in, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
        return -EINVAL;
    *f = (struct field){.number = (unsigned)(tag >> 3), .wire = (enum wire)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(in, &f->number_value) < 0 ? -EINVAL : 1;
    case WIRE_64:
        length = 8;
        break;
    case WIRE_32:
        length = 4;
        break;
    case WIRE_BYTES:
        if (read_varint(in, &length) < 0)
            return -EINVAL;
        break;
    default:
        return -EINVAL;
    }
    if (length > in->left)
        return -EINVAL;
    f->bytes = (struct bytes){.data = in->data, .left = (size_t)length};
    in->data += length;
    in->left -= (size_t)length;
    return 1;
}

/* The member `number` of a small message; false when it is not there (or the message is malformed).
 */
static bool find_field(struct bytes in, unsigned number, struct field *ret)
{
    struct field f;
    bool found = false;
    while (read_field(&in, &f) > 0)
        if (f.number == number) {
            *ret = f;
            found = true;
        }
    return found;
}

/* A string of the message as C text; NULL for a field that is none, and for what JSON could not
 * hold: NUL bytes, or not UTF-8. The caller frees it. */
static char *text_of(struct bytes b)
{
    if (!b.data || memchr(b.data, 0, b.left) || !json_is_utf8((const char *)b.data, b.left))
        return NULL;
    return mlt_strndup((const char *)b.data, b.left);
}

static cJSON *string_node(struct bytes b)
{
    cleanup_free char *text = text_of(b);
    return text ? cJSON_CreateString(text) : NULL;
}

static cJSON *time_node(struct bytes b)
{
    struct field seconds = {0}, nanos = {0};
    char text[MLT_TIME_TEXT_MAX];
    bool is = find_field(b, 1, &seconds);
    bool fraction =
        find_field(b, 2, &nanos) && nanos.number_value && nanos.number_value < 1000000000u;
    int64_t s = (int64_t)seconds.number_value;
    if (!is || s < -62135596800 || s > 253402300799)
        return NULL;
    if (fraction)
        mlt_time_format_micro(s * 1000000 + (int64_t)nanos.number_value / 1000, text);
    else
        mlt_time_format(s * 1000, text);
    return cJSON_CreateString(text);
}

static cJSON *int_or_string_node(struct bytes b)
{
    struct field type = {0}, number = {0}, text = {0};
    (void)find_field(b, 1, &type);
    (void)find_field(b, 2, &number);
    if (type.number_value == 1)
        return find_field(b, 3, &text) ? string_node(text.bytes) : cJSON_CreateString("");
    return json_new_integer((int32_t)number.number_value);
}

/* A RawExtension's JSON. */
static cJSON *raw_node(struct bytes b)
{
    struct field raw;
    cJSON *tree = NULL;
    if (!find_field(b, 1, &raw) ||
        json_parse((const char *)raw.bytes.data, raw.bytes.left, &tree, NULL) < 0)
        return NULL;
    return tree;
}

static int read_message(const char *fields, struct bytes in, cJSON *object, unsigned depth);

/* A value of a type; NULL when it is malformed. `length` bytes of `type`. */
static cJSON *value_of(const char *type, size_t length, const struct field *f, unsigned depth)
{
    struct field inner;
    bool bytes = f->wire == WIRE_BYTES;
    if (length == 1 && (*type == 'i' || *type == 'b')) {
        if (f->wire != WIRE_VARINT)
            return NULL;
        return *type == 'b' ? cJSON_CreateBool(f->number_value != 0)
                            : json_new_integer((int64_t)f->number_value);
    }
    if (!bytes)
        return NULL;
    if (length > 1) {
        const char *fields = api_kind_find(type, length);
        cJSON *object = cJSON_CreateObject();
        if (fields && read_message(fields, f->bytes, object, depth + 1) == 0)
            return object;
        cJSON_Delete(object);
        return NULL;
    }
    switch (*type) {
    case 's':
        return string_node(f->bytes);
    case 'y': {
        cleanup_free char *text = kube_base64_encode(f->bytes.data, f->bytes.left);
        return cJSON_CreateString(text);
    }
    case 'q':
        return find_field(f->bytes, 1, &inner) ? string_node(inner.bytes) : cJSON_CreateString("0");
    case 'x':
        return int_or_string_node(f->bytes);
    case 't':
        return time_node(f->bytes);
    default:
        return raw_node(f->bytes);
    }
}

/* Go writes values that are not pointers even when they are zero, and leaves them out of JSON. */
static bool is_zero(const cJSON *value)
{
    int64_t number;
    if (cJSON_IsString(value))
        return !value->valuestring[0];
    if (json_is_integer(value, &number))
        return number == 0;
    return cJSON_IsFalse(value) || (cJSON_IsObject(value) && !value->child);
}

static int add_map_entry(cJSON *map, const struct api_kind_field *k, struct bytes entry,
                         unsigned depth)
{
    struct field key = {0}, value = {.wire = WIRE_BYTES, .bytes = {.data = entry.data, .left = 0}};
    (void)find_field(entry, 1, &key);
    (void)find_field(entry, 2, &value);
    cleanup_free char *name = key.bytes.data ? text_of(key.bytes) : mlt_strdup("");
    cJSON *node = name ? value_of(k->type + 2, k->type_length - 2, &value, depth) : NULL;
    if (!node)
        return -EINVAL;
    cJSON_DeleteItemFromObjectCaseSensitive(map, name);
    cJSON_AddItemToObject(map, name, node);
    return 0;
}

static int add_value(cJSON *object, const struct api_kind_field *k, const struct field *f,
                     unsigned depth)
{
    cleanup_free char *name = mlt_strndup(k->name, k->name_length);
    bool list = k->type_length > 2 && strncmp(k->type, "[]", 2) == 0;
    bool map = k->type_length > 2 && strncmp(k->type, "{}", 2) == 0;
    if (map)
        return f->wire == WIRE_BYTES
                   ? add_map_entry(json_set_object(object, name), k, f->bytes, depth)
                   : -EINVAL;
    cJSON *value = list ? value_of(k->type + 2, k->type_length - 2, f, depth)
                        : value_of(k->type, k->type_length, f, depth);
    if (!value && k->type_length == 1 && *k->type == 't')
        return 0; /* Go's zero time */
    if (!value)
        return -EINVAL;
    if (list) {
        json_append(json_set_array(object, name), value);
    } else if (!k->optional && is_zero(value)) {
        cJSON_Delete(value);
    } else {
        cJSON_DeleteItemFromObjectCaseSensitive(object, name);
        cJSON_AddItemToObject(object, name, value);
    }
    return 0;
}

static int read_message(const char *fields, struct bytes in, cJSON *object, unsigned depth)
{
    struct field f;
    if (depth > API_PROTOBUF_DEPTH_MAX)
        return -EINVAL;
    for (int rc = read_field(&in, &f); rc != 0; rc = read_field(&in, &f)) {
        struct api_kind_field k;
        const char *p = rc < 0 ? NULL : api_kind_next(fields, &k);
        if (rc < 0)
            return rc;
        while (p && k.number != f.number)
            p = api_kind_next(p, &k);
        if (!p)
            continue;
        if (k.inlined) {
            const char *more = api_kind_find(k.type, k.type_length);
            rc = more && f.wire == WIRE_BYTES ? read_message(more, f.bytes, object, depth + 1)
                                              : -EINVAL;
        } else {
            rc = add_value(object, &k, &f, depth);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

int api_protobuf_read(const char *data, size_t length, cJSON **ret_tree, struct mlt_error *err)
{
    struct field type = {0}, raw = {0}, version_field = {0}, kind_field = {0};
    if (length < 4 || memcmp(data, "k8s", 4) != 0)
        return mlt_fail(err, EINVAL,
                        "it does not begin with the four bytes of Kubernetes' protobuf");
    struct bytes unknown = {.data = (const unsigned char *)data + 4, .left = length - 4};
    if (!find_field(unknown, 1, &type) || !find_field(unknown, 2, &raw) ||
        type.wire != WIRE_BYTES || raw.wire != WIRE_BYTES ||
        !find_field(type.bytes, 1, &version_field) || !find_field(type.bytes, 2, &kind_field) ||
        version_field.wire != WIRE_BYTES || kind_field.wire != WIRE_BYTES)
        return mlt_fail(err, EINVAL, "its envelope is malformed");
    cleanup_free char *version = text_of(version_field.bytes), *kind = text_of(kind_field.bytes);
    if (!version || !kind)
        return mlt_fail(err, EINVAL, "its envelope is malformed");
    bool view = strcmp(version, "events.k8s.io/v1") == 0 && strcmp(kind, "Event") == 0;
    const char *fields =
        view ? api_kind_find("EventsEvent", 11) : api_kind_find(kind, strlen(kind));
    if (!fields)
        return mlt_fail(err, EINVAL, "kind %.64s of %.64s is not read from protobuf: send JSON",
                        kind, version);
    cleanup_json cJSON *tree = cJSON_CreateObject();
    json_set_string(tree, "apiVersion", version);
    json_set_string(tree, "kind", kind);
    if (read_message(fields, raw.bytes, tree, 0) < 0)
        return mlt_fail(err, EINVAL, "its %.64s is malformed", kind);
    *ret_tree = steal_ptr(&tree);
    return 0;
}
