#!/usr/bin/env bash
# Ranks of MPI jobs are killed at random moments (in MPI_Init, inside MPI_Allreduce, in MPI_Finalize), again and again: the job goes on
# in its pods each time, and nothing is left: no process, no shared memory, no folder of a session.
# MLTRAIN_TEST_MPI_KILLS says how often (5); MLTRAIN_TEST_SEED repeats the moments.
. "$(dirname "$0")/common.sh"
kills=${MLTRAIN_TEST_MPI_KILLS:-5}
RANDOM=${MLTRAIN_TEST_SEED:-$((SECONDS + $$))}
echo "seed ${MLTRAIN_TEST_SEED:-of this run}"
cat >loop.c <<'C'
#include <mpi.h>
#include <stdlib.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    int rank, size, rounds = 0, most = atoi(argv[1]);
    static double values[20000], sums[20000];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (; most == 0 || rounds < most; rounds++) {
        int count = rounds % 5 == 0 ? 20000 : 1 + rounds % 100;
        for (int i = 0; i < count; i++)
            values[i] = rank + i;
        MPI_Allreduce(values, sums, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        if (rank == 0 && rounds % 50 == 20) {
            printf("step %d\n", rounds);
            fflush(stdout);
            if (rounds == 20)
                fclose(fopen(argv[2], "w"));
        }
        if (sums[count - 1] != size * (size - 1) / 2 + (count - 1.0) * size)
            MPI_Abort(MPI_COMM_WORLD, 99);
    }
    printf("rank %d of %d: %d sums are right\n", rank, size, rounds);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
C
mltrain cluster up >/dev/null || fail "cluster up"
# What is left of MPI on this machine: the memory of this cluster's pods, and what lies in nobody's folder.
left() {
  local uid
  for uid in $(sed -n 's/.* uid=\([0-9a-f-]*\).*/\1/p' "$MLTRAIN_HOME"/clusters/*/log/agent-node.log | sort -u); do
    ls -d /dev/shm/*"$uid"* 2>/dev/null
  done
  ls -d /dev/shm/{vader_segment,sm_segment,mpich_shm,mpich_shar,ompi,psm,ucx}* /tmp/{ompi.,openmpi-sessions-,prte.,pmix,hydra}* 2>/dev/null
}
ranks() { pgrep -f "^\./$1 " | grep -v "^$$\$"; }
# runs NAME ATTEMPT: its ranks are there; steps NAME ATTEMPT: and one has made a step
runs() { job_is "$1" .status.attempt "$2" && [ -n "$(ranks "$1")" ]; }
steps() { [ -e "$1.$2" ]; }
right() { [ "$(mltrain logs "$1" 2>/dev/null | grep -c 'of 4: 300 sums are right')" = 4 ]; }
nothing_new() { [ -z "$(comm -13 "$1.before" <(left | sort))" ]; }

# kill_often NAME COMPILER KILLS WHEN: 2 pods of 2 ranks, killed so many times when it `runs` or `steps`, then let go
kill_often() {
  local name=$1 kills=$3 when=$4 n victims
  "$2" -O1 -o "$name" loop.c || fail "$2"
  left | sort >"$name.before"
  volumes="            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]" \
    plain_job "$name" 2 2 "cd '$work'; exec ./$name \$([ \$MLTRAIN_ATTEMPT -gt $kills ] && echo 300 || echo 0) $name.\$MLTRAIN_ATTEMPT" "  backoffLimit: $((kills + 2))
  progress: {pattern: '^step (?<step>\\d+)'}" |
    sed 's/framework: plain/framework: mpi/' | mltrain submit - >/dev/null || fail "submit $name"
  for ((n = 1; n <= kills; n++)); do
    eventually 60 "$when" "$name" $n || { mltrain logs "$name" --launcher | tail -n 40; fail "$name: attempt $n does not run"; }
    sleep "0.$((RANDOM % 8 + 2))$((RANDOM % 10))"
    mapfile -t victims < <(ranks "$name")
    [ ${#victims[@]} -gt 0 ] && kill -9 "${victims[$((RANDOM % ${#victims[@]}))]}" 2>/dev/null
  done
  eventually 60 right "$name" || { mltrain logs "$name" --launcher | tail -n 60; fail "$name: not all ranks have all sums: $(job "$name" .status)"; }
  if [[ $name == mpich* ]] && ! eventually 15 job_is "$name" .status.phase Succeeded; then
    echo "note: MPICH hangs in its own MPI_Finalize (docs/mpi.md)"
    mltrain cancel "$name" >/dev/null
    mltrain wait "$name" >/dev/null
  else
    mltrain wait "$name" >/dev/null || fail "$name: $(job "$name" .status)"
  fi
  [ "$(job "$name" .status.attempt)" = $((kills + 1)) ] || fail "$name: attempts: $(job "$name" .status.attempt)"
  # A failure without a step after another failure brings new pods (docs/failures.md).
  [ "$when" = runs ] || job_is "$name" .status.placement.podCreations '1*2' || fail "$name: pods were replaced: $(job "$name" .status.placement)"
  [ -z "$(ranks "$name")" ] || fail "$name: ranks are left"
  eventually 10 nothing_new "$name" || { comm -13 "$name.before" <(left | sort); fail "$name: left behind"; }
  echo "ok: $name, $kills kills, after $SECONDS s"
}

tried=0
if command -v mpicc.openmpi >/dev/null; then
  kill_often open-mpi mpicc.openmpi "$kills" steps
  kill_often open-mpi-init mpicc.openmpi 3 runs
  tried=1
fi
if command -v mpicc.mpich >/dev/null; then
  kill_often mpich mpicc.mpich "$kills" steps
  kill_often mpich-init mpicc.mpich 3 runs
  tried=1
fi
[ $tried = 1 ] || skip "neither libopenmpi-dev nor libmpich-dev is installed"
