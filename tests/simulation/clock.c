/* Time, the queue, the generator and the history. See sim.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/base/alloc.h"
#include "tests/simulation/sim.h"

#define TOLD_LINES 60     /* of a history that went wrong */
#define AT_ONCE_MAX 20000 /* events in one millisecond */
#define FNV_PRIME UINT64_C(1099511628211)

/* ---- the queue ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->sequence < b->sequence;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
    struct sim_event c = *a;
    *a = *b;
    *b = c;
}

void sim_after(struct sim *s, int64_t delay_ms, sim_run_f *run, uint64_t id, void *data)
{
    MLT_GROW(s->queue, s->queue_count, s->queue_capacity);
    size_t at = s->queue_count++;
    s->queue[at] = (struct sim_event){.at_ms = s->now_ms + (delay_ms > 0 ? delay_ms : 0),
                                      .sequence = ++s->sequence,
                                      .run = run,
                                      .id = id,
                                      .data = data};
    while (at && is_before(&s->queue[at], &s->queue[(at - 1) / 2])) {
        swap(&s->queue[at], &s->queue[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static struct sim_event take_first(struct sim *s)
{
    struct sim_event first = s->queue[0];
    size_t at = 0, count = --s->queue_count;
    s->queue[0] = s->queue[count];
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (is_before(&s->queue[child], &s->queue[least]))
                least = child;
        if (least == at)
            return first;
        swap(&s->queue[at], &s->queue[least]);
        at = least;
    }
}

void sim_run(struct sim *s, int64_t until_ms, bool (*done)(struct sim *s))
{
    while (s->queue_count && s->queue[0].at_ms <= until_ms && !(done && done(s))) {
        struct sim_event e = take_first(s);
        s->at_once = e.at_ms > s->now_ms ? 0 : s->at_once + 1;
        if (s->at_once > AT_ONCE_MAX)
            sim_violated(s, "nobody works without end while no time passes", "%u events at once",
                         s->at_once);
        s->now_ms = e.at_ms;
        e.run(s, e.id, e.data);
        free(e.data);
        api_settle(s);
        oracle_step(s);
    }
    if (!(done && done(s)) && s->now_ms < until_ms)
        s->now_ms = until_ms;
}

int64_t sim_wall_ms(const struct sim *s)
{
    return SIM_WALL_START + s->now_ms;
}

/* ---- the generator ---- */

bool sim_chance(struct sim *s, unsigned per_mille)
{
    /* Rates of 0 take no number, so that a calm seed stays the same when a fault is added. */
    return per_mille && s->faults && mlt_random_below(&s->random, 1000) < per_mille;
}

int64_t sim_between(struct sim *s, int64_t min, int64_t max)
{
    return mlt_random_between(&s->random, min, max);
}

/* ---- the history ---- */

void sim_hash(struct sim *s, const void *data, size_t length)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < length; i++)
        s->hash = (s->hash ^ byte[i]) * FNV_PRIME;
}

void sim_say(struct sim *s, const char *who, const char *format, ...)
{
    char *line = s->history[s->history_count++ % SIM_HISTORY];
    va_list args;
    int n = snprintf(line, SIM_LINE_MAX, "%9.3f  %-12s ", (double)s->now_ms / 1000.0, who);
    va_start(args, format);
    (void)vsnprintf(line + n, SIM_LINE_MAX - (size_t)n, format, args);
    va_end(args);
    for (char *c = line; *c; c++)
        if (*c == '\n')
            *c = ' ';
    sim_hash(s, line, strlen(line));
    if (s->trace)
        (void)puts(line);
}

void sim_print_history(struct sim *s)
{
    size_t first = s->history_count > TOLD_LINES ? s->history_count - TOLD_LINES : 0;
    printf("seed %" PRIu64 ": the last lines of its history (seconds, who, what)\n", s->seed);
    for (size_t i = first; i < s->history_count && !s->trace; i++)
        (void)puts(s->history[i % SIM_HISTORY]);
}

void sim_violated(struct sim *s, const char *sentence, const char *format, ...)
{
    char words[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    sim_print_history(s);
    printf("seed %" PRIu64 " VIOLATED: %s\n  %s\n", s->seed, sentence, words);
    (void)fflush(stdout);
    _exit(1);
}
