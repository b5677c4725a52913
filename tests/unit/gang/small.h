/* A small cluster in few words: nodes with so many GPUs and CPUs, jobs of so many equal pods. */
#ifndef TESTS_UNIT_GANG_SMALL_H
#define TESTS_UNIT_GANG_SMALL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "gang/gang.h"

#define GIB (INT64_C(1) << 30)

struct gang *small_new(void); /* two kinds of devices, queues 0 and 1 */

/* A node of class 0 with 64 CPUs, 256 GiB and 32 pods. */
struct gang_event small_node(uint32_t node, int64_t gpus);

/* Pods of class 0 that each want so many GPUs and nothing else. */
struct gang_job_request small_request(uint32_t pods, int64_t gpus, int32_t priority,
                                      int64_t sequence);

void small_feed(struct gang *g, struct gang_event event); /* must succeed; checks the state */
void small_feed_at(struct gang *g, struct gang_event event, int64_t now_ms); /* the same, then */
/* All pods of a job are placed on one node, and it runs from now on. */
void small_start(struct gang *g, uint64_t job, uint32_t node, int64_t now_ms);
void small_submit(struct gang *g, uint64_t job, struct gang_job_request request);
void small_placed(struct gang *g, uint64_t job, uint32_t nodes_count, ...);
void small_remove(struct gang *g, uint64_t job);
void small_plan(struct gang *g, int64_t now_ms); /* must succeed */

/* The next decision in short: "place 7: 0 0 1", "replace 7.2: 1", "wait 9 at 1", "wait 7.2", "never
 * 4", "" at the end. */
const char *small_next(struct gang *g);
const char *small_reason(void); /* of that decision */
int64_t small_free_gpus(struct gang *g, uint32_t node);

#endif
