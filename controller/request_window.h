/* How many requests may be under way at once: as many as the API server takes without making them
 * wait. PURE.
 *
 * Additive increase, multiplicative decrease, as TCP's congestion avoidance (RFC 5681): a refusal
 * for want of capacity (429, 503, no answer) halves the window, at most once a second, since all
 * that was under way then tells of one and the same moment. And as TCP Vegas does (Brakmo,
 * Peterson: "TCP Vegas", 1995), answers that take much longer than the fastest of the last minutes
 * say that requests wait in the server's queues: then the window shrinks by itself, but only to
 * what it began with. Less would be no favour to the server: whoever is as slow because of others'
 * work takes that up instead, and who gives way to everybody never comes to an end. Only answers
 * that take longer than Kubernetes promises for one object's write say that the server itself
 * cannot go on like this. There is no fixed rate: a fast server is used as fast as it is, and a slow
 * one is not flooded. */
#ifndef CONTROLLER_REQUEST_WINDOW_H
#define CONTROLLER_REQUEST_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define REQUEST_WINDOW_FIRST 16 /* an API server on 2 cores writes no faster with more (866/s) */
#define REQUEST_WINDOW_MIN 1
#define REQUEST_WINDOW_MAX 64
#define REQUEST_WINDOW_CUT_MS 1000 /* between two halvings */
#define REQUEST_WINDOW_BEST_MS \
    120000 /* for so long the fastest answer counts, and up to twice as long */
/* An answer has waited when it took so many times the fastest, and so much more: a server's own
 * pauses are not queues. It has surely not when it took half of that. */
#define REQUEST_WINDOW_SLOW_TIMES 4
#define REQUEST_WINDOW_SLOW_MS 100
#define REQUEST_WINDOW_SLOW_MIN REQUEST_WINDOW_FIRST /* slow answers alone leave so many */
/* Kubernetes' own promise (sig-scalability, slos/api_call_latency.md: 99 % of mutating calls within
 * 1 s). Answers that are slow and take longer leave this much, which is 4 requests a second then. */
#define REQUEST_WINDOW_OVERLOADED_MS 1000
#define REQUEST_WINDOW_OVERLOADED_MIN 4

struct request_window {
    int64_t milli;   /* the window, in thousandths of a request */
    int64_t best_ms; /* of the time now, and of the one before; -1: none yet */
    int64_t last_best_ms;
    int64_t since_ms; /* the time now began then */
    int64_t cut_ms;   /* the last halving; INT64_MIN: never */
};

#define REQUEST_WINDOW_INIT                                                      \
    {                                                                            \
        .milli = REQUEST_WINDOW_FIRST * 1000, .best_ms = -1, .last_best_ms = -1, \
        .since_ms = INT64_MIN, .cut_ms = INT64_MIN                               \
    }

unsigned request_window_size(const struct request_window *w);

/* One request was answered: with this HTTP status (0: not at all), after so long. */
void request_window_answered(struct request_window *w, int status, int64_t took_ms, int64_t now_ms);

#endif
