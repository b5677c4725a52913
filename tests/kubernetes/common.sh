# shellcheck shell=bash
# Shared by the tests on a real Kubernetes; sourced. Each gets a folder of its own and a cluster of its own, which it takes down at
# the end, whatever happened. With MLTRAIN_KUBERNETES_NAME=NAME a cluster of that name is used, made if need be, and kept. With
# MLTRAIN_LAUNCHER_DELIVERY=imageVolume (or initContainer) the launcher comes into pods in that way, else in the one that the controller chooses.

: "${MLTRAIN_SOURCE_DIR:?}" "${MLTRAIN_BIN_DIR:?}"
set -uo pipefail
# shellcheck source=tests/finds.sh
. "$MLTRAIN_SOURCE_DIR/tests/finds.sh"
# Clusters and images lie there, whatever becomes of HOME below.
export XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache}
MLTRAIN_BIN_DIR=$(cd "$MLTRAIN_BIN_DIR" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/mltrain-kubernetes-XXXXXX")
name=${MLTRAIN_KUBERNETES_NAME:-test-$$}
system=mltrain-system
namespace=$(basename "$0" .sh)-$$ # of this test's jobs
namespace=${namespace//_/-}
cd "$work" || exit 1

kubernetes() { "$MLTRAIN_SOURCE_DIR/scripts/kubernetes" --name "$name" "$@"; }
cluster_folder() { kubernetes status | sed -n 's/^folder: //p'; }
k() { kubectl "$@"; }
say() { printf -- '-- %s (after %d s)\n' "$*" "$SECONDS"; }

fail() {
  echo "FAIL: $*" >&2
  {
    k get pods,trainingjobs -A -o wide
    k get events -A --sort-by=.lastTimestamp | tail -n 30
    k -n $system logs deployment/mltrain-controller --tail=60
  } >&2 2>&1
  exit 1
}

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.2
  done
}

# A test that leaves more behind than what its namespace takes with it defines cleanup.
finish() {
  local rc=$?
  trap - EXIT
  [ "$(type -t cleanup)" != function ] || cleanup
  cd /
  if [ -z "${MLTRAIN_KUBERNETES_NAME:-}" ]; then kubernetes down || rc=1
  else k delete namespace "$namespace" --wait=false >/dev/null 2>&1
  fi
  rm -rf "$work"
  exit $rc
}

# cluster_up [OPTIONS of scripts/kubernetes up]: two nodes of two GPUs each, or what the options say; a namespace there, KUBECONFIG and PATH for both
cluster_up() {
  local exports
  trap finish EXIT
  kubernetes up --nodes 2 --gpus 2 "$@" || exit $?
  exports=$(kubernetes env) || exit 1
  eval "$exports"
  export PATH="$MLTRAIN_BIN_DIR:$PATH" HOME=$work
  cp "$KUBECONFIG" kubeconfig && export KUBECONFIG=$work/kubeconfig
  k create namespace "$namespace" >/dev/null || fail "no namespace"
  # What the controller adds to a pod is held against the strictest level.
  k label namespace "$namespace" pod-security.kubernetes.io/enforce="${pod_security:-restricted}" >/dev/null
  k config set-context --current --namespace="$namespace" >/dev/null
  # A pod that is created before its ServiceAccount is refused.
  eventually 30 k get serviceaccount default || fail "no ServiceAccount in the namespace"
}

# make_images NAME...: of MLTRAIN_BIN_DIR's programs, in this test's folder; prints the archives' paths
make_images() {
  "$MLTRAIN_SOURCE_DIR/scripts/images" --bin "$MLTRAIN_BIN_DIR" --out "$work/images" --layers "$MLTRAIN_SOURCE_DIR/build/images/layers" "$@"
}

# load_images NAME...
load_images() {
  local archives
  archives=$(make_images "$@") || fail "the images were not made"
  # shellcheck disable=SC2086 # a list of paths on purpose
  kubernetes load $archives || fail "the images were not loaded"
}

# The manifest of the controller as it is to be for this test.
controller_manifest() {
  sed -e "s/VERSION/$(cat "$MLTRAIN_SOURCE_DIR/VERSION")/" \
    -e "/--launcher-image=/{p;s/--.*/--launcher-delivery=${MLTRAIN_LAUNCHER_DELIVERY:-auto}/;}" \
    "$MLTRAIN_SOURCE_DIR/tests/kubernetes/controller.yaml"
}

# controller_up [COMMAND...]: CRDs and controller, by client-side apply; its manifest passes through the command
controller_up() {
  k apply -f "$MLTRAIN_SOURCE_DIR/crds/" >/dev/null || fail "the CRDs were refused"
  # At first they have no conditions, which kubectl takes for an error.
  eventually 30 k wait --for=condition=Established crd/trainingjobs.mltrain.io crd/trainingqueues.mltrain.io --timeout=30s >/dev/null ||
    fail "the CRDs are not established"
  k create namespace $system --dry-run=client -o yaml | k apply -f - >/dev/null 2>&1
  if ! k -n $system get secret mltrain-master-key >/dev/null 2>&1; then
    head -c 32 /dev/urandom >key
    k -n $system create secret generic mltrain-master-key --from-file=key >/dev/null || fail "no master key"
  fi
  controller_manifest | "${@:-cat}" | k apply -f - >/dev/null || fail "the controller was refused"
  k -n $system rollout status deployment/mltrain-controller --timeout=60s >/dev/null || fail "the controller does not run"
}

# has_event OBJECT REASON [PATTERN]
has_event() { k get events --field-selector "involvedObject.name=$1,reason=$2" -o jsonpath='{.items[*].message}' | finds -E -- "${3:-.}"; }

phase_is() { [ "$(k get trainingjob "$1" -o jsonpath='{.status.phase}')" = "$2" ]; }
attempt_is() { [ "$(k get trainingjob "$1" -o jsonpath='{.status.attempt}')" = "$2" ]; }

# kill_launcher NODE JOB SLOT: from the node, since nothing in the pod may kill its first process
kill_launcher() {
  # shellcheck disable=SC2016 # for the node's shell
  kubernetes exec --node "$1" -- sh -c 'for p in /proc/[0-9]*; do
    grep -q "^/mltrain/bin/mltrain-launcher" "$p/cmdline" && [ "$(tr "\0" "\n" <"$p/environ" | grep -cx "MLTRAIN_JOB=$1")" = 1 ] &&
      [ "$(tr "\0" "\n" <"$p/environ" | grep -cx "MLTRAIN_SLOT=$2")" = 1 ] && kill -9 "${p#/proc/}" && exit 0
  done 2>/dev/null; exit 1' sh "$2" "$3"
}

# kill_rank POD RANK: the process that the launcher started, not a child of it
kill_rank() {
  # shellcheck disable=SC2016 # for the pod's shell
  k exec "$1" -c trainer -- sh -c 'for p in /proc/[0-9]*; do
    grep -qx "PPid:.1" "$p/status" && [ "$(tr "\0" "\n" <"$p/environ" | grep -cx "RANK=$1")" = 1 ] && kill -9 "${p#/proc/}" && exit 0
  done 2>/dev/null; exit 1' sh "$2"
}
