#!/usr/bin/env bash
# Who binds the pods: mltrain (`node`) or kube-scheduler (`affinity`), as asked, or as `auto` finds because of volumes. A gang comes
# to where its bound volumes are at once; one whose late-binding volumes lie elsewhere is undone after 60 s and comes to them.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/binding.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/jobs_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/jobs_common.sh"

class=local-$namespace

# scheduled POD: kube-scheduler has bound it
scheduled() { has_event "$1" Scheduled 'Successfully assigned'; }
# required_node POD: the node that every term of its affinity requires
required_node() {
  k get pod "$1" -o json | jq -r '[.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[]?
    | .matchFields[]? | select(.key == "metadata.name") | .values[]] | unique | join(" ")'
}
nodes_of() { k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | paste -sd' '; }

# bound_by_mltrain JOB, bound_by_scheduler JOB: each pod of two
bound_by_mltrain() {
  local index
  for index in 0 1; do
    [ -z "$(required_node "$1-worker-$index")" ] || fail "$1: a pod requires a node"
    ! scheduled "$1-worker-$index" || fail "$1: kube-scheduler has bound a pod"
  done
}
bound_by_scheduler() {
  local index
  for index in 0 1; do
    eventually 10 scheduled "$1-worker-$index" || fail "$1: kube-scheduler has not bound $1-worker-$index"
    [ "$(required_node "$1-worker-$index")" = "$(pod "$1-worker-$index" .spec.nodeName)" ] || fail "$1: not bound where mltrain has placed it"
  done
}

as_asked() {
  local job
  job by-mltrain 2 true | gpus 2 | spec '.scheduling.binding = "node"' | submit
  job by-scheduler 2 true | gpus 2 | spec '.scheduling.binding = "affinity"' | submit
  job auto 2 true | gpus 2 | submit
  # Two terms of the user's own are alternatives, and stay so; and what a scheduler has to look at makes `auto` ask it.
  job with-terms 2 true | gpus 2 | spec '.scheduling.binding = "affinity"' | template '.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution
    = {nodeSelectorTerms: [{matchExpressions: [{key: "kubernetes.io/os", operator: "In", values: ["linux"]}]}, {matchExpressions: [{key: "none", operator: "Exists"}]}]}' | submit
  job spread 2 true | gpus 1 | template '.topologySpreadConstraints
    = [{maxSkew: 2, topologyKey: "kubernetes.io/hostname", whenUnsatisfiable: "DoNotSchedule", labelSelector: {matchLabels: {"mltrain.io/job-name": "spread"}}}]' | submit
  for job in by-mltrain by-scheduler auto with-terms spread; do succeeds $job 90; done
  bound_by_mltrain by-mltrain
  bound_by_mltrain auto
  for job in by-scheduler with-terms spread; do bound_by_scheduler $job; done
  say "pods are bound by whom the job asks"
}

# ---- volumes of one node ----

# volume NAME NODE [CLASS]: a static local one
volume() {
  kubernetes exec --node "${2#node-}" -- install -d -m 1777 "/mnt/$namespace/$1" || fail "no folder"
  cat <<YAML | k apply -f - >/dev/null || fail "no volume"
apiVersion: v1
kind: PersistentVolume
metadata: {name: $namespace-$1, labels: {test: $namespace}}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ${3-$class}
  persistentVolumeReclaimPolicy: Retain
  local: {path: /mnt/$namespace/$1}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$2]}]}]}}
YAML
}
# claim NAME [CLASS]
claim() {
  cat <<YAML | k apply -f - >/dev/null || fail "no claim"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1}
spec: {accessModes: [ReadWriteOnce], storageClassName: "${2-$class}", resources: {requests: {storage: 1Gi}}}
YAML
}
claim_is() { [ "$(k get pvc "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }
with_claim() { template '.volumes = [{name: "data", persistentVolumeClaim: {claimName: "'"$1"'"}}]' | trainer '.volumeMounts = [{name: "data", mountPath: "/data"}]'; }
with_own_claims() {
  template '.volumes = [{name: "data", ephemeral: {volumeClaimTemplate: {spec: {accessModes: ["ReadWriteOnce"], storageClassName: "'"$class"'", resources: {requests: {storage: "1Gi"}}}}}}]' |
    trainer '.volumeMounts = [{name: "data", mountPath: "/data"}]'
}

# comes_to NODE JOB: wherever it was tried first. Two tries of 60 s are enough, because a node is avoided after the first.
comes_to() {
  succeeds "$2" 180
  [ "$(nodes_of "$2")" = "$1" ] || fail "$2 is on $(nodes_of "$2"), and its volume on $1"
  bound_by_scheduler_alone "$2"
}
bound_by_scheduler_alone() {
  local pod
  for pod in $(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{.items[*].metadata.name}'); do
    scheduled "$pod" || fail "$1: kube-scheduler has not bound $pod"
  done
}

# Where an empty cluster's first pod goes is mltrain's own rule; the volumes lie on the other node.
find_other() {
  local first
  job "first-$1" 1 true | submit
  succeeds "first-$1"
  first=$(nodes_of "first-$1")
  other=node-$((3 - ${first#node-}))
}
# came_at_once NODE JOB: nobody had to undo anything
came_at_once() {
  succeeds "$2" 60
  [ "$(nodes_of "$2")" = "$1" ] || fail "$2 is on $(nodes_of "$2"), and its volume on $1"
  ! has_event "$2" Requeued . || fail "$2 was placed elsewhere first"
}

# Bound before anybody mounts it, by the name of a class that does not exist.
at_its_bound_volume() {
  local other
  find_other bound
  volume early "$other" static
  claim early static
  eventually 30 claim_is early Bound || fail "the claim is not bound"
  job early 2 'echo "$MLTRAIN_NODE" >>/data/early' | with_claim early | submit
  came_at_once "$other" early
  bound_by_scheduler_alone early
  job by-mltrain-early 1 'grep -c . /data/early' | with_claim early | spec '.scheduling.binding = "node"' | submit
  came_at_once "$other" by-mltrain-early
  [ "$(mltrain logs by-mltrain-early | grep -cE '4$')" = 2 ] || fail "not the same volume: $(mltrain logs by-mltrain-early)"
  say "a gang comes to where its bound volume is, at once"

  job waits 1 true | with_claim late-claim | submit
  eventually 30 has_condition waits 'Queued True VolumeMissing PersistentVolumeClaim late-claim does not exist' || fail "$(field waits .status.conditions)"
  claim late-claim static
  eventually 30 has_condition waits 'Queued True VolumeNotBound .*late-claim is not bound' || fail "$(field waits .status.conditions)"
  volume late-claim "$other" static
  came_at_once "$other" waits
  say "a gang waits for a claim that is not there or not bound, by name"

  k delete pv "$namespace-late-claim" --wait=false >/dev/null
  k patch pv "$namespace-late-claim" --type=merge -p '{"metadata": {"finalizers": null}}' >/dev/null
  eventually 30 claim_is late-claim Lost || fail "the claim is not lost"
  job loses 1 true | with_claim late-claim | submit
  eventually 30 has_condition loses 'Queued True VolumeLost .*late-claim has lost its volume .PersistentVolume '"$namespace-late-claim" || fail "$(field loses .status.conditions)"
  k delete trainingjob loses waits --wait=false >/dev/null
  say "a gang whose volume is gone waits, and says which"
}

at_its_volume() {
  local other
  find_other late
  cat <<YAML | k apply -f - >/dev/null || fail "no class"
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: $class}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
YAML
  volume one "$other"
  claim one
  claim_is one Pending || fail "the claim is bound before anybody wants it"
  job late 1 'echo "$MLTRAIN_NODE" >>/data/$RANK' | with_claim one | submit
  eventually 30 has_condition late 'PodsReady.*Unschedulable' || fail "nothing tells that the scheduler finds no place: $(field late .status.conditions)"
  comes_to "$other" late
  has_event late Requeued 'within 60 s.*volume' || fail "not undone in the scheduler's words: $(k get events --field-selector involvedObject.name=late)"
  claim_is one Bound || fail "the claim is not bound"
  say "a gang comes to where its late-binding volume is"

  job bound 1 'cat /data/$RANK' | with_claim one | submit
  came_at_once "$other" bound
  bound_by_scheduler_alone bound
  [ "$(mltrain logs bound | grep -c "$other")" = 2 ] || fail "not the same volume: $(mltrain logs bound)"
  say "a gang comes to where its volume was bound, at once"

  volume two "$other"
  volume three "$other"
  job each 2 'echo "$MLTRAIN_NODE" >/data/$RANK' | with_own_claims | submit
  comes_to "$other" each
  say "a gang comes to where each pod finds a volume"
}
has_condition() { k get trainingjob "$1" -o json | jq -r '.status.conditions[] | "\(.type) \(.status) \(.reason) \(.message)"' | finds -E "$2"; }

cleanup() {
  k delete pv -l "test=$namespace" --wait=false >/dev/null 2>&1
  k delete storageclass "$class" --ignore-not-found >/dev/null 2>&1
  kubernetes exec --node 1 -- rm -rf "/mnt/$namespace"
}

cluster_up
load_images controller launcher shell
controller_up
[ $# -gt 0 ] || set -- as_asked at_its_bound_volume at_its_volume
for part in "$@"; do "$part"; done
