#!/usr/bin/env bash
# Makes the faults of docs/kubernetes.md for real, row by row in the order of its tables, and looks at phase, reason, charge and at
# which pods move.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/faults.sh [FAULT...]      (--list: their names)
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/faults_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/faults_common.sh"
# shellcheck source=tests/kubernetes/faults_api.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/faults_api.sh"
# shellcheck source=tests/kubernetes/faults_control.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/faults_control.sh"

again="Running Restarting Starting Running"
in_place="Running( Restarting)? Starting Running" # within a tenth of a second nobody needs to see it

# ---- a rank, a pod, a node, a controller ----

rank_killed() {
  begin plain
  kill_rank "$(pod_of plain 1)" 3 || fail "no rank 3"
  expect plain 1 "" "$in_place" KilledFromOutside
  is plain '.status.failures[-1:].signal' 9 || fail "not signal 9: $(field plain .status.failures)"
  is plain '.status.failures[-1:].rank' 3 || fail "not rank 3: $(field plain .status.failures)"
}

# The kernel kills one process of a group of version 1, the rank; of version 2, as the kubelet makes it, the container.
out_of_memory() {
  local moves=''
  begin plain
  [ ! -e /sys/fs/cgroup/cgroup.controllers ] || moves=1
  k exec "$(pod_of plain 1)" -c trainer -- touch /dev/shm/eat-2 || fail "nobody eats"
  expect plain 1 "$moves" "$in_place" OutOfMemory
  is plain '.status.failures[-1:].rank' 2 || [ -n "$moves" ] || fail "not rank 2: $(field plain .status.failures)"
  end_job plain
}

pod_deleted() {
  begin gang "$(saving_job gang)"
  k delete pod "$(pod_of gang 1)" --wait=false >/dev/null
  expect gang 0 1 "$again" Infrastructure
  resumes gang
  has_event gang PodLost || fail "no event PodLost"
}

pod_evicted() {
  local pod
  begin gang "$(saving_job gang)"
  pod=$(pod_of gang 1)
  printf '{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "%s", "namespace": "%s"}}' "$pod" "$namespace" >eviction.json
  k create --raw "/api/v1/namespaces/$namespace/pods/$pod/eviction" -f eviction.json >/dev/null || fail "not evicted"
  expect gang 0 1 "$again" Infrastructure
  resumes gang
  has_event gang PodLost "$pod" || fail "no event PodLost"
  [ -z "$(field gang .status.recovery.avoidNodes)" ] || fail "a node is avoided: $(field gang .status.recovery.avoidNodes)"
}

# A static pod of a namespace that does not exist: no API server knows of it, and it has the node's GPUs. With two pods of the gang
# the kubelet of node 2 says no, and nodes 3 and 4 take it.
pod_rejected() {
  local folder taken=node-2
  [ -z "$(members gang)" ] || end_job gang
  folder=$(cluster_folder)/$taken
  grep -q staticPodPath "$folder/kubelet.yaml" || echo "staticPodPath: $folder/static" >>"$folder/kubelet.yaml"
  mkdir -p "$folder/static"
  cat >"$folder/static/foreign.yaml" <<YAML
apiVersion: v1
kind: Pod
metadata: {name: foreign, namespace: nowhere}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: foreign, image: $shell_image, command: [sleep, "1000000"], resources: {limits: {nvidia.com/gpu: 1}}}]
YAML
  kubernetes restart $taken-kubelet
  eventually 60 foreign_runs $taken || fail "the foreign pod does not run"
  saving_job rejected | k apply -f - >/dev/null || fail "refused"
  eventually 90 runs rejected 1 || fail "rejected does not run: $(field rejected .status)"
  ! members rejected | finds "$taken" || fail "on $taken"
  has_event rejected PodRejected 'node-2 \(OutOfnvidia.com/gpu\): .*requested: 2, used: 1, capacity: 2' || fail "no event tells of the kubelet's words"
  has_event rejected Requeued 'OutOfnvidia.com/gpu' || fail "the gang was not given back for it"
  is rejected .status.restarts 0 || is rejected .status.restarts "" || fail "a restart"
  rm "$folder/static/foreign.yaml"
  end_job rejected
}
foreign_runs() { kubernetes exec --node "${1#node-}" sh -c 'grep -lx sleep /proc/[0-9]*/comm' | finds .; }

node_drained() {
  local node
  begin gang "$(saving_job gang)"
  node=$(node_of gang 1)
  k drain "$node" --ignore-daemonsets --delete-emptydir-data --timeout=60s >drain.log 2>&1 || fail "not drained: $(cat drain.log)"
  expect gang 0 1 "$again" Infrastructure
  [ "$(node_of gang 1)" != "$node" ] || fail "the pod is on the drained node again"
  resumes gang
  k uncordon "$node" >/dev/null
}

# The machine is there, and nothing that it says is heard: kubelet and launchers alike.
node_gone() {
  local node pod
  begin gang "$(saving_job gang)"
  node=$(node_of gang 1) pod=$(pod_of gang 1)
  kubernetes stop "$node-kubelet"
  kubernetes exec ip link set "$node" down
  expect gang 0 1 "$again" Infrastructure
  has_event gang NodeLost "$node is lost" || fail "no event NodeLost"
  [ -n "$(k get pod "$pod" -o jsonpath='{.metadata.deletionTimestamp}')" ] || fail "$pod is not Terminating"
  kubernetes exec ip link set "$node" up
  kubernetes start "$node-kubelet"
  k wait --for=delete "pod/$pod" --timeout=60s >/dev/null || fail "$pod does not end now that its node is back"
  k wait --for=condition=Ready "node/$node" --timeout=60s >/dev/null || fail "$node is not Ready again"
  [ "$(moved gang)" = 1 ] && runs gang $((attempt + 1)) || fail "the node's return has disturbed the job"
}

leader_killed() {
  local before since
  begin gang "$(saving_job gang)"
  before=$(leader)
  ranks gang >ranks
  since=$(last_step gang)
  signal KILL "$(process_of "$before" mltrain-control $system)" || fail "no leader"
  k -n $system delete pod "$before" --grace-period=0 --force >/dev/null 2>&1
  eventually 20 leader_is_another "$before" || fail "nobody leads 20 s after the leader's end"
  eventually 20 has_progress gang "$since" || fail "the next leader does not hear the launchers"
  expect gang 0 "" Running
  nobody_has_noticed gang
}

# Who was paused must find out that it leads no more before it does anything: what it asks of the API server from then on is only
# to look, and to take its place in the line.
leader_paused() {
  local before pid address until paused
  begin gang "$(saving_job gang)"
  eventually 60 two_controllers || fail "no standby"
  before=$(leader)
  stopped=$(process_of "$before" mltrain-control $system)
  address=$(k -n $system get pod "$before" -o jsonpath='{.status.podIP}')
  since=$(last_step gang)
  signal STOP "$stopped" || fail "no leader"
  paused=$SECONDS
  eventually 20 leader_is_another "$before" || fail "nobody leads 20 s after the leader was paused"
  eventually 40 has_progress gang "$since" || fail "the next leader does not hear the launchers"
  # Both would act on this.
  k delete pod "$(pod_of gang 1)" --wait=false >/dev/null
  expect gang 0 1 "$again" Infrastructure
  while [ $SECONDS -lt $((paused + 30)) ]; do sleep 0.2; done
  until=$(date -u +%FT%T)
  signal CONT "$stopped"
  stopped=''
  eventually 60 two_controllers || fail "who was paused does not become the standby"
  sleep 2
  writes_of "$address" "$until" >writes
  [ ! -s writes ] || fail "who was paused has written: $(cat writes)"
  [ "$(moved gang)" = 1 ] && runs gang $((attempt + 1)) || fail "who was paused has disturbed the job"
}

faults=(
  rank_killed out_of_memory pod_deleted pod_evicted pod_rejected node_drained node_gone leader_killed leader_paused
  image_missing launcher_image_missing template_refused quota_exceeded limited pod_security secret_missing config_map_missing key_deleted
  namespace_deleted deleted_in_background deleted_in_foreground deleted_as_orphans
  rights_taken api_server_restarted etcd_compacted webhook_times_out webhook_mutates channel_cut_before channel_cut_later
)

[ "${1:-}" != --list ] || { printf '%s\n' "${faults[@]}"; exit 0; }
[ $# -gt 0 ] || set -- "${faults[@]}"
for fault in "$@"; do
  [ "$(type -t "$fault")" = function ] || { echo "there is no fault $fault (see --list)" >&2; exit 2; }
done

cluster_up --nodes 4 --gpus 2
trap 'rc=$?; restore; (exit "$rc"); finish' EXIT # shellcheck disable=SC2154 # it is set right here
# hostPath, which restricted refuses, is the simplest folder that all nodes share.
k label namespace "$namespace" pod-security.kubernetes.io/enforce=privileged --overwrite >/dev/null
load_images controller launcher shell
controllers_up
for fault in "$@"; do
  "$fault"
  say "$fault"
done
