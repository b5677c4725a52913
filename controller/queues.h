/* TrainingQueues: taken in for the ledger. */
#ifndef CONTROLLER_QUEUES_H
#define CONTROLLER_QUEUES_H

#include <cjson/cJSON.h>

struct controller;
struct view;
struct view_source;

/* What the reflector tells. */
void queue_seen(struct view_source *s, const cJSON *object);
void queue_deleted(struct controller *c, const char *name);
void queues_listed(struct view_source *s); /* those that the list lacks are gone */
void queues_release(struct view *v);

#endif
