/* Who of several controllers leads: the lease, and what its answers need. */
#ifndef CONTROLLER_LEADER_H
#define CONTROLLER_LEADER_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/base/text.h"
#include "lib/kube/lease.h"

#define LEADER_LEASE_NAME "mltrain-controller"
#define LEADER_ANSWER_MAX (1024 * 1024) /* bytes */

struct controller;

struct leader {
    struct kube_lease *lease;
    uint64_t request; /* under way, 0: none */
    int status;
    const char *verb; /* of the request, for the metrics */
    struct mlt_text body;
    bool leads; /* as of the last look */
    bool has_led;
    bool stopping;     /* asked to give up */
    char trouble[256]; /* last logged */
};

void leader_start(struct controller *c);
void leader_release(struct leader *l);

/* Sends what the lease wants, and notices when the lead begins or ends; returns when to call again.
 */
int64_t leader_pump(struct controller *c);

bool leader_status(struct controller *c, uint64_t id, int status);
bool leader_body(struct controller *c, uint64_t id, const char *data, size_t length);
bool leader_end(struct controller *c, uint64_t id, const char *error);

bool leader_leads(const struct leader *l);
/* Whether the lease, as we last saw it, is somebody else's. */
bool leader_is_another(const struct controller *c);
/* Ends the controller as one that has lost its lease: what it knows is not to be trusted. */
void leader_end_process(struct controller *c, const char *words);
uint64_t leader_transitions(const struct leader *l);

/* Gives the lease back; leader_pump() ends the controller when that is done. */
void leader_give_up(struct controller *c);

#endif
