/* The frame of commands that take one job's name and nothing else but the cluster. */
#ifndef CLI_JOB_COMMAND_H
#define CLI_JOB_COMMAND_H

#include "cli/cli.h"

/* Parses `[options] JOB`, connects, calls `act` and returns its exit code. `after` (may be NULL)
 * follows the options in the help. */
int job_command(int argc, char **argv, const char *about, const char *after,
                int (*act)(struct cli *c, const char *name));

/* The same with one option of its own, --`flag`, which `flagged` does instead of `act`. */
int job_command_or(int argc, char **argv, const char *about, const char *after,
                   int (*act)(struct cli *c, const char *name), const char *flag,
                   const char *flag_help, int (*flagged)(struct cli *c, const char *name));

#endif
