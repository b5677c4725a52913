/* See request_window.h. PURE. */
#include "controller/request_window.h"

unsigned request_window_size(const struct request_window *w)
{
    return (unsigned)(w->milli / 1000);
}

static void set(struct request_window *w, int64_t milli)
{
    const int64_t min = REQUEST_WINDOW_MIN * 1000, max = REQUEST_WINDOW_MAX * 1000;
    w->milli = milli < min ? min : milli > max ? max : milli;
}

static void halve(struct request_window *w, int64_t now_ms)
{
    if (w->cut_ms != INT64_MIN && now_ms - w->cut_ms < REQUEST_WINDOW_CUT_MS)
        return;
    w->cut_ms = now_ms;
    set(w, w->milli / 2);
}

/* The fastest answer of the last minutes. */
static int64_t best(struct request_window *w, int64_t took_ms, int64_t now_ms)
{
    if (w->since_ms == INT64_MIN || now_ms - w->since_ms >= REQUEST_WINDOW_BEST_MS) {
        w->last_best_ms = w->best_ms;
        w->best_ms = -1;
        w->since_ms = now_ms;
    }
    if (w->best_ms < 0 || took_ms < w->best_ms)
        w->best_ms = took_ms;
    return w->last_best_ms >= 0 && w->last_best_ms < w->best_ms ? w->last_best_ms : w->best_ms;
}

void request_window_answered(struct request_window *w, int status, int64_t took_ms, int64_t now_ms)
{
    if (status == 0 || status == 429 || status == 503 || status == 504) {
        halve(w, now_ms);
        return;
    }
    int64_t slow_ms = best(w, took_ms, now_ms) * REQUEST_WINDOW_SLOW_TIMES + REQUEST_WINDOW_SLOW_MS;
    int64_t step = 1000 * 1000 / w->milli; /* one request more, or less, for a window of answers */
    bool is_overloaded = took_ms > REQUEST_WINDOW_OVERLOADED_MS;
    int64_t least =
        (is_overloaded ? REQUEST_WINDOW_OVERLOADED_MIN : REQUEST_WINDOW_SLOW_MIN) * INT64_C(1000);
    if (took_ms <= slow_ms / 2 || w->milli < least)
        set(w, w->milli + step);
    else if (took_ms > slow_ms && w->milli - step >= least)
        set(w, w->milli - step);
}
