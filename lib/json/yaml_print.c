/* Writes a tree as block-style YAML, as kubectl does: libyaml's emitter (kubectl's is a port of
 * it), no indentation before the dashes of a list, double quotes around strings that would be read
 * back as another type, literals for strings of several lines. */
#include <string.h>
#include <yaml.h>

#include "lib/base/cleanup.h"
#include "lib/json/yaml.h"

static int write_text(void *data, unsigned char *bytes, size_t size)
{
    struct mlt_text *out = data;
    mlt_text_add(out, bytes, size);
    return !out->failed;
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event, int made)
{
    if (!made || !yaml_emitter_emit(emitter, event))
        abort(); /* only memory can be missing: the text is valid UTF-8 */
}

static yaml_char_t *bytes_of(const char *text)
{
    union {
        const char *in;
        yaml_char_t *out;
    } cast = {.in = text}; /* libyaml copies, and lacks the const */
    return cast.out;
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    int made = yaml_scalar_event_initialize(&event, NULL, NULL, bytes_of(text), (int)strlen(text),
                                            1, 1, style);
    emit(emitter, &event, made);
}

static size_t digits_and(const char *text, const char *others)
{
    size_t n = 0;
    while (text[n] && ((text[n] >= '0' && text[n] <= '9') || strchr(others, text[n])))
        n++;
    return n;
}

/* What YAML 1.1 takes for a number or a time and 1.2 does not: 1_000, 0b1, 12:30 (base 60),
 * 2026-11-24. Versions and addresses (1.2.3, 10.0.0.1:80) are not among them. */
static bool is_old_number(const char *text)
{
    const char *number = text + (text[0] == '-' || text[0] == '+');
    if (number[0] < '0' || number[0] > '9')
        return false;
    if (number[0] == '0' && (number[1] == 'b' || number[1] == 'x' || number[1] == 'o'))
        return number[2 + strspn(number + 2, "0123456789abcdefABCDEF_")] == '\0';
    size_t plain = digits_and(number, "_");
    if (plain == 4 && number[4] == '-')
        return digits_and(number, "-:.TtZz+ ") == strlen(number);
    if (number[plain] == ':')
        plain = digits_and(number, "_:");
    if (number[plain] == '.')
        plain += 1 + digits_and(number + plain + 1, "_");
    return number[plain] == '\0';
}

/* Words and forms that YAML 1.1 readers (kubectl among them) take for something else. */
static bool looks_typed(const char *text)
{
    static const char *const words[] = {"y",    "n",     "yes",  "no", "on", "off",
                                        "true", "false", "null", "~",  "<<"};
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(words); i++) {
        if (strcasecmp(text, words[i]) == 0)
            return true;
    }
    cJSON *node = NULL;
    enum yaml_kind kind = yaml_resolve(text, &node);
    cJSON_Delete(node);
    return kind != YAML_STRING || is_old_number(text);
}

static void emit_string(yaml_emitter_t *emitter, const char *text)
{
    cleanup_text struct mlt_text clean = MLT_TEXT_INIT(JSON_PRINT_MAX);
    json_utf8_clean(&clean, text, strlen(text));
    const char *good = mlt_text_string(&clean);
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (looks_typed(good))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (strchr(good, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;
    emit_scalar(emitter, good, style);
}

static void emit_node(yaml_emitter_t *emitter, const cJSON *node);

static void emit_container(yaml_emitter_t *emitter, const cJSON *node)
{
    yaml_event_t event;
    bool object = cJSON_IsObject(node);
    int made = object ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                            YAML_BLOCK_MAPPING_STYLE)
                      : yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                             YAML_BLOCK_SEQUENCE_STYLE);
    emit(emitter, &event, made);
    for (const cJSON *item = node->child; item; item = item->next) {
        if (object)
            emit_string(emitter, item->string);
        emit_node(emitter, item);
    }
    made = object ? yaml_mapping_end_event_initialize(&event)
                  : yaml_sequence_end_event_initialize(&event);
    emit(emitter, &event, made);
}

static void emit_node(yaml_emitter_t *emitter, const cJSON *node)
{
    if (cJSON_IsObject(node) || cJSON_IsArray(node)) {
        emit_container(emitter, node);
    } else if (cJSON_IsString(node)) {
        emit_string(emitter, node->valuestring);
    } else {
        cleanup_free char *text = json_print(node);
        emit_scalar(emitter, text, YAML_PLAIN_SCALAR_STYLE);
    }
}

char *json_print_yaml(const cJSON *node)
{
    struct mlt_text out = MLT_TEXT_INIT(JSON_PRINT_MAX);
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&emitter))
        abort();
    yaml_emitter_set_output(&emitter, write_text, &out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    emit(&emitter, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(&emitter, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    emit_node(&emitter, node);
    emit(&emitter, &event, yaml_document_end_event_initialize(&event, 1));
    emit(&emitter, &event, yaml_stream_end_event_initialize(&event));
    yaml_emitter_delete(&emitter);
    char *text = mlt_text_take(&out);
    if (!text)
        abort();
    return text;
}
