/* A growing, NULL-terminated list of strings: options and command lines. */
#ifndef LOCALCLUSTER_AGENT_WORDS_H
#define LOCALCLUSTER_AGENT_WORDS_H

#include <stddef.h>

struct words {
    char **list; /* NULL-terminated once something was added; each owned */
    size_t count, capacity;
};

void words_add(struct words *w, const char *word);
void words_add_all(struct words *w, const char *const *list); /* NULL-terminated */
void words_release(struct words *w);

/* words_many(&w, "--bind", from, to) */
#define words_many(w, ...) words_add_all((w), (const char *const[]){__VA_ARGS__, NULL})

#endif
