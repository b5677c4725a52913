/* Words that the launcher takes from MPI's own starter and from NCCL's variables. The first byte
 * chooses: 'h' the name of a host, 't' a ticket, 'c' the agent's command line, a word a line, 'n'
 * four lines: NCCL_SOCKET_IFNAME, NCCL_DEBUG, MLTRAIN_NCCL_OFF, the pod's address, and what the
 * second byte says. */
#include "tests/fuzz/fuzz.h"

#include "launcher/nccl_env.h"
#include "launcher/remote.h"
#include "lib/base/cleanup.h"

#define WORDS_MAX 4096

static void host(const char *text)
{
    char again[REMOTE_HOST_MAX];
    uint32_t rank = 0, nodes = (uint32_t)strlen(text) * 1000;
    if (!remote_host_parse(text, nodes, &rank))
        return;
    REQUIRE(rank < nodes);
    remote_host_name(rank, again);
    REQUIRE(strcmp(again, text) == 0);
}

static void ticket(const char *text)
{
    struct remote_ticket t, again;
    char line[REMOTE_TICKET_MAX + 1];
    if (!remote_ticket_read(text, &t))
        return;
    int length = remote_ticket_write(&t, line);
    REQUIRE(length > 0 && length <= REMOTE_TICKET_MAX && strlen(line) == (size_t)length);
    REQUIRE(remote_ticket_read(line, &again));
    REQUIRE(strcmp(t.address, again.address) == 0 && strcmp(t.identity, again.identity) == 0);
    REQUIRE(t.port == again.port && memcmp(t.key, again.key, sizeof t.key) == 0);
}

static void call(char *text)
{
    (void)remote_world_is_valid(text);
    char *argv[WORDS_MAX + 1] = {NULL};
    size_t words = 0;
    for (char *line; (line = strsep(&text, "\n")) && words < WORDS_MAX;)
        argv[words++] = line;
    struct remote_call parsed = {0};
    struct mlt_error err = {0};
    if (remote_call_parse(argv, "world", &parsed, &err) < 0) {
        REQUIRE(err.text[0]);
        return;
    }
    REQUIRE(parsed.host[0] && parsed.command[0]);
    REQUIRE(strlen(parsed.command) <= RENDEZVOUS_REMOTE_COMMAND_MAX);
    free(parsed.command);
}

static const char *line_of(char **rest)
{
    char *line = strsep(rest, "\n");
    return line && line[0] ? line : NULL;
}

static void nccl(char *text)
{
    static const struct nccl_env_interface interfaces[] = {
        {.name = "lo", .address = {127, 0, 0, 1}, .is_up = true, .is_loopback = true},
        {.name = "a-name-of-15-by", .address = {10, 0, 0, 7}, .is_up = true},
        {.name = "eth0", .address = {[0] = 0xfd, [15] = 1}, .is_up = true, .is_ipv6 = true}};
    unsigned facts = (unsigned char)text[0];
    text += facts ? 1 : 0;
    struct nccl_env_input in = {.has_gpus = !(facts & 1),
                                .has_rdma = facts & 2,
                                .ranks = facts & 4 ? RENDEZVOUS_RANKS_PER_MEMBER_MAX : 1,
                                .shm_bytes = facts & 8 ? NCCL_ENV_UNKNOWN : (int64_t)facts << 22,
                                .locked_bytes = facts & 16 ? NCCL_ENV_UNLIMITED : facts,
                                .interfaces = interfaces,
                                .interfaces_count = sizeof interfaces / sizeof interfaces[0]};
    in.socket_ifname = line_of(&text);
    in.debug = line_of(&text);
    in.off = line_of(&text);
    in.pod_ip = line_of(&text);
    in.pod_ip = in.pod_ip ? in.pod_ip : "";
    struct nccl_env env;
    nccl_env_decide(&in, &env);
    REQUIRE(strlen(env.socket_ifname) < sizeof env.socket_ifname);
    REQUIRE(!env.socket_ifname[0] || (in.has_gpus && !in.socket_ifname));
    for (size_t i = 0; i < NCCL_ENV_DECISIONS; i++)
        REQUIRE(!env.lines[i].text[0] || in.has_gpus);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    cleanup_free char *text = fuzz_text(data + 1, size - 1);
    if (data[0] == 'h')
        host(text);
    else if (data[0] == 't')
        ticket(text);
    else if (data[0] == 'c')
        call(text);
    else
        nccl(text);
    return 0;
}
