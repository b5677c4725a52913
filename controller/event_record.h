/* Kubernetes events about jobs: what a person sees in `kubectl describe`. Equal ones are counted up
 * instead of repeated, and each job has a budget, so that a job that fails in a loop cannot flood
 * the API server. None delays anything else: they wait here until apply_room() has room for them,
 * warnings first, and are counted up meanwhile. */
#ifndef CONTROLLER_EVENT_RECORD_H
#define CONTROLLER_EVENT_RECORD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "lib/base/error.h"

/* Remembered for counting up; an older one that has not been sent by then is dropped. */
#define EVENT_ENTRIES_MAX 4096
#define EVENT_AGGREGATE_MS (10 * 60 * 1000) /* equal events within this time are one */
#define EVENT_BURST 25                      /* of one job at once, as in client-go */
#define EVENT_RESERVE_WARNINGS 10           /* of the burst: not for normal events, */
#define EVENT_RESERVE_END 3                 /* nor these before the job has ended */
#define EVENT_REFILL_MS (30 * 1000)         /* one more event each */
#define EVENT_MESSAGE_MAX 1024              /* bytes, as the API server allows */

struct event_entry;
struct job;
struct controller;

TAILQ_HEAD(event_queue, event_entry);

struct event_recorder {
    struct event_entry *entries;  /* hash by job, reason and message, oldest first */
    struct event_queue unsent[2]; /* of these: warnings, others */
};

/* How many events a job may still have: see EVENT_BURST. */
struct event_budget {
    int64_t filled_ms;
    int left;
    bool is_open; /* it has had one */
};

void event_record(struct job *job, bool warning, const char *reason, const char *format, ...)
    MLT_PRINTF(4, 5);

/* Sends what there is room for. */
void event_pump(struct controller *c);

void event_recorder_init(struct event_recorder *recorder);
void event_recorder_release(struct event_recorder *recorder);

#endif
