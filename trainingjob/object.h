/* What the readers of TrainingJob and TrainingQueue share. Internal. */
#ifndef TRAININGJOB_OBJECT_H
#define TRAININGJOB_OBJECT_H

#include <stdint.h>
#include "lib/json/json.h"

/* The time at a path in ms since 1970, 0 when it is absent or malformed. */
int64_t trainingjob_time(const cJSON *object, const char *path);

/* The object without status and metadata.managedFields. */
cJSON *trainingjob_copy_object(const cJSON *object);

/* Whether kind and apiVersion are ours; both may be absent (items of a list). */
int trainingjob_check_kind(const cJSON *object, const char *kind, struct mlt_error *err);

/* metadata.name as a DNS label of at most `max` characters; absent is fine (generateName). */
int trainingjob_check_name(const cJSON *object, const char *kind, size_t max,
                           struct mlt_error *err);

/* A pod template: what we refuse in it. `where` is its path. */
struct trainingjob_condition;
/* Writes the words of a condition anew, each cut at its maximum; `message` NULL: "". */
void trainingjob_condition_write(struct trainingjob_condition *c, const char *type,
                                 const char *reason, const char *message);

int trainingjob_check_template(const cJSON *template_, const char *where, struct mlt_error *err);

#endif
