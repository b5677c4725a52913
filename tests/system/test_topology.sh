#!/usr/bin/env bash
# A gang that requires one rack stands in one rack, waits while none has room, and says so; what fits no rack is said at once.
. "$(dirname "$0")/common.sh"

mltrain cluster up --nodes 6 --gpus-per-node 2 --racks 2 >/dev/null || fail "up"

# gang NAME PODS COMMAND [LEVEL]: requires one domain of the level
gang() {
  gpus=2 plain_job "$1" "$2" 1 "$3" "  scheduling: {topology: {required: ${4:-rack}}}" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}

# Nodes 0 to 2 are one rack, 3 to 5 the other. Afterwards one node is free in each.
gang first 2 'sleep 5'
eventually 20 job_is first .status.phase Running || fail "first does not run"
gang second 2 'sleep 5'
eventually 20 job_is second .status.phase Running || fail "second does not run"
job_is first .status.placement.workers 'node-[0-1]' || fail "first: $(job first .status.placement.workers)"
job_is second .status.placement.workers 'node-[3-4]' || fail "second: $(job second .status.placement.workers)"

gang third 2 true mltrain.io/rack
eventually 20 job_is third .status.queue.reason Waiting || fail "third does not wait"
why=$(job third .status.queue.explanation)
[[ "$why" == *rack* ]] || fail "no word of racks in: $why"
job_is third .status.queue.topologyLevels rack=mltrain.io/rack || fail "levels: $(job third .status.queue)"
mltrain explain third >explained.txt || fail "explain"
for words in 'Topology: *all pods in one mltrain.io/rack' 'In one rack: .*rack-[01] has the most room, for 1 such pod now'; do
  grep -qE "$words" explained.txt || { cat explained.txt; fail "explain does not say: $words"; }
done
mltrain wait third --timeout 30s >/dev/null || fail "third did not finish"

gang never 4 true
eventually 20 job_is never .status.queue.reason Unschedulable || fail "never: $(job never .status.queue)"
gang unknown 1 true row
refusal='.status.conditions[] | select(.type == "Admitted") | .reason + ": " + .message'
words='CannotPlan: spec.scheduling.topology.required: there is no topology level `row`; the levels are rack (mltrain.io/rack)'
eventually 20 job_is unknown "$refusal" "$words" || fail "unknown: $(job unknown "$refusal")"
