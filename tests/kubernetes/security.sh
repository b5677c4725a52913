#!/usr/bin/env bash
# What a job's pods may do, and who may join a job: Pod Security `restricted`, the class Guaranteed, templates that are refused, and pods
# that pretend to be a member, with a wrong key, with the right one, and with the member's own UID too.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/security.sh
# shellcheck disable=SC2034 # for common.sh: what an init container may is looked at
MLTRAIN_LAUNCHER_DELIVERY=initContainer
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/jobs_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/jobs_common.sh"

other=$namespace-other
launcher_image=docker.io/mltrain/launcher:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
endless='while :; do sleep 0.2; done'

# ---- what pods may do ----

# refused_as JOB WORDS: it waits, without pods, and the API server's words tell why
refused_as() {
  eventually 30 is_refused "$1" || fail "$1 is not refused: $(field "$1" .status.conditions)"
  condition "$1" Admitted | finds -E "$2" || fail "$1 is not refused with [$2]: $(condition "$1" Admitted)"
  no_pods "$1" || fail "$1 has pods"
  phase_is "$1" Queued || fail "$1 is $(field "$1" .status.phase)"
  has_event "$1" PodRefused "$2" || fail "$1: no event PodRefused"
}
is_refused() { [[ $(condition "$1" Admitted) == *False*PodRefused*'violates PodSecurity "restricted:latest"'* ]]; }

restricted() {
  local job
  [ "$(k get namespace "$namespace" -o jsonpath='{.metadata.labels.pod-security\.kubernetes\.io/enforce}')" = restricted ] || fail "not restricted"
  job by-pod 2 true | submit
  # The same said of the containers alone: what mltrain adds has to say it, too.
  job by-container 2 true | template '.securityContext as $s | del(.securityContext) | .containers |= map(.securityContext += $s)' | submit
  job beside 1 true | sidecar native 'trap "exit 0" TERM; '"$endless" | beside second true | submit
  job privileged 1 true | trainer '.securityContext = {privileged: true}' | submit
  job host-folder 1 true | template '.volumes = [{name: "host", hostPath: {path: "/"}}]' | submit
  job host-network 1 true | template '.hostNetwork = true' | submit
  job as-root 1 true | template '.securityContext = {seccompProfile: {type: "RuntimeDefault"}}' | submit
  job unconfined 1 true | template 'del(.securityContext.seccompProfile)' | submit
  job capable 1 true | trainer '.securityContext.capabilities.add = ["SYS_ADMIN"]' | submit
  for job in by-pod by-container beside; do succeeds $job; done
  refused_as privileged 'privileged'
  refused_as host-folder 'hostPath'
  refused_as host-network 'host ?[nN]amespaces'
  refused_as as-root 'runAsNonRoot'
  refused_as unconfined 'seccompProfile'
  refused_as capable 'SYS_ADMIN'
  # The user's containers alone are at fault, never what mltrain adds.
  for job in privileged host-folder host-network capable; do
    ! condition "$job" Admitted | finds 'mltrain-launcher-copy' || fail "$job: $(condition "$job" Admitted)"
  done
  for job in privileged host-folder host-network as-root unconfined capable; do end_job $job; done
  say "restricted: what may run runs, what may not is refused in the server's words"
}

class_is() { [ "$(pod "$1-worker-0" .status.qosClass)" = "$2" ] || fail "$1 is $(pod "$1-worker-0" .status.qosClass), not $2"; }
guaranteed() {
  job whole 1 true | gpus 1 | trainer '.resources = {requests: {cpu: "100m", memory: "64Mi"}, limits: {cpu: "100m", memory: "64Mi", "nvidia.com/gpu": 1}}' | submit
  job limits-only 1 true | trainer '.resources = {limits: {cpu: "100m", memory: "64Mi"}}' | submit
  job burstable 1 true | submit
  job nothing 1 true | trainer 'del(.resources)' | submit
  for job in whole limits-only burstable nothing; do succeeds $job; done
  class_is whole Guaranteed
  class_is limits-only Guaranteed
  class_is burstable Burstable
  class_is nothing BestEffort
  [ "$(k get pod whole-worker-0 -o json | jq -c '.spec.initContainers[0].resources')" = '{"limits":{"cpu":"100m","memory":"64Mi"},"requests":{"cpu":"100m","memory":"64Mi"}}' ] ||
    fail "the init container asks for $(k get pod whole-worker-0 -o json | jq -c '.spec.initContainers[0].resources')"
  say "a pod's class is its template's"
}

# not_accepted FILTER WORDS: the API server itself refuses such a job
not_accepted() {
  job refused 1 true | template "$1" | k apply -f - >refused.txt 2>&1 && fail "a job with $1 was accepted"
  grep -qE "$2" refused.txt || fail "not refused with [$2]: $(cat refused.txt)"
}
not_allowed() {
  not_accepted '.nodeName = "node-1"' 'nodeName must not be set: mltrain places the pods itself'
  not_accepted '.schedulerName = "other"' 'schedulerName must not be set: mltrain places the pods itself'
  not_accepted '.schedulingGates = [{name: "example.com/gate"}]' 'schedulingGates must not be set: mltrain places the pods itself'
  say "nodeName, schedulerName and schedulingGates are refused"
}

# ---- who may join ----

# stranger NAME MEMBER SECRET [FILTER]: a bare pod that runs the launcher with MEMBER's words of itself and the key of a Secret
stranger() {
  k -n "$namespace" get pod "$2" -o json | jq --arg name "$1" --arg secret "$3" --arg image "$launcher_image" '{
    apiVersion: "v1", kind: "Pod", metadata: {name: $name}, spec: {
      restartPolicy: "Never", terminationGracePeriodSeconds: 0, securityContext: .spec.securityContext,
      volumes: [{name: "key", secret: {secretName: $secret}}],
      containers: [{name: "stranger", image: $image, command: ["/mltrain-launcher", "run", "--", "/mltrain-launcher", "--version"],
        securityContext: '"$strict"', volumeMounts: [{name: "key", mountPath: "/mltrain-key"}],
        env: ([.spec.containers[] | select(.name == "trainer").env[] | select(.name | IN("MLTRAIN_POD_UID", "MLTRAIN_DIR") | not)]
          + [{name: "MLTRAIN_POD_UID", value: .metadata.uid}])}]}}'" | ${4:-.}"
}
with_own_uid='.spec.containers[0].env |= map(if .name == "MLTRAIN_POD_UID" then {name: .name, valueFrom: {fieldRef: {fieldPath: "metadata.uid"}}} else . end)'

leader_address() { k -n $system get pod "$(k -n $system get lease mltrain-controller -o jsonpath='{.spec.holderIdentity}')" -o jsonpath='{.status.podIP}'; }
refusals() { kubernetes exec curl -s --max-time 5 "http://$(leader_address):8080/metrics" | sed -n 's/^mltrain_channel_refusals_total //p'; }
refusals_above() { [ "$(refusals)" -gt "$1" ]; }
log_of_leader() { k -n $system logs "$(k -n $system get lease mltrain-controller -o jsonpath='{.spec.holderIdentity}')"; }
leader_has_said() { log_of_leader | finds -E "$1"; }
says() { k -n "$1" logs "$2" | finds -E -- "$3"; }

# The processes of both pods' ranks, with the times of their starts: the gang is unharmed when they are the same.
gang() {
  local index
  for index in 0 1; do
    # shellcheck disable=SC2016 # for the pod's shell
    k exec "victim-worker-$index" -c trainer -- sh -c 'for p in /proc/[0-9]*; do
      grep -qx "PPid:.1" $p/status && grep -q RANK= $p/environ && echo "${p#/proc/} $(cut -d" " -f22 $p/stat)"
    done 2>/dev/null | sort'
  done
}
unharmed() {
  gang | diff gang.txt - || fail "$1: the gang has other processes than before"
  phase_is victim Running && attempt_is victim 1 || fail "$1: $(field victim .status)"
  [ "$(field victim .status.readyReplicas)" = 2 ] || fail "$1: a member is away: $(field victim .status)"
}

# refused_stranger NAMESPACE NAME REASON WORDS [FILTER]: without the key nobody gets as far as to say who he is
refused_stranger() {
  local before address
  before=$(refusals)
  stranger "$2" victim-worker-1 key "${5:-.}" | k -n "$1" apply -f - >/dev/null || fail "no pod"
  eventually 60 says "$1" "$2" "$4" || fail "$2 says: $(k -n "$1" logs "$2")"
  address=$(k -n "$1" get pod "$2" -o jsonpath='{.status.podIP}')
  eventually 20 refusals_above "$before" || fail "$2 is not counted: $(refusals), as before"
  eventually 20 leader_has_said "channel refused peer=.*$address.* reason=\"$3" || fail "the controller does not tell of $2 at $address: $(log_of_leader)"
  unharmed "$2"
  k -n "$1" delete pod "$2" --wait=false >/dev/null
}

victim_up() {
  job victim 2 "$until_told" | submit
  runs victim
  gang >gang.txt
  [ "$(wc -l <gang.txt)" = 4 ] || fail "not four ranks: $(cat gang.txt)"
}

without_key() {
  local space
  victim_up
  k create namespace "$other" >/dev/null || fail "no namespace"
  k label namespace "$other" pod-security.kubernetes.io/enforce=restricted >/dev/null
  eventually 30 k -n "$other" get serviceaccount default || fail "no ServiceAccount"
  head -c 32 /dev/urandom >psk
  for space in "$other" "$namespace"; do
    k -n "$space" create secret generic key --from-file=psk >/dev/null || fail "no Secret"
    refused_stranger "$space" stranger 'TLS' 'TLS'
  done
  # Whoever looks like a pod of the job, labels, owner and all, is none.
  refused_stranger "$namespace" victim-worker-1-r7 'TLS' 'TLS' "$(k get pod victim-worker-1 -o json |
    jq -r '.metadata.ownerReferences[0].blockOwnerDeletion = false | .metadata | ".metadata.labels = \(.labels) | .metadata.ownerReferences = \(.ownerReferences)"')"
  # A Secret of another namespace cannot be mounted.
  stranger thief victim-worker-1 "$(secret_of victim)" | k -n "$other" apply -f - >/dev/null || fail "no pod"
  eventually 60 mount_has_failed || fail "the thief's Secret is found"
  unharmed thief
  k -n "$other" delete pod thief --wait=false >/dev/null
  say "nobody joins a job without its key"
}
mount_has_failed() { k -n "$other" get events --field-selector involvedObject.name=thief,reason=FailedMount -o jsonpath='{.items[*].message}' | finds 'secret.*not found'; }
secret_of() { k get secrets -l "mltrain.io/job-name=$1" -o jsonpath='{.items[0].metadata.name}'; }

# Who mounts the job's Secret is let in, and has to say which member it is.
with_key() {
  local before
  before=$(refusals)
  stranger insider victim-worker-1 "$(secret_of victim)" "$with_own_uid" | k apply -f - >/dev/null || fail "no pod"
  eventually 60 says "$namespace" insider 'does not hold worker 1' || fail "the insider says: $(k logs insider)"
  eventually 20 refusals_above "$before" || fail "the insider is not counted"
  eventually 20 leader_has_said "refused words=\"pod $(pod insider .metadata.uid) does not hold worker 1.* job=$namespace/victim" ||
    fail "the controller does not tell of the insider: $(log_of_leader)"
  unharmed "an insider that holds no place"
  k delete pod insider --wait=false >/dev/null
  say "the key alone gives nobody a place"

  # And who also says a member's own UID does not push the launcher aside that has it.
  before=$(refusals)
  stranger twin victim-worker-1 "$(secret_of victim)" | k apply -f - >/dev/null || fail "no pod"
  eventually 60 says "$namespace" twin 'worker 1 is here on another channel' || fail "the twin says: $(k logs twin)"
  eventually 30 refusals_above $((before + 3)) || fail "the twin does not try again and again: $(refusals), as before"
  unharmed "a twin of a member"
  k delete pod twin --wait=false >/dev/null
  say "a member that answers is not pushed aside"
}

victim_ends() {
  tell victim
  succeeds victim
}

cleanup() { k delete namespace "$other" --wait=false --ignore-not-found >/dev/null 2>&1; }

cluster_up
load_images controller launcher shell
controller_up
[ $# -gt 0 ] || set -- restricted guaranteed not_allowed without_key with_key victim_ends
for part in "$@"; do "$part"; done
