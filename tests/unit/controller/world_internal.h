/* What the parts of the pretended cluster share. */
#ifndef TESTS_CONTROLLER_WORLD_INTERNAL_H
#define TESTS_CONTROLLER_WORLD_INTERNAL_H

#include "world.h"

#define WORLD_CHANNEL "127.0.0.1:7777"

/* Queues an event for the controller. */
struct world_event *world_push(struct world *w, enum controller_event_kind kind, uint64_t id);

struct world_object *world_find(struct world *w, const char *key);
cJSON *world_put_new(struct world *w, const char *key, cJSON *json);
void world_changed(struct world *w, const char *key);
void world_serve(struct world *w, const struct world_event *request);

void world_launcher_dies(struct world *w, struct world_launcher *l);
void world_kubelet_sees(struct world *w, const char *key);
void world_channel_send(struct world *w, const struct controller_effect *effect);
cJSON *world_job_object(struct world *w, const char *job);
bool world_is_on_lost_node(struct world *w, const cJSON *pod);
void world_renew_leases(struct world *w);
void world_check_slots(struct world *w, const cJSON *pod);

#endif
