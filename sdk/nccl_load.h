/* Finds NCCL and the CUDA runtime while the program runs. Where, in this order:
 *
 *   1. the file that MLTRAIN_NCCL_LIBRARY (MLTRAIN_NCCL_CUDART) names, and then nothing else
 *   2. what is loaded already (PyTorch has loaded its own)
 *   3. what the dynamic linker finds by the name: RPATH, LD_LIBRARY_PATH, ld.so.conf
 *   4. NVIDIA's wheels, nvidia/nccl/lib and so on, in the entries of PYTHONPATH, in VIRTUAL_ENV and
 *      CONDA_PREFIX, beside the python3 that PATH finds, and in the usual site-packages
 *   5. /usr/local/cuda/lib64 */
#ifndef SDK_NCCL_LOAD_H
#define SDK_NCCL_LOAD_H

#include "sdk/nccl_abi.h"

#define XX(member, symbol, result, arguments) result(*member) arguments;
struct nccl_library {
    void *handle;
    int version; /* as ncclGetVersion() tells */
    NCCL_ABI_SYMBOL_MAP(XX)
    NCCL_ABI_OPTIONAL_MAP(XX) /* NULL when missing */
};

struct cudart_library {
    void *handle;
    CUDART_ABI_SYMBOL_MAP(XX)
};
#undef XX

/* Loads it at the first call; it stays. 0; -ENOENT when there is none, -ELIBBAD when what is there
 * is too old or no NCCL; words for mltrain_error(). */
int nccl_load(const struct nccl_library **ret);
int cudart_load(const struct cudart_library **ret);

#endif
