/* Follows one job to its end: its object, its pods, and every line of their logs, whatever restarts
 * on the way. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/cli.h"
#include "cli/log_line.h"

#define FOLLOW_TROUBLE_MS 3000  /* without an answer before it is told */
#define FOLLOW_GIVE_UP_MS 6000  /* without an answer and without a supervisor before it is over */
#define FOLLOW_SILENCE_MS 20000 /* of logs that do not end although the job has: given up then */

struct follow;

struct follow_ops {
    void (*line)(void *arg, const char *pod, const struct log_line *line);
    void (*job)(void *arg, const cJSON *job); /* it changed; NULL: it was deleted */
    void (*done)(void *arg); /* once: the job is finished (or gone) and its logs are complete */
    /* The API server has not answered for a while; told once until it answers again. `is_over`: it
     * is a one-machine cluster that is not up any more; `done` follows. */
    void (*trouble)(void *arg, const char *words, bool is_over);
};

/* `uid`: of the job to follow; another job of the same name counts as deleted. `with_logs`: false
 * follows the object only. */
struct follow *follow_new(struct cli *c, const char *namespace_, const char *name, const char *uid,
                          bool with_logs, const struct follow_ops *ops, void *arg);
const cJSON *follow_job(const struct follow *f); /* the newest state, or NULL; owned by f */
void follow_free(struct follow *f);

#endif
