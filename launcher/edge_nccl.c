/* Looks at what NCCL will find in this container, and says what is decided (launcher/nccl_env.h).
 * Once, at the first start: none of it changes while a container lives. */
#include <glob.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "launcher/edge_internal.h"
#include "launcher/nccl_env.h"

static const char *value_of(const struct edge *e, const char *name)
{
    size_t length = strlen(name);
    const struct rendezvous_welcome *welcome = supervisor_welcome(e->supervisor);
    for (uint32_t i = welcome->environment_count; i-- > 0;)
        if (strncmp(welcome->environment[i], name, length) == 0 &&
            welcome->environment[i][length] == '=')
            return welcome->environment[i] + length + 1;
    for (char *const *variable = e->config->environment; *variable; variable++)
        if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
            return *variable + length + 1;
    return NULL;
}

/* NCCL_DEBUG, MLTRAIN_NCCL_LIBRARY and so on. */
static bool sets_something(const struct edge *e)
{
    static const char *const begins[] = {"NCCL_", "MLTRAIN_NCCL_"};
    for (char *const *variable = e->config->environment; *variable; variable++)
        for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
            if (strncmp(*variable, begins[i], strlen(begins[i])) == 0)
                return true;
    return false;
}

static bool is_there(const char *pattern)
{
    glob_t found = {0};
    bool there = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return there;
}

static size_t list_interfaces(struct nccl_env_interface *list)
{
    struct ifaddrs *all = NULL;
    size_t count = 0;
    if (getifaddrs(&all) < 0)
        return 0;
    for (const struct ifaddrs *i = all; i && count < NCCL_ENV_INTERFACES_MAX; i = i->ifa_next) {
        struct nccl_env_interface entry = {.is_up = i->ifa_flags & IFF_UP,
                                           .is_loopback = i->ifa_flags & IFF_LOOPBACK};
        if (!i->ifa_addr || strlen(i->ifa_name) >= sizeof entry.name)
            continue;
        memcpy(entry.name, i->ifa_name, strlen(i->ifa_name));
        if (i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in address;
            memcpy(&address, i->ifa_addr, sizeof address);
            memcpy(entry.address, &address.sin_addr, 4);
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 address;
            memcpy(&address, i->ifa_addr, sizeof address);
            memcpy(entry.address, &address.sin6_addr, 16);
            entry.is_ipv6 = true;
        } else {
            continue;
        }
        list[count++] = entry;
    }
    freeifaddrs(all);
    return count;
}

static int64_t shm_bytes(void)
{
    struct statvfs fs;
    return statvfs("/dev/shm", &fs) < 0 ? NCCL_ENV_UNKNOWN : (int64_t)(fs.f_blocks * fs.f_frsize);
}

static int64_t locked_bytes(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return NCCL_ENV_UNKNOWN;
    return limit.rlim_cur >= INT64_MAX ? NCCL_ENV_UNLIMITED : (int64_t)limit.rlim_cur;
}

/* What is the same in each pod is an event of the job from one of them. */
static void tell(struct edge *e, const struct nccl_env *env)
{
    if (env->unknown[0])
        edge_log(e, "MLTRAIN_NCCL_OFF: `%s` is none of interface, debug, shm, memlock, all",
                 env->unknown);
    for (size_t i = 0; i < NCCL_ENV_DECISIONS; i++) {
        const struct nccl_env_line *line = &env->lines[i];
        if (line->is_warning && edge_speaks_for_all(e) && supervisor_attempt(e->supervisor) == 1)
            edge_notice(e, RENDEZVOUS_SEVERITY_WARNING, nccl_env_reason(i), "%s", line->text);
        else if (line->text[0])
            edge_log(e, "%s", line->text);
    }
}

void edge_help_nccl(struct edge *e)
{
    struct nccl_env env;
    if (e->helped_nccl)
        return;
    e->helped_nccl = true;
    struct nccl_env_interface *interfaces = calloc(NCCL_ENV_INTERFACES_MAX, sizeof *interfaces);
    const struct nccl_env_input input = {
        .socket_ifname = value_of(e, "NCCL_SOCKET_IFNAME"),
        .debug = value_of(e, "NCCL_DEBUG"),
        .off = value_of(e, NCCL_ENV_OFF),
        .has_gpus = sets_something(e) || is_there("/dev/nvidia[0-9]*"),
        .has_rdma = is_there("/dev/infiniband/uverbs*"),
        .pod_ip = e->config->pod_ip,
        .ranks = supervisor_welcome(e->supervisor)->nproc,
        .shm_bytes = shm_bytes(),
        .locked_bytes = locked_bytes(),
        .interfaces = interfaces,
        .interfaces_count = interfaces ? list_interfaces(interfaces) : 0};
    nccl_env_decide(&input, &env);
    free(interfaces);
    memcpy(e->nccl_socket_ifname, env.socket_ifname, sizeof e->nccl_socket_ifname);
    tell(e, &env);
}
