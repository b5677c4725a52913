#!/usr/bin/env bash
# The real NCCL, as PyPI's wheels install it, in gangs: libmltrain finds it in C and in Python, its unique ids go through the
# launchers to all ranks, and what it says is passed on. Without a GPU it says that there is none, and nobody hangs; with one, a world
# of one is made, and two ranks that share the GPU are refused clearly. Needs PyPI (330 MB), so .ci/run runs it.
# usage: tests/foreign/nccl.sh BIN_DIR [FOLDER for the packages, default build/foreign/nccl]
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
folder=$(mkdir -p "${2:-build/foreign/nccl}" && cd "${2:-build/foreign/nccl}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$bin:/usr/bin:$PATH" MLTRAIN_HOME="$work/home"
unset MLTRAIN_NCCL_LIBRARY MLTRAIN_NCCL_CUDART

# wheel NAME VERSION FILE: into the folder, as an environment's site-packages has it
wheel() {
  [ -e "$folder/$3" ] && return
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || apt-get install -y -qq python3-pip >/dev/null || true
  timeout 900 python3 -m pip download -q --no-deps -d "$work/wheel" "$1==$2" || { echo "SKIP: PyPI gives no $1 $2"; exit 77; }
  python3 -m zipfile -e "$work"/wheel/"${1//-/_}"-*.whl "$folder"
  rm -rf "$work/wheel"
}
wheel nvidia-nccl-cu12 2.27.3 nvidia/nccl/lib/libnccl.so.2
# What our declarations say is what its header says.
declared_alike() {
  mkdir -p "$work/shim"
  echo 'typedef struct CUstream_st *cudaStream_t;' >"$work/shim/cuda_runtime.h"
  : >"$work/shim/cuda_fp16.h"
  cat >"$work/alike.c" <<'C'
#include <stddef.h>
#include "nccl.h"
#include "sdk/mltrain_nccl.h"
#include "sdk/nccl_abi.h"
_Static_assert(sizeof(ncclUniqueId) == sizeof(struct nccl_abi_id), "id");
_Static_assert(offsetof(ncclConfig_t, size) == offsetof(struct nccl_abi_config, size), "size");
_Static_assert(offsetof(ncclConfig_t, magic) == offsetof(struct nccl_abi_config, magic), "magic");
_Static_assert(offsetof(ncclConfig_t, version) == offsetof(struct nccl_abi_config, version), "version");
_Static_assert(offsetof(ncclConfig_t, blocking) == offsetof(struct nccl_abi_config, blocking), "blocking");
_Static_assert(offsetof(ncclConfig_t, cgaClusterSize) >= NCCL_ABI_CONFIG_SIZE, "what follows");
_Static_assert((int)ncclSuccess == NCCL_ABI_SUCCESS && (int)ncclInProgress == NCCL_ABI_IN_PROGRESS, "results");
_Static_assert(ncclInt64 == 4 && ncclSum == 0, "the examples");
_Static_assert(NCCL_VERSION(2, 14, 0) == NCCL_ABI_VERSION_MIN, "version");
#define SAME(function, type) _Static_assert(__builtin_types_compatible_p(__typeof__(function), type), #function)
SAME(ncclCommInitRankConfig, ncclResult_t(ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *));
SAME(ncclCommInitRankScalable, ncclResult_t(ncclComm_t *, int, int, int, ncclUniqueId *, ncclConfig_t *));
SAME(ncclCommGetAsyncError, ncclResult_t(ncclComm_t, ncclResult_t *));
SAME(ncclGetLastError, const char *(ncclComm_t));
SAME(ncclCommFinalize, ncclResult_t(ncclComm_t));
SAME(ncclCommDestroy, ncclResult_t(ncclComm_t));
SAME(ncclCommAbort, ncclResult_t(ncclComm_t));
int both(const struct mltrain_nccl_options *options, ncclComm_t *comm);
int both(const struct mltrain_nccl_options *options, ncclComm_t *comm)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    return config.magic == NCCL_ABI_MAGIC ? mltrain_nccl_init(options, comm) : -1;
}
C
  cc -Wall -Wextra -Werror -Wno-unused-parameter -I "$work/shim" -I "$folder/nvidia/nccl/include" -I "$source" -c "$work/alike.c" -o "$work/alike.o"
}
wheel nvidia-cuda-runtime-cu12 12.6.77 nvidia/cuda_runtime/lib/libcudart.so.12
export PYTHONPATH="$folder"
gpu=$([ -e /dev/nvidia0 ] && echo yes || echo no)

passed=0 failed=0
# check NAME COMMAND...
check() {
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); echo "ok: $name"; else failed=$((failed + 1)); echo "FAILED: $name"; tail -n 20 out err; fi
}
# gang PODS RANKS COMMAND...: gives its exit code
gang() {
  local pods=$1 ranks=$2
  shift 2
  timeout 120 mltrain run --framework plain --nnodes "$pods" --nproc "$ranks" --max-restarts 0 -- "$@" >out 2>err
}
cd "$folder" # a pod has a /tmp of its own; its working directory it shares with us
trap 'rm -rf "$work" "$folder"/out "$folder"/err "$folder"/ids.py "$folder"/allreduce' EXIT

cat >ids.py <<'PY'
import time

import mltrain
from mltrain import nccl

until = time.monotonic() + 60
library = nccl._load()
for turn in range(3):
    rank, size, ids = nccl._find_world("ids", library, None, until)
    print(f"turn {turn}: {len(ids)} id {bytes(ids[0].bytes).hex()[:64]}", flush=True)
group = nccl._find_group("groups", library, None, rank % 2, 0, until)
print(f"group {rank % 2}: {group[0]} of {group[1]} id {bytes(group[2][0].bytes).hex()[:64]}", flush=True)
mltrain.barrier("end")
PY
all_the_same() {
  gang 2 2 python3 ids.py && [ "$(grep -c turn out)" = 12 ] || return
  # Three ids, each on four ranks; two of groups, each on two; none of them is empty.
  [ "$(grep -o 'turn.*' out | sort | uniq -c | awk '{print $1}' | xargs)" = "4 4 4" ] || return
  [ "$(grep -o 'id .*' out | sort -u | wc -l)" = 5 ] || return
  [ "$(grep -o 'group.*' out | sed 's/: [01] of 2//' | sort | uniq -c | awk '{print $1}' | xargs)" = "2 2" ] || return
  ! grep -q 'id 0*$' out
}
check "ids of NCCL are the same on all ranks and differ each time" all_the_same

check "our declarations are those of nccl.h" declared_alike

cc -O2 -I "$source/sdk" "$source/examples/nccl-allreduce/allreduce.c" -o allreduce "$bin/../lib/libmltrain.a" -ldl -lpthread
without_gpu() {
  ! gang 2 2 ./allreduce && grep -q 'no CUDA device: CUDA driver version is insufficient' out err
}
says_why() {
  ! gang 2 2 python3 -c 'import mltrain
from mltrain import nccl
mltrain.nccl_init(device=nccl.CURRENT, timeout=60)' && grep -q 'ncclCommInitRankConfig: unhandled cuda error' out err
}
alone() { gang 1 1 ./allreduce && [ "$(grep -c 'sums are right' out)" = 3 ]; }
shared() { ! gang 1 2 env CUDA_VISIBLE_DEVICES=0 ./allreduce && grep -q 'Duplicate GPU detected' out err; }
if [ $gpu = yes ]; then
  check "a world of one adds on the GPU" alone
  check "two ranks on one GPU are refused by NCCL, with its words" shared
else
  check "without a GPU a rank in C says so" without_gpu
  check "what NCCL says of the missing GPU reaches a rank in Python" says_why
  echo "skipped: communicators on a GPU (there is no /dev/nvidia0)"
fi
echo "$passed passed, $failed failed, $([ $gpu = yes ] && echo 0 || echo 2) skipped"
[ "$failed" = 0 ]
