#!/usr/bin/env bash
# A rank that runs several MPI programs, one after the other: what the MPI library can, works; what it cannot is said in words, and so
# is a program that a rank of the pod does not run. By rsh a script may call mpirun as often as it likes.
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
  # several COMMAND: a job of it, in which the library can
  several() {
    cat >job.yaml <<EOF
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: several}
spec:
  framework: mpi
  mpi: {wireup: pmix}
  nprocPerNode: 2
  backoffLimit: 0
  workers:
    replicas: 2
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [bash, -c, "cd $work; $1"]
            env: [{name: PMIX_MCA_gds, value: hash}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]
EOF
    timeout 100 mltrain run job.yaml >out.txt 2>err.txt
  }
  several 'for i in {1..6}; do ./ompi || exit 1; done' || { cat out.txt err.txt; fail "six programs with PMIX_MCA_gds=hash"; }
  sums 24
  # Many that start as MPI's do, some time after the end of the one before. Open MPI's own would take too long.
  # shellcheck disable=SC2046 # none, or several
  if cc -O1 -o card "$MLTRAIN_SOURCE_DIR/tests/system/pmix_card.c" $(pkg-config --cflags --libs pmix 2>/dev/null) 2>cc.txt; then
    several 'bad=0; for i in {1..30}; do ./card $i || bad=1; sleep 0.1; done; exit $bad' ||
      { cat out.txt err.txt; fail "many programs with PMIx"; }
    [ "$(grep -c 'is well' out.txt)" = 120 ] || { cat out.txt; fail "many programs with PMIx: not all are well"; }
  else
    echo "without many programs: $(head -n 1 cc.txt) (libpmix-dev)"
  fi
  several './ompi && if [ $RANK != 1 ]; then ./ompi; fi' # rank 1 does not run the second one
  rc=$?
  [ $rc = 1 ] || { cat out.txt err.txt; fail "a rank that has ended well is waited for: exit code $rc"; }
  grep -qF 'waits for rank 1, which has ended well after 1' err.txt || { cat err.txt; fail "a rank that has ended well is not named"; }
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
