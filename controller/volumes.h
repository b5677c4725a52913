/* Where the volumes of jobs are: what the PersistentVolumeClaims that their pods mount are bound
 * to, and which nodes can mount that. It is a constraint of the plan, and a job whose claim is not
 * there or not bound waits and says so.
 *
 * Claims, PersistentVolumes and StorageClasses are read one by one, by name: a cluster has tens of
 * thousands of them, and a job mounts a few. What is bound is read once, since it stays as it is;
 * what is not is read again after 1 s, 2 s, 4 s ..., and nothing is asked when no job that waits or
 * runs mounts a claim. All jobs share one record of a claim. A controller that may not read claims
 * plans without: then the scheduler's refusal undoes the gang, and it goes elsewhere. */
#ifndef CONTROLLER_VOLUMES_H
#define CONTROLLER_VOLUMES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#define VOLUMES_CLAIMS_MAX 64 /* looked at for one job; more of one pod stay with the scheduler */
#define VOLUMES_TERMS_MAX 64  /* of one PersistentVolume's node affinity; more: not looked at */
#define VOLUMES_NAME_MAX 253  /* bytes of an object's name */
#define VOLUMES_ASK_MS 1000   /* a claim that is not bound is read again after it, doubling, ... */
#define VOLUMES_ASK_MAX_MS (60 * 1000) /* ... while a job waits for it to be bound */
/* The same, of a claim that is bound with its first pod, or may not be read: nobody waits. */
#define VOLUMES_ASK_LATE_MAX_MS (10 * 60 * 1000)
#define VOLUMES_FRESH_MS 10000 /* what was read so long ago is as good as read now */

struct controller;
struct job;

/* Looks up the claims of a job that waits or runs, and forgets those of one that does not. Cheap
 * when nothing has changed. */
void volumes_refresh(struct job *job);
/* What is known of its claims is out of date: they are read anew. */
void volumes_forget(struct job *job);
/* Whether nothing is in the way of planning: every claim is known, and is bound or will be bound by
 * the scheduler. */
bool volumes_are_settled(const struct job *job);
/* Says in the status of a job that waits which claim it waits for. */
void volumes_note(struct job *job);
/* Tells the ledger what it has to know before it is told that the job waits or holds a place. */
void volumes_tell_ledger(const struct job *job);

/* Sends what is due; returns when to call again. */
int64_t volumes_pump(struct controller *c);

#endif
