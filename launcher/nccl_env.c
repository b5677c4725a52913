/* Decisions that help NCCL: see nccl_env.h. */
#include "launcher/nccl_env.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

static void say(struct nccl_env *env, enum nccl_env_decision decision, bool is_warning,
                const char *format, ...) MLT_PRINTF(4, 5);
static void say(struct nccl_env *env, enum nccl_env_decision decision, bool is_warning,
                const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(env->lines[decision].text, sizeof env->lines[decision].text, format, args);
    va_end(args);
    env->lines[decision].is_warning = is_warning;
}

/* ---- what is turned off ---- */

static void turn_off(const char *word, size_t length, bool *off, struct nccl_env *env)
{
    static const char *const words[NCCL_ENV_DECISIONS] = {
#define XX(name, text) [NCCL_ENV_##name] = text,
        NCCL_ENV_DECISION_MAP(XX)
#undef XX
    };
    bool all = length == 3 && strncmp(word, "all", 3) == 0, known = all;
    for (size_t i = 0; i < NCCL_ENV_DECISIONS; i++)
        if (all || (strlen(words[i]) == length && strncmp(word, words[i], length) == 0))
            off[i] = known = true;
    if (!known && !env->unknown[0])
        (void)snprintf(env->unknown, sizeof env->unknown, "%.*s", (int)length, word);
}

static void read_off(const char *list, bool *off, struct nccl_env *env)
{
    while (list && *list) {
        size_t length = strcspn(list, ", ");
        if (length > 0)
            turn_off(list, length < 1000 ? length : 1000, off, env);
        list += length + (list[length] != '\0');
    }
}

/* ---- the interface ---- */

static bool is_of(const struct nccl_env_interface *i, bool ipv6, const unsigned char *address)
{
    if (!i->is_up || i->is_ipv6 != ipv6)
        return false;
    /* The one-machine cluster's pods have addresses of their own in 127.0.0.0/8. */
    if (!ipv6 && i->is_loopback && address[0] == 127)
        return true;
    return memcmp(i->address, address, ipv6 ? 16 : 4) == 0;
}

static const char *interface_of(const struct nccl_env_input *in)
{
    unsigned char address[16];
    bool ipv6 = strchr(in->pod_ip, ':') != NULL;
    if (inet_pton(ipv6 ? AF_INET6 : AF_INET, in->pod_ip, address) != 1)
        return NULL;
    for (size_t i = 0; i < in->interfaces_count; i++)
        if (is_of(&in->interfaces[i], ipv6, address))
            return in->interfaces[i].name;
    return NULL;
}

static void decide_interface(const struct nccl_env_input *in, struct nccl_env *ret)
{
    const char *name;
    if (in->socket_ifname) {
        say(ret, NCCL_ENV_INTERFACE, false, "NCCL_SOCKET_IFNAME=%.64s, as the job says",
            in->socket_ifname);
        return;
    }
    if (!in->pod_ip[0]) {
        say(ret, NCCL_ENV_INTERFACE, false,
            "NCCL_SOCKET_IFNAME is not set: the pod's address is not known");
        return;
    }
    name = interface_of(in);
    if (!name) {
        say(ret, NCCL_ENV_INTERFACE, false,
            "NCCL_SOCKET_IFNAME is not set: no interface here has the pod's address %.64s",
            in->pod_ip);
        return;
    }
    (void)snprintf(ret->socket_ifname, sizeof ret->socket_ifname, "=%s", name);
    say(ret, NCCL_ENV_INTERFACE, false,
        "NCCL_SOCKET_IFNAME=%s: the interface with the pod's address %.64s", ret->socket_ifname,
        in->pod_ip);
}

/* ---- the rest ---- */

static void decide_debug(const struct nccl_env_input *in, struct nccl_env *ret)
{
    static const char *const levels[] = {"NONE", "VERSION", "WARN", "INFO", "ABORT", "TRACE"};
    bool known = false;
    if (!in->debug)
        return;
    for (size_t i = 0; i < MLT_ARRAY_LENGTH(levels); i++)
        known = known || strcasecmp(in->debug, levels[i]) == 0;
    say(ret, NCCL_ENV_DEBUG, !known, "NCCL_DEBUG=%.64s, as the job says%s", in->debug,
        known ? "" : ": NCCL knows VERSION, WARN, INFO, ABORT and TRACE");
}

static void decide_shm(const struct nccl_env_input *in, struct nccl_env *ret)
{
    int64_t need = in->ranks * NCCL_ENV_SHM_PER_RANK;
    long long mib = (long long)(in->shm_bytes >> 20);
    if (in->shm_bytes == NCCL_ENV_UNKNOWN)
        say(ret, NCCL_ENV_SHM, in->ranks > 1,
            "/dev/shm is not there: NCCL needs it between the ranks of a pod");
    else if (in->ranks > 1 && in->shm_bytes < need)
        say(ret, NCCL_ENV_SHM, true,
            "/dev/shm has %lld MiB for %u ranks: NCCL and data loaders may fail for want of shared "
            "memory. Mount an emptyDir with `medium: Memory` there, of %lld MiB or more",
            mib, in->ranks, (long long)(need >> 20));
    else
        say(ret, NCCL_ENV_SHM, false, "/dev/shm has %lld MiB for %u rank%s: enough", mib, in->ranks,
            in->ranks == 1 ? "" : "s");
}

static void decide_memlock(const struct nccl_env_input *in, struct nccl_env *ret)
{
    char limit[32] = "unlimited";
    if (in->locked_bytes == NCCL_ENV_UNKNOWN)
        return;
    if (in->locked_bytes != NCCL_ENV_UNLIMITED)
        (void)snprintf(limit, sizeof limit, "%lld KiB", (long long)(in->locked_bytes >> 10));
    if (in->has_rdma && in->locked_bytes != NCCL_ENV_UNLIMITED)
        say(ret, NCCL_ENV_MEMLOCK, true,
            "ulimit -l is %s and there are RDMA devices: NCCL cannot register its memory with them "
            "(`unlimited` is what it needs: the container runtime's limit)",
            limit);
    else
        say(ret, NCCL_ENV_MEMLOCK, false, "ulimit -l is %s: enough%s", limit,
            in->has_rdma ? "" : ", there is no RDMA device");
}

void nccl_env_decide(const struct nccl_env_input *input, struct nccl_env *ret)
{
    static void (*const decide[NCCL_ENV_DECISIONS])(const struct nccl_env_input *,
                                                    struct nccl_env *) = {
        [NCCL_ENV_INTERFACE] = decide_interface,
        [NCCL_ENV_DEBUG] = decide_debug,
        [NCCL_ENV_SHM] = decide_shm,
        [NCCL_ENV_MEMLOCK] = decide_memlock,
    };
    bool off[NCCL_ENV_DECISIONS] = {false};
    *ret = (struct nccl_env){0};
    read_off(input->off, off, ret);
    if (!input->has_gpus)
        return;
    for (size_t i = 0; i < NCCL_ENV_DECISIONS; i++)
        if (!off[i])
            decide[i](input, ret);
}

const char *nccl_env_reason(enum nccl_env_decision decision)
{
    return decision == NCCL_ENV_SHM       ? "SharedMemory"
           : decision == NCCL_ENV_MEMLOCK ? "LockedMemory"
           : decision == NCCL_ENV_DEBUG   ? "NcclDebug"
                                          : "NcclInterface";
}
