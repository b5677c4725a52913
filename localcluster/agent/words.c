/* Lists of words for a command line. */
#include "localcluster/agent/words.h"

#include <stdlib.h>
#include "lib/base/alloc.h"

void words_add(struct words *w, const char *word)
{
    size_t needed = w->count + 1; /* and the NULL behind it */
    MLT_GROW(w->list, needed, w->capacity);
    w->list[w->count++] = mlt_strdup(word);
    w->list[w->count] = NULL;
}

void words_add_all(struct words *w, const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        words_add(w, list[i]);
}

void words_release(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->list[i]);
    free(w->list);
    *w = (struct words){0};
}
