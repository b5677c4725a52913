/* Where the channel's Service leads. In a cluster launchers know the address of a Service without
 * a selector; the leader writes its EndpointSlice, so that whoever leads is reached and a standby
 * never is, ready or not. Pure: requests out, answers in. */
#ifndef CONTROLLER_CHANNEL_SERVICE_H
#define CONTROLLER_CHANNEL_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#define CHANNEL_SERVICE_PORT_NAME "channel" /* of the Service's port */
#define CHANNEL_SERVICE_CHECK_MS \
    (60 * 1000)                       /* somebody may have changed or deleted it: looked at again */
#define CHANNEL_SERVICE_AGAIN_MS 5000 /* after a refusal */

struct controller;

struct channel_service {
    bool asking;     /* a request is under way */
    bool is_written; /* it led here when it was last looked at */
    bool refused;    /* the last request, which has been logged */
    int64_t next_ms; /* when to look again (monotonic) */
};

/* Asks what is to be asked now, while we lead; returns when to call again (INT64_MAX: never). */
int64_t channel_service_pump(struct controller *c);

/* Whether launchers reach us, as far as that is ours to do. */
bool channel_service_ok(const struct controller *c);

#endif
