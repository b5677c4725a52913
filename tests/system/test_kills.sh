#!/usr/bin/env bash
# Kills at awkward moments: every job ends as it should, no member has two pods at once, and no rank of an attempt starts twice.
. "$(dirname "$0")/common.sh"
RANDOM=${MLT_SEED:-7}
dir=$MLTRAIN_HOME/clusters/default
mltrain cluster up --nodes 2 --gpus-per-node 8 >/dev/null || fail "up"
starts=$work/starts
mkdir "$starts"
# What the ranks write and read outside their pods is in this folder.
volumes="            volumeMounts: [{name: seen, mountPath: $starts}]
        volumes: [{name: seen, hostPath: {path: $starts}}]"

program() { # controller|api|node-0|node-1: the process id of a program of this cluster
  case $1 in
  controller) pgrep -f "mltrain-controller --kubeconfig $dir/" ;;
  api) pgrep -f "mltrain-localcluster api --dir $dir " ;;
  *) pgrep -f "mltrain-localcluster agent --dir $dir --node $1 " ;;
  esac | head -1
}
kill_program() { local pid; pid=$(program "$1"); [ -n "$pid" ] && kill -9 "$pid"; }
api() { curl -s --cacert "$dir/ca.crt" -H "Authorization: Bearer $(cat "$dir/token")" "https://127.0.0.1:$(cat "$dir/port")$1"; }
doze() { sleep "$(printf '0.%03d' $((RANDOM % ${1:-700})))"; }

# Each start of a rank leaves a line; the claim is that no rank of an attempt begins twice in one pod's life or in two pods.
begin='echo "$MLTRAIN_JOB $MLTRAIN_ATTEMPT $RANK" >>'$starts'/$MLTRAIN_JOB'
once_only() {
  local twice
  [ -s "$starts/$1" ] || fail "$1: no rank told of its start"
  twice=$(sort "$starts/$1" | uniq -d)
  [ -z "$twice" ] || fail "started twice in one attempt: $twice"
}
one_pod_each() {
  api "/api/v1/namespaces/default/pods?labelSelector=mltrain.io/job-name=$1" >pods.json
  local twice
  twice=$(jq -r '.items[] | select(.status.phase != "Failed" and .status.phase != "Succeeded" and .metadata.deletionTimestamp == null)
    | .metadata.labels["mltrain.io/index"]' pods.json | sort | uniq -d)
  [ -z "$twice" ] || { jq -r '.items[].metadata.name' pods.json; fail "$1: two pods for member $twice"; }
}
ends() { # JOB PHASE
  eventually 10 mltrain get "$1" # the API server may be on its way back
  timeout 40 mltrain wait "$1" >/dev/null 2>&1
  job_is "$1" .status.phase "$2" || { mltrain describe "$1"; fail "$1: expected $2"; }
  once_only "$1"
}
submit() { eventually 10 mltrain submit "$1.yaml" || { mltrain get "$1" >/dev/null 2>&1 || fail "submit $1"; }; }

# The controller, at random moments of a job's way from submission to its ranks.
for round in 1 2 3 4 5; do
  gpus=1 plain_job way$round 3 2 "$begin; sleep 0.5" >way$round.yaml
  submit way$round
  doze 500
  kill_program controller
  doze 500
  one_pod_each way$round
  [ $((round % 2)) = 0 ] && kill_program controller
done
for round in 1 2 3 4 5; do
  ends way$round Succeeded
  job_is way$round '.status.restartsCharged // 0' 0 || fail "way$round: a controller's death was charged"
done
echo "controller on the way: $SECONDS s"

# An agent while pods start, and a shim.
for round in 1 2; do
  gpus=1 plain_job pods$round 4 1 "$begin; sleep 0.5" >pods$round.yaml
  submit pods$round
  doze 400
  kill_program node-0
  one_pod_each pods$round
done
for round in 1 2; do ends pods$round Succeeded; done
echo "agent: $SECONDS s"

# The API server during a submission, and during a restart.
gpus=1 plain_job served 2 1 "$begin; sleep 0.5; [ \$MLTRAIN_ATTEMPT = 2 ] || exit 5" >served.yaml
kill_program api
submit served
doze 600
kill_program api
sleep 0.7
kill_program api
ends served Succeeded
job_is served .status.attempt 2 || fail "served: attempt"
job_is served .status.failures[0].exitCode 5 || fail "served: the failure"
echo "API server: $SECONDS s"

# A rank is killed, and at once the controller.
gpus=1 plain_job double 2 2 "$begin; if [ \$MLTRAIN_ATTEMPT = 1 ]; then sleep 1000; fi; sleep 0.3" >double.yaml
submit double
mltrain wait double --for Running --timeout 20s >/dev/null || fail "double does not run"
all_run() { [ "$(rank_pids double | wc -l)" -ge 4 ]; }
eventually 10 all_run || fail "double: not 4 ranks"
kill -9 "$(rank_pids double | awk '$1 == 3 {print $2}' | head -1)"
kill_program controller
ends double Succeeded
# The old controller may have died between two members' START: then they disagree, and the next one takes one attempt
# more, without a charge. (docs/failures.md, "members that disagree")
job_is double '.status.attempt | . == 2 or . == 3' true || fail "double: attempt"
job_is double '.status.failures | length' 1 || fail "double: more than the one failure"
job_is double .status.failures[0].rank 3 || { job double .status.failures; fail "double: the culprit"; }
job_is double .status.failures[0].signal 9 || fail "double: the signal"
echo "rank and controller: $SECONDS s"

# The launcher is killed while its ranks are stopped by SIGSTOP; then a shim.
gpus=1 plain_job frozen 2 2 "$begin; if [ \$MLTRAIN_ATTEMPT -lt 3 ]; then exec sleep 1000; fi; sleep 0.3" >frozen.yaml
submit frozen
mltrain wait frozen --for Running --timeout 20s >/dev/null || fail "frozen does not run"
runs() { [ "$(rank_pids frozen | wc -l)" = 4 ]; }
eventually 10 runs || fail "frozen: not 4 ranks"
first=$(rank_pids frozen | awk '{print $2}')
pid=$(rank_pids frozen | awk '$1 == 2 {print $2}')
parent() { awk '/^PPid/ {print $2}' "/proc/$1/status"; }
launcher=$(parent "$pid")
for pid in $first; do [ "$(parent "$pid")" = "$launcher" ] && kill -STOP "$pid"; done
kill -9 "$launcher"
eventually 20 job_is frozen .status.attempt 2 || { mltrain describe frozen; fail "frozen: no second attempt"; }
eventually 20 job_is frozen .status.phase Running || fail "frozen: does not run again"
for pid in $first; do
  [ -d "/proc/$pid" ] && [ "$(awk '/^State/ {print $2}' "/proc/$pid/status")" != Z ] && fail "a rank of the first attempt lives"
done
eventually 10 runs || fail "frozen: not 4 ranks in attempt 2"
launcher=$(parent "$(rank_pids frozen | awk '$1 == 0 {print $2}')")
shim=$(parent "$(parent "$launcher")")
grep -q shim "/proc/$shim/cmdline" || shim=$(parent "$launcher")
grep -q shim "/proc/$shim/cmdline" || fail "the shim was not found"
second=$(rank_pids frozen | awk '{print $2}')
kill -9 "$shim"
ends frozen Succeeded
job_is frozen .status.attempt 3 || { mltrain describe frozen; fail "frozen: attempt after the shim's death"; }
for pid in $second; do [ -d "/proc/$pid" ] && fail "a rank of the second attempt lives"; done
echo "launcher and shim: $SECONDS s"

# The supervisor, and `cluster up` again: the ranks do not notice.
gpus=1 plain_job steady 2 1 "$begin; trap 'exit 0' TERM; while [ ! -e $starts/enough ]; do sleep 0.1; done" >steady.yaml
submit steady
mltrain wait steady --for Running --timeout 20s >/dev/null || fail "steady does not run"
before=$(rank_pids steady)
[ "$(echo "$before" | wc -l)" = 2 ] || fail "steady: not 2 ranks"
kill -9 "$(pgrep -f "mltrain cluster supervise --dir $dir " | head -1)"
gone() { [ -z "$(program api)$(program controller)$(program node-0)$(program node-1)" ]; }
eventually 10 gone || fail "programs outlive their supervisor"
[ "$(rank_pids steady)" = "$before" ] || fail "ranks ended with the supervisor"
mltrain cluster up | finds "2 nodes" || fail "up after the supervisor's death"
eventually 20 job_is steady .status.workers 2/2 || fail "steady: workers"
sleep 1
[ "$(rank_pids steady)" = "$before" ] || fail "ranks changed when the cluster came up again"
touch "$starts/enough"
ends steady Succeeded
job_is steady .status.attempt 1 || fail "steady: a restart happened"
