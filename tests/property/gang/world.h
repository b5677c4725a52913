/* A random world for the gang library and an oracle that watches it: nodes come, shrink, fail and
 * come back, jobs come, finish and change, and after each event a plan is checked against sums that
 * the oracle keeps by itself. */
#ifndef TESTS_PROPERTY_GANG_WORLD_H
#define TESTS_PROPERTY_GANG_WORLD_H

#include "gang/gang.h"
#include "lib/base/random.h"

#define WORLD_NODES 12
#define WORLD_JOBS 9
#define WORLD_PODS 12
#define WORLD_ROLES 3
#define WORLD_DEVICES 2
#define WORLD_RESOURCES (GANG_DEVICE_0 + WORLD_DEVICES)

/* The library under test: the real one, or a mutant of it. */
struct world_library {
    struct gang *(*new)(const struct gang_config *config);
    void (*free)(struct gang *g);
    int (*event)(struct gang *g, const struct gang_event *event, int64_t now_ms,
                 struct mlt_error *err);
    int (*plan)(struct gang *g, int64_t now_ms, struct mlt_error *err);
    bool (*next)(struct gang *g, struct gang_decision *ret);
    void (*write)(const struct gang *g, const struct gang_why *why, gang_job_name_f *name,
                  void *arg, char *text);
    void (*node)(const struct gang *g, uint32_t node, struct gang_node_view *ret);
    uint64_t (*hash)(const struct gang *g);
    int (*check)(const struct gang *g, struct mlt_error *err);
};

extern const struct world_library world_real;
/* The same sources with a bug put in from outside (mutant.c). */
extern const struct world_library world_mutant;
enum world_mutation {
    WORLD_FITS_WITH_ONE_MISSING, /* a pod fits when one device is missing */
    WORLD_FORGETS_TO_TAKE,       /* a placed pod now and then takes nothing */
};
void world_mutate(enum world_mutation mutation);

struct world_result {
    uint64_t events, plans, competed; /* competed: more was asked for than was free */
    uint64_t placed, replaced, waits, nevers, overtakes;
    uint64_t digest;                  /* of all decisions and the final state */
    char failure[MLT_ERROR_TEXT_MAX]; /* "" when every property held */
};

struct world_options {
    uint64_t seed, events;
    uint32_t full_check_every;  /* events between gang_check()s */
    bool only_oversubscription; /* look away from everything else */
};

/* Runs until so many events were fed or a property fails. */
void world_run(const struct world_library *library, const struct world_options *options,
               struct world_result *ret);

#endif
