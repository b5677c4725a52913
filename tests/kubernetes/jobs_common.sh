# shellcheck shell=bash
# Shared by pods.sh, binding.sh and security.sh; sourced after common.sh. Small jobs as JSON, which filters change before they are
# submitted.

shell_image=docker.io/mltrain/shell:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
strict='{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: ["ALL"]}}'

# job NAME PODS COMMAND: two ranks a pod, each a shell with this command; it satisfies Pod Security `restricted`
job() {
  jq -n --arg name "$1" --argjson pods "$2" --arg command "$3" --arg image "$shell_image" '{
    apiVersion: "mltrain.io/v1alpha1", kind: "TrainingJob", metadata: {name: $name},
    spec: {framework: "plain", nprocPerNode: 2, workers: {replicas: $pods, template: {spec: {
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: "RuntimeDefault"}},
      containers: [{name: "trainer", image: $image, command: ["sh", "-c"], args: [$command],
        securityContext: '"$strict"', resources: {requests: {cpu: "20m", memory: "32Mi"}}}]}}}}}'
}
# spec FILTER, template FILTER, trainer FILTER: change this part of a job
spec() { jq ".spec |= ($1)"; }
template() { spec ".workers.template.spec |= ($1)"; }
trainer() { template ".containers |= map(if .name == \"trainer\" then $1 else . end)"; }
gpus() { trainer '.resources.limits["nvidia.com/gpu"] = '"$1"; }
# beside NAME COMMAND [FIELDS]: one more container, which is listed before the trainer
beside() { template '.containers = ['"$(container "$@")"'] + .containers'; }
# sidecar NAME COMMAND: a native one
sidecar() { template '.initContainers += ['"$(container "$1" "$2" '{restartPolicy: "Always"}')"']'; }
container() {
  jq -n --arg name "$1" --arg command "$2" --arg image "$shell_image" '{name: $name, image: $image, command: ["sh", "-c", $command],
    securityContext: '"$strict"', resources: {requests: {cpu: "10m", memory: "16Mi"}}} + '"${3:-{\}}"
}

submit() { k apply -f - >/dev/null || fail "a job was refused"; }

# until_told: what a rank's command waits with, until tell JOB is called
until_told='until [ -e /dev/shm/told ]; do sleep 0.2; done'
tell() {
  local pod
  for pod in $(k get pods -l "mltrain.io/job-name=$1" --field-selector status.phase!=Failed,status.phase!=Succeeded -o name); do
    k exec "$pod" -c trainer -- touch /dev/shm/told || fail "$pod: no exec"
  done
}

field() { k get trainingjob "$1" -o jsonpath="{$2}"; }
runs() { eventually "${2:-60}" phase_is "$1" Running || fail "$1 does not run: $(field "$1" .status)"; }
succeeds() { eventually "${2:-60}" phase_is "$1" Succeeded || fail "$1 does not succeed: $(field "$1" .status)"; }
# condition JOB TYPE: its status, reason and sentence
condition() { field "$1" ".status.conditions[?(@.type==\"$2\")]['status','reason','message']"; }
pod() { k get pod "$1" -o jsonpath="{$2}"; }
pod_is() { [ "$(pod "$1" "$2")" = "$3" ]; }
no_pods() { [ -z "$(k get pods -l "mltrain.io/job-name=$1" -o name)" ]; }
end_job() {
  k delete trainingjob "$1" --wait=false >/dev/null
  eventually 60 no_pods "$1" || fail "$1: its pods do not end"
}
