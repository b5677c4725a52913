/* Histories as text: a line per event, `submit job=1 queue=2 ...`. */
#include "tests/property/gang/properties.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *fields;
} kinds[] = {
#define XX(name, text, fields) {text, fields},
    OP_MAP(XX)
#undef XX
};

void history_add(struct history *h, const struct op *op)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity ? 2 * h->capacity : 256;
        h->ops = realloc(h->ops, h->capacity * sizeof *h->ops);
        if (!h->ops)
            abort();
    }
    h->ops[h->count++] = *op;
}

void history_free(struct history *h)
{
    free(h->ops);
    *h = (struct history){0};
}

void history_write(const struct history *h, FILE *out)
{
    for (size_t i = 0; i < h->count; i++) {
        const struct op *op = &h->ops[i];
        fputs(kinds[op->kind].name, out);
        const char *field = kinds[op->kind].fields;
        for (uint32_t f = 0; *field; f++) {
            int length = (int)strcspn(field, " ");
            if (op->f[f])
                fprintf(out, " %.*s=%" PRId64, length, field, op->f[f]);
            field += length;
            field += strspn(field, " ");
        }
        fputc('\n', out);
    }
}

static bool set_field(struct op *op, const char *word)
{
    size_t length = strcspn(word, "=");
    const char *field = kinds[op->kind].fields;
    for (uint32_t f = 0; *field && word[length] == '='; f++) {
        size_t there = strcspn(field, " ");
        if (there == length && memcmp(field, word, length) == 0) {
            op->f[f] = strtoll(word + length + 1, NULL, 10);
            return true;
        }
        field += there;
        field += strspn(field, " ");
    }
    return false;
}

static bool read_line(struct history *h, char *line)
{
    char *rest = NULL;
    char *word = strtok_r(line, " \n", &rest);
    if (!word || word[0] == '#')
        return true;
    struct op op = {.kind = 0};
    while (op.kind < OP_KINDS && strcmp(kinds[op.kind].name, word) != 0)
        op.kind++;
    if (op.kind == OP_KINDS) {
        fprintf(stderr, "`%s` is no event\n", word);
        return false;
    }
    while ((word = strtok_r(NULL, " \n", &rest)))
        if (!set_field(&op, word)) {
            fprintf(stderr, "`%s`: `%s` is no number of it\n", kinds[op.kind].name, word);
            return false;
        }
    history_add(h, &op);
    return true;
}

bool history_read(struct history *h, FILE *in)
{
    char line[2048];
    while (fgets(line, sizeof line, in))
        if (!read_line(h, line))
            return false;
    return true;
}
