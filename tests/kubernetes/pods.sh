#!/usr/bin/env bash
# Pods of a job on a real Kubernetes: kubectl and mltrain show a job as they do on one machine; exec and port-forward reach the ranks;
# containers beside the trainer neither keep a worker alive nor end it.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/pods.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/jobs_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/jobs_common.sh"

# ---- as on one machine ----

# what_is_shown JOB: by both programs, with what must differ made equal: times, names of nodes, namespaces and objects' identities. Lines
# are sorted: ranks speak in any order, and so do events of one second.
what_is_shown() {
  local command commands=("kubectl get tj $1" "kubectl get tj $1 -o wide" "kubectl get pods -l mltrain.io/job-name=$1"
    "kubectl describe tj $1" "kubectl logs $1-worker-0" "kubectl logs $1-worker-1" "mltrain get $1" "mltrain describe $1"
    "mltrain logs $1" "mltrain logs $1 --rank 0" "mltrain logs $1 --rank 3" "mltrain logs $1 --rank 4")
  for command in "${commands[@]}"; do
    echo "# $command"
    # shellcheck disable=SC2086 # words on purpose
    $command 2>&1 | without_what_differs | sort
  done
}
without_what_differs() {
  sed -E -e '/^ +(UID|Resource Version):/d' -e "s/$namespace|default/NAMESPACE/" -e 's/node-\[[0-9]-[0-9]\]|node-[0-9]/NODE/g' \
    -e 's/[0-9-]{10}T[0-9:.]+Z/TIME/g' -e 's/\b[0-9]+[smh]([0-9]+s)?\b/AGE/g' -e 's|docker.io/mltrain|mltrain|' -e 's/ +/ /g; s/ $//'
}
on_one_machine() { KUBECONFIG=$work/one.kubeconfig "$@"; }
has_said() { [ "$(mltrain logs "$1" 2>/dev/null | grep -c 'I am')" = 4 ]; }

shown_alike() { # WHEN JOB
  what_is_shown "$2" >here.txt
  on_one_machine what_is_shown "$2" >there.txt
  diff there.txt here.txt >shown.diff || fail "$2, $1, is shown otherwise than on one machine: $(cat shown.diff)"
  grep -q 'I am 3 of 4' here.txt || fail "nothing is shown: $(cat here.txt)"
}

as_on_one_machine() {
  export MLTRAIN_HOME=$work/one
  mltrain cluster up --nodes 2 --gpus-per-node 2 >one.log 2>&1 || fail "no cluster on this machine: $(cat one.log)"
  mltrain cluster kubeconfig >one.kubeconfig.path && cp "$(cat one.kubeconfig.path)" one.kubeconfig || fail "no kubeconfig"
  job waits 2 "echo \"I am \$RANK of \$WORLD_SIZE\"; $until_told" | gpus 2 >waits.json
  job ends 2 'echo "I am $RANK of $WORLD_SIZE"' | gpus 2 | spec '.scheduling.binding = "affinity"' >ends.json
  job breaks 2 "echo \"I am \$RANK of \$WORLD_SIZE\"; $until_told" | gpus 2 |
    spec '.failurePolicy.rules = [{action: "FailJob", onSignals: {operator: "In", values: ["SIGKILL"]}}]' >breaks.json
  for kubeconfig in "$KUBECONFIG" "$work/one.kubeconfig"; do
    KUBECONFIG=$kubeconfig submit <waits.json
    KUBECONFIG=$kubeconfig runs waits
    KUBECONFIG=$kubeconfig eventually 20 has_said waits || fail "the ranks say nothing"
  done
  shown_alike "while it runs" waits
  for kubeconfig in "$KUBECONFIG" "$work/one.kubeconfig"; do
    KUBECONFIG=$kubeconfig mltrain cancel --now waits >/dev/null || fail "not cancelled"
    KUBECONFIG=$kubeconfig eventually 30 phase_is waits Failed || fail "not Failed"
    KUBECONFIG=$kubeconfig eventually 30 have_ended waits || fail "pods do not end"
  done
  shown_alike "when it was cancelled" waits
  for kubeconfig in "$KUBECONFIG" "$work/one.kubeconfig"; do
    KUBECONFIG=$kubeconfig submit <ends.json
    KUBECONFIG=$kubeconfig succeeds ends
    KUBECONFIG=$kubeconfig eventually 30 have_ended ends || fail "pods do not end"
    KUBECONFIG=$kubeconfig submit <breaks.json
    KUBECONFIG=$kubeconfig runs breaks
    KUBECONFIG=$kubeconfig eventually 20 has_said breaks || fail "the ranks say nothing"
  done
  kill_rank breaks-worker-1 3 && kill_rank_of_one_machine breaks 3 || fail "no rank 3"
  for kubeconfig in "$KUBECONFIG" "$work/one.kubeconfig"; do
    KUBECONFIG=$kubeconfig eventually 60 phase_is breaks Failed || fail "breaks does not fail: $(field breaks .status)"
    KUBECONFIG=$kubeconfig eventually 30 have_ended breaks || fail "pods do not end"
  done
  shown_alike "when it has succeeded" ends
  shown_alike "when it has failed" breaks
  mltrain cluster down --delete >/dev/null
  say "jobs are shown as on one machine"
}
kill_rank_of_one_machine() {
  local dir
  for dir in /proc/[0-9]*; do
    [ "$(tr '\0' '\n' <"$dir/environ" | grep -cxE "MLTRAIN_JOB=$1|MLTRAIN_NAMESPACE=default|RANK=$2")" = 3 ] &&
      [ "$(cat "/proc/$(sed -n 's/^PPid:[[:space:]]*//p' "$dir/status")/comm")" = mltrain-launche ] && kill -9 "${dir#/proc/}" && return 0
  done 2>/dev/null
  return 1
}
# have_ended JOB: its two pods, and the job's status has counted that
have_ended() {
  [ "$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{.items[*].status.phase}' | grep -oE 'Succeeded|Failed' | wc -l)" = 2 ] &&
    [ "$(field "$1" .status.replicas)" = 0 ]
}

# ---- exec and port-forward ----

served() { curl -s --noproxy '*' --max-time 5 "http://127.0.0.1:$port/who" >served.txt; }
forwards() { port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' forward.log) && [ -n "$port" ]; }

stop_forwarding() { { [ -n "${forwarder:-}" ] && kill "$forwarder" && wait "$forwarder"; forwarder=''; } 2>/dev/null; }

reached() {
  job served 2 'mkdir /dev/shm/$RANK; echo "rank $RANK, attempt $MLTRAIN_ATTEMPT" >/dev/shm/$RANK/who; exec httpd -f -p $((8000 + LOCAL_RANK)) -h /dev/shm/$RANK' |
    beside helper 'trap "exit 0" TERM; while :; do sleep 1; done' | submit
  runs served
  k exec served-worker-1 -c trainer -- sh -c 'ps -o pid,args' >ps.txt || fail "no exec"
  grep -qE '^ +1 /mltrain/bin/mltrain-launcher run' ps.txt || fail "the launcher is not process 1: $(cat ps.txt)"
  [ "$(grep -c 'httpd -f -p 800[01]' ps.txt)" = 2 ] || fail "the ranks are not in the trainer's container: $(cat ps.txt)"
  # What is left of an exec session belongs to no rank, and lives on when the ranks start again.
  k exec served-worker-1 -c trainer -- sh -c 'sleep 54321 </dev/null >/dev/null 2>&1 &' || fail "no exec"
  # Ranks run before the kubelet has told that their pod does.
  eventually 20 pod_is served-worker-1 .status.phase Running || fail "its pod is not Running"
  kubectl port-forward pod/served-worker-1 :8001 >forward.log 2>&1 &
  forwarder=$!
  eventually 20 forwards || fail "no port is forwarded: $(cat forward.log)"
  eventually 20 served && grep -qx 'rank 3, attempt 1' served.txt || fail "rank 3 is not reached: $(cat served.txt forward.log)"
  kill_rank served-worker-1 2 || fail "no rank 2"
  eventually 60 answers 'rank 3, attempt 2' || fail "rank 3 is not reached again: $(cat served.txt forward.log)"
  stop_forwarding
  k exec served-worker-1 -c trainer -- sh -c 'ps -o args' | finds -x 'sleep 54321' || fail "what exec had started was killed with the ranks"
  end_job served
  say "exec and port-forward reach the ranks"
}
# A connection that met the former rank may have ended the forwarding.
answers() {
  forwards && served && grep -qx "$1" served.txt && return 0
  kill -0 "$forwarder" 2>/dev/null && return 1
  # Ranks run before the kubelet has told that their pod does.
  eventually 20 pod_is served-worker-1 .status.phase Running || fail "its pod is not Running"
  kubectl port-forward pod/served-worker-1 :8001 >forward.log 2>&1 &
  forwarder=$!
  return 1
}

# ---- beside the trainer ----

beside_state() { pod "$1-worker-0" ".status.containerStatuses[?(@.name==\"beside\")].state.terminated.exitCode"; }
beside_ended() { [ "$(beside_state "$1")" = "$2" ]; }
native_restarts() { [ "$(pod "$1-worker-0" '.status.initContainerStatuses[?(@.name=="native")].restartCount')" -ge 1 ]; }
trainer_ended() { [ "$(pod "$1-worker-0" '.status.containerStatuses[?(@.name=="trainer")].state.terminated.exitCode')" = "$2" ]; }
endless='trap "exit 0" TERM; while :; do sleep 0.2; done'

containers_beside() {
  local job
  # They do not keep a worker: these run for ever, and the stubborn one does not even heed SIGTERM.
  job with-native 1 true | sidecar native "$endless" | submit
  job with-stubborn 1 true | sidecar native 'trap "" TERM; while :; do sleep 1; done' | spec '.checkpoint.gracePeriodSeconds = 0' | submit
  job with-second 1 true | beside beside "$endless" | submit
  job with-kept 1 true | beside beside "$endless" | spec '.cleanPodPolicy = "None"' | submit
  # They do not end one.
  job with-done 1 "$until_told; echo 'I am done'" | beside beside true | submit
  job with-broken 1 "$until_told; echo 'I am done'" | beside beside 'exit 3' | submit
  # The kubelet starts no trainer before it has seen the sidecar run.
  job with-crashing 1 "$until_told; echo 'I am done'" | sidecar native 'sleep 10; exit 3' | submit
  for job in native stubborn second kept; do succeeds with-$job; done
  eventually 20 trainer_ended with-kept 0 || fail "the trainer of with-kept has not ended"
  [ "$(pod with-kept-worker-0 .status.phase)" = Running ] || fail "the pod of with-kept does not stay"
  eventually 60 pod_is with-native-worker-0 .status.phase Succeeded || fail "the pod of with-native does not end"
  eventually 60 no_pod with-second-worker-0 || fail "the pod of with-second stays"
  eventually 60 pod_has_ended with-stubborn-worker-0 || fail "the pod of with-stubborn stays"
  say "containers beside the trainer keep no worker"

  runs with-done && runs with-broken && runs with-crashing
  eventually 30 beside_ended with-done 0 || fail "the second container of with-done runs on"
  eventually 30 beside_ended with-broken 3 || fail "the second container of with-broken runs on"
  eventually 60 native_restarts with-crashing || fail "the sidecar of with-crashing does not start again"
  # Restarts in place need the trainer alone.
  kill_rank with-broken-worker-0 1 || fail "no rank 1"
  eventually 60 attempt_is with-broken 2 && runs with-broken
  for job in "done" broken crashing; do
    tell with-$job
    succeeds with-$job
    [ "$(mltrain logs with-$job | grep -c 'I am done')" = 2 ] || fail "with-$job: $(mltrain logs with-$job)"
  done
  attempt_is with-done 1 && attempt_is with-crashing 1 || fail "restarts"
  [ "$(field with-broken .status.restartsCharged)" = 1 ] || fail "with-broken: $(field with-broken .status)"
  eventually 60 pod_is with-broken-worker-0 .status.phase Failed || fail "the pod of with-broken is not Failed, as Kubernetes has it"
  say "containers beside the trainer end no worker"
}
no_pod() { [ -z "$(k get pod "$1" --ignore-not-found -o name)" ]; }
pod_has_ended() { no_pod "$1" || [[ $(pod "$1" .status.phase) =~ Succeeded|Failed ]]; }

cleanup() {
  stop_forwarding
  [ ! -d one ] || mltrain cluster down --delete >/dev/null 2>&1
}

cluster_up
load_images controller launcher shell
controller_up
[ $# -gt 0 ] || set -- as_on_one_machine reached containers_beside
for part in "$@"; do "$part"; done
