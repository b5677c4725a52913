#!/usr/bin/env bash
# A launcher that cannot be heard, for longer than it takes to lose a node, while its kubelet is well: nothing happens.
. "$(dirname "$0")/common.sh"
stopped=
trap 'rc=$?; [ -n "$stopped" ] && kill -CONT $stopped 2>/dev/null; (exit $rc); finish' EXIT

mltrain cluster up --nodes 2 --gpus-per-node 1 >/dev/null || fail "up"
gpus=1 plain_job steady 2 1 'while :; do sleep 0.2; done' >steady.yaml
mltrain submit steady.yaml >/dev/null
eventually 30 job_is steady .status.phase Running || fail "not running"
eventually 30 job_is steady .status.workers 2/2 || fail "not whole"
rank=$(rank_pid steady 0)
stopped=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$rank/status")
kill -STOP $stopped 2>/dev/null
eventually 90 job_is steady .status.workers 1/2 || fail "its channel was not closed after 30 s"
kill -CONT $stopped 2>/dev/null
stopped=
eventually 60 job_is steady .status.workers 2/2 || fail "it did not come back"
job_is steady .status.attempt 1 || fail "a launcher that could not be heard was lost"
[ "$(rank_pid steady 0)" = "$rank" ] || fail "its rank was started anew"
