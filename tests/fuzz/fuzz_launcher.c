/* What the launcher is started with: variables, one a line, an empty line, and the words of the
 * command, one a line. And /proc/PID/stat, /proc/self/cgroup and mountinfo, when the first byte
 * says so. */
#include "tests/fuzz/fuzz.h"

#include "launcher/config.h"
#include "launcher/proc_look.h"
#include "launcher/torchrun.h"
#include "lib/base/cleanup.h"
#include "localcluster/shim/cgroup.h"
#include "localcluster/shim/process.h"

#define WORDS_MAX 64

/* The channel's address stands in every pod: what is accepted is an IP and a port. */
static void address(const char *text)
{
    char ip[64];
    uint16_t port = 0;
    struct mlt_error err = {0};
    if (launcher_config_parse_channel(text, ip, sizeof ip, &port, &err) == 0)
        REQUIRE(port > 0 && ip[0] && strlen(ip) < sizeof ip && strstr(text, ip));
    else
        REQUIRE(err.text[0]);
}

static void start(char *text)
{
    char *environment[WORDS_MAX + 1] = {NULL}, *command[WORDS_MAX + 1] = {NULL}, *rest = text;
    size_t variables = 0, words = 0;
    for (char *line; (line = strsep(&rest, "\n")) && line[0] && variables < WORDS_MAX;) {
        environment[variables++] = line;
        address(line);
    }
    for (char *line; (line = strsep(&rest, "\n")) && words < WORDS_MAX;)
        command[words++] = line;
    if (!words)
        return;
    struct launcher_config config;
    struct mlt_error err = {0};
    const char *const *argv = (const char *const *)command;
    (void)torchrun_is_command(argv);
    (void)torchrun_is_shell(argv);
    const char *nproc = torchrun_nproc_option(argv);
    REQUIRE(!nproc || words > 0);
    (void)torchrun_script_of(argv);
    if (launcher_config_read(environment, command, &config, &err) == 0)
        REQUIRE(config.job[0] && config.channel_port > 0 && strlen(config.job) <= CONFIG_TEXT_MAX);
    else
        REQUIRE(err.text[0]);
}

static void proc(const char *text, size_t size)
{
    struct shim_cgroup found = {0};
    struct mlt_error err = {0};
    struct proc_look_process process = {0};
    (void)shim_process_parse_stat(text);
    (void)proc_look_parse_stat(text, &process);
    (void)proc_look_parse_catches(text, 15);
    const char *value = proc_look_parse_variable(text, size, "LOCAL_RANK");
    REQUIRE(!value || (value > text && value <= text + size));
    const char *mounts = strchr(text, '\f');
    cleanup_free char *cgroup = strndup(text, mounts ? (size_t)(mounts - text) : strlen(text));
    if (shim_cgroup_parent(cgroup, mounts ? mounts + 1 : text, &found, &err) < 0)
        REQUIRE(err.text[0]);
    else
        REQUIRE(strlen(found.path) < sizeof found.path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    cleanup_free char *text = fuzz_text(data + 1, size - 1);
    if (data[0] == 'p')
        proc(text, size - 1);
    else
        start(text);
    return 0;
}
