/* TrainingQueues: taken in for the ledger, and their status, which the leader writes.
 *
 * A queue's status is written at most every QUEUE_WRITE_MS and only when it says something new.
 * Past use (usageHistory), of which time alone makes something new, is written for queues that
 * share by it, one in QUEUE_LOOK_MS: so the queues together make at most a request in 10 s while
 * nothing happens. A controller that begins to lead takes it up again. */
#ifndef CONTROLLER_QUEUES_H
#define CONTROLLER_QUEUES_H

#include <cjson/cJSON.h>
#include <stdint.h>

#define QUEUE_LOOK_MS 10000
#define QUEUE_WRITE_MS 60000

struct controller;
struct view;
struct view_source;

/* What the reflector tells. */
void queue_seen(struct view_source *s, const cJSON *object);
void queue_deleted(struct controller *c, const char *name);
void queues_listed(struct view_source *s); /* those that the list lacks are gone */
void queues_release(struct view *v);

/* Once, before the first plan: what the statuses say of past use. */
void queues_restore(struct controller *c);
/* Writes what is due; returns when to call again. */
int64_t queues_pump(struct controller *c);

#endif
