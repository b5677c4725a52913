/* The launchers and the network of the property test's world. */
#ifndef TESTS_PROPERTY_RENDEZVOUS_LAUNCHER_H
#define TESTS_PROPERTY_RENDEZVOUS_LAUNCHER_H

#include "world.h"

/* Notes what must not be; the first one counts. */
void violation(struct world *w, const char *text);

void trace(const struct world *w, const char *format, ...) MLT_PRINTF(2, 3);

struct channel_model *channel_find(struct world *w, uint64_t id);
void channel_free(struct channel_model *ch);
void queue_add(struct world *w, struct frame_queue *q, const void *data, size_t length);
struct mlt_text *queue_first(struct frame_queue *q);
void queue_drop(struct frame_queue *q);

void launcher_new(struct world *w, uint32_t slot);
void launcher_connect(struct world *w, uint32_t slot);
void launcher_cut(struct world *w, uint32_t slot);
void launcher_die(struct world *w, uint32_t slot);
/* A rank ends, a stop ends, a preparation ends: whatever is next. */
void launcher_work(struct world *w, uint32_t slot);
void launcher_receive(struct world *w, struct channel_model *ch);
bool launcher_is_running(const struct pod *p);

#endif
