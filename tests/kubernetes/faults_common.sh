# shellcheck shell=bash
# Shared by faults.sh and its parts; sourced after common.sh. Jobs whose ranks count steps, and what is asked of a job before and
# after a fault.

shell_image=docker.io/mltrain/shell:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
checkpoints=$work/checkpoints # seen by every node: they share this machine's files

# job NAME [PODS]: each pod takes all GPUs of a node and holds two ranks. Rank 0 saves when it gets SIGTERM (a zip file, which
# tells by itself that it is whole); who finds a file
# /dev/shm/eat-RANK takes memory without end.
job() {
  cat <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: $1}
spec:
  framework: plain
  nprocPerNode: 2
  progress: {pattern: '^step (?<step>\d+)'}
  workers:
    replicas: ${2:-2}
    template:
      spec:
        securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
        containers:
          - name: trainer
            image: $shell_image
            command: [sh, -c]
            args:
              - |
                step=\${MLTRAIN_RESUME_STEP:-0}
                echo "attempt \$MLTRAIN_ATTEMPT of \$RANK goes on from \$step"
                save() { [ ! -e /checkpoints ] || [ \$RANK != 0 ] || { { printf 'PK\003\004PK\005\006'; head -c 18 /dev/zero; } >/checkpoints/new; mv /checkpoints/new /checkpoints/\$step.pt; }; }
                trap 'save; exit 143' TERM
                while :; do
                  step=\$((step + 1))
                  echo "step \$step"
                  sleep 0.5
                  [ ! -e /dev/shm/eat-\$RANK ] || { rm /dev/shm/eat-\$RANK; x=\$(tr '\0' x </dev/zero); }
                done
            securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
            resources: {requests: {cpu: 20m, memory: 32Mi, nvidia.com/gpu: 2}, limits: {memory: 64Mi, nvidia.com/gpu: 2}}
YAML
}

# saving_job NAME [PODS]: the same, and it saves before a requested stop
saving_job() {
  mkdir -p "$checkpoints/$1"
  chmod 777 "$checkpoints/$1"
  job "$@" | sed 's/^  workers:/  checkpoint: {path: \/checkpoints, format: pattern, pattern: "{step}.pt", gracePeriodSeconds: 20}\n&/'
  cat <<YAML
            volumeMounts: [{name: checkpoints, mountPath: /checkpoints}]
        volumes: [{name: checkpoints, hostPath: {path: $checkpoints/$1}}]
YAML
}

# ---- what a job is like ----

field() { k get trainingjob "$1" -o jsonpath="{$2}" 2>/dev/null; }
number() { local n; n=$(field "$1" "$2"); echo "${n:-0}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
# reason_is JOB CONDITION PATTERN
reason_is() { field "$1" ".status.conditions[?(@.type==\"$2\")].reason" | finds -xE "$3"; }
# words_have JOB CONDITION PATTERN: its sentence does
words_have() { field "$1" ".status.conditions[?(@.type==\"$2\")].message" | finds -E -- "$3"; }
# tells JOB CONDITION REASON PATTERN
tells() { reason_is "$1" "$2" "$3" && words_have "$1" "$2" "$4"; }
runs() { [ "$(field "$1" '.status.phase} {.status.attempt')" = "Running $2" ]; }

# members JOB: "INDEX UID NODE" of each pod that is not about to end
members() {
  k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{range .items[*]}{.metadata.labels.mltrain\.io/index} {.metadata.uid} {.spec.nodeName} {.status.phase} {.metadata.deletionTimestamp}{"\n"}{end}' |
    awk '($4 == "Running" || $4 == "Pending") && $5 == "" {print $1, $2, $3}' | sort
}
node_of() { members "$1" | awk -v i="$2" '$1 == i {print $3}'; }
uid_of() { members "$1" | awk -v i="$2" '$1 == i {print $2}'; }
pod_of() { k get pod -l "mltrain.io/job-name=$1,mltrain.io/index=$2" --sort-by=.metadata.creationTimestamp -o jsonpath='{.items[-1:].metadata.name}'; }
no_pods() { [ -z "$(k get pods -l "mltrain.io/job-name=$1" -o name)" ]; }

# ranks JOB: "RANK PID START" of all, as their pods see them
ranks() {
  local i
  for i in $(members "$1" | cut -d' ' -f1); do
    # shellcheck disable=SC2016 # for the pod's shell
    k exec "$(pod_of "$1" "$i")" -c trainer -- sh -c 'for p in /proc/[0-9]*; do
      grep -qx "PPid:.1" $p/status && rank=$(tr "\0" "\n" <$p/environ | grep "^RANK=") && echo "$rank ${p#/proc/} $(sed "s/.*) //" $p/stat | cut -d" " -f20)"
    done 2>/dev/null | sort'
  done
}

# ---- before and after ----

# begin JOB [MANIFEST]: a running job, as it was left by the fault before or new, and what it was like
begin() {
  if [ -z "$(field "$1" .metadata.uid)" ]; then
    printf '%s\n' "${2:-$(job "$1")}" | k apply -f - >/dev/null || fail "$1 was refused"
  fi
  eventually 90 is "$1" .status.phase Running || fail "$1 does not run: $(field "$1" .status)"
  kubectl get trainingjob "$1" --watch -o jsonpath='{.status.phase}{"\n"}' >"$1.phases" 2>/dev/null &
  watch=$!
  attempt=$(number "$1" .status.attempt)
  charged=$(number "$1" .status.restartsCharged)
  members "$1" >"$1.members"
  eventually 10 test -s "$1.phases" || fail "$1: no watch"
}

phases() { uniq "$1.phases" | paste -sd' '; }
phases_are() { [[ $(phases "$1") =~ ^$2$ ]]; }
# moved JOB: the indexes of the members whose pods are not those of the beginning
moved() { members "$1" | comm -13 "$1.members" - | cut -d' ' -f1 | paste -sd' '; }

# expect JOB CHARGED MOVED PHASES [CAUSE]: it runs again, in its next attempt if there is a cause, after the phases
expect() {
  local next=$attempt
  [ -z "${5:-}" ] || next=$((next + 1))
  eventually 90 runs "$1" "$next" || fail "$1 does not run again as attempt $next: $(field "$1" .status)"
  [ -z "${5:-}" ] || is "$1" '.status.failures[-1:].cause' "$5" || fail "$1: not $5 but $(field "$1" .status.failures)"
  [ "$(number "$1" .status.restartsCharged)" = $((charged + $2)) ] ||
    fail "$1: charged are $(number "$1" .status.restartsCharged), not $2 more than $charged"
  [ "$(moved "$1")" = "$3" ] || fail "$1: moved are [$(moved "$1")], not [$3]; before: $(cat "$1.members"); now: $(members "$1")"
  eventually 10 phases_are "$1" "$4" || fail "$1: phases are [$(phases "$1")], not [$4]"
  { kill "$watch" && wait "$watch"; } 2>/dev/null
  return 0
}

# resumes JOB: the attempt goes on from a step that was saved when the one before was told to stop
resumes() {
  has_event "$1" CheckpointSaved || fail "$1: nothing says what was saved"
  eventually 20 goes_on "$1" || fail "$1 does not go on from a saved step: $(mltrain logs "$1" --attempt $((attempt + 1)) | head -n 4)"
}
goes_on() { mltrain logs "$1" --attempt $((attempt + 1)) | finds "attempt $((attempt + 1)) of 0 goes on from [1-9]"; }

end_job() {
  k delete trainingjob "$1" --wait=false >/dev/null
  eventually 60 no_pods "$1" || fail "$1: its pods do not end"
  rm -rf "${checkpoints:?}/$1"
}

# ---- the cluster ----

# Both controllers on node 1, which holds no job: a fault of a job's node is no fault of its controller. Filters their manifest.
on_node_1() {
  sed -e 's/whenUnsatisfiable: DoNotSchedule/whenUnsatisfiable: ScheduleAnyway/' \
    -e 's|^      serviceAccountName:.*|&\n      nodeSelector: {kubernetes.io/hostname: node-1}\n      tolerations: [{key: mltrain.io/test, operator: Exists}]|'
}
controllers_up() {
  k taint node node-1 mltrain.io/test=controllers:NoSchedule --overwrite >/dev/null
  controller_up on_node_1
  # On a cluster that was kept they may be those of an older image.
  [ -z "${MLTRAIN_KUBERNETES_NAME:-}" ] || k -n $system rollout restart deployment/mltrain-controller >/dev/null
  k -n $system rollout status deployment/mltrain-controller --timeout=60s >/dev/null || fail "the controller does not run"
}

leader() { k -n $system get lease mltrain-controller -o jsonpath='{.spec.holderIdentity}'; }
leader_is_another() { local l; l=$(leader); [ -n "$l" ] && [ "$l" != "$1" ]; }

two_controllers() { [ "$(k -n $system get deployment mltrain-controller -o jsonpath='{.status.readyReplicas}')" = 2 ]; }
last_step() { number "$1" .status.progress.step; }
# has_progress JOB STEP: a leader tells of a later step than this
has_progress() { [ "$(last_step "$1")" -gt "$2" ]; }

# nobody_has_noticed JOB: the ranks are the same processes, and their output goes on
nobody_has_noticed() {
  local before
  ranks "$1" | diff ranks - || fail "$1: other processes than before"
  before=$(mltrain logs "$1" --rank 3 | tail -n 1)
  eventually 10 says_more "$1" "$before" || fail "$1: rank 3 says nothing more"
}
says_more() { [ "$(mltrain logs "$1" --rank 3 | tail -n 1)" != "$2" ]; }

# writes_of ADDRESS SINCE: what a controller has asked for but reading, its Lease and Events
writes_of() {
  kubernetes logs audit | grep -F "\"sourceIPs\":[\"$1\"]" | grep -vE '"verb":"(get|list|watch)"|"resource":"(leases|events)"' |
    sed -E 's/.*"requestURI":"([^"]*)".*"verb":"([^"]*)".*"requestReceivedTimestamp":"([^"]*)".*/\3 \2 \1/' | awk -v since="$2" '$1 >= since'
}

# process_of POD NAME [NAMESPACE]: its process id where the cluster's own first process sees it
process_of() {
  local uid
  uid=$(k -n "${3:-$namespace}" get pod "$1" -o jsonpath='{.metadata.uid}')
  # shellcheck disable=SC2016 # for the cluster's shell
  kubernetes exec sh -c 'for p in /proc/[0-9]*; do
    grep -qs "pod$1/" "$p/cgroup" && grep -qx "$2" "$p/comm" && echo "${p#/proc/}"
  done' sh "$uid" "$2" | head -n 1
}
signal() { kubernetes exec kill "-$1" "$2"; }

# What a fault leaves behind when its test ends half way, for clusters that are kept
restore() {
  local node
  [ -z "${stopped:-}" ] || signal CONT "$stopped"
  [ -z "${hidden:-}" ] || show_launcher
  [ -z "${taken:-}" ] || give_rights
  [ ! -e webhook.pid ] || webhook_down
  kubernetes start apiserver
  mend
  for node in node-2 node-3 node-4; do
    k uncordon $node
    kubernetes exec ip link set $node up
    kubernetes start $node-kubelet
    rm -f "$(cluster_folder)/$node/static/foreign.yaml"
  done >/dev/null 2>&1
}
