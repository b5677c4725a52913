#!/usr/bin/env bash
# MPI on a real Kubernetes, with Debian's Open MPI (PMIx) and MPICH (PMI-1) in one image: examples/mpi-c in 1 pod and in 2 on two nodes,
# examples/mpi-hello and examples/mpi4py-allreduce, and mpirun and mpiexec.hydra (rsh), under Pod Security `restricted` and with a
# read-only root file system; MPI_Abort ends all; a rank killed in MPI_Allreduce starts again in the same pods.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin tests/kubernetes/mpi.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/kubernetes/jobs_common.sh
. "$MLTRAIN_SOURCE_DIR/tests/kubernetes/jobs_common.sh"
examples=$MLTRAIN_SOURCE_DIR/examples
mpi_image=docker.io/mltrain/mpi:$(cat "$MLTRAIN_SOURCE_DIR/VERSION")

# in_image NAME PODS: makes an example's objects fit: the image's own programs, one pod a node, and all that `restricted` asks
in_image() {
  jq --arg name "$1" --argjson pods "$2" --arg image "$mpi_image" '
    if .kind == "List" then .items[] else . end | if .kind != "TrainingJob" then . else
      .metadata.name = $name | .spec.workers.replicas = $pods | .spec.workers.template.spec |= (
        .securityContext = {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: "RuntimeDefault"}}
        | .volumes = [.volumes[]? | select(.hostPath | not)]
        | .containers[0] |= (.image = $image | .securityContext = '"$strict"' | .resources.limits["nvidia.com/gpu"] = 2
          | .volumeMounts = [.volumeMounts[]? | select(.name != "program")])) end'
}
of_job() { jq "if .kind == \"TrainingJob\" then $1 else . end"; }
example() { k create --dry-run=client -o json -f "$examples/$1/job.yaml" | in_image "$2" "$3"; }
command_is() { of_job ".spec.workers.template.spec.containers[0].command = $1"; }
# The one place that a container with a read-only root may compile in.
with_tmp() {
  of_job '.spec.workers.template.spec |= (.volumes += [{name: "tmp", emptyDir: {}}] |
    .containers[0].volumeMounts += [{name: "tmp", mountPath: "/tmp"}])'
}

said() { mltrain logs "$1" 2>/dev/null | sed 's/^\[rank [^]]*\] //' | sort; }
has_said() { [ "$(said "$1")" = "$(cat "$2")" ]; }
lines_of() { # EXAMPLE PODS: what its ranks say, after its expected-output.txt, which is of 2 pods
  sed "s/ of 4\b/ of $((2 * $2))/" "$examples/$1/expected-output.txt" | head -n $((2 * $2))
}

# finishes JOB EXAMPLE PODS [may hang]: all ranks say what they should, and the job succeeds. Debian's MPICH may hang in
# MPI_Finalize between pods, its work done (docs/environment.md): told, and no failure.
finishes() {
  lines_of "$2" "$3" >expected.txt
  eventually 90 has_said "$1" expected.txt || { mltrain logs "$1" --launcher; fail "$1 has said: $(said "$1")"; }
  if [ "${4:-}" != "may hang" ] || eventually 10 phase_is "$1" Succeeded; then succeeds "$1"
  else echo "note: MPICH hangs in its own MPI_Finalize: $1"
  fi
  complains_not "$1"
  [ "$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort -u | wc -l)" = "$3" ] ||
    fail "$1: not $3 nodes"
  end_job "$1"
}
# Of what seccomp refuses: to read out of the memory of another rank.
complains_not() { ! mltrain logs "$1" 2>&1 | grep -F 'Read -1' || fail "$1: Open MPI complains"; }
wired_up() { mltrain logs "$1" --launcher 2>/dev/null | finds -E "MPI wire-up $2: $3"; }

open_mpi() {
  local pods
  for pods in 1 2; do
    example mpi-c "open-mpi-$pods" $pods | submit
    eventually 60 wired_up "open-mpi-$pods" pmix '/opt/mpi-c/allreduce needs libmpi.so.40' || { mltrain logs "open-mpi-$pods" --launcher; fail "no PMIx"; }
    finishes "open-mpi-$pods" mpi-c $pods
  done
  example mpi-hello open-mpi-hello 2 | with_tmp | submit
  finishes open-mpi-hello mpi-hello 2
  example mpi4py-allreduce mpi4py 2 | submit
  finishes mpi4py mpi4py-allreduce 2
  say "Open MPI: the examples, in 1 pod and on 2 nodes, and mpi4py"
}

# Another user than the image's, whose files in the pod's volumes belong to a group: the launcher's folder is such a volume.
as_somebody() {
  example mpi-c somebody 2 | of_job '.spec.workers.template.spec.securityContext += {runAsUser: 12345, runAsGroup: 12346, fsGroup: 54321}' | submit
  finishes somebody mpi-c 2
  say "Open MPI: as a user of no name, with fsGroup"
}

mpich() {
  local pods
  for pods in 1 2; do
    example mpi-c "mpich-$pods" $pods | command_is '["/opt/mpi-c/allreduce.mpich"]' | submit
    eventually 60 wired_up "mpich-$pods" pmi1 '/opt/mpi-c/allreduce.mpich needs libmpich.so.12' || { mltrain logs "mpich-$pods" --launcher; fail "no PMI-1"; }
    finishes "mpich-$pods" mpi-c $pods "$([ $pods = 1 ] || echo may hang)"
  done
  example mpi-hello mpich-hello 2 | with_tmp | of_job '.spec.workers.template.spec.containers[0].args[0] |= sub("mpicc "; "mpicc.mpich ")' | submit
  finishes mpich-hello mpi-hello 2 "may hang"
  say "MPICH: both examples, in 1 pod and on 2 nodes"
}

# mpirun in the command: its daemons are started in the other pod over mltrain-rsh. Open MPI's own wants a /tmp that can be written.
rsh() {
  example mpi-c rsh-open-mpi 2 | with_tmp | command_is '["mpirun", "/opt/mpi-c/allreduce"]' | submit
  eventually 60 wired_up rsh-open-mpi rsh 'the command calls mpirun' || { mltrain logs rsh-open-mpi --launcher; fail "no rsh"; }
  finishes rsh-open-mpi mpi-c 2
  example mpi-c rsh-mpich 2 | command_is '["mpiexec.hydra", "/opt/mpi-c/allreduce.mpich"]' | submit
  finishes rsh-mpich mpi-c 2 "may hang"
  say "rsh: mpirun and mpiexec.hydra over 2 nodes"
}

# probe NAME COMPILER ARGUMENTS OF THE FIRST ATTEMPT: tests/component/helper/mpi_program.c on two nodes, compiled there
probe() {
  # shellcheck disable=SC2016 # for the pod's shell
  example mpi-c "$1" 2 | with_tmp | of_job '.spec.workers.template.spec |= (.volumes += [{name: "source", configMap: {name: "source"}}] |
    .containers[0].volumeMounts += [{name: "source", mountPath: "/source"}]) | .spec.backoffLimit = 1' |
    command_is '["sh", "-c", "set -e; p=/tmp/program-$LOCAL_RANK; '"$2"' -o $p /source/mpi_program.c; echo compiled; export RMA=0; [ $MLTRAIN_ATTEMPT != 1 ] || exec $p '"$3"'; exec $p"]' | submit
}
# On a machine with more ranks than CPUs all of them come to MPI_Allreduce only after a while; what the test needs is that they have begun.
all_began() { [ "$(mltrain logs "$1" 2>/dev/null | grep -c compiled)" -ge 4 ]; }
rank_is_killed() { # JOB WORLD-LINE
  local pods
  eventually 90 all_began "$1" || { mltrain logs "$1" --launcher; fail "$1: not four ranks"; }
  sleep 3
  pods=$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{.items[*].metadata.uid}')
  kill_rank "$1-worker-1" 3 || fail "$1: no rank 3"
  eventually 90 attempt_has_said "$1" || { mltrain logs "$1" --launcher; fail "$1: no second attempt"; }
  [ "$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{.items[*].metadata.uid}')" = "$pods" ] || fail "$1: the pods were created again"
}
attempt_has_said() { [ "$(mltrain logs "$1" --attempt 2 2>/dev/null | grep -cE 'rank [0-3] of 4: sum 6, 2 share memory')" = 4 ]; }

killed() {
  k create configmap source --from-file="$MLTRAIN_SOURCE_DIR/tests/component/helper/mpi_program.c" >/dev/null || fail "no ConfigMap"
  probe killed-open-mpi mpicc.openmpi wait
  rank_is_killed killed-open-mpi
  succeeds killed-open-mpi
  [ "$(mltrain logs killed-open-mpi --attempt 2 | grep -c 'segments 2')" = 4 ] || fail "ranks of a pod share no memory: $(said killed-open-mpi)"
  complains_not killed-open-mpi
  end_job killed-open-mpi
  probe killed-mpich mpicc.mpich wait
  rank_is_killed killed-mpich
  end_job killed-mpich
  say "a rank killed in MPI_Allreduce starts again in its pod, with both"
}

aborted() {
  probe aborted mpicc.openmpi 'abort 3 7'
  eventually 90 attempt_is aborted 2 || fail "MPI_Abort does not end the attempt: $(field aborted .status)"
  field aborted '.status.failures[0].message' | finds 'it has called MPI_Abort with code 7' || fail "$(field aborted .status.failures)"
  [ "$(field aborted '.status.failures[0].rank')" = 3 ] || fail "another rank is blamed: $(field aborted .status.failures)"
  succeeds aborted 90
  say "MPI_Abort ends all ranks"
}

cluster_up
load_images controller launcher mpi
controller_up
[ $# -gt 0 ] || set -- open_mpi as_somebody mpich rsh killed aborted
for part in "$@"; do "$part"; done
