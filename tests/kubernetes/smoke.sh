#!/usr/bin/env bash
# One real job through a real API server, kubelet and containerd: a gang of two pods on two nodes succeeds and its logs can be read by
# rank; a killed rank starts again in the same pods; a killed launcher's pod is replaced, and what it said can still be read.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/smoke.sh
. "$(dirname "$0")/common.sh"

# job NAME COMMAND: 2 pods of 2 ranks, each pod too large for a second one on its node
job() {
  cat <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: $1}
spec:
  framework: plain
  nprocPerNode: 2
  workers:
    replicas: 2
    template:
      spec:
        securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
        containers:
          - name: trainer
            image: docker.io/mltrain/shell:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")
            command: [sh, -c]
            args: ['$2']
            securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
            resources: {requests: {cpu: 100m, memory: 32Mi, nvidia.com/gpu: 2}, limits: {nvidia.com/gpu: 2}}
YAML
}

cluster_up
load_images controller launcher shell
"$MLTRAIN_SOURCE_DIR/tests/kubernetes/check_images" images/{controller,launcher,shell}.tar || fail "the images are not what is promised"
controller_up
say "the controller runs"

job hello 'echo "I am $RANK of $WORLD_SIZE on $MLTRAIN_NODE"' | k apply -f - || fail "the job was refused"
eventually 60 phase_is hello Succeeded || fail "hello does not succeed"
say "a job has succeeded"
mltrain logs hello >logs.txt || fail "no logs"
for rank in 0 1 2 3; do
  [ "$(mltrain logs hello --rank $rank | grep -c "^I am $rank of 4 on node-[12]$")" = 1 ] || { cat logs.txt; fail "no logs of rank $rank"; }
done
[ "$(grep -oE 'node-[0-9]' logs.txt | sort -u | wc -l)" = 2 ] || { cat logs.txt; fail "not on two nodes"; }

# Ranks that wait in the first attempts and end well in the one of the given number.
until_attempt() { echo 'echo "attempt $MLTRAIN_ATTEMPT of $RANK"; [ $MLTRAIN_ATTEMPT -ge '"$1"' ] || while :; do sleep 1; done'; }

job broken "$(until_attempt 2)" | k apply -f - || fail "the job was refused"
eventually 60 phase_is broken Running || fail "broken does not run"
pods=$(k get pods -l mltrain.io/job-name=broken -o jsonpath='{.items[*].metadata.uid}')
eventually 20 sh -c 'mltrain logs broken | grep -q "attempt 1 of 3"' || fail "rank 3 has said nothing"
kill_rank broken-worker-1 3 || fail "rank 3 not found"
eventually 60 phase_is broken Succeeded || fail "broken does not succeed"
attempt_is broken 2 || fail "not the second attempt"
[ "$(k get pods -l mltrain.io/job-name=broken -o jsonpath='{.items[*].metadata.uid}')" = "$pods" ] || fail "the pods were created again"
mltrain logs broken --rank 3 --attempt 2 | finds -x 'attempt 2 of 3' || fail "no logs of the second attempt"
say "a killed rank has started again in its pod"

job lost "$(until_attempt 2)" | k apply -f - || fail "the job was refused"
eventually 60 phase_is lost Running || fail "lost does not run"
eventually 20 sh -c 'mltrain logs lost | grep -q "attempt 1 of 3"' || fail "rank 3 has said nothing"
other=$(k get pod lost-worker-0 -o jsonpath='{.metadata.uid}')
kill_launcher "$(k get pod lost-worker-1 -o jsonpath='{.spec.nodeName}')" lost 1 || fail "the launcher was not found"
eventually 60 phase_is lost Succeeded || fail "lost does not succeed"
[ "$(k get pod lost-worker-0 -o jsonpath='{.metadata.uid}')" = "$other" ] || fail "the other pod was created again"
[ "$(k get pod lost-worker-1 -o jsonpath='{.status.phase}')" = Failed ] || fail "the pod of the killed launcher did not stay"
k logs lost-worker-1 -c trainer | finds 'attempt 1 of 3' || fail "its logs are gone"
mltrain logs lost --rank 3 >logs.txt
printf 'attempt %s of 3\n' 1 2 | cmp - logs.txt || { cat logs.txt; fail "not the logs of both attempts"; }
say "a killed launcher's pod was replaced, alone"
