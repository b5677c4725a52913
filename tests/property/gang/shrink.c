/* From a history that fails to a short one: first events are left out, in halves, quarters and so
 * on (delta debugging: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
 * 2002), then numbers are made small. Every try runs in a process of its own: some die, or do not
 * end. A shorter history counts if it fails with a sentence of the same form: the numbers in it may
 * be others. */
#include "tests/property/gang/properties.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY_S 10 /* longer is a hang */

static uint64_t play_once(const struct library *lib, const struct history *h, struct world *w)
{
    world_begin(w, lib);
    for (size_t i = 0; i < h->count && !failed(w); i++)
        world_apply(w, &h->ops[i]);
    world_end(w);
    return w->result.digest;
}

static void play_in_child(const struct library *lib, const struct history *h, int out)
{
    static struct world w;
    (void)alarm(TRY_S);
    if (!freopen("/dev/null", "w", stderr))
        _exit(2);
    uint64_t digest = play_once(lib, h, &w);
    if (!failed(&w) && play_once(lib, h, &w) != digest)
        fail(&w, "%s", PLAYED_TWICE);
    size_t length = strlen(w.result.failure);
    _exit(write(out, w.result.failure, length) == (ssize_t)length ? 0 : 2);
}

void play_apart(const struct library *lib, const struct history *h, char *failure, size_t size)
{
    int ends[2];
    if (pipe(ends) < 0)
        abort();
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        play_in_child(lib, h, ends[1]);
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], failure + length, size - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    failure[length] = '\0';
    if (WIFSIGNALED(status))
        (void)snprintf(failure, size, "died of signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        (void)snprintf(failure, size, "died with exit status %d", WEXITSTATUS(status));
}

/* Equal but for numbers. */
static bool same_form(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

struct shrinking {
    const struct library *lib;
    char wanted[1024];
    uint32_t tries;
};

static bool still_fails(struct shrinking *s, const struct history *h)
{
    char failure[1024];
    if (s->tries == 0)
        return false;
    s->tries--;
    play_apart(s->lib, h, failure, sizeof failure);
    return same_form(failure, s->wanted);
}

/* Leaves out parts of `size` events wherever that is possible; whether any was. */
static bool leave_out(struct shrinking *s, struct history *h, size_t size)
{
    bool any = false;
    for (size_t end = h->count; end > 0;) {
        size_t begin = end > size ? end - size : 0;
        struct history shorter = {0};
        for (size_t i = 0; i < h->count; i++)
            if (i < begin || i >= end)
                history_add(&shorter, &h->ops[i]);
        if (still_fails(s, &shorter)) {
            struct history longer = *h;
            *h = shorter;
            shorter = longer;
            any = true;
        }
        history_free(&shorter);
        end = begin;
    }
    return any;
}

static bool try_number(struct shrinking *s, struct history *h, int64_t *number, int64_t value)
{
    int64_t before = *number;
    if (before == value)
        return false;
    *number = value;
    if (still_fails(s, h))
        return true;
    *number = before;
    return false;
}

static bool make_small(struct shrinking *s, struct history *h)
{
    bool any = false;
    for (size_t i = 0; i < h->count; i++)
        for (uint32_t f = 0; f < FIELDS; f++) {
            int64_t *number = &h->ops[i].f[f];
            if (*number == 0)
                continue;
            if (try_number(s, h, number, 0)) {
                any = true;
                continue;
            }
            if (*number > 1 && try_number(s, h, number, 1)) {
                any = true;
                continue;
            }
            while (*number > 3 && try_number(s, h, number, *number / 2))
                any = true;
            if (*number > 1000 && try_number(s, h, number, *number / 1000 * 1000))
                any = true;
            if (*number > 2 && *number < 10 && try_number(s, h, number, *number - 1))
                any = true;
        }
    return any;
}

void shrink(const struct library *lib, struct history *h, uint32_t tries)
{
    struct shrinking s = {.lib = lib, .tries = tries};
    play_apart(lib, h, s.wanted, sizeof s.wanted);
    if (!s.wanted[0])
        return;
    bool again = true;
    for (uint32_t round = 0; round < 6 && again && s.tries; round++) {
        again = false;
        for (size_t size = h->count / 2; size > 0 && s.tries; size /= 2)
            again = leave_out(&s, h, size) || again;
        again = make_small(&s, h) || again;
    }
}
