#!/usr/bin/env bash
# failurePolicy.fenceSeconds: a controller that is away for too long stops the job that asks for it, and no other.
. "$(dirname "$0")/common.sh"
stopped=
trap 'rc=$?; [ -n "$stopped" ] && kill -CONT $stopped; (exit $rc); finish' EXIT

mltrain cluster up >/dev/null || fail "up"
plain_job steady 1 1 'while :; do sleep 0.2; done' >steady.yaml
plain_job fenced 1 2 'while :; do sleep 0.2; done' '  failurePolicy: {fenceSeconds: 10}' >fenced.yaml
mltrain submit steady.yaml >/dev/null
mltrain submit fenced.yaml >/dev/null
eventually 30 job_is steady .status.phase Running || fail "not running"
eventually 30 job_is fenced .status.phase Running || fail "fenced: not running"
eventually 10 ranks_are fenced 2 || fail "fenced: not two ranks"
eventually 10 ranks_are steady 1 || fail "not one rank"
rank=$(rank_pid steady 0)
stopped=$(program mltrain-controller '')
[ -n "$stopped" ] || fail "no controller"
kill -STOP "$stopped"
eventually 60 no_ranks fenced || fail "the fence did not stop the ranks"
kill -CONT "$stopped"
stopped=
eventually 60 job_is fenced .status.attempt 2 || fail "fenced: no second attempt"
eventually 30 job_is fenced .status.phase Running || fail "fenced: not running again"
job_is fenced '.status.restartsCharged // 0' 0 || fail "the fence was charged"
job fenced '.status.failures[0].message' | finds 'stopped by its fence' || fail "message: $(job fenced '.status.failures[0]')"
job_is steady .status.attempt 1 || fail "a controller that was away stopped a job without a fence"
[ "$(rank_pid steady 0)" = "$rank" ] || fail "a controller that was away ended a rank"
