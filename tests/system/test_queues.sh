#!/usr/bin/env bash
# TrainingQueues on a cluster: quota with words, a queue that is not there, figures of `mltrain queue`, and what survives a restart.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 2 --gpus-per-node 4 >/dev/null || fail "up"
queues=/apis/mltrain.io/v1alpha1/trainingqueues
queue() { # NAME SPEC
  ask_api POST $queues "{\"apiVersion\":\"mltrain.io/v1alpha1\",\"kind\":\"TrainingQueue\",\"metadata\":{\"name\":\"$1\"},\"spec\":$2}"
}
figure() { mltrain queue "$1" -o json | jq -r "$2"; }
figure_is() { [ "$(figure "$1" "$2")" = "$3" ]; }
gang() { # NAME QUEUE PODS SCRIPT
  gpus=2 plain_job "$1" "$3" 1 "$4" "  queue: $2" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}

[ "$(mltrain queue -o name)" = trainingqueue.mltrain.io/default ] || fail "queues at first: $(mltrain queue -o name)"
queue root '{}' | finds '"uid"' || fail "root: $(queue root '{}')"
queue team '{"parent":"root","quota":[{"resource":"nvidia.com/gpu","nominal":4,"borrowLimit":0}]}' >/dev/null
queue wrong '{"weight":0}' | finds 'spec.weight' || fail "a weight of 0 was taken"

gang first team 2 'sleep 15'
eventually 20 job_is first .status.phase Running || fail "first does not run"
gang second team 1 true
eventually 20 job_is second .status.queue.reason Waiting || fail "second does not wait"
job_is second .status.queue.explanation 'queue team uses 4 of 4 nvidia.com/gpu that it may use now; needs 2' ||
  job second .status.queue.explanation | finds 'queue .* uses 4 of 4 nvidia.com/gpu' || fail "why: $(job second .status.queue.explanation)"
gang lost nowhere 1 true
eventually 20 job_is lost .status.queue.explanation 'there is no TrainingQueue nowhere' || fail "lost: $(job lost .status.queue)"

eventually 30 figure_is team '.status.usage."nvidia.com/gpu"' 4 || fail "figures: $(mltrain queue team -o yaml)"
mltrain queue >table.txt
grep -qE '^ +team +nvidia.com/gpu +4 +4 +0 +0 ' table.txt || fail "table: $(cat table.txt)"
[ "$(mltrain queue -o name | sed -n 2p)" = trainingqueue.mltrain.io/root ] || fail "names: $(mltrain queue -o name)"

mltrain wait second --timeout 60s >/dev/null || fail "second did not run when first was over"
queue nowhere '{}' >/dev/null
mltrain wait lost --timeout 30s >/dev/null || fail "lost did not run when its queue came"
