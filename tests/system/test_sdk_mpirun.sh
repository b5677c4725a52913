#!/usr/bin/env bash
# libmltrain in ranks that a script's own mpirun or mpiexec has started: barriers, gathers, values, steps, saves and NCCL communicators, in C
# and in Python, with Open MPI and with MPICH's Hydra; several runs in one attempt; ranks dealt out to the pods in turn; worlds that
# cannot be served and say so.
. "$(dirname "$0")/common.sh"

for program in mpirun.openmpi mpicc.openmpi mpiexec.hydra mpicc.mpich; do
  command -v $program >/dev/null || skip "$program (openmpi-bin, libopenmpi-dev, mpich, libmpich-dev)"
done
flags=$(grep -q fsanitize "$MLTRAIN_BUILD_DIR/build.ninja" && echo -fsanitize=address,undefined)
for mpi in openmpi mpich; do
  # shellcheck disable=SC2086 # perhaps none
  mpicc.$mpi -O1 -Wall -Werror $flags -I "$MLTRAIN_SOURCE_DIR/sdk" -o "program.$mpi" "$MLTRAIN_SOURCE_DIR/tests/system/sdk_mpirun.c" \
    "$MLTRAIN_BUILD_DIR/lib/libmltrain.a" -ldl -lpthread || fail "mpicc.$mpi"
done
pretended=$work/pretended
cp -r "$MLTRAIN_BUILD_DIR/tests/pretended_nccl" "$pretended" || fail "no pretended NCCL was built"
mkdir files
# shellcheck disable=SC2086 # perhaps none
cc -O2 $flags -I "$MLTRAIN_SOURCE_DIR/sdk" "$MLTRAIN_SOURCE_DIR/examples/nccl-allreduce/allreduce.c" -o nccl "$MLTRAIN_BUILD_DIR/lib/libmltrain.a" \
  -ldl -lpthread || fail "the example does not build"
cat >ranks.py <<'PY'
import os
import sys

import mltrain

size = int(os.environ.get("OMPI_COMM_WORLD_SIZE") or os.environ["PMI_SIZE"])
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ["PMI_RANK"])
assert mltrain.gather("names", b"%d" % rank) == [b"%d" % i for i in range(size)]
mltrain.barrier("there")
if rank == 1:
    mltrain.put("address", b"here")
assert mltrain.get("address") == b"here"
mltrain.report(7, 9)
assert not mltrain.should_save(7)
comm = mltrain.nccl_init("python")
assert (comm.rank, comm.size) == (rank, size), (comm.rank, comm.size)
comm.abort()
sys.stdout.write(f"python: rank {rank} of {size}\n")
PY
mltrain cluster up >/dev/null || fail "cluster up"

# rsh NAME NODES NPROC COMMAND
rsh() {
  volumes="            env: [{name: MLTRAIN_NCCL_LIBRARY, value: $pretended/libnccl.so.2}, {name: MLTRAIN_NCCL_CUDART, value: $pretended/libcudart.so.12}, {name: PRETENDED_NCCL_DIR, value: $work/files}, {name: PRETENDED_GPUS, value: '8'}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]" \
    plain_job "$1" "$2" "$3" "cd '$work'; $4" "  mpi: {wireup: rsh}
  backoffLimit: ${again:-0}${extra:-}" | sed "s/framework: plain/framework: mpi/" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}
# Debian's MPICH hangs in MPI_Finalize now and then when its ranks are on several hosts: what it has said counts, and its code does not.
ends() {
  mltrain wait "$1" --timeout 90s >/dev/null; got=$?
  mltrain logs "$1" --launcher >"$1.txt" 2>&1
  [ $got = "${2:-0}" ] || [ "${2:-}" = any ] || { tail -n 40 "$1.txt"; fail "$1 ended with code $got and not ${2:-0}"; }
}
times() { [ "$(grep -cF -- "$2" "$1.txt")" = "$3" ] || { tail -n 60 "$1.txt"; fail "$1: \`$2\` not $3 times"; }; }
all() { for ((rank = 0; rank < $2; rank++)); do times "$1" "${3:-libmltrain}: rank $rank of $2" 1; done; }

rsh full 2 2 'exec mpirun.openmpi ./program.openmpi all'
ends full; all full 4
[ "$(job full '.status.progress.step')" = 3 ] || fail "full: $(job full '.status.progress')"
rsh turns 3 2 'exec mpirun.openmpi --map-by node ./program.openmpi all'
ends turns; all turns 6
rsh one 2 2 'exec mpirun.openmpi -n 2 --host pod-1:2 ./program.openmpi all'
ends one; all one 2
rsh single 3 2 'exec mpirun.openmpi --map-by ppr:1:node ./program.openmpi all'
ends single; all single 3
rsh part 2 2 'exec mpirun.openmpi -n 3 ./program.openmpi part'
ends part; all part 3
rsh missing 2 1 'exec mpirun.openmpi ./program.openmpi missing'
ends missing; all missing 2
# Runs one after the other and at once, with the same names; and the next attempt.
again=1 rsh several 2 2 'mpirun.openmpi ./program.openmpi all && mpirun.openmpi --map-by node ./program.openmpi all &&
  { mpirun.openmpi -n 2 --host pod-0:2 ./program.openmpi all & mpirun.openmpi -n 2 --host pod-1:2 ./program.openmpi all; wait; } && exit $((MLTRAIN_ATTEMPT == 1 ? 5 : 0))'
ends several
times several 'of 4, attempt 1' 8
times several 'of 2, attempt 1' 4
times several 'of 4, attempt 2' 8
rsh python 2 2 'mpirun.openmpi python3 ranks.py && mpiexec.hydra python3 ranks.py'
ends python
for ((rank = 0; rank < 4; rank++)); do times python "python: rank $rank of 4" 2; done
rm -rf files/*
# The example takes its colours from RANK.
rsh nccl 2 2 'exec mpirun.openmpi sh -c "RANK=\$OMPI_COMM_WORLD_RANK exec ./nccl"'
ends nccl
grep -o '[a-z ]*: rank .* sums are right' nccl.txt | sed 's|^ *||' | sort >said.txt
sort "$MLTRAIN_SOURCE_DIR/examples/nccl-allreduce/expected-output.txt" | diff - said.txt || { cat nccl.txt; fail "the example said something else"; }

# They save one step together before a stop, and go on from it.
cat >loop.py <<'PY'
import os
import time

import mltrain

folder = os.environ["MLTRAIN_CHECKPOINT_DIR"]
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
resume = mltrain.resume()
if resume:
    open(f"resumed-{rank}-{resume[0]}", "x")
for step in range(resume[0] + 1 if resume else 1, 100000):
    time.sleep(0.05)
    mltrain.report(step)
    if mltrain.should_save(step):
        path = os.path.join(folder, f"step-{step}")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, f"rank-{rank}"), "w") as file:
            file.write(str(step))
        mltrain.barrier("saved")
        if rank == 0:
            mltrain.checkpoint_committed(step, path)
    if resume and step > resume[0] + 5:
        break
PY
mkdir checkpoints
extra="
  checkpoint: {path: $work/checkpoints, gracePeriodSeconds: 20}" rsh saves 2 2 'exec mpirun.openmpi python3 loop.py'
saves_runs() { [ "$(job saves '.status.progress.step')" -gt 20 ]; } 2>/dev/null
eventually 40 saves_runs || { mltrain logs saves --launcher; fail "saves: no progress"; }
mltrain suspend saves >/dev/null || fail "suspend"
eventually 40 job_is saves .status.phase Suspended || fail "not suspended"
mltrain resume saves >/dev/null || fail "resume"
ends saves
step=$(job saves '.status.checkpoint.step')
[ "$(cd checkpoints && echo step-*/*)" = "$(echo "step-$step/rank-"{0..3})" ] || fail "saves: not one step of all ranks: $(ls checkpoints/*)"
[ "$(echo resumed-*)" = "$(for rank in 0 1 2 3; do printf '%s' "resumed-$rank-$step "; done | sed 's/ $//')" ] || fail "saves: $(job saves '.status.checkpoint')"

rsh hydra 2 2 'exec timeout 25 mpiexec.hydra ./program.mpich all'
ends hydra any; all hydra 4
rsh hydraturns 2 2 'exec timeout 25 mpiexec.hydra -ppn 1 -n 4 ./program.mpich all'
ends hydraturns any; all hydraturns 4
# Two runs of Hydra have nothing but their starter to tell them apart.
rsh hydratwice 1 2 'mpiexec.hydra ./program.mpich all && exec mpiexec.hydra ./program.mpich all'
ends hydratwice
for ((rank = 0; rank < 2; rank++)); do times hydratwice "libmltrain: rank $rank of 2" 2; done
# More ranks than slots.
rsh many 1 1 'exec mpirun.openmpi --oversubscribe -n 2 --host pod-0:2 ./program.openmpi all'
ends many 99
grep -qF '2 ranks of an MPI world in a pod that has 1 slots' many.txt || { cat many.txt; fail "many: no words"; }
exit 0
