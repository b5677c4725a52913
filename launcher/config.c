/* The launcher's settings: see config.h. */
#include "launcher/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/torchrun.h"
#include "lib/base/cleanup.h"
#include "lib/base/number.h"

#define ELF_MAGIC "\177ELF"

static const char *get(char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

static int need(char *const *environment, const char *name, const char **ret, struct mlt_error *err)
{
    const char *value = get(environment, name);
    if (!value || !value[0])
        return mlt_fail(err, EINVAL, "%s is not set: mltrain's controller sets it in each pod",
                        name);
    if (strlen(value) > CONFIG_TEXT_MAX)
        return mlt_fail(err, EINVAL, "%s has %zu characters: at most %d expected", name,
                        strlen(value), CONFIG_TEXT_MAX);
    *ret = value;
    return 0;
}

static const char *want(char *const *environment, const char *name)
{
    const char *value = get(environment, name);
    return value && strlen(value) <= CONFIG_TEXT_MAX ? value : "";
}

int launcher_config_parse_channel(const char *text, char *address, size_t size, uint16_t *ret_port,
                                  struct mlt_error *err)
{
    const char *colon = strrchr(text, ':');
    const char *start = text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        start++;
        length -= 2;
    }
    unsigned char binary[16];
    int64_t port;
    if (length > 0 && length < size) {
        memcpy(address, start, length);
        address[length] = '\0';
        int family = strchr(address, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(family, address, binary) == 1 &&
            mlt_parse_integer(colon + 1, 1, 65535, &port, NULL) == 0) {
            *ret_port = (uint16_t)port;
            return 0;
        }
    }
    return mlt_fail(err, EINVAL,
                    "MLTRAIN_CHANNEL `%.80s`: IP:port expected (no names are looked up)", text);
}

static int read_key(const char *path, unsigned char *key, struct mlt_error *err)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return mlt_fail(err, errno, "MLTRAIN_KEY_FILE `%.200s`: %s", path, strerror(errno));
    unsigned char bytes[CONFIG_KEY_SIZE + 1];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n != CONFIG_KEY_SIZE)
        return mlt_fail(err, EINVAL, "MLTRAIN_KEY_FILE `%.200s`: %d bytes expected", path,
                        CONFIG_KEY_SIZE);
    memcpy(key, bytes, CONFIG_KEY_SIZE);
    explicit_bzero(bytes, sizeof bytes);
    return 0;
}

/* A shell script that calls torchrun counts as torchrun too. */
static bool script_calls_torchrun(const char *const *words)
{
    const char *path = torchrun_script_of(words);
    cleanup_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    cleanup_free char *text = fd >= 0 ? malloc(TORCHRUN_SCRIPT_MAX) : NULL;
    if (!text)
        return false;
    ssize_t n = read(fd, text, sizeof ELF_MAGIC - 1);
    if (n > 0 && memcmp(text, ELF_MAGIC, (size_t)n) == 0)
        return false;
    n = pread(fd, text, TORCHRUN_SCRIPT_MAX, 0);
    return n > 0 && torchrun_is_script(text, (size_t)n, torchrun_is_shell(words));
}

int launcher_config_read(char *const *environment, char *const *command,
                         struct launcher_config *ret, struct mlt_error *err)
{
    struct launcher_config c = {.command = command, .environment = environment};
    const char *channel = NULL, *key_file = NULL, *slot = NULL;
    const struct {
        const char *name;
        const char **to;
    } needed[] = {
        {"MLTRAIN_CHANNEL", &channel},   {"MLTRAIN_KEY_FILE", &key_file},
        {"MLTRAIN_JOB", &c.job},         {"MLTRAIN_NAMESPACE", &c.job_namespace},
        {"MLTRAIN_JOB_UID", &c.job_uid}, {"MLTRAIN_ROLE", &c.role},
        {"MLTRAIN_POD_UID", &c.pod_uid}, {"MLTRAIN_SLOT", &slot},
    };
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(needed); i++) {
        int rc = need(environment, needed[i].name, needed[i].to, err);
        if (rc < 0)
            return rc;
    }
    int64_t number;
    if (mlt_parse_integer(slot, 0, UINT32_MAX, &number, err) < 0)
        return mlt_fail_in(err, "MLTRAIN_SLOT");
    c.slot = (uint32_t)number;
    c.pod_ip = want(environment, "MLTRAIN_POD_IP");
    c.node = want(environment, "MLTRAIN_NODE");
    c.dir = want(environment, "MLTRAIN_DIR");
    int rc = launcher_config_parse_channel(channel, c.channel_address, sizeof c.channel_address,
                                           &c.channel_port, err);
    if (rc == 0)
        rc = read_key(key_file, c.key, err);
    if (rc < 0)
        return rc;
    c.once_per_pod = torchrun_is_command((const char *const *)command);
    if (!c.once_per_pod)
        c.once_per_pod = c.is_shell_script = script_calls_torchrun((const char *const *)command);
    *ret = c;
    return 0;
}
