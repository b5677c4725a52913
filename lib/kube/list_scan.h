/* Cuts the answer to a list request into its items while it arrives, so that a list of hundreds of
 * megabytes needs memory for one item only. Pure. Private to lib/kube. */
#ifndef KUBE_LIST_SCAN_H
#define KUBE_LIST_SCAN_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include "lib/base/error.h"
#include "lib/base/text.h"

/* What the scanner is inside of: the outermost object, its member `items`, or something that is
 * only skipped or, for `metadata`, kept as a whole. */
enum list_place {
    LIST_START,  /* before the outermost { */
    LIST_OBJECT, /* between the members of the outermost object */
    LIST_KEY,    /* in a member's name */
    LIST_COLON,  /* between a member's name and its value */
    LIST_VALUE,  /* in the value of a member that is not items */
    LIST_ITEMS,  /* between the items */
    LIST_ITEM,   /* in one of the items */
    LIST_END,    /* after the outermost } */
};

struct list_scan {
    enum list_place place;
    size_t depth; /* of objects and arrays inside the value or item */
    bool in_string, escaped;
    struct mlt_text text; /* the name, value or item so far */
    char key[32];         /* the member at hand, cut */
    char *version;        /* metadata.resourceVersion */
    char *next;           /* metadata.continue: the next page is to be asked for with it */
    void (*item)(void *arg, const cJSON *object);
    void *arg;
};

void list_scan_init(struct list_scan *s, size_t item_max,
                    void (*item)(void *arg, const cJSON *object), void *arg);
void list_scan_release(struct list_scan *s);

/* -EINVAL for text that is not a list, -E2BIG for an item that is too long. Not to be called again
 * then. */
int list_scan_feed(struct list_scan *s, const char *data, size_t length,
                   struct mlt_error *err) MLT_MUST_USE;

/* Whether the list is complete: -EINVAL when it was cut or names no version. */
int list_scan_finish(const struct list_scan *s, struct mlt_error *err) MLT_MUST_USE;

#endif
