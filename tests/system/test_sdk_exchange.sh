#!/usr/bin/env bash
# Ranks of several pods exchange bytes by libmltrain, in Python and in C: barriers, gathers, values; a rank that is missing is
# named to all, and the next round is the same one everywhere; the next attempt begins with nothing.
. "$(dirname "$0")/common.sh"

cat >exchange.py <<'PY'
import errno
import os
import time

import mltrain

rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def fails(number, words, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except OSError as error:
        if error.errno != number or words not in str(error):
            raise SystemExit(f"rank {rank}: {error!r} instead of {errno.errorcode[number]} {words!r}")
        return
    raise SystemExit(f"rank {rank}: {call.__name__} {arguments} succeeded")


for turn in range(20):
    given = bytes([rank]) * (rank % 3) * 100
    got = mltrain.gather("turns", given)
    if got != [bytes([i]) * (i % 3) * 100 for i in range(size)]:
        raise SystemExit(f"rank {rank}, turn {turn}: {got}")

# Nobody leaves a barrier before the last has come.
times = []
for turn in range(3):
    time.sleep(0.05 if rank == turn else 0)
    came = time.time()
    mltrain.barrier("step")
    times.append((came, time.time()))
latest = [max(float(x) for x in mltrain.gather("came", repr(t[0]).encode())[:]) for t in times]
if any(left < last for (_, left), last in zip(times, latest)):
    raise SystemExit(f"rank {rank} left a barrier too early")

# A value: got before and after it is put; put twice; empty.
if rank == 1:
    time.sleep(0.2)
    mltrain.put("address", b"10.0.0.7:1\x00\xff")
    mltrain.put("address", b"10.0.0.7:1\x00\xff")
    fails(errno.EEXIST, "", mltrain.put, "address", b"another")
    mltrain.put("empty", b"")
if mltrain.get("address") != b"10.0.0.7:1\x00\xff" or mltrain.get("empty", 20) != b"":
    raise SystemExit("another value")
fails(errno.ETIMEDOUT, "", mltrain.get, "never", timeout=0.3)

# Rank 2 is missing, and comes when it is over: all know, and the next round is the same one for all.
if rank == 2:
    mltrain.get("over", 60)
    fails(errno.ETIMEDOUT, "", mltrain.gather, "missed", b"late", timeout=5)
else:
    fails(errno.ETIMEDOUT, "2", mltrain.gather, "missed", b"here", timeout=1)
    if rank == 0:
        mltrain.put("over", b"yes")
if mltrain.gather("missed", str(rank).encode()) != [str(i).encode() for i in range(size)]:
    raise SystemExit("the rounds are not the same ones any more")

# What is too much is refused for all, and does no harm.
big = mltrain.gather("big", os.urandom(4096))
if [len(x) for x in big] != [4096] * size:
    raise SystemExit("big")
for wrong in ("a b", "", "nccl:world", "n" * 64):
    try:
        mltrain.barrier(wrong)
        raise SystemExit(f"name {wrong!r} was taken")
    except ValueError:
        pass

# The next attempt finds nothing of this one.
attempt = mltrain.attempt()
if attempt == 2:
    fails(errno.ETIMEDOUT, "", mltrain.get, "attempt-1", timeout=0.3)
mltrain.put(f"attempt-{attempt}", b"x") if rank == 0 else mltrain.get(f"attempt-{attempt}")
mltrain.barrier("end")
if attempt == 1 and rank == 0:
    raise SystemExit(3)
if attempt == 1:
    mltrain.barrier("waits until the attempt ends".replace(" ", "-"), timeout=600)
print(f"rank {rank} has exchanged", flush=True)
PY
for shape in "2 2" "3 1"; do
  read -r pods ranks <<<"$shape"
  timeout 120 mltrain run --framework plain --nnodes "$pods" --nproc "$ranks" --max-restarts 1 -- python3 exchange.py >out.txt 2>err.txt ||
    { cat out.txt err.txt; fail "$shape: exit code $?"; }
  [ "$(grep -c 'has exchanged' out.txt)" = $((pods * ranks)) ] || { cat out.txt; fail "$shape: not all ranks"; }
done
