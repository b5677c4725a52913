#!/usr/bin/env bash
# The launcher as an image volume (--launcher-delivery imageVolume): a gang trains, is restarted in place, and can be looked into, without
# an init container, with a read-only root file system and Pod Security `restricted`; helper and Python module are where a copy has them.
# What is missing is told in the job: the image, the feature gate of the API server or of a kubelet, a container runtime that can. And the
# default, auto: from Kubernetes 1.35 on (a cluster made with --version, and MLTRAIN_KUBERNETES_NAME) it mounts, before it copies.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/image_volume.sh [PART...]
MLTRAIN_LAUNCHER_DELIVERY=imageVolume
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/jobs_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/jobs_common.sh"

launcher_image=docker.io/mltrain/launcher:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
old=$name-old

# controller_with IMAGE [REPLICAS]: pods get that image mounted
controller_with() {
  controller_up sed -e "s|--launcher-image=.*|--launcher-image=$1|" -e "s|replicas: .*|replicas: ${2:-2}|"
}
# tells JOB TYPE WORDS: its condition of this type, sooner or later
tells() {
  eventually 60 told_in "$1" "$2" "$3" || fail "$1: $2 does not say [$3]: $(condition "$1" "$2")"
}
told_in() { condition "$1" "$2" | finds -E -- "$3"; }

# ---- it works ----

shell_of() { k exec "$1" -c trainer -- sh -c "$2"; }
has_said() { [ "$(mltrain logs "$1" | grep -c "$2")" = 4 ]; }
trains() {
  job mounted 2 "echo \"I am \$RANK of \$WORLD_SIZE in attempt \$MLTRAIN_ATTEMPT\"; $until_told; echo 'I am done'" | gpus 2 | submit
  runs mounted
  [ "$(pod mounted-worker-0 '.spec.initContainers')" = "" ] || fail "there is an init container"
  [ "$(pod mounted-worker-0 '.spec.volumes[?(@.name=="mltrain-launcher")].image.reference')" = "$launcher_image" ] || fail "no volume"
  eventually 20 has_said mounted 'I am [0-3] of 4 in attempt 1' || fail "the ranks say: $(mltrain logs mounted)"
  [ "$(shell_of mounted-worker-0 'cd /mltrain/bin && find . -type f | sort | tr "\n" " "')" = \
    './mltrain-helper ./mltrain-launcher ./python/mltrain/__init__.py ./python/mltrain/nccl.py ' ] || fail "/mltrain/bin: $(shell_of mounted-worker-0 'ls -lR /mltrain/bin')"
  # What ranks and launcher write lies around it, and nobody writes into it, nor beside it.
  shell_of mounted-worker-0 'test -S /mltrain/sdk.sock && touch /mltrain/own && test ! -w /mltrain/bin && ! touch /mltrain/bin/x /x 2>/dev/null' || fail "the folders of the pod"
  # shellcheck disable=SC2016 # for the pod's shell
  [ "$(shell_of mounted-worker-0 'for p in /proc/[0-9]*; do grep -qx "PPid:.1" $p/status && tr "\0" "\n" <$p/environ | grep ^PYTHONPATH=; done | sort -u')" = \
    PYTHONPATH=/mltrain/bin/python ] || fail "the module is not in the PYTHONPATH"
  k get pods -l mltrain.io/job-name=mounted -o jsonpath='{.items[*].metadata.uid}' >before.txt
  kill_rank mounted-worker-1 3 || fail "no rank 3"
  eventually 60 attempt_is mounted 2 && runs mounted
  k get pods -l mltrain.io/job-name=mounted -o jsonpath='{.items[*].metadata.uid}' | cmp - before.txt || fail "the pods are others"
  eventually 20 has_said mounted 'I am [0-3] of 4 in attempt 2' || fail "the ranks say: $(mltrain logs mounted)"
  kill_launcher "$(pod mounted-worker-0 .spec.nodeName)" mounted 0 || fail "no launcher"
  eventually 60 attempt_is mounted 3 && runs mounted
  tell mounted
  succeeds mounted
  has_said mounted 'I am done' || fail "the ranks say: $(mltrain logs mounted)"
  say "a job whose launcher is mounted trains, restarts in place, gets a pod anew"
}

guaranteed() {
  job whole 1 true | trainer '.resources = {limits: {cpu: "100m", memory: "64Mi"}}' | submit
  job old-hand 1 true | template '.initContainers = ['"$(container first true)"']' | submit
  succeeds whole
  succeeds old-hand
  [ "$(pod whole-worker-0 .status.qosClass)" = Guaranteed ] || fail "it is $(pod whole-worker-0 .status.qosClass)"
  [ "$(pod old-hand-worker-0 '.spec.initContainers[*].name')" = first ] || fail "init containers: $(pod old-hand-worker-0 '.spec.initContainers[*].name')"
  say "a Guaranteed pod stays one, and a template keeps its own init containers"
}

# ---- it does not ----

no_image() {
  controller_with docker.io/mltrain/nothing:7
  job unlaunched 1 true | submit
  tells unlaunched PodsReady "False (ErrImagePull|ImagePullBackOff) .*mltrain's own image volume mltrain-launcher .image docker.io/mltrain/nothing:7."
  end_job unlaunched
  controller_with "$launcher_image"
  say "an image that is not there is told as mltrain's own"
}

# gate PART FROM TO FILE: a feature gate of a part of the cluster
gate() {
  sed -i "s/ImageVolume$2/ImageVolume$3/" "$4"
  grep -q "ImageVolume$3" "$4" || fail "there is no such gate in $4"
  kubernetes restart "$1"
  eventually 60 kubectl get --raw /readyz || fail "the API server does not come back"
}

no_gate() {
  local cluster
  cluster=$(cluster_folder)
  gate apiserver =true =false "$cluster/components/apiserver"
  job ungated 1 true | submit
  tells ungated Admitted 'False PodRefused .*feature gate ImageVolume is off.*--launcher-delivery initContainer'
  no_pods ungated || fail "it has pods"
  phase_is ungated Queued || fail "it is $(field ungated .status.phase)"
  gate apiserver =false =true "$cluster/components/apiserver"
  succeeds ungated
  say "a gate that is off in the API server is told before any pod, and who switches it on need not touch the job"

  gate node-1-kubelet ': true' ': false' "$cluster/node-1/kubelet.yaml"
  job unknown 1 true | template '.nodeSelector = {"kubernetes.io/hostname": "node-1"}' | submit
  tells unknown PodsReady 'False PodsStarting .*no volume plugin matched.*--launcher-delivery'
  eventually 90 has_event unknown-worker-0 FailedMount 'no volume plugin matched' || fail "the kubelet says: $(k get events --field-selector involvedObject.name=unknown-worker-0)"
  end_job unknown
  gate node-1-kubelet ': false' ': true' "$cluster/node-1/kubelet.yaml"
  say "a gate that is off in a kubelet is told after 15 s"
}

# ---- auto ----

# chosen WORDS: the log of the controller that leads says so
chosen() { eventually 20 told_chosen "$1" || fail "the log does not say [$1]: $(k -n $system logs -l app=mltrain-controller --tail=-1 | grep 'launcher delivery')"; }
told_chosen() { k -n $system logs -l app=mltrain-controller --tail=-1 | finds "launcher delivery $1"; }
is_mounted() { [ -z "$(pod "$1" '.spec.initContainers')" ] || fail "$1 has an init container"; }
is_copied() { [ "$(pod "$1" '.spec.initContainers[*].name')" = mltrain-launcher-copy ] || fail "$1 has no init container"; }
auto() {
  local minor
  minor=$(k get node node-1 -o jsonpath='{.status.nodeInfo.kubeletVersion}' | cut -d. -f2)
  MLTRAIN_LAUNCHER_DELIVERY=auto controller_with "$launcher_image"
  job auto 2 "echo \"I am \$RANK of \$WORLD_SIZE in attempt \$MLTRAIN_ATTEMPT\"" | gpus 2 | submit
  succeeds auto
  if [ "$minor" -lt 35 ]; then
    chosen 'how=initContainer node=node-. why="its kubelet is not known'
    is_copied auto-worker-0
    say "auto: Kubernetes 1.$minor is not believed, and the launcher is copied"
  else
    chosen 'how=imageVolume nodes=2'
    is_mounted auto-worker-0
    is_mounted auto-worker-1
    say "auto: where all nodes tell that they can, the launcher is mounted"
    auto_in_spite
  fi
  controller_with "$launcher_image"
}

auto_in_spite() {
  local cluster
  cluster=$(cluster_folder)
  gate apiserver =true =false "$cluster/components/apiserver"
  job auto-ungated 1 true | submit
  succeeds auto-ungated
  is_copied auto-ungated-worker-0
  ! has_event auto-ungated PodRefused || fail "auto-ungated was refused"
  gate apiserver =false =true "$cluster/components/apiserver"
  say "auto: an API server that takes the volume away gets a copy"

  gate node-1-kubelet ': true' ': false' "$cluster/node-1/kubelet.yaml"
  job auto-unknown 1 true | template '.nodeSelector = {"kubernetes.io/hostname": "node-1"}' | spec '.failurePolicy.startTimeoutSeconds = 30' | submit
  tells auto-unknown PodsReady 'False PodsStarting .*no volume plugin matched.*--launcher-delivery initContainer'
  succeeds auto-unknown 120
  has_event auto-unknown Requeued 'no volume plugin matched' || fail "it was not requeued with those words"
  is_copied "$(k get pods -l mltrain.io/job-name=auto-unknown --sort-by=.metadata.creationTimestamp -o jsonpath='{.items[-1:].metadata.name}')"
  gate node-1-kubelet ': false' ': true' "$cluster/node-1/kubelet.yaml"
  say "auto: a gang that does not come to run with the volume is made with copies"
}

# A cluster as they were, whose API server and kubelet have been told to believe in volumes of images.
no_runtime() {
  local cluster former_name=$name former=$KUBECONFIG
  name=$old
  kubernetes up --nodes 1 --image-volumes off || fail "no second cluster"
  cluster=$(cluster_folder)
  cp "$cluster/kubeconfig" old.kubeconfig
  export KUBECONFIG=$work/old.kubeconfig
  gate apiserver =false =true "$cluster/components/apiserver"
  gate node-1-kubelet ': false' ': true' "$cluster/node-1/kubelet.yaml"
  load_images controller launcher shell
  k create namespace "$namespace" >/dev/null && k config set-context --current --namespace="$namespace" >/dev/null
  eventually 30 k get serviceaccount default || fail "no ServiceAccount"
  controller_with "$launcher_image" 1
  job unmounted 1 true | submit
  tells unmounted PodsReady "False CreateContainerError .*the node's container runtime cannot mount an image"
  kubernetes down
  name=$former_name
  export KUBECONFIG=$former
  say "a container runtime that cannot is told as that"
}

cleanup() { (name=$old; kubernetes down >/dev/null 2>&1); }

cluster_up
load_images controller launcher shell
controller_with "$launcher_image"
[ $# -gt 0 ] || set -- trains guaranteed no_image no_gate auto no_runtime
for part in "$@"; do "$part"; done
