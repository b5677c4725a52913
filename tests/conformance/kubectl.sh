#!/usr/bin/env bash
# Unmodified kubectl against the cluster of a kubeconfig, as people use it on TrainingJobs and on what stands beside them.
# usage: tests/conformance/kubectl.sh KUBECTL KUBECONFIG     prints one line a check; closes with passed, failed, skipped
set -uo pipefail
kubectl=$1
export KUBECONFIG=$2
work=$(mktemp -d)
trap 'rm -rf "$work"; kill $(jobs -p) 2>/dev/null' EXIT
export HOME=$work # kubectl caches discovery there
k() { "$kubectl" "$@"; }
passed=0 failed=0 skipped=0
minor=$(k version --client -o json | sed -n 's/.*"minor": "\([0-9]*\).*/\1/p')

# check WHAT COMMAND...: its exit code
check() {
  local what=$1
  shift
  if "$@" >"$work/out" 2>&1; then passed=$((passed + 1)); echo "ok: $what"
  else failed=$((failed + 1)); echo "FAILED: $what: $*"; sed 's/^/    /' "$work/out" | tail -8; fi
}
# says WHAT REGEX COMMAND...: its output
says() {
  local what=$1 regex=$2
  shift 2
  if "$@" >"$work/out" 2>&1 && grep -qE -- "$regex" "$work/out"; then passed=$((passed + 1)); echo "ok: $what"
  else failed=$((failed + 1)); echo "FAILED: $what: expected /$regex/ from $*"; sed 's/^/    /' "$work/out" | tail -8; fi
}
# refuses WHAT REGEX COMMAND...: fails with these words
refuses() {
  local what=$1 regex=$2
  shift 2
  if "$@" >"$work/out" 2>&1; then failed=$((failed + 1)); echo "FAILED: $what: succeeded"
  elif grep -qE -- "$regex" "$work/out"; then passed=$((passed + 1)); echo "ok: $what"
  else failed=$((failed + 1)); echo "FAILED: $what: expected /$regex/"; sed 's/^/    /' "$work/out" | tail -8; fi
}
until_true() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done; return 1; }

# It ends when it is told to: however long kubectl takes, it is looked at while it runs.
cat >"$work/job.yaml" <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: conformance, labels: {team: a}}
spec:
  framework: plain
  nprocPerNode: 2
  workers:
    replicas: 1
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [sh, -c, 'echo "line one of \$RANK"; until [ -e $work/go ]; do sleep 0.2; done; echo "line two of \$RANK"']
            resources: {requests: {cpu: 10m, memory: 16Mi}}
            volumeMounts: [{name: work, mountPath: $work}]
        volumes:
          - {name: work, hostPath: {path: $work}}
YAML

says "version" 'Server Version|serverVersion' k version
says "api-resources" 'trainingjobs.*tj.*mltrain.io' k api-resources
check "cluster is healthy" k get --raw /healthz
says "get nodes" 'Ready' k get nodes
says "dry run on the server" 'created \(server dry run\)|created \(dry run\)' k apply --dry-run=server -f "$work/job.yaml"
says "apply creates" 'conformance created' k apply -f "$work/job.yaml"
says "apply again changes nothing" 'conformance unchanged' k apply -f "$work/job.yaml"
sed 's/team: a/team: b/; s/^spec:/spec:\n  activeDeadlineSeconds: 600/' "$work/job.yaml" >"$work/changed.yaml"
says "apply changes" 'conformance configured' k apply -f "$work/changed.yaml"
says "the change is there" '^b 600$' k get tj conformance -o 'jsonpath={.metadata.labels.team} {.spec.activeDeadlineSeconds}'
says "get as a table" 'NAME +PHASE +QUEUE +WORKERS +GPUS +STEP +RESTARTS +AGE' k get tj
says "get -o wide" 'conformance' k get trainingjobs.mltrain.io -o wide
says "get -o name" '^trainingjob.mltrain.io/conformance$' k get tj -o name
says "get -o yaml" '^kind: TrainingJob$' k get tj conformance -o yaml
says "get -o json" '"kind": "TrainingJob"' k get tj conformance -o json
says "get -l finds" conformance k get tj -l team=b -o name
says "get -l with a set finds" conformance k get tj -l 'team in (a,b)' -o name
says "get -l does not find" '^No resources found' k get tj -l team=zzz
says "get of all namespaces" 'default +conformance' k get tj -A
refuses "get of what is not there" 'NotFound.*"nothing" not found' k get tj nothing
says "explain the kind" 'TrainingJob' k explain trainingjob
says "explain a field" 'nprocPerNode' k explain trainingjob.spec.nprocPerNode
refuses "a typo is refused or warned of" 'unknown field|ValidationError|not supported' \
  sh -c "sed 's/nprocPerNode/nprocPerNod/' '$work/job.yaml' | '$kubectl' create -f - --validate=true && '$kubectl' delete tj conformance"
refuses "create of what is there" 'AlreadyExists' k create -f "$work/job.yaml"
refuses "a wrong value is refused with its field" 'spec.workers.replicas' sh -c "sed 's/replicas: 1/replicas: -1/; s/name: conformance/name: wrong/' '$work/job.yaml' | '$kubectl' create --validate=false -f -"
until_true sh -c "'$kubectl' get pods -l mltrain.io/job-name=conformance -o 'jsonpath={.items[0].status.phase}' | grep -q Running"
says "get pods" 'conformance-worker-0 +1/1 +Running' k get pods
says "logs" 'line one of 0' k logs conformance-worker-0
says "logs -c" 'line one of' k logs conformance-worker-0 -c trainer
says "logs --tail" 'line (one|two) of' k logs conformance-worker-0 --tail=1
says "logs -f runs to the end" 'line two of 1' sh -c "(sleep 1; touch '$work/go') & timeout 60 '$kubectl' logs -f conformance-worker-0"
says "describe the job" 'Name: +conformance' k describe tj conformance
says "describe the pod" 'Container|Containers:' k describe pod conformance-worker-0
says "wait for a condition" 'condition met' k wait --for=condition=Complete tj/conformance --timeout=30s
says "wait for a pod to go" 'condition met|deleted|no matching' sh -c "'$kubectl' run gone --image=none --restart=Never --command -- sleep 60 >/dev/null; '$kubectl' delete pod gone --wait=false; '$kubectl' wait --for=delete pod/gone --timeout=40s; echo condition met"
timeout 120 "$kubectl" get tj -w >"$work/watch" 2>&1 &
until_true grep -q conformance "$work/watch"
sed 's/name: conformance/name: second/' "$work/job.yaml" >"$work/second.yaml"
check "create" k create -f "$work/second.yaml"
check "watch shows it" until_true grep -q second "$work/watch"
check "label" k label tj second kept=yes
check "annotate" k annotate tj second note=x
says "patch" 'patched' k patch tj second --type=merge -p '{"spec":{"ttlSecondsAfterFinished":3600}}'
check "json patch" k patch tj second --type=json -p '[{"op":"replace","path":"/spec/ttlSecondsAfterFinished","value":60}]'
says "events" 'TrainingJob/conformance|trainingjob/conformance|conformance' k get events
check "configmap from literal" k create configmap settings --from-literal=a=1
says "configmap is there" '^1$' k get configmap settings -o 'jsonpath={.data.a}'
check "strategic patch of a built-in kind" k patch configmap settings -p '{"data":{"b":"2"}}'
check "namespace" k create namespace elsewhere
check "create in it" k -n elsewhere create configmap x --from-literal=y=z
check "delete the namespace" k delete namespace elsewhere --timeout=30s
says "delete" 'deleted' k delete tj second --timeout=30s
check "its pods go too" until_true sh -c "test -z \"\$('$kubectl' get pods -l mltrain.io/job-name=second -o name)\""
says "delete by file" 'deleted' k delete -f "$work/job.yaml" --timeout=30s
check "delete the rest" k delete configmap settings
if [ "${minor:-0}" -ge 24 ]; then
  says "events command" 'conformance|No events' k events
else
  skipped=$((skipped + 1)); echo "skipped: kubectl events: 1.$minor has no such command"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
