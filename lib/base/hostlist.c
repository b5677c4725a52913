/* Host lists: see hostlist.h. */
#include "lib/base/hostlist.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 9

/* A name cut into prefix and trailing number of a fixed width (width 0: no number). */
struct piece {
    size_t prefix_length;
    int width;
    long number;
};

static struct piece cut(const char *name)
{
    size_t length = strlen(name), digits = 0;
    while (digits < length && digits < DIGITS_MAX && isdigit((unsigned char)name[length - 1 - digits]))
        digits++;
    struct piece p = {.prefix_length = length - digits, .width = (int)digits};
    p.number = digits ? strtol(name + p.prefix_length, NULL, 10) : 0;
    return p;
}

static bool same_family(const char *a, struct piece pa, const char *b, struct piece pb)
{
    return pa.width && pa.width == pb.width && pa.prefix_length == pb.prefix_length &&
           memcmp(a, b, pa.prefix_length) == 0;
}

/* Writes ranges of names[first..end) that share prefix and width, within brackets. */
static void write_family(const char *const *names, size_t first, size_t end, struct mlt_text *out)
{
    struct piece head = cut(names[first]);
    mlt_text_add(out, names[first], head.prefix_length);
    mlt_text_putc(out, '[');
    for (size_t i = first; i < end;) {
        long start = cut(names[i]).number, last = start;
        size_t next = i + 1;
        while (next < end && cut(names[next]).number == last + 1) {
            last++;
            next++;
        }
        mlt_text_printf(out, "%s%0*ld", i == first ? "" : ",", head.width, start);
        if (last > start)
            mlt_text_printf(out, "-%0*ld", head.width, last);
        i = next;
    }
    mlt_text_putc(out, ']');
}

void mlt_hostlist_compress(const char *const *names, size_t count, struct mlt_text *out)
{
    for (size_t i = 0; i < count;) {
        struct piece head = cut(names[i]);
        size_t end = i + 1;
        while (end < count && same_family(names[i], head, names[end], cut(names[end])))
            end++;
        if (i)
            mlt_text_putc(out, ',');
        if (end - i > 1)
            write_family(names, i, end, out);
        else
            mlt_text_puts(out, names[i]);
        i = end;
    }
}

struct names {
    char **items;
    size_t count, capacity, max;
};

static int add_name(struct names *names, const char *prefix, size_t prefix_length, const char *rest,
                    struct mlt_error *err)
{
    if (names->count >= names->max)
        return mlt_fail(err, E2BIG, "more than %zu names", names->max);
    if (names->count + 1 >= names->capacity) {
        size_t capacity = names->capacity ? names->capacity * 2 : 16;
        char **items = realloc(names->items, capacity * sizeof *items);
        if (!items)
            return mlt_fail(err, ENOMEM, "out of memory");
        names->items = items;
        names->capacity = capacity;
    }
    char *name = NULL;
    if (asprintf(&name, "%.*s%s", (int)prefix_length, prefix, rest) < 0)
        return mlt_fail(err, ENOMEM, "out of memory");
    names->items[names->count++] = name;
    names->items[names->count] = NULL;
    return 0;
}

/* Reads digits; returns their count, 0 when there are none or too many. */
static int read_number(const char **p, long *ret_number)
{
    int width = 0;
    long number = 0;
    for (; isdigit((unsigned char)**p) && width < DIGITS_MAX; (*p)++, width++)
        number = number * 10 + (**p - '0');
    *ret_number = number;
    return isdigit((unsigned char)**p) ? 0 : width;
}

static int expand_brackets(struct names *names, const char *prefix, size_t prefix_length, const char **p,
                           struct mlt_error *err)
{
    do {
        (*p)++; /* '[' or ',' */
        long first, last;
        int width = read_number(p, &first);
        last = first;
        if (width && **p == '-') {
            (*p)++;
            if (read_number(p, &last) != width || last < first)
                width = 0;
        }
        if (!width || (**p != ',' && **p != ']'))
            return mlt_fail(err, EINVAL, "bad range in host list near `%.32s`", *p);
        for (long n = first; n <= last; n++) {
            char digits[16];
            (void)snprintf(digits, sizeof digits, "%0*ld", width, n);
            int rc = add_name(names, prefix, prefix_length, digits, err);
            if (rc < 0)
                return rc;
        }
    } while (**p == ',');
    (*p)++; /* ']' */
    return 0;
}

static int expand(const char *text, struct names *names, struct mlt_error *err)
{
    const char *p = text;
    while (*p) {
        const char *start = p;
        while (*p && *p != '[' && *p != ',' && *p != ']')
            p++;
        size_t length = (size_t)(p - start);
        int rc;
        if (*p == '[')
            rc = expand_brackets(names, start, length, &p, err);
        else if (length == 0)
            rc = mlt_fail(err, EINVAL, "empty name in host list near `%.32s`", start);
        else
            rc = add_name(names, start, length, "", err);
        if (rc < 0)
            return rc;
        if (*p == ',' && p[1])
            p++;
        else if (*p)
            return mlt_fail(err, EINVAL, "unexpected `%.32s` in host list", p);
    }
    return 0;
}

int mlt_hostlist_expand(const char *text, size_t max, char ***ret_names, size_t *ret_count, struct mlt_error *err)
{
    struct names names = {.max = max};
    names.items = calloc(1, sizeof *names.items);
    names.capacity = names.items ? 1 : 0;
    int rc = names.items ? expand(text, &names, err) : mlt_fail(err, ENOMEM, "out of memory");
    if (rc < 0) {
        mlt_hostlist_free(names.items);
        return rc;
    }
    *ret_names = names.items;
    *ret_count = names.count;
    return 0;
}

void mlt_hostlist_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}
