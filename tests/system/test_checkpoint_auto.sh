#!/usr/bin/env bash
# `mltrain run --checkpoint-path`, with nothing said about the format: the newest complete checkpoint is resumed from, a torn one never.
. "$(dirname "$0")/common.sh"

mkdir ckpt
# dcp STEP SHARD...: a folder as torch.distributed.checkpoint leaves it, whose .metadata names two shards; those given are there
cat >dcp.sh <<'SH'
dcp() {
  local folder="$work/ckpt/step-$1" shard
  shift
  mkdir -p "$folder"
  for shard in "$@"; do echo data >"$folder/$shard"; done
  python3 -c 'import pickle, sys; pickle.dump({i: {"relative_path": f"__{i}_0.distcp"} for i in (0, 1)}, open(sys.argv[1], "wb"), 2)' "$folder/.metadata"
}
SH
. ./dcp.sh
export work
dcp 10 __0_0.distcp __1_0.distcp
dcp 20 __0_0.distcp
mkdir ckpt/step-30
echo data >ckpt/step-30/__0_0.distcp

cat >train.sh <<'SH'
work=$1
. "$work/dcp.sh"
echo "attempt $MLTRAIN_ATTEMPT goes on from ${MLTRAIN_RESUME_STEP:-nothing} in ${MLTRAIN_RESUME_PATH:-nothing}"
[ "$MLTRAIN_ATTEMPT" = 2 ] && exit 0
if [ "$RANK" = 0 ]; then
  dcp 40 __0_0.distcp __1_0.distcp
  dcp 50 __1_0.distcp
  exit 3
fi
sleep 60
SH
mltrain run --nproc 2 --checkpoint-path "$work/ckpt" -- bash "$work/train.sh" "$work" >out.txt 2>err.txt || {
  cat out.txt err.txt >&2
  fail "mltrain run"
}
grep -q "attempt 1 goes on from 10 in $work/ckpt/step-10$" out.txt || { cat out.txt err.txt >&2; fail "attempt 1 does not go on from step 10"; }
[ "$(grep -c "attempt 2 goes on from 40 in $work/ckpt/step-40$" out.txt)" = 2 ] || { cat out.txt err.txt >&2; fail "attempt 2 does not go on from step 40 in each rank"; }
[ -e ckpt/step-20/.metadata ] && [ -e ckpt/step-50/.metadata ] || fail "a torn checkpoint was touched"
