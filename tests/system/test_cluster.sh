#!/usr/bin/env bash
# up, down, up again; every program killed in turn while a job runs: no rank notices, and the store is kept.
. "$(dirname "$0")/common.sh"

mltrain cluster status >/dev/null && fail "status of a cluster that never was"
mltrain cluster up --nodes 2 --gpus-per-node 4 || fail "up"
mltrain cluster up | finds already || fail "up twice"
mltrain cluster status | tee status.txt | finds "API server https://127.0.0.1" || fail "status"
[ "$(grep -c 'ready.*4 GPUs' status.txt)" = 2 ] || { cat status.txt; fail "two nodes with 4 GPUs"; }
dir=$MLTRAIN_HOME/clusters/default
[ "$(stat -c %a "$dir/kubeconfig")" = 600 ] && [ "$(stat -c %a "$dir/token")" = 600 ] && [ "$(stat -c %a "$dir")" = 700 ] || fail "modes"

gpus=4 plain_job steady 2 2 'trap "exit 0" TERM; i=0; while :; do echo "step $i"; i=$((i+1)); sleep 0.2; done' >steady.yaml
mltrain submit steady.yaml || fail "submit"
mltrain wait steady --for Running --timeout 30s || fail "not running"
eventually 10 ranks_are steady 4 || fail "not four ranks"
before=$(rank_pids steady)
[ -n "$before" ] || fail "no ranks found"

another() { local now; now=$(program_pid "$1"); [ -n "$now" ] && [ "$now" != "$2" ]; }
program_pid() { pgrep -f "$1" | head -1; }
for program in "mltrain-controller.*$dir" "mltrain-localcluster api --dir $dir" "mltrain-localcluster agent --dir $dir --node node-0" \
  "mltrain-localcluster agent --dir $dir --node node-1"; do
  pid=$(program_pid "$program")
  [ -n "$pid" ] || fail "no process $program"
  kill -9 "$pid"
  eventually 20 another "$program" "$pid" || fail "$program was not started again"
done
eventually 30 mltrain get steady || fail "the API server does not answer"
sleep 3
[ "$(rank_pids steady)" = "$before" ] || { echo "$before"; rank_pids steady; fail "the ranks changed when programs were killed"; }
eventually 20 job_is steady .status.workers 2/2 || fail "workers"
job_is steady .status.attempt 1 || fail "a restart happened"
mltrain logs steady --rank 3 | sed -n 1,3p | finds "step 0" || fail "logs"

# And it still obeys: cancel ends it.
mltrain cancel steady || fail "cancel"
mltrain wait steady --timeout 30s
eventually 10 job_is steady .status.phase Failed || fail "not failed after cancel"
job_is steady '.status.conditions[] | select(.type=="Failed") | .reason' Cancelled || fail "reason"

mltrain cluster down || fail "down"
[ -z "$(left_over)" ] || { left_over; fail "something runs after down"; }
mltrain cluster up || fail "up again"
job_is steady .status.phase Failed || fail "the store was not kept"
