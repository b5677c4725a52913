#!/usr/bin/env bash
# Two jobs that each need most of the cluster run one after the other, never half and half; the second says why it waits.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 4 --gpus-per-node 2 >/dev/null || fail "up"
for name in first second; do
  gpus=2 plain_job $name 3 1 "echo \$(date +%s%N) begin; sleep 2; echo \$(date +%s%N) end" >$name.yaml
  mltrain submit $name.yaml >/dev/null || fail "submit $name"
done
eventually 20 job_is first .status.phase Running || fail "first does not run"
job_is second .status.phase Queued || fail "second is not queued"
why=$(mltrain get second | tail -1)
echo "$why" | finds -E "3 .*(nvidia.com/gpu|GPU)" || fail "no numbers in: $why"
[[ "$(mltrain logs second 2>&1)" == *"has no pods"* ]] || fail "second has pods"
mltrain explain second >explained.txt || fail "explain"
for words in 'Waits because: needs 3 pods' 'Asked: .*3 pods, each of .*, 2 nvidia.com/gpu' 'Free: .*2 of 8 nvidia.com/gpu on the 4 of 4 nodes' \
  'Largest hole: .*2 on one node; 1 such pod fits now' 'Held: .*6 by default/first, without a time limit' '1 pod instead of 3 would fit now'; do
  grep -qE "$words" explained.txt || { cat explained.txt; fail "explain does not say: $words"; }
done
mltrain explain first | finds 'does not wait' || fail "explain of a job that runs"
mltrain wait first --timeout 30s >/dev/null && mltrain wait second --timeout 30s >/dev/null || fail "did not finish"
last_of_first=$(mltrain logs first | sed 's/^\[[^]]*\] //' | awk '/end/ {print $1}' | sort -n | tail -1)
first_of_second=$(mltrain logs second | sed 's/^\[[^]]*\] //' | awk '/begin/ {print $1}' | sort -n | head -1)
[ "$last_of_first" -lt "$first_of_second" ] || fail "they ran at the same time"

# What can never fit is said at once.
gpus=3 plain_job never 1 1 true >never.yaml
begin=$(date +%s%N)
mltrain run never.yaml >/dev/null 2>err.txt && fail "ran on 3 GPUs of 2"
took=$((($(date +%s%N) - begin) / 1000000))
grep -q "can never run here" err.txt || { cat err.txt; fail "not said"; }
[ "$took" -lt 3000 ] || fail "took $took ms to say so"
