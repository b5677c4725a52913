/* JSON as checkpoints hold it: see content.h. */
#include "launcher/trackers/content.h"

#include <ctype.h>
#include <string.h>

struct walk {
    const char *text;
    size_t length, at;
    bool (*each)(void *user, const struct content_json_value *value);
    void *user;
    unsigned depth;
    bool is_object[CONTENT_JSON_DEPTH_MAX + 1];
    size_t index[CONTENT_JSON_DEPTH_MAX + 1];
    struct content_json_value value; /* with the keys on the way to it */
};

bool content_json_is(const char *text, size_t length, const char *word)
{
    return text && length == strlen(word) && memcmp(text, word, length) == 0;
}

bool content_json_integer(const struct content_json_value *value, int64_t *ret)
{
    int64_t number = 0;
    if (value->kind != CONTENT_NUMBER || value->length == 0)
        return false;
    for (size_t i = 0; i < value->length; i++) {
        if (!isdigit((unsigned char)value->text[i]) || number > (INT64_MAX - 9) / 10)
            return false;
        number = number * 10 + (value->text[i] - '0');
    }
    *ret = number;
    return true;
}

static void skip_space(struct walk *w)
{
    while (w->at < w->length && memchr(" \t\r\n", w->text[w->at], 4))
        w->at++;
}

static bool take(struct walk *w, char c)
{
    skip_space(w);
    if (w->at >= w->length || w->text[w->at] != c)
        return false;
    w->at++;
    return true;
}

/* Behind the opening quote; the place of the text between the quotes. */
static bool take_string(struct walk *w, const char **ret_text, size_t *ret_length)
{
    size_t start = w->at;
    for (; w->at < w->length; w->at++) {
        unsigned char c = (unsigned char)w->text[w->at];
        if (c == '"') {
            *ret_text = w->text + start;
            *ret_length = w->at++ - start;
            return true;
        }
        if (c < ' ')
            return false;
        if (c == '\\' && ++w->at >= w->length)
            return false;
    }
    return false;
}

/* A number or a word. */
static bool take_scalar(struct walk *w)
{
    static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
    const char *start = w->text + w->at;
    while (w->at < w->length &&
           (isalnum((unsigned char)w->text[w->at]) || memchr("+-.", w->text[w->at], 3)))
        w->at++;
    w->value.text = start;
    w->value.length = (size_t)(w->text + w->at - start);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (content_json_is(start, w->value.length, words[i])) {
            w->value.kind = CONTENT_OTHER;
            return true;
        }
    w->value.kind = CONTENT_NUMBER;
    for (size_t i = 0; i < w->value.length; i++)
        if (!isdigit((unsigned char)start[i]) && !memchr("+-.eE", start[i], 5))
            return false;
    return w->value.length > 0 && isdigit((unsigned char)start[w->value.length - 1]);
}

static bool take_key(struct walk *w)
{
    const char *text;
    size_t length;
    if (!take(w, '"') || !take_string(w, &text, &length) || !take(w, ':'))
        return false;
    if (w->depth <= CONTENT_JSON_KEYS) {
        w->value.keys[w->depth - 1].text = text;
        w->value.keys[w->depth - 1].length = length;
    }
    for (unsigned i = w->depth; i < CONTENT_JSON_KEYS; i++) {
        w->value.keys[i].text = NULL; /* of the member before */
        w->value.keys[i].length = 0;
    }
    return true;
}

static bool give(struct walk *w)
{
    w->value.depth = w->depth;
    w->value.index = w->depth ? w->index[w->depth] : 0;
    return w->each(w->user, &w->value);
}

/* Opens an object or array. */
static void enter(struct walk *w, bool is_object)
{
    w->depth++;
    w->is_object[w->depth] = is_object;
    w->index[w->depth] = 0;
    for (unsigned i = w->depth - 1; i < CONTENT_JSON_KEYS; i++) {
        w->value.keys[i].text = NULL;
        w->value.keys[i].length = 0;
    }
}

/* What follows a value: the ends of what it closes, then a comma and the next member's key. False
 * when the text is broken; *ret_done when it has ended. */
static bool go_on(struct walk *w, bool *ret_done)
{
    while (w->depth) {
        bool is_object = w->is_object[w->depth];
        if (take(w, ',')) {
            w->index[w->depth]++;
            return !is_object || take_key(w);
        }
        if (!take(w, is_object ? '}' : ']'))
            return false;
        w->depth--;
    }
    skip_space(w);
    *ret_done = true;
    return w->at == w->length;
}

/* One value, or the opening of one. *ret_opened: its first member follows. */
static bool step(struct walk *w, bool *ret_opened)
{
    *ret_opened = false;
    if (take(w, '{') || take(w, '[')) {
        bool is_object = w->text[w->at - 1] == '{';
        if (w->depth == CONTENT_JSON_DEPTH_MAX)
            return false;
        if (take(w, is_object ? '}' : ']'))
            return true;
        *ret_opened = true;
        enter(w, is_object);
        return !is_object || take_key(w);
    }
    if (take(w, '"')) {
        w->value.kind = CONTENT_STRING;
        return take_string(w, &w->value.text, &w->value.length) && give(w);
    }
    return take_scalar(w) && give(w);
}

bool content_json_walk(const char *text, size_t length,
                       bool (*each)(void *user, const struct content_json_value *value), void *user)
{
    struct walk w = {.text = text, .length = length, .each = each, .user = user};
    for (bool done = false; !done;) {
        bool opened;
        if (!step(&w, &opened) || (!opened && !go_on(&w, &done)))
            return false;
    }
    return true;
}

/* ---- safetensors ---- */

static bool add_tensor(void *user, const struct content_json_value *value)
{
    uint64_t *end = user;
    int64_t offset;
    if (value->depth != 3 || value->index != 1 ||
        !content_json_is(value->keys[1].text, value->keys[1].length, "data_offsets"))
        return true;
    if (!content_json_integer(value, &offset))
        return false;
    if ((uint64_t)offset > *end)
        *end = (uint64_t)offset;
    return true;
}

bool content_safetensors_size(const char *text, size_t length, uint64_t *ret_size)
{
    uint64_t end = 0;
    if (!content_json_walk(text, length, add_tensor, &end))
        return false;
    *ret_size = 8 + length + end;
    return true;
}
