#!/usr/bin/env bash
# examples/pytorch-ddp on a real Kubernetes: 1, 2 and 4 pods of 2 ranks train with gloo over the pods' network and end with equal weights;
# after a killed rank the training goes on from a checkpoint and ends with the same weights as undisturbed.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/pytorch.sh
pod_security=privileged # the example keeps its checkpoints in a hostPath volume
. "$(dirname "$0")/common.sh"

# manifest NAME PODS PAUSE: the example, with the image at hand and its checkpoints in the folder that all nodes share
manifest() {
  kubernetes exec --node 1 -- install -d -m 1777 "/mnt/$namespace/$1" # what the kubelet makes belongs to root
  sed -e "s|^\( *\)name: pytorch-ddp\$|\1name: $1|; s|{name: pytorch-ddp}|{name: $1}|" \
    -e "s|image: .*|image: docker.io/mltrain/trainer:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")|" \
    -e "s|/tmp/mltrain-pytorch-ddp|/mnt/$namespace/$1|" -e "s|replicas: 2|replicas: $2|" \
    -e "/PAUSE_SECONDS/s/value: \"0\"/value: \"$3\"/" "$MLTRAIN_SOURCE_DIR/examples/pytorch-ddp/job.yaml"
}

weights() { mltrain logs "$1" 2>/dev/null | sed -n 's/.*weights //p' | sort -u; }
step_is_above() { [ "$(k get trainingjob "$1" -o jsonpath='{.status.progress.step}')" -gt "$2" ]; }

cluster_up
load_images controller launcher trainer
controller_up

for pods in 1 2 4; do
  manifest "whole-$pods" "$pods" 0 | k apply -f - >/dev/null || fail "the example was refused"
  eventually 300 phase_is "whole-$pods" Succeeded || { mltrain logs "whole-$pods"; fail "$pods pods do not succeed"; }
  [ "$(mltrain logs "whole-$pods" | grep -c 'test accuracy')" = $((2 * pods)) ] || { mltrain logs "whole-$pods"; fail "not $((2 * pods)) ranks"; }
  [ "$(weights "whole-$pods" | wc -l)" = 1 ] || fail "the weights of $pods pods differ"
  say "$pods pods have trained"
done

manifest broken 2 0.05 | k apply -f - >/dev/null || fail "the example was refused"
eventually 300 step_is_above broken 110 || fail "no progress"
kill_rank broken-worker-1 3 || fail "rank 3 not found"
eventually 300 phase_is broken Succeeded || { mltrain logs broken; fail "with a killed rank"; }
attempt_is broken 2 || fail "not the second attempt"
mltrain logs broken --attempt 2 | finds -E 'begin at step [1-9][0-9]*0$' || { mltrain logs broken; fail "did not resume from a checkpoint"; }
[ "$(weights broken)" = "$(weights whole-2)" ] || fail "the weights after recovery are not those of the undisturbed run"
say "a killed rank went on from a checkpoint"
