/* Reserved starts of blocked jobs: reserve.c. */
#ifndef GANG_RESERVE_H
#define GANG_RESERVE_H

#include "gang/internal.h"

int64_t gang_leaves_by(const struct gang_job *job, int64_t asked_ms);
/* Let in on condition and without a limit: it may be asked to leave at any time. One with a limit
 * was let in because it ends before a reserved start, and is asked if it would not. */
bool gang_is_on_call(const struct gang_job *job);
/* Let in because it ends by then, and so it does. */
bool gang_ends_in_time(const struct gang_job *job, int64_t start_ms);
/* A placement that the plan has just made stands in the claim of an active reservation that this
 * end leaves alone. */
bool gang_reserve_counts_on_end(const struct gang *g, int64_t end_ms);
/* When it will probably leave, seen from now. */
int64_t gang_end_of(const struct gang_job *job, int64_t now_ms);
/* Finds the earliest start of this blocked job, heeding the active reservations, and has it
 * reserved unless it has an earlier one that stands. *ret: NULL when no start is known. */
int gang_reserve_start(struct gang *g, struct gang_job *job, int64_t now_ms,
                       struct gang_reservation **ret) MLT_MUST_USE;
bool gang_reservation_stands(const struct gang *g, struct gang_reservation *r, int64_t now_ms);
bool gang_reservation_holds(const struct gang *g, const struct gang_reservation *r);
/* Whether it needs this placed job to leave by its start. If not, it relies on it no more. Nothing
 * of it is withheld now. */
bool gang_reservation_needs(struct gang *g, struct gang_reservation *r, struct gang_job *job);
struct gang_reservation *gang_reservation_of(struct gang *g, const struct gang_job *job);
void gang_reservation_withhold(struct gang *g, struct gang_reservation *r, bool withhold);
void gang_reservation_drop(struct gang *g, struct gang_reservation *r);
void gang_reserve_job_left(struct gang *g, struct gang_job *job, int64_t now_ms);
void gang_reserve_job_came(struct gang *g, struct gang_job *job, int64_t now_ms);
/* While it is off the board, what it would have left later is to be kept free now. */
void gang_reserve_what_if_left(struct gang *g, const struct gang_job *job, bool left);
void gang_reserve_pod_moved(struct gang *g, const struct gang_job *job);
void gang_reserve_holder_changed(struct gang *g, const struct gang_job *job); /* what it may use */
void gang_reserve_node_changed(struct gang *g, uint32_t node);

/* This job, which fits now while victims are off the board, holds what it would be placed on until
 * the next plan. */
int gang_reserve_after(struct gang *g, struct gang_job *job, int64_t now_ms) MLT_MUST_USE;

#endif
