#!/usr/bin/env bash
# Four GPUs. A big job waits for one that has two of them for a minute, and says when it will start. Meanwhile one that ends before
# that passes, one that would not waits, and one that knows no limit starts on condition: it saves and makes way in time. The
# first job ignores its signal at its deadline, and does not hold the big one up for longer than its grace.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 1 --gpus-per-node 4 >/dev/null || fail "up"
mkdir -p saved
folder=$PWD/saved
export volumes="            volumeMounts: [{name: w, mountPath: $work}]
        volumes: [{name: w, hostPath: {path: $work}}]"
seconds() { date -d "$(job "$1" "$2")" +%s; }
submit() { # NAME GPUS SCRIPT SPEC
  gpus=$2 plain_job "$1" 1 1 "$3" "$4" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}

submit first 2 'trap "" TERM; echo runs; while :; do sleep 1; done' '  activeDeadlineSeconds: 60
  checkpoint: {path: '"$folder"'/none, gracePeriodSeconds: 3}'
eventually 20 job_is first .status.phase Running || fail "first does not run: $(mltrain describe first)"
ends=$(($(seconds first .status.startTime) + 60))

submit big 4 'echo big runs; sleep 3' ''
eventually 20 job_is big .status.queue.reason Waiting || fail "big does not wait"
eventually 20 sh -c 'mltrain get big -o json | jq -e .status.queue.estimatedStartTime' || fail "big has no start: $(job big .status.queue)"
told=$(seconds big .status.queue.estimatedStartTime)
[ $((told - ends)) -le 2 ] && [ $((ends - told)) -le 2 ] || fail "big is to start at $told, first ends at $ends"
sleep 1 # of jobs of one second the order is not known
mltrain get -o wide | finds '^big .* [0-9]*s ' || fail "STARTS: $(mltrain get -o wide)"

script="step=\${MLTRAIN_RESUME_STEP:-0}; echo begins at \$step
  save() { echo x >$folder/.tmp; mv $folder/.tmp $folder/ckpt-\$step.pt; echo saved \$step; sleep 3; exit 0; }
  trap save TERM; while [ ! -e $folder/over ]; do step=\$((step + 1)); echo step \$step; sleep 0.1; done"
submit open 1 "$script" "  checkpoint: {path: $folder, format: pattern, pattern: 'ckpt-{step}.pt', gracePeriodSeconds: 8}
  progress: {pattern: 'step (?<step>[0-9]+)'}"
submit long 1 true '  activeDeadlineSeconds: 300'
submit short 1 'sleep 1' '  activeDeadlineSeconds: 10
  checkpoint: {path: '"$folder"'/none, gracePeriodSeconds: 2}'
eventually 20 job_is open .status.phase Running || fail "open does not start early: $(mltrain describe open)"
job_is open .status.preemption.revocable true || fail "open runs, but not on condition: $(job open .status)"
mltrain describe open | finds '^On condition: *it started before its turn, and makes way when its place is needed$' ||
  fail "described as: $(mltrain describe open)"
mltrain wait short --timeout 20s >/dev/null || fail "short has not passed: $(mltrain describe short; mltrain explain short)"
job_is big .status.phase Queued || fail "big is $(job big .status.phase)"
job_is long .status.queue.explanation 'there is room, but the start of default/big is reserved there, and would become later' ||
  fail "long: $(job long .status.queue)"
mltrain explain long >explained.txt
grep -q '^Behind: *default/big, which is to start there in [0-9]*s' explained.txt &&
  grep -q '^Would help: *an activeDeadlineSeconds of at most [0-9]*: then' explained.txt || fail "explained as: $(cat explained.txt)"
mltrain explain big | finds '^Starts: *20' || fail "big: $(mltrain explain big)"

# Its grace and 15 s before the start.
eventually 60 job_is open .status.preemption.reason BackfillRevoked || fail "open does not make way: $(job open .status)"
now=$(date +%s)
[ $((told - now)) -ge 12 ] || fail "open was asked at $now, for a start at $told"
job_is first .status.phase Running || fail "first is $(job first .status.phase)"
eventually 20 job_is open .status.phase Queued || fail "open has not left: $(mltrain describe open)"
job_is open .status.preemption.by default/big || fail "for $(job open .status.preemption.by)"
kept=$(job open .status.checkpoint.step)
[ -e "saved/ckpt-$kept.pt" ] || fail "open has saved step $kept: $(ls -a saved; mltrain logs open | tail -5)"
job_is long .status.phase Queued || fail "long took the place that open left"

eventually 60 job_is big .status.phase Running || fail "big does not run: $(mltrain describe big; mltrain describe first)"
job_is first .status.phase Failed || fail "first is $(job first .status.phase)"
began=$(seconds big .status.startTime)
[ $((began - told)) -le 15 ] || fail "big began at $began, its start was to be at $told"
mltrain wait big --timeout 30s >/dev/null || fail "big has not ended"
eventually 30 job_is open .status.phase Running || fail "open does not run again: $(mltrain describe open)"
eventually 10 sh -c "mltrain logs open | grep -q 'begins at $kept'" || fail "open has not gone on from step $kept"
job_is open '.status.restartsCharged // 0' 0 || fail "open was charged"
job_is open '.status.preemption.revocable // false' false || fail "open still runs on condition"
mltrain wait long --timeout 30s >/dev/null || fail "long has not run"
touch saved/over
mltrain wait open --timeout 30s >/dev/null || fail "open has not ended"
