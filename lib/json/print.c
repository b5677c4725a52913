/* Writes a tree as JSON text, compact or indented.
 *
 * Our own printer, because cJSON's writes 1732406400000000 as 1.7324064e+15. Strings that are not
 * UTF-8 (a line of a log, a file's name) get U+FFFD, so that what we send is always valid. */
#include "lib/json/internal.h"

#include <string.h>

static void print_string(struct mlt_text *out, const char *text)
{
    mlt_text_putc(out, '"');
    for (const char *p = text; *p;) {
        size_t plain = 0;
        while ((unsigned char)p[plain] >= 0x20 && p[plain] != '"' && p[plain] != '\\')
            plain++;
        json_utf8_clean(out, p, plain);
        p += plain;
        if (!*p)
            break;
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *found = strchr(from, *p);
        if (found)
            mlt_text_printf(out, "\\%c", to[found - from]);
        else
            mlt_text_printf(out, "\\u%04x", (unsigned char)*p);
        p++;
    }
    mlt_text_putc(out, '"');
}

/* `indent` below 0: compact. */
static void line_break(struct mlt_text *out, int indent)
{
    if (indent < 0)
        return;
    mlt_text_putc(out, '\n');
    for (int i = 0; i < indent; i++)
        mlt_text_puts(out, "  ");
}

static void print_node(struct mlt_text *out, const cJSON *node, int indent);

static void print_container(struct mlt_text *out, const cJSON *node, int indent)
{
    bool object = cJSON_IsObject(node);
    int inside = indent < 0 ? indent : indent + 1;
    mlt_text_putc(out, object ? '{' : '[');
    for (const cJSON *item = node->child; item; item = item->next) {
        line_break(out, inside);
        if (object) {
            print_string(out, item->string);
            mlt_text_puts(out, indent < 0 ? ":" : ": ");
        }
        print_node(out, item, inside);
        if (item->next)
            mlt_text_putc(out, ',');
    }
    if (node->child)
        line_break(out, indent);
    mlt_text_putc(out, object ? '}' : ']');
}

static void print_node(struct mlt_text *out, const cJSON *node, int indent)
{
    char number[JSON_NUMBER_TEXT_MAX];
    if (cJSON_IsObject(node) || cJSON_IsArray(node))
        print_container(out, node, indent);
    else if (cJSON_IsString(node))
        print_string(out, node->valuestring);
    else if (cJSON_IsNumber(node))
        mlt_text_puts(out, json_number_text(node, number));
    else if (cJSON_IsRaw(node))
        mlt_text_puts(out, node->valuestring);
    else if (cJSON_IsBool(node))
        mlt_text_puts(out, cJSON_IsTrue(node) ? "true" : "false");
    else
        mlt_text_puts(out, "null");
}

static char *print(const cJSON *node, int indent)
{
    struct mlt_text out = MLT_TEXT_INIT(JSON_PRINT_MAX);
    print_node(&out, node, indent);
    char *text = mlt_text_take(&out);
    if (!text)
        abort();
    return text;
}

char *json_print(const cJSON *node)
{
    return print(node, -1);
}

char *json_print_indented(const cJSON *node)
{
    return print(node, 0);
}
