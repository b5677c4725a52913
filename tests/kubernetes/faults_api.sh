# shellcheck shell=bash
# Faults of the API server and of what stands before it: the second table of docs/kubernetes.md. Sourced by faults.sh.

# waits_as JOB PHASE CONDITION REASON WORDS: within a minute it waits so, uncharged
waits_as() {
  eventually 60 waits "$@" || fail "$1 does not wait as $2, $3: $4, $5: $(field "$1" .status)"
  [ "$(number "$1" .status.restartsCharged)" = 0 ] || fail "$1 was charged"
}
waits() { is "$1" .status.phase "$2" && tells "$1" "$3" "$4" "$5"; }

submit() { k apply -f - >/dev/null || fail "a job was refused"; }
starts() { eventually 90 is "$1" .status.phase Running || fail "$1 does not run: $(field "$1" .status)"; }
# make_room: the nodes are the next job's
make_room() { [ -z "$(members gang)" ] || end_job gang; }

image_missing() {
  make_room
  job pulling 1 | sed "s|image: .*|image: 127.0.0.1:5/nothing:none|; s|^  workers:|  failurePolicy: {startTimeoutSeconds: 20}\n&|" | submit
  waits_as pulling Admitted PodsReady 'ErrImagePull|ImagePullBackOff' 'container trainer \(image 127.0.0.1:5/nothing:none\)'
  eventually 60 has_event pulling Requeued 'startTimeoutSeconds: .*5/nothing:none' || fail "the gang is not given back"
  eventually 60 placed_elsewhere pulling || fail "it is not tried elsewhere"
  end_job pulling
}
placed_elsewhere() { [ -n "$(node_of "$1" 0)" ] && [ "$(node_of "$1" 0)" != node-2 ]; }

launcher_image_missing() {
  local image n
  image=docker.io/mltrain/launcher:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
  make_room
  hidden=$(make_images launcher) || fail "no archive"
  for n in 2 3 4; do images_of $n rm "$image" || fail "no image"; done
  job unlaunched | submit
  waits_as unlaunched Admitted PodsReady 'ErrImagePull|ImagePullBackOff' "mltrain's own init container .*image $image"
  end_job unlaunched
  show_launcher
}
# images_of NODE ARGUMENTS...: ctr images
images_of() {
  kubernetes exec --node "$1" -- "$(dirname "$(command -v kubectl)")/../containerd/ctr" -n k8s.io images "${@:2}" >/dev/null
}
show_launcher() {
  local n
  for n in 2 3 4; do images_of $n import "$hidden"; done
  hidden=''
}

template_refused() {
  job wrong | sed 's|^            resources:|            volumeMounts: [{name: nowhere, mountPath: /nowhere}]\n&|' | submit
  waits_as wrong Queued Admitted PodRefused 'volumeMounts.*nowhere'
  has_event wrong PodRefused nowhere || fail "no event PodRefused"
  no_pods wrong || fail "it has pods"
  end_job wrong
}

quota_exceeded() {
  make_room
  k create quota tight --hard=pods=1 >/dev/null || fail "no quota"
  eventually 10 quota_counts || fail "the quota does not count"
  job squeezed | submit
  waits_as squeezed Queued Admitted PodRefused 'exceeded quota: tight'
  reason_is squeezed Queued PodRefused || fail "Queued: $(field squeezed .status.conditions)"
  eventually 20 no_pods squeezed || fail "the gang is not undone as a whole"
  is squeezed .status.phase Queued || is squeezed .status.phase Admitted || fail "phase $(field squeezed .status.phase)"
  k delete quota tight >/dev/null
  starts squeezed
  end_job squeezed
}
quota_counts() { [ "$(k get quota tight -o jsonpath='{.status.hard.pods}')" = 1 ]; }

# limit_range LIMITS
limit_range() {
  printf 'apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits}\nspec: {limits: [{type: Container, %s}]}\n' "$1" | k apply -f - >/dev/null || fail "no LimitRange"
}

limited() {
  make_room
  limit_range 'max: {memory: 40Mi}'
  job large | submit
  waits_as large Queued Admitted PodRefused 'maximum memory usage per Container is 40Mi'
  no_pods large || fail "it has pods"
  end_job large
  # What it adds is planned with: no node has 64 processors.
  limit_range 'defaultRequest: {cpu: 64}, default: {cpu: 64}'
  job completed | sed 's/cpu: 20m, //' | submit
  waits_as completed Queued Queued 'Unschedulable|Waiting' 'cpu'
  k delete limitrange limits >/dev/null
  end_job completed
}

pod_security() {
  make_room
  k label namespace "$namespace" pod-security.kubernetes.io/enforce=restricted --overwrite >/dev/null
  job insecure | sed '/securityContext/d' | submit
  waits_as insecure Queued Admitted PodRefused 'violates PodSecurity'
  no_pods insecure || fail "it has pods"
  job secure | submit
  starts secure
  end_job secure
  k label namespace "$namespace" pod-security.kubernetes.io/enforce=privileged --overwrite >/dev/null
  starts insecure
  end_job insecure
}

secret_missing() {
  make_room
  job secretive | sed 's|^            resources:|            env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: later, key: token}}}]\n&|' | submit
  waits_as secretive Admitted PodsReady CreateContainerConfigError 'secret "later" not found'
  members secretive >secretive.members
  k create secret generic later --from-literal=token=1 >/dev/null
  starts secretive
  [ -z "$(moved secretive)" ] && runs secretive 1 || fail "pods were created again"
  k delete secret later >/dev/null
  end_job secretive
}

config_map_missing() {
  make_room
  { job mounted | sed 's|^            resources:|            volumeMounts: [{name: settings, mountPath: /settings}]\n&|'
    echo '        volumes: [{name: settings, configMap: {name: later}}]'; } | submit
  waits_as mounted Admitted PodsReady PodsStarting '2 of 2 pods are not ready'
  k get events --field-selector reason=FailedMount -o jsonpath='{.items[*].message}' | finds 'configmap "later" not found' || fail "no event FailedMount"
  members mounted >mounted.members
  k create configmap later --from-literal=a=b >/dev/null
  starts mounted
  [ -z "$(moved mounted)" ] && runs mounted 1 || fail "pods were created again"
  k delete configmap later >/dev/null
  end_job mounted
}

# ---- the end ----

# Who deletes the job's own Secret has not stopped the job: a pod that has to go to a node where none of the job's was finds it.
key_deleted() {
  local node
  make_room
  begin keyless
  k delete secret -l mltrain.io/job-name=keyless >/dev/null || fail "no Secret"
  kill_rank "$(pod_of keyless 1)" 3 || fail "no rank 3"
  expect keyless 1 "" "Running( Restarting)? Starting Running" KilledFromOutside
  [ -z "$(k get secrets -l mltrain.io/job-name=keyless -o name)" ] || fail "a restart in place needs no Secret"
  begin keyless
  node=$(node_of keyless 1)
  k cordon "$node" >/dev/null
  k delete pod "$(pod_of keyless 1)" --wait=false >/dev/null
  expect keyless 0 1 "Running Restarting Starting Running" Infrastructure
  [ "$(node_of keyless 1)" != "$node" ] || fail "the pod is on the cordoned node again"
  [ -n "$(k get secrets -l mltrain.io/job-name=keyless -o name)" ] || fail "there is no Secret again"
  k uncordon "$node" >/dev/null
  end_job keyless
}

saved() { ls "$checkpoints/$1"/*.pt >/dev/null 2>&1; }

namespace_deleted() {
  local other=$namespace-doomed
  make_room
  k create namespace "$other" >/dev/null
  k config set-context --current --namespace="$other" >/dev/null
  eventually 30 k get serviceaccount default || fail "no ServiceAccount"
  saving_job doomed 1 | submit
  starts doomed
  k delete namespace "$other" --wait=false >/dev/null
  k config set-context --current --namespace="$namespace" >/dev/null
  eventually 60 no_namespace "$other" || fail "the namespace does not end: $(k -n "$other" get pods,trainingjobs,secrets)"
  saved doomed || fail "the ranks have not saved"
}
no_namespace() { [ -z "$(k get namespace "$1" --ignore-not-found -o name)" ]; }

gone() { [ -z "$(k get trainingjob "$1" --ignore-not-found -o name)" ]; }

deleted_in_background() {
  begin background "$(saving_job background)"
  k delete trainingjob background --cascade=background --wait=false >/dev/null
  eventually 5 gone background || fail "the job stays"
  eventually 60 no_pods background || fail "its pods do not end"
  saved background || fail "the ranks have not saved"
}

deleted_in_foreground() {
  begin foreground "$(saving_job foreground)"
  k delete trainingjob foreground --cascade=foreground --wait=false >/dev/null
  eventually 60 no_pods foreground || fail "its pods do not end"
  eventually 10 gone foreground || fail "the job stays"
  saved foreground || fail "the ranks have not saved"
}

deleted_as_orphans() {
  begin orphan "$(saving_job orphan)"
  k delete trainingjob orphan --cascade=orphan --wait=false >/dev/null
  eventually 20 gone orphan || fail "the job stays"
  eventually 60 have_ended orphan || fail "its pods do not end: $(k get pods -l mltrain.io/job-name=orphan -o wide)"
  saved orphan || fail "the ranks have not saved"
  [ -z "$(k get pods -l mltrain.io/job-name=orphan -o jsonpath='{.items[*].metadata.ownerReferences}')" ] || fail "the pods have an owner"
  k logs orphan-worker-0 -c trainer | finds 'step 1$' || fail "no logs"
  k delete pods -l mltrain.io/job-name=orphan >/dev/null
}
have_ended() { [ "$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{range .items[*]}{.status.phase}{"\n"}{end}' | grep -cE 'Succeeded|Failed')" = 2 ]; }
