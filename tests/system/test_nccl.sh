#!/usr/bin/env bash
# Communicators of NCCL in gangs, in C and in Python: the example, ranks that are missing, fail or have another library, groups,
# making them again. With the pretended library of tests/pretended_nccl, and the example with the real one where a GPU is.
. "$(dirname "$0")/common.sh"
type cc >/dev/null 2>&1 || skip "no C compiler"

pretended=$work/pretended # in the folder that pods see
cp -r "$MLTRAIN_BUILD_DIR/tests/pretended_nccl" "$pretended" || fail "no pretended NCCL was built"
example=$MLTRAIN_SOURCE_DIR/examples/nccl-allreduce
flags=$(grep -q fsanitize "$MLTRAIN_BUILD_DIR/build.ninja" && echo -fsanitize=address,undefined)
# shellcheck disable=SC2086 # perhaps none
cc -O2 -Wall -Werror $flags -I "$MLTRAIN_SOURCE_DIR/sdk" "$example/allreduce.c" -o allreduce "$MLTRAIN_BUILD_DIR/lib/libmltrain.a" \
  -ldl -lpthread || fail "the example does not build"
mkdir files
export PRETENDED_NCCL_DIR=$work/files MLTRAIN_NCCL_LIBRARY=$pretended/libnccl.so.2 MLTRAIN_NCCL_CUDART=$pretended/libcudart.so.12
export PRETENDED_GPUS=8

# gang PODS RANKS COMMAND...: as a gang; what it says is in out.txt
gang() {
  local pods=$1 ranks=$2
  shift 2
  timeout 120 mltrain run --framework plain --nnodes "$pods" --nproc "$ranks" --max-restarts 0 -- "$@" >out.txt 2>err.txt
}
must() { gang "$@" || { cat out.txt err.txt; fail "$*: exit code $?"; }; }

# ---- the example in C ----
must 2 2 ./allreduce
sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff "$example/expected-output.txt" - || fail "the example said something else"
[ "$(find files -name 'aborted-*' | wc -l)" = 4 ] || fail "four ranks have aborted one communicator each"
[ "$(find files -name 'destroyed-*' | wc -l)" = 8 ] || fail "four ranks have ended two communicators each"
./allreduce >out.txt || fail "the example alone, without mltrain"
[ "$(grep -c 'rank 0 of 1' out.txt)" = 3 ] || { cat out.txt; fail "not a world of one"; }

# ---- found by the dynamic linker, as in an image with NCCL in the system's folders ----
(unset MLTRAIN_NCCL_LIBRARY MLTRAIN_NCCL_CUDART && LD_LIBRARY_PATH=$pretended must 1 2 ./allreduce) || exit 1

# ---- ranks in Python, alone and mixed with C ----
cat >ranks.py <<'PY'
import ctypes
import errno
import os
import sys

import mltrain
from mltrain import nccl

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def add(comm):
    numbers = (ctypes.c_int64 * 3)(comm.rank, 1, -5)
    result = comm.library.ncclAllReduce(numbers, numbers, ctypes.c_size_t(3), 4, 0, ctypes.c_void_p(comm.handle), None)
    if result or list(numbers) != [comm.size * (comm.size - 1) // 2, comm.size, -5 * comm.size]:
        raise SystemExit(f"sums {list(numbers)} of {comm.size}")


def fails(number, words, **options):
    try:
        mltrain.nccl_init(**options)
    except OSError as error:
        if error.errno != number or words not in str(error):
            raise SystemExit(f"rank {rank}: {error!r} instead of {errno.errorcode[number]} {words!r}")
        return
    raise SystemExit(f"rank {rank}: succeeded instead of {errno.errorcode[number]}")


def groups():
    """Colours are the parity, keys turn the order round; the last rank is of none."""
    colour = nccl.NO_GROUP if rank == size - 1 else rank % 2
    comm = mltrain.nccl_init("groups", colour=colour, key=-rank)
    if colour == nccl.NO_GROUP:
        if comm is not None:
            raise SystemExit("a communicator of none")
        return
    mine = [r for r in range(size - 1) if r % 2 == colour]
    if (comm.rank, comm.size) != (len(mine) - 1 - mine.index(rank), len(mine)):
        raise SystemExit(f"rank {rank} is {comm.rank} of {comm.size} in its group")
    add(comm)
    comm.destroy()


def missing():
    """Rank 1 does not come; the next call is with all."""
    if rank == 1:
        mltrain.get("over", 60)
        fails(errno.ETIMEDOUT, "", timeout=30)
    else:
        fails(errno.ETIMEDOUT, "1", timeout=1)
        if rank == 0:
            mltrain.put("over", b"")
    comm = mltrain.nccl_init(timeout=30)
    add(comm)
    comm.abort()
    comm.abort()
    comm = mltrain.nccl_init(timeout=30)
    add(comm)
    comm.destroy()


def failing():
    """A rank that cannot take part tells the others: at once, and with its words."""
    for who in (0, size - 1):
        gpus = os.environ["PRETENDED_GPUS"]
        if rank == who:
            os.environ["PRETENDED_GPUS"] = "0"
            fails(errno.ENODEV, "driver version is insufficient", timeout=60)
        else:
            fails(errno.EREMOTEIO, f"rank {who}: no CUDA device", timeout=60)
            fails_in_groups = (errno.EREMOTEIO, f"rank {who}: no CUDA device")
        if rank == who:
            fails(errno.ENODEV, "insufficient", colour=0, timeout=60)
        else:
            fails(*fails_in_groups, colour=0, timeout=60)
        os.environ["PRETENDED_GPUS"] = gpus
    os.environ["PRETENDED_NCCL"] = "no-id" if rank == 1 else ""
    if rank % 2:
        fails(errno.EIO if rank == 1 else errno.EREMOTEIO, "ncclGetUniqueId: unhandled system error", name="ids",
              colour=1, timeout=60)
    else:
        mltrain.nccl_init("ids", colour=0, timeout=60).destroy()
    os.environ["PRETENDED_NCCL"] = "breaks"
    fails(errno.EIO, "Duplicate GPU detected", timeout=60)
    os.environ["PRETENDED_NCCL"] = "no-progress" if rank == 0 else ""
    if rank == 0:
        fails(errno.ETIMEDOUT, "NCCL_SOCKET_IFNAME", timeout=1)
    else:
        mltrain.nccl_init(timeout=30)
    os.environ["PRETENDED_NCCL"] = ""
    # Others ask for groups where some ask for all.
    try:
        mltrain.nccl_init("mixed", colour=None if rank else 0, timeout=5)
        raise SystemExit("all and groups went together")
    except OSError as error:
        if error.errno not in (errno.EPROTO, errno.EREMOTEIO):
            raise


def differing():
    os.environ["PRETENDED_NCCL"] = f"version={23000 + rank}"
    if rank == 0:
        try:
            mltrain.nccl_init(timeout=1)
        except OSError:
            pass
        return
    fails(errno.ELIBBAD, f"rank 0 has NCCL 23000, this one {23000 + rank}", timeout=30)


if sys.argv[1] == "mixed" and rank % 2:
    os.execv("./allreduce", ["./allreduce"])
elif sys.argv[1] == "mixed":
    world = mltrain.nccl_init()
    numbers = (ctypes.c_int64 * 1000000)(*range(rank, rank + 1000000))
    comms = [world]

    def turn(comm):
        comm.library.ncclAllReduce(numbers, numbers, ctypes.c_size_t(len(numbers)), 4, 0, ctypes.c_void_p(comm.handle), None)

    turn(world)
    mltrain.nccl_init("parity", colour=0).destroy()
    world.abort()
    numbers = (ctypes.c_int64 * 1000000)(*range(rank, rank + 1000000))
    world = mltrain.nccl_init()
    turn(world)
    world.destroy()
else:
    {"groups": groups, "missing": missing, "failing": failing, "differing": differing}[sys.argv[1]]()
print(f"rank {rank} is done", flush=True)
PY
for what in "groups 2 3" "missing 2 2" "failing 2 2" "differing 3 1" "mixed 2 2"; do
  read -r case pods ranks <<<"$what"
  must "$pods" "$ranks" python3 ranks.py "$case"
  [ "$(grep -cE 'is done|once more' out.txt)" = $((pods * ranks)) ] || { cat out.txt err.txt; fail "$what: not all ranks"; }
done

# ---- the example in Python, with as much of torch as it uses ----
sed -n '/^  allreduce.py: |/,/^---/{/^    /s/^    //p;/^$/p}' "$example/job.yaml" >allreduce.py
mkdir fake && cat >fake/torch.py <<'PY'
import ctypes
import types

int64 = "int64"


class Tensor:
    def __init__(self, values):
        self.values = (ctypes.c_int64 * len(values))(*values)

    def each(self, what):
        return Tensor([what(x) for x in self.values])

    def __mul__(self, other):
        return self.each(lambda x: x * other)

    def __add__(self, other):
        return self.each(lambda x: x + other)

    def __getitem__(self, index):
        return Tensor(self.values[index])

    def tolist(self):
        return list(self.values)

    def data_ptr(self):
        return ctypes.addressof(self.values)

    def numel(self):
        return len(self.values)


def arange(count, dtype, device):
    assert dtype == int64 and device == "cuda"
    return Tensor(range(count))


def equal(a, b):
    return bytes(a.values) == bytes(b.values)


cuda = types.SimpleNamespace(set_device=lambda device: None, device_count=lambda: 8, current_stream=lambda: types.SimpleNamespace(
    cuda_stream=0, synchronize=lambda: None))
PY
PYTHONPATH=$work/fake must 2 2 python3 allreduce.py
sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff "$example/expected-output.txt" - || fail "the example in Python said something else"

# ---- more ids than one: 300 ranks of one pod, in C ----
cat >many.c <<'C'
#include <stdio.h>
#include "mltrain.h"
#include "mltrain_nccl.h"
int main(void)
{
    struct ncclComm *world;
    struct mltrain_nccl_options options = MLTRAIN_NCCL_OPTIONS;
    options.device = MLTRAIN_NCCL_DEVICE_CURRENT;
    if (mltrain_nccl_init(&options, &world) < 0 || mltrain_nccl_destroy(world, 0) < 0)
        return fprintf(stderr, "%s\n", mltrain_error()) > 0;
    return 0;
}
C
# shellcheck disable=SC2086
cc -O2 -Wall -Werror $flags -I "$MLTRAIN_SOURCE_DIR/sdk" many.c -o many "$MLTRAIN_BUILD_DIR/lib/libmltrain.a" -ldl -lpthread ||
  fail "many.c does not build"
rm -rf files && mkdir files
must 2 150 ./many
[ "$(find files -name 'rank-*' | wc -l)" = 300 ] && [ "$(find files -mindepth 1 -maxdepth 1 | wc -l)" = 1 ] || fail "not one world of 300"

# ---- the real ones ----
[ -e /dev/nvidia0 ] || { echo "without a GPU, the part with the real NCCL is left out"; exit 0; }
unset MLTRAIN_NCCL_LIBRARY MLTRAIN_NCCL_CUDART
must 1 1 ./allreduce
if gang 1 2 env CUDA_VISIBLE_DEVICES=0 ./allreduce; then fail "two ranks have shared a GPU"; fi
grep -q 'Duplicate GPU detected' out.txt err.txt || { cat out.txt err.txt; fail "not refused clearly"; }
