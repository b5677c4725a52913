/* Kubernetes objects in few words, for the tests of the ledger. */
#ifndef TESTS_UNIT_LEDGER_OBJECTS_H
#define TESTS_UNIT_LEDGER_OBJECTS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ledger/ledger.h"
#include "lib/json/json.h"

struct ledger *objects_ledger(void);
/* With the levels zone (label zone) and rack (label example.com/rack). */
struct ledger *objects_ledger_with_levels(void);

/* The same, and jobs may be asked to leave for others. */
struct ledger *objects_ledger_that_preempts(uint32_t reservations, int64_t min_run_ms);
/* The same, with patience_ms and time_slice_ms. */
struct ledger *objects_ledger_with_patience(uint32_t reservations, int64_t min_run_ms,
                                            int64_t patience_ms, int64_t time_slice_ms);
void objects_priority(struct ledger *l, const char *name, int value, const char *policy);

/* From YAML, freed by the caller. */
cJSON *objects_yaml(const char *format, ...) MLT_PRINTF(1, 2);

/* A ready node with 16 CPUs, 64Gi, 110 pods and so many nvidia.com/gpu. `more`: YAML of spec, or
 * NULL. */
void objects_node(struct ledger *l, const char *name, int gpus, const char *labels,
                  const char *spec);

/* A running pod of somebody. `labels` and `containers` are YAML in one line. */
void objects_pod(struct ledger *l, const char *name, const char *node, const char *phase,
                 const char *labels, const char *containers);
void objects_member(struct ledger *l, const char *job, int index, const char *node,
                    const char *phase, int gpus,
                    const char *suffix); /* a pod of ours, named job-index-suffix, also its UID */
void objects_pod_gone(struct ledger *l, const char *name);

/* A job `name` (also its UID) of namespace ns, of so many pods with so many GPUs; `sequence` is its
 * creation in seconds; `template_spec`: YAML in one line added to the pods' spec, or NULL. */
struct trainingjob objects_job(const char *name, int pods, int gpus, int sequence,
                               const char *template_spec);
void objects_waits(struct ledger *l, const char *name, int pods, int gpus, int sequence,
                   const char *template_spec);
void objects_holds(struct ledger *l, const char *name, int pods, int gpus, int sequence,
                   const char *nodes);

void objects_plan(struct ledger *l, int64_t now_ms);
/* "place a: n1 n2", "place a: n1 revocable", "replace a.1: n2", "preempt a for b", "wait a at 1",
 * "wait a.1", "never a", "" at the end. */
const char *objects_next(struct ledger *l);
const char *objects_reason(void);
enum gang_cause objects_cause(void); /* of the last PREEMPT */

#endif
