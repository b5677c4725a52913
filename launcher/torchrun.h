/* Is a command torchrun itself, or a shell that calls it? Then it is started once per pod: started
 * once per rank it would make procs x procs ranks. Pure. */
#ifndef LAUNCHER_TORCHRUN_H
#define LAUNCHER_TORCHRUN_H

#include <stdbool.h>
#include <stddef.h>

#define TORCHRUN_SCRIPT_MAX (64u * 1024) /* bytes of a shell script that are looked at */

/* True for `torchrun ...`, `python3 [options] -m torch.distributed.run|launch ...`, a python that
 * runs a file named torchrun, the same behind `env A=b`, `nohup`, `nice`, `numactl`, `stdbuf`,
 * `timeout`, `exec` or `uv|poetry|conda|pipenv run`, and a shell whose -c text calls one of them.
 * `argv` ends with NULL. */
bool torchrun_is_command(const char *const *argv);

/* The file that decides when the command is a shell script (`bash train.sh`, `./train.sh`); NULL
 * when the command alone decides. The caller reads up to TORCHRUN_SCRIPT_MAX bytes of it. */
const char *torchrun_script_of(const char *const *argv);

/* Does this file's text begin like a shell script (`named_by_shell`: a shell was told to run it, so
 * it is one) and call torchrun? */
bool torchrun_is_script(const char *text, size_t length, bool named_by_shell);

/* The command behind all that only runs another one (env, nohup, `uv run`). */
const char *const *torchrun_innermost(const char *const *argv);

/* The word after a shell's options: with *ret_is_text its -c text, else a script; NULL: neither. */
const char *torchrun_shell_operand(const char *const *argv, bool *ret_is_text);

/* Is the command, behind what only runs another one, a shell? */
bool torchrun_is_shell(const char *const *argv);

/* The value of --nproc_per_node or --nproc-per-node in the command's words, NULL when it has none.
 */
const char *torchrun_nproc_option(const char *const *argv);

#endif
