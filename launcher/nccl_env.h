/* What the launcher does to help NCCL: which interface the ranks use, and whether shared memory and
 * locked memory are enough. Pure: facts come in, words and one variable come out.
 * docs/environment.md tells users; launcher/edge_nccl.c looks at the machine.
 *
 * Facts about NCCL: docs/userguide/source/env.rst and troubleshooting.rst of NVIDIA/nccl:
 * NCCL_SOCKET_IFNAME (`=eth0` is this interface and not eth01), NCCL_DEBUG, /dev/shm between the
 * ranks of a pod, RDMA's need of locked memory. Kubernetes gives a container 64 MiB of /dev/shm. */
#ifndef LAUNCHER_NCCL_ENV_H
#define LAUNCHER_NCCL_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NCCL_ENV_OFF "MLTRAIN_NCCL_OFF" /* the job's: words of NCCL_ENV_DECISION_MAP, or `all` */
#define NCCL_ENV_NAME_MAX 16            /* bytes of an interface's name with its NUL: IFNAMSIZ */
#define NCCL_ENV_INTERFACES_MAX 512     /* looked at: a node has one or two for each of its pods */
#define NCCL_ENV_LINE_MAX 400
#define NCCL_ENV_SHM_PER_RANK (INT64_C(64) << 20) /* bytes, where a pod has more ranks than one */
#define NCCL_ENV_UNLIMITED INT64_C(-1)
#define NCCL_ENV_UNKNOWN INT64_C(-2)

/* XX(NAME, word that turns it off) */
#define NCCL_ENV_DECISION_MAP(XX) \
    XX(INTERFACE, "interface")    \
    XX(DEBUG, "debug")            \
    XX(SHM, "shm")                \
    XX(MEMLOCK, "memlock")

enum nccl_env_decision {
#define XX(name, word) NCCL_ENV_##name,
    NCCL_ENV_DECISION_MAP(XX)
#undef XX
        NCCL_ENV_DECISIONS
};

struct nccl_env_interface {
    char name[NCCL_ENV_NAME_MAX];
    unsigned char address[16]; /* IPv4: the first 4 bytes */
    bool is_ipv6, is_up, is_loopback;
};

struct nccl_env_input {
    /* Of the job; NULL: not set. */
    const char *socket_ifname, *debug, *off;
    bool has_gpus;        /* devices of NVIDIA are there, or the job has set something of NCCL */
    bool has_rdma;        /* devices of InfiniBand or RoCE are there */
    const char *pod_ip;   /* "" when not known */
    uint32_t ranks;       /* of this pod */
    int64_t shm_bytes;    /* size of /dev/shm, or UNKNOWN */
    int64_t locked_bytes; /* ulimit -l; UNLIMITED, UNKNOWN */
    const struct nccl_env_interface *interfaces;
    size_t interfaces_count;
};

struct nccl_env {
    char socket_ifname[NCCL_ENV_NAME_MAX + 1]; /* for NCCL_SOCKET_IFNAME; "": is not set by us */
    /* One line for each decision; "" for one that was not made. */
    struct nccl_env_line {
        char text[NCCL_ENV_LINE_MAX];
        bool is_warning;
    } lines[NCCL_ENV_DECISIONS];
    char unknown[64]; /* the first word of MLTRAIN_NCCL_OFF that is none; "" */
};

/* Nothing is decided where no GPU is. */
void nccl_env_decide(const struct nccl_env_input *input, struct nccl_env *ret);

/* CamelCase, for an event of the job when its line is a warning. */
const char *nccl_env_reason(enum nccl_env_decision decision);

#endif
