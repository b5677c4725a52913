#!/usr/bin/env bash
# A rank that runs several MPI programs, one after the other: what the MPI library can, works; what it cannot is said in words. By
# rsh a script may call mpirun as often as it likes.
. "$(dirname "$0")/common.sh"

# runs CODE WORDS COMMAND [OPTIONS]: two pods of two ranks, in this folder
runs() {
  local rc=0
  timeout 100 mltrain run --framework mpi --nnodes 2 --nproc 2 --max-restarts 0 -- bash -c "$3" >out.txt 2>err.txt || rc=$?
  [ "$rc" = "$1" ] || { cat out.txt err.txt; fail "$3: exit code $rc, $1 expected"; }
  grep -qF -- "$2" out.txt err.txt || { cat out.txt err.txt; fail "$3: no word of $2"; }
}
sums() { [ "$(grep -cF 'sum 6' out.txt)" = "$1" ] || { cat out.txt; fail "not $1 ranks have the sum"; }; }

tried=0
if command -v mpicc.openmpi >/dev/null; then
  mpicc.openmpi -O1 -o ompi "$MLTRAIN_SOURCE_DIR/tests/system/mpi_probe.c" || fail "mpicc.openmpi"
  version=$(ompi_info --version | sed -n 's/^Open MPI v\([0-9]*\).*/\1/p')
  if [ "$version" -lt 5 ]; then
    runs 1 'a second MPI program in this rank: Open MPI 4 starts only one' './ompi && ./ompi'
    runs 1 'a second MPI program in this rank' './ompi; ./ompi; true' # which would be a success
  fi
  cat >job.yaml <<EOF
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: several}
spec:
  framework: mpi
  nprocPerNode: 2
  backoffLimit: 0
  workers:
    replicas: 2
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [bash, -c, "cd $work; ./ompi && ./ompi && ./ompi"]
            env: [{name: PMIX_MCA_gds, value: hash}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]
EOF
  timeout 100 mltrain run job.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "three programs with PMIX_MCA_gds=hash"; }
  sums 12
  runs 0 'wire' 'mpirun.openmpi ./ompi && mpirun.openmpi ./ompi && echo over the wire'
  sums 8
  tried=1
fi
if command -v mpicc.mpich >/dev/null; then
  mpicc.mpich -O1 -o mpich "$MLTRAIN_SOURCE_DIR/tests/system/mpi_probe.c" || fail "mpicc.mpich"
  # Its MPI_Finalize may hang between pods (docs/mpi.md): one pod.
  rc=0
  timeout 100 mltrain run --framework mpi --nproc 2 --max-restarts 0 -- bash -c './mpich && ./mpich' >out.txt 2>err.txt || rc=$?
  if [ $rc != 0 ]; then # a newer one can
    grep -qF 'SIGPIPE after MPI_Finalize: a second MPI program in this rank?' err.txt || { cat out.txt err.txt; fail "MPICH: other words"; }
  fi
  tried=1
fi
[ $tried = 1 ] || skip "neither libopenmpi-dev nor libmpich-dev is installed"
