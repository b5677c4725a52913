#!/usr/bin/env bash
# Two priorities and two GPUs: the running job saves, makes way, waits, and goes on where it was; a controller that is killed
# meanwhile changes nothing; one that may not preempt waits.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 1 --gpus-per-node 2 >/dev/null || fail "up"
class() { # NAME VALUE POLICY
  ask_api POST /apis/scheduling.k8s.io/v1/priorityclasses "{\"apiVersion\":\"scheduling.k8s.io/v1\",\"kind\":\"PriorityClass\",
    \"metadata\":{\"name\":\"$1\"},\"value\":$2,\"preemptionPolicy\":\"$3\"}" | finds '"uid"' || fail "class $1"
}
class urgent 1000 PreemptLowerPriority
class polite 1000 Never

mkdir -p saved
folder=$PWD/saved
# Steps ten times a second, saves only when it is told to stop, and says where it begins. A plain file counts when it has not changed
# for a second.
script="step=\${MLTRAIN_RESUME_STEP:-0}; echo begins at \$step
  save() { echo x >$folder/.tmp; mv $folder/.tmp $folder/ckpt-\$step.pt; echo saved \$step; sleep 4; exit 0; }
  trap save TERM; while [ ! -e $folder/over ]; do step=\$((step + 1)); echo step \$step; sleep 0.1; done"
export volumes="            volumeMounts: [{name: w, mountPath: $work}]
        volumes: [{name: w, hostPath: {path: $work}}]"
gpus=2 plain_job low 1 1 "$script" "  checkpoint: {path: $folder, format: pattern, pattern: 'ckpt-{step}.pt', gracePeriodSeconds: 20}
  progress: {pattern: 'step (?<step>[0-9]+)'}" >low.yaml
mltrain submit low.yaml >/dev/null || fail "submit low"
eventually 20 job_is low .status.phase Running || fail "low does not run"
eventually 20 sh -c 'mltrain logs low | grep -q "step 5$"' || fail "low makes no steps"

gpus=1 plain_job waits 1 1 'true' '  priorityClassName: polite' >waits.yaml
mltrain submit waits.yaml >/dev/null || fail "submit waits"
eventually 20 job_is waits .status.queue.reason Waiting || fail "a class with preemptionPolicy Never does not wait: $(job waits .status)"
job_is low .status.phase Running || fail "low has made way for a polite one"
mltrain cancel waits >/dev/null

gpus=1 plain_job high 1 1 'echo high runs; sleep 3' '  priorityClassName: urgent' >high.yaml
mltrain submit high.yaml >/dev/null || fail "submit high"
eventually 20 job_is low .status.preemption.by default/high || fail "low is not asked to leave: $(job low .status)"
eventually 30 job_is high .status.phase Running || fail "high does not run: $(mltrain describe high)"
mltrain describe low >described.txt
grep -q '^Made way: *1 time, the last for default/high (InClusterQueue)$' described.txt || fail "described as: $(cat described.txt)"
grep -q 'Preempted' described.txt || fail "no event Preempted: $(cat described.txt)"
job_is low '.status.conditions[] | select(.type=="Preempted") | .status + .reason' TrueInClusterQueue || fail "conditions: $(job low .status.conditions)"
job_is low .status.phase Queued || fail "low is $(job low .status.phase)"
kept=$(job low '.status.checkpoint.step')
[ "$kept" -gt 4 ] && [ -e "saved/ckpt-$kept.pt" ] || fail "low has saved step $kept: $(ls -a saved; mltrain logs low | tail -5)"
mltrain wait high --timeout 30s >/dev/null || fail "high has not ended"
eventually 30 job_is low .status.phase Running || fail "low does not run again: $(mltrain describe low)"
eventually 10 sh -c "mltrain logs low | grep -q 'begins at $kept'" || fail "low has not gone on from step $kept"
job_is low '.status.restartsCharged // 0' 0 || fail "low was charged"
job_is low '(.status.failures // []) | length' 0 || fail "a failure of low: $(job low .status.failures)"

# It is left alone now: it has not run for 10 minutes.
sed 's/name: high/name: next/' high.yaml >next.yaml
mltrain submit next.yaml >/dev/null || fail "submit next"
eventually 20 job_is next .status.queue.reason Waiting || fail "next does not wait"
sleep 2
job_is low .status.phase Running || fail "low makes way again at once"
touch saved/over
mltrain wait low --timeout 30s >/dev/null || fail "low has not ended"
mltrain wait next --timeout 30s >/dev/null || fail "next has not run"

# The controller is killed while the ranks save.
slow='echo begin; trap "sleep 4; exit 0" TERM; while :; do sleep 0.1; done'
gpus=2 plain_job victim 1 1 "$slow" "  checkpoint: {path: $folder/none, gracePeriodSeconds: 20}" >victim.yaml
mltrain submit victim.yaml >/dev/null || fail "submit victim"
eventually 20 sh -c 'mltrain logs victim | grep -q begin' || fail "victim does not run"
sed 's/name: high/name: third/' high.yaml >third.yaml
mltrain submit third.yaml >/dev/null || fail "submit third"
eventually 20 job_is victim .status.phase Preempting || fail "victim is not asked: $(job victim .status)"
kill -9 "$(program mltrain-controller '')" || fail "kill"
mltrain wait third --timeout 60s >/dev/null || fail "third has not run: $(mltrain describe third; mltrain describe victim)"
eventually 40 job_is victim .status.phase Running || fail "victim does not run again: $(mltrain describe victim)"
job_is victim .status.preemption.count 1 || fail "victim made way $(job victim .status.preemption.count) times"
job_is victim '.status.restartsCharged // 0' 0 || fail "victim was charged"
mltrain cancel --now victim >/dev/null
