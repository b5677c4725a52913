#!/usr/bin/env bash
# checkpoint.repair: a program that takes the highest checkpoint-N by itself, as Hugging Face's Trainer does, goes on from a whole one.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "cluster up"
mkdir ckpt
cat >trainer.sh <<'SH'
# save STEP: what the Trainer writes, as far as it is looked at
save() {
  mkdir -p "checkpoint-$1"
  python3 - "checkpoint-$1/model.safetensors" <<'PY'
import json, struct, sys
header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header + bytes(16))
PY
  echo "{\"epoch\": 1.0, \"global_step\": $1}" >"checkpoint-$1/trainer_state.json"
}
SH
cat >train.sh <<'SH'
cd "$1/ckpt"
. ../trainer.sh
last=$(ls -d checkpoint-* 2>/dev/null | sed -n 's/^checkpoint-\([0-9]*\)$/\1/p' | sort -n | tail -1)
echo "attempt $MLTRAIN_ATTEMPT takes ${last:-nothing}, is told ${MLTRAIN_RESUME_STEP:-nothing}"
[ "$MLTRAIN_ATTEMPT" = 2 ] && exit 0
save 30
rm checkpoint-30/trainer_state.json # killed before it was written
exit 3
SH
(cd ckpt && . ../trainer.sh && save 10 && save 20 && truncate -s -1 checkpoint-20/model.safetensors)
touch -d '1 minute ago' ckpt/*/*
volumes="            volumeMounts: [{name: w, mountPath: $work}]
        volumes: [{name: w, hostPath: {path: $work}}]" plain_job repaired 1 1 "exec bash $work/train.sh $work" "  checkpoint: {path: $work/ckpt, format: huggingface, repair: true}" >job.yaml
mltrain submit job.yaml >/dev/null || fail "submit"
mltrain wait repaired --timeout 60s || { mltrain describe repaired >&2; fail "the job did not succeed"; }
mltrain logs repaired >out.txt
grep -q "attempt 1 takes 10, is told 10$" out.txt || { cat out.txt >&2; fail "attempt 1 does not take step 10"; }
grep -q "attempt 2 takes 10, is told 10$" out.txt || { cat out.txt >&2; fail "attempt 2 does not take step 10"; }
[ -e ckpt/checkpoint-20.torn-1/model.safetensors ] && [ -e ckpt/checkpoint-30.torn-2/model.safetensors ] || { ls -R ckpt >&2; fail "what was torn is not kept under another name"; }
mltrain describe repaired >described.txt
[ "$(grep -c CheckpointRepaired described.txt)" = 2 ] || { cat described.txt >&2; fail "the changes are not told"; }
