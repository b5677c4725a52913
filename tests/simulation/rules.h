/* What docs/failures.md says, once more and by other means: from what the simulation really did,
 * what must a failure be called, what must it cost, and what must follow? And what jobs ask for so
 * that every row of those tables is seen: rules, exit codes, stall times, a fault in the data. */
#ifndef TESTS_SIMULATION_RULES_H
#define TESTS_SIMULATION_RULES_H

#include "tests/simulation/sim.h"

void rules_begin(struct sim *s, struct sim_job *job);
void rules_manifest(struct sim *s, const struct sim_job *job, cJSON *manifest);
bool rules_data_kill(struct sim *s, const struct sim_job *job, int64_t step);
/* A rank of the world ends or hangs, at the beginning of a step. */
bool rules_ends_by_itself(struct sim *s, const struct sim_world *w);
void rules_evidence(struct sim *s, const struct sim_launcher *l, uint32_t local,
                    struct rendezvous_evidence *evidence);

/* What has happened. */
void rules_rank_ended(struct sim *s, const struct sim_launcher *l, uint32_t local);
void rules_rank_hung(struct sim *s, const struct sim_launcher *l, uint32_t local);
/* It tells that processes of this attempt are left over. */
void rules_stuck(struct sim *s, const struct sim_launcher *l, uint64_t attempt);
void rules_spawned(struct sim *s, const struct sim_launcher *l);
void rules_job_changed(struct sim *s, const struct sim_job *job, const cJSON *before,
                       const cJSON *now);
/* Whether a job may have ended so that was to finish. */
bool rules_explain_end(struct sim *s, const struct sim_job *job, const char *reason);

#endif
