/* What `mltrain-launcher run` is told: by the controller in the environment, by the user after
 * `--`. */
#ifndef LAUNCHER_CONFIG_H
#define LAUNCHER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/base/error.h"

#define CONFIG_KEY_SIZE 32
#define CONFIG_TEXT_MAX 253 /* bytes of a name, uid or address: as in the messages */

struct launcher_config {
    char channel_address[64]; /* an IP, never a name */
    uint16_t channel_port;
    unsigned char key[CONFIG_KEY_SIZE];
    const char *job, *job_namespace, *job_uid, *role, *pod_uid;
    const char *pod_ip, *node; /* "" when not given */
    const char *dir;           /* MLTRAIN_DIR: for error files; "" when not given */
    uint32_t slot;
    char *const *command;     /* ends with NULL; not empty */
    char *const *environment; /* ends with NULL */
    bool once_per_pod;        /* the command is torchrun */
    bool is_shell_script;     /* ... in a shell script */
};

/* Reads the environment (NAME=value ..., NULL) and the key file. Strings of the result point into
 * the arguments, which must stay. -EINVAL names the variable, its value and what was expected;
 * -errno of the key file. */
int launcher_config_read(char *const *environment, char *const *command,
                         struct launcher_config *ret, struct mlt_error *err) MLT_MUST_USE;

/* "10.0.0.1:7070" or "[fd00::1]:7070". `address` holds `size` bytes. -EINVAL. */
int launcher_config_parse_channel(const char *text, char *address, size_t size, uint16_t *ret_port,
                                  struct mlt_error *err) MLT_MUST_USE;

#endif
