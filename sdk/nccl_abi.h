/* What of NCCL's and the CUDA runtime's binary interface libmltrain uses, in our own words, so that
 * it is built without their headers. Sources: NVIDIA/nccl, src/nccl.h.in, 2.14 to 2.31 (results,
 * unique id, the head of ncclConfig_t; its later members may be left out: `size` and `version` tell
 * NCCL what is there), and docs/userguide/source/usage/communicators.rst (which ranks make the
 * ids); cuda_runtime_api.h, CUDA 11 to 13. All of it has been the same since the version named. */
#ifndef SDK_NCCL_ABI_H
#define SDK_NCCL_ABI_H

#include <stddef.h>

struct ncclComm; /* ncclComm_t points to one */

#define NCCL_ABI_ID_SIZE 128
#define NCCL_ABI_MAGIC 0xcafebeefu
/* Since 2.9 a version is major x 10000 + minor x 100 + patch; before, the factors were 1000 and
 * 100: smaller numbers all the same. */
#define NCCL_ABI_VERSION_MIN 21400 /* 2.14: a communicator may be made without blocking */
#define NCCL_ABI_RANKS_PER_ID 256  /* NCCL_UID_STAGGER_THRESHOLD: above it ranks are held back */

enum nccl_abi_result {
    NCCL_ABI_SUCCESS = 0,
    NCCL_ABI_IN_PROGRESS = 7,
};

struct nccl_abi_id {
    char bytes[NCCL_ABI_ID_SIZE];
};

/* ncclConfig_v21400 */
struct nccl_abi_config {
    size_t size;
    unsigned magic, version;
    int blocking;
};
/* Without the struct's padding, where a later NCCL has its next member. */
#define NCCL_ABI_CONFIG_SIZE (offsetof(struct nccl_abi_config, blocking) + sizeof(int))

/* XX(member, symbol, result, arguments): without one of these it is no NCCL that we can use. */
#define NCCL_ABI_SYMBOL_MAP(XX)                                                      \
    XX(get_version, "ncclGetVersion", int, (int *))                                  \
    XX(get_unique_id, "ncclGetUniqueId", int, (struct nccl_abi_id *))                \
    XX(init_rank, "ncclCommInitRankConfig", int,                                     \
       (struct ncclComm **, int, struct nccl_abi_id, int, struct nccl_abi_config *)) \
    XX(async_error, "ncclCommGetAsyncError", int, (struct ncclComm *, int *))        \
    XX(finalize, "ncclCommFinalize", int, (struct ncclComm *))                       \
    XX(destroy, "ncclCommDestroy", int, (struct ncclComm *))                         \
    XX(abort, "ncclCommAbort", int, (struct ncclComm *))                             \
    XX(error_string, "ncclGetErrorString", const char *, (int))

/* Those that may be missing. */
#define NCCL_ABI_OPTIONAL_MAP(XX)                                                    \
    XX(last_error, "ncclGetLastError", const char *, (struct ncclComm *)) /* 2.13 */ \
    XX(init_scalable, "ncclCommInitRankScalable", int,                               \
       (struct ncclComm **, int, int, int, struct nccl_abi_id *,                     \
        struct nccl_abi_config *)) /* 2.23 */

/* Of libcudart. */
#define CUDART_ABI_SYMBOL_MAP(XX)                        \
    XX(device_count, "cudaGetDeviceCount", int, (int *)) \
    XX(set_device, "cudaSetDevice", int, (int))          \
    XX(error_string, "cudaGetErrorString", const char *, (int))

#endif
