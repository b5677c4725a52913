#!/usr/bin/env bash
# A node that dies, by SIGSTOP to its agent and to everything that runs under it, and comes back.
. "$(dirname "$0")/common.sh"
stopped=
trap 'rc=$?; [ -n "$stopped" ] && kill -CONT $stopped 2>/dev/null; (exit $rc); finish' EXIT

# tree PID: it and all its descendants
tree() {
  local child
  echo "$1"
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do tree "$child"; done
}
is_gone() { [ ! -e "/proc/$1/stat" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"; }
api() { curl -s --cacert "$MLTRAIN_HOME/clusters/default/ca.crt" -H "Authorization: Bearer $token" "$server$1"; }
pod_uid() { api "/api/v1/namespaces/default/pods/$1" | jq -r .metadata.uid; }

mltrain cluster up --nodes 3 --gpus-per-node 1 >/dev/null || fail "up"
server=$(sed -n 's/ *server: //p' "$(mltrain cluster kubeconfig)")
token=$(cat "$MLTRAIN_HOME/clusters/default/token")
gpus=1 plain_job steady 2 1 'while :; do sleep 0.2; done' >steady.yaml
mltrain submit steady.yaml >/dev/null
eventually 30 job_is steady .status.phase Running || fail "not running"
job_is steady .status.placement.workers 'node-[0-1]' || fail "another placement: $(job steady .status.placement.workers)"
eventually 10 ranks_are steady 2 || fail "not two ranks"
kept=$(pod_uid steady-worker-0)
old=$(rank_pid steady 1)

# A node dies: its Node object says Ready all the time, its Lease tells.
stopped=$(tree "$(program mltrain-localcluster ' --node node-1 ')")
[ "$(wc -w <<<"$stopped")" -gt 4 ] || fail "the processes of node-1 were not found: $stopped"
began=$SECONDS
kill -STOP $stopped 2>/dev/null
eventually 60 job_is steady .status.attempt 2 || fail "the node was not lost"
echo "lost and started again after $((SECONDS - began)) s"
eventually 30 job_is steady .status.phase Running || fail "not running without the node"
job_is steady .status.placement.workers 'node-[0,2]' || fail "the wrong slot moved: $(job steady .status.placement)"
[ "$(pod_uid steady-worker-0)" = "$kept" ] || fail "the other pod was replaced"
job_is steady '.status.restartsCharged // 0' 0 || fail "a lost node was charged"
job_is steady '.status.failures[0].cause' Infrastructure || fail "cause: $(job steady '.status.failures[0]')"
mltrain describe steady | finds "Lease was not renewed" || fail "people are not told why"
is_gone "$old" && fail "the old rank had ended before its node was back"

# It comes back: its ranks end, the running attempt is not disturbed, the node may be used again.
kill -CONT $stopped 2>/dev/null
stopped=
eventually 30 is_gone "$old" || fail "the old rank runs beside its replacement"
eventually 30 grep -q 'node is back node=node-1' "$MLTRAIN_HOME/clusters/default/log/controller.log" || fail "the node is not back"
job_is steady .status.attempt 2 || fail "the old launcher disturbed the new attempt"
