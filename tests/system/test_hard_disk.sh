#!/usr/bin/env bash
# The disk with the logs and the store is full for a while, a container's root cannot be written, a progress pattern is as slow as its
# limits allow: ranks run on, what was lost is log lines, and afterwards all is served as before.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hard.sh"

# A pattern that needs nearly the most steps at each place of a line, and lines that never match it: the relay goes on, as does all else.
mltrain cluster up >/dev/null || fail "up"
plain_job slow 1 1 'line=$(head -c 4000 /dev/zero | tr "\0" a); for i in $(seq 1500); do echo "$line"; done; echo "aaab7"; sleep 2; echo "aaab8"' \
  '  backoffLimit: 0
  progress: {pattern: "a{0,60}a{0,60}[bc](?<step>\\d+)"}' >slow.yaml
mltrain submit slow.yaml >/dev/null || fail "submit slow"
mltrain wait slow --timeout 60s >/dev/null || { mltrain describe slow; fail "a slow pattern holds its job up"; }
[ "$(mltrain logs slow | grep -c aaaa)" = 1500 ] || fail "lines are lost under a slow pattern"
echo "slow pattern: $SECONDS s"

# A container that may write nowhere but where it was given a volume.
cat >readonly.yaml <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: readonly}
spec:
  framework: plain
  nprocPerNode: 2
  workers:
    replicas: 2
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [bash, -c, 'touch /written 2>/dev/null && exit 3; [ \$MLTRAIN_ATTEMPT = 2 ] || exit 4; echo through']
            securityContext: {readOnlyRootFilesystem: true}
            resources: {requests: {cpu: 10m}}
YAML
mltrain submit readonly.yaml >/dev/null || fail "submit readonly"
mltrain wait readonly --timeout 60s >/dev/null || { mltrain describe readonly; mltrain logs readonly --launcher; fail "a job with a read-only root"; }
job_is readonly '.status.failures[0].exitCode' 4 || { mltrain describe readonly; fail "its failure is not the rank's own"; }
[ "$(mltrain logs readonly | grep -c through)" = 4 ] || fail "output with a read-only root"
mltrain cluster down >/dev/null
echo "read-only root: $SECONDS s"

[ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=40m,mode=700 tmpfs small 2>/dev/null || {
  echo "SKIP: a full disk: no small file system can be mounted here"
  exit 0
}
umount_all() {
  local rc=$?
  mltrain cluster down >/dev/null 2>&1
  umount -l "$work/small" 2>/dev/null
  (exit $rc)
  finish
}
trap umount_all EXIT
export MLTRAIN_HOME=$work/small/home
dir=$MLTRAIN_HOME/clusters/default
mltrain cluster up --nodes 2 >/dev/null || fail "up on a small disk"
begin 2 2
dd if=/dev/zero of=small/filler bs=1k count=50000 2>/dev/null
[ "$(df --output=avail small | tail -1)" -lt 1024 ] || fail "the disk is not full"
counts "full disk"
kill -9 "$(program controller)"
pid=$(program node-0)
kill -9 "$pid"
sleep 3
counts "full disk, controller and agent killed"
rm small/filler
serves "after the disk was full"
before=$(mltrain logs steady --rank 0 | wc -l)
more_lines() { [ "$(mltrain logs steady --rank 0 | wc -l)" -gt "$before" ]; }
eventually 20 more_lines || fail "no lines are kept after there was room again"
enough
