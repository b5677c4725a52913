#!/usr/bin/env bash
# MPICH over PMI-1: an unchanged program in 1, 2 and 4 pods; MPI_Abort, a killed rank, a rank that leaves without a word, and one
# that never comes.
. "$(dirname "$0")/common.sh"
command -v mpicc.mpich >/dev/null || skip "Debian's libmpich-dev is not installed"
examples=$MLTRAIN_SOURCE_DIR/examples
mkdir program
mpicc.mpich -O1 -o program/allreduce "$examples/mpi-c/allreduce.c" || fail "allreduce.c"
mpicc.mpich -O1 -o probe "$MLTRAIN_SOURCE_DIR/tests/system/mpi_probe.c" || fail "mpi_probe.c"

# gang LINES PATTERN ARGUMENTS...: all the lines come, and the job succeeds. Between pods, MPICH 4.0 over UCX may hang in
# MPI_Finalize when its work is done, under its own mpiexec as well (pmodels/mpich pull request 6596, fixed in 4.2): a job that has
# said everything is then cancelled, and that is told.
gang() {
  local lines=$1 pattern=$2 runner
  shift 2
  mltrain run "$@" >out.txt 2>err.txt &
  runner=$!
  eventually 60 bash -c "[ \$(grep -cE '$pattern' out.txt) = $lines ] || ! kill -0 $runner" || { kill "$runner"; cat out.txt err.txt; fail "$*: hangs"; }
  [ "$(grep -cE "$pattern" out.txt)" = "$lines" ] || { cat out.txt err.txt; fail "$*: not $lines lines of $pattern"; }
  if eventually 10 bash -c "! kill -0 $runner"; then
    wait "$runner" || { cat out.txt err.txt; fail "$*: exit code $?"; }
  else
    [ -n "${one_pod:-}" ] && fail "$*: hangs in MPI_Finalize, in one pod"
    echo "note: MPICH hangs in its own MPI_Finalize: $*"
    kill "$runner"
    sleep 1
    kill "$runner"
    wait "$runner"
  fi
}

# The examples: 2 pods of 2 ranks; ranks share memory with those of their own pod.
sed "s|/tmp/mltrain-mpi-c|$work/program|" "$examples/mpi-c/job.yaml" >job.yaml
gang 4 'rank [0-3] of 4: all sums are right; 2 ranks share memory' job.yaml
sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff - "$examples/mpi-c/expected-output.txt" || fail "examples/mpi-c said something else"
sed 's/mpicc /mpicc.mpich /' "$examples/mpi-hello/job.yaml" >job.yaml
gang 4 'hello from rank' job.yaml
sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff - "$examples/mpi-hello/expected-output.txt" || fail "examples/mpi-hello said something else"

for shape in "1 1" "1 4" "2 1" "4 2"; do
  read -r pods ranks <<<"$shape"
  one_pod=$([ "$pods" = 1 ] && echo yes) gang $((pods * ranks)) "of $((pods * ranks)): all sums are right; $ranks ranks? share memory" \
    --framework mpi --nnodes "$pods" --nproc "$ranks" -- ./program/allreduce 1000
done
# A shell around it that does not name it.
one_pod=yes gang 2 'rank . of 2, sum 1' --framework mpi --nproc 2 -- sh -c 'cd /; exec "$0"' "$work/probe"

# probe PODS RC WORDS ARGUMENTS...: what the job's end says
probe() {
  local pods=$1 expected=$2 words=$3 rc
  shift 3
  timeout 100 mltrain run --framework mpi --nnodes "$pods" --nproc 2 --max-restarts "${restarts:-0}" -- ./probe "$@" >out.txt 2>err.txt
  rc=$?
  [ "$rc" = "$expected" ] || { cat out.txt err.txt; fail "$*: exit code $rc, $expected expected"; }
  grep -qF "$words" err.txt out.txt || { cat out.txt err.txt; fail "$*: no word of $words"; }
}
probe 2 7 "it has called MPI_Abort with code 7" abort 7
probe 2 1 "it has called MPI_Abort with code 0" abort 0
probe 2 1 "it ended well, but without MPI_Finalize" leave
restarts=3 probe 2 93 "no part of the gang: it ended well without MPI_Init over pmi1 (libmpich.so.12)" never
! grep -q "attempt 2" err.txt || fail "a singleton was started again"
probe 1 93 "30 s with MPI in memory without MPI_Init over pmi1" sleep
restarts=1 probe 1 0 "rank 1 of 2, sum 1, attempt 2" die
probe 1 0 "spawn was refused" spawn

# A program that is none of MPI's.
mltrain run --framework mpi --max-restarts 3 -- true >out.txt 2>err.txt
[ $? = 93 ] || { cat err.txt; fail "a program without MPI has succeeded"; }
grep -qF "is this an MPI program?" err.txt || { cat err.txt; fail "no hint"; }
