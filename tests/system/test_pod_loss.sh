#!/usr/bin/env bash
# A pod that dies or is deleted: only that pod is created again, all ranks restart, everybody else keeps its pod.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 3 --gpus-per-node 2 >/dev/null || fail "up"
gpus=2 plain_job steady 3 2 'sleep 1000' >steady.yaml
mltrain submit steady.yaml >/dev/null
mltrain wait steady --for Running --timeout 30s >/dev/null || fail "not running"
server=$(sed -n 's/ *server: //p' "$(mltrain cluster kubeconfig)")
token=$(cat "$MLTRAIN_HOME/clusters/default/token")
api() { curl -s --cacert "$MLTRAIN_HOME/clusters/default/ca.crt" -H "Authorization: Bearer $token" "$@"; }
pods() { api "$server/api/v1/namespaces/default/pods?labelSelector=mltrain.io/job-name=steady" |
  jq -r '.items[] | select(.status.phase=="Running" and .metadata.deletionTimestamp==null) | .metadata.labels["mltrain.io/index"] + " " + .metadata.uid' | sort; }

three_pods() { [ "$(pods | wc -l)" = 3 ]; }
eventually 10 three_pods || fail "not three pods"
before=$(pods)
api -X DELETE "$server/api/v1/namespaces/default/pods/steady-worker-1?gracePeriodSeconds=0" >/dev/null
eventually 30 job_is steady .status.attempt 2 || fail "no second attempt"
eventually 30 job_is steady .status.phase Running || fail "not running again"
after=$(pods)
[ "$(echo "$before" | grep -v '^1 ')" = "$(echo "$after" | grep -v '^1 ')" ] || { echo "$before"; echo "$after"; fail "other pods were replaced"; }
[ "$(echo "$before" | grep '^1 ')" != "$(echo "$after" | grep '^1 ')" ] || fail "pod 1 was not replaced"
job_is steady '.status.restartsCharged // 0' 0 || fail "a deleted pod was charged"

# A launcher killed: the pod fails, and is created again under another name; the failed one stays for its log.
pid=$(for d in /proc/[0-9]*; do grep -qzx MLTRAIN_SLOT=2 "$d/environ" 2>/dev/null &&
  grep -q mltrain-launche "$d/comm" 2>/dev/null && grep -qF "$work" "$d/mountinfo" && echo "${d#/proc/}"; done 2>/dev/null | head -1)
[ -n "$pid" ] || fail "launcher of slot 2 not found"
kill -9 "$pid"
eventually 30 job_is steady .status.attempt 3 || fail "no third attempt"
eventually 30 job_is steady .status.phase Running || fail "not running after the launcher's death"

# What happened, in order: the job's events and those of its pods, the replaced ones included.
mltrain events steady -o json >events.json || fail "events"
jq -e '[.items[] | select(.involvedObject.kind == "Pod") | .involvedObject.name] | index("steady-worker-1") and index("steady-worker-1-r2")' \
  events.json >/dev/null || { jq -c '.items[] | [.involvedObject.name, .reason]' events.json; fail "events of the pods of member 1"; }
mltrain events steady --warnings >warnings.txt || fail "warnings"
awk 'NR > 1 && $2 != "Warning"' warnings.txt | grep . && fail "not a warning"
mltrain events steady -w >watched.txt &
watcher=$!
mltrain cancel steady --now >/dev/null
cancelled() { grep -q 'trainingjob/steady .*ancel' watched.txt; }
eventually 20 cancelled || { cat watched.txt; fail "a watch did not see the end"; }
kill "$watcher"
[ "$(grep -c 'LAST SEEN' watched.txt)" = 1 ] || fail "headings of a watch"
