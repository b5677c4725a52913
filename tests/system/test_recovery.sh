#!/usr/bin/env bash
# The recovery example: a rank breaks, all go on in the same pods from the last complete checkpoint.
. "$(dirname "$0")/common.sh"

mkdir checkpoints
sed "s|/tmp/mltrain-recovery|$work/checkpoints|" "$MLTRAIN_SOURCE_DIR/examples/recovery/job.yaml" >job.yaml
mltrain cluster up >/dev/null || fail "cluster up"
mltrain submit job.yaml || fail "submit"
eventually 20 job_is recovery .status.phase Running || fail "not running"
kubectl=$(mltrain cluster kubeconfig)
mltrain wait recovery --timeout 60s || fail "the job did not succeed"

mltrain logs recovery --rank 0 >rank0.txt
grep -E '^(attempt|done)' rank0.txt >seen.txt
grep -E '^(attempt|done)' "$MLTRAIN_SOURCE_DIR/examples/recovery/expected-output.txt" | diff - seen.txt || fail "another course of events"
mltrain logs recovery --rank 1 --attempt 1 | finds "rank 1 breaks now" || fail "the first attempt's log is gone"
[ -z "$(mltrain logs recovery --rank 1 --attempt 2 | grep breaks)" ] || fail "lines of attempt 1 under attempt 2"
mltrain logs recovery --previous --rank 0 | finds "begins at step 0" || fail "--previous"

job_is recovery .status.attempt 2 || fail "attempt"
job_is recovery .status.restarts 1 || fail "restarts"
job_is recovery '.status.failures[0].rank' 1 || fail "the culprit is not rank 1"
job_is recovery '.status.failures[0].signal' 9 || fail "the signal is not 9"
job_is recovery .status.checkpoint.step 60 || fail "last checkpoint"
[ "$(mltrain describe recovery | grep -c 'signal 9')" -ge 1 ] || fail "describe does not name the signal"
[ -n "$kubectl" ] || fail "no kubeconfig"
