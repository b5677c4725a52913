/* What the API server has lately made of a pod that it was asked about by a dry run, for all jobs
 * whose pods are the same: thousands of jobs of one kind cost one dry run, not thousands. PURE.
 *
 * An entry's key is the whole text of the pod with the same name in it for every job, so nothing
 * but the job's own name and UID is taken for equal. It is used for a moment only: quotas, limit
 * ranges and webhooks change without a word to us. What has become wrong meanwhile is found when the
 * pods are created, as it always could be; who waits because of it asks again (probe.c). Bounded in
 * number and bytes. */
#ifndef CONTROLLER_PROBE_SHARE_H
#define CONTROLLER_PROBE_SHARE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_SHARE_MS 5000              /* an answer holds for so long */
#define PROBE_SHARE_MAX 64               /* pods */
#define PROBE_SHARE_BYTES_MAX (1u << 18) /* of their texts, together */

struct probe_share_entry;

struct probe_share {
    struct probe_share_entry *entries; /* hash by text, oldest first */
    size_t bytes;
    uint32_t last_id;
};

enum probe_share_state {
    PROBE_SHARE_UNKNOWN,
    PROBE_SHARE_ASKED, /* somebody has asked, and the answer is not there yet */
    PROBE_SHARE_KNOWN,
};

/* What is known of this pod at this time; *ret_id is the entry's unless UNKNOWN, *ret_pod what
 * probe_share_told() was given when KNOWN: valid until the next call that changes something. */
enum probe_share_state probe_share_find(struct probe_share *s, const char *text, int64_t now_ms,
                                        uint32_t *ret_id, const cJSON **ret_pod);

/* Notes that this pod is being asked about, and returns the entry's id; 0 when the text is too long
 * or so many are being asked about that it cannot be kept. It must not be there already. */
uint32_t probe_share_ask(struct probe_share *s, const char *text, const char *namespace_);

/* Somebody waits for the answer to this entry. */
void probe_share_wait(struct probe_share *s, uint32_t id);

/* The answer: `pod` is copied. Returns whether somebody waits for it; nobody does from then on. */
bool probe_share_told(struct probe_share *s, uint32_t id, const cJSON *pod, int64_t now_ms);

/* There is no answer that could be shared, or none at all. Returns as above; an id that is unknown
 * does nothing. */
bool probe_share_drop(struct probe_share *s, uint32_t id);

/* A pod was refused there: what is known of the namespace is not believed any more. */
void probe_share_distrust(struct probe_share *s, const char *namespace_);

void probe_share_release(struct probe_share *s);

#endif
