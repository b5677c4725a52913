#!/usr/bin/env bash
# MPICH 5, mpi4py over it, and Intel MPI, as PyPI's wheels install them, in gangs of pods: collectives and communicators over both
# of MPICH's networks, MPI_Abort, a rank killed in the middle. Needs PyPI (150 MB), so .ci/run runs it.
# usage: tests/foreign/mpich5.sh BIN_DIR [FOLDER for the packages, default build/foreign/mpich5]
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "${2:-build/foreign/mpich5}"
folder=$(cd "${2:-build/foreign/mpich5}" && pwd)
export MLTRAIN_HOME="$folder/home" PATH="$bin:/usr/bin:/bin"
# install ENVIRONMENT OPTIONS AND PACKAGES...
install() {
  local name=$1
  shift
  [ -e "$folder/$name/installed" ] && return
  rm -rf "${folder:?}/$name"
  python3 -m venv "$folder/$name" || { echo "SKIP: python3-venv is not installed"; exit 77; }
  timeout 600 "$folder/$name/bin/pip" install -q "$@" 2>"$folder/pip.txt" || return 1
  touch "$folder/$name/installed"
}
install mpich 'mpich>=5,<6' 'mpi4py>=4,<5' || { echo "SKIP: PyPI gives no MPICH: $(tail -n 1 "$folder/pip.txt")"; exit 77; }
cd "$folder"
mpich/bin/mpicc -O1 -o allreduce "$source/examples/mpi-c/allreduce.c" -Wl,-rpath,"$folder/mpich/lib"
mpich/bin/mpicc -O1 -o probe "$source/tests/system/mpi_probe.c" -Wl,-rpath,"$folder/mpich/lib"
cat >allreduce.py <<'PYTHON'
from mpi4py import MPI
world = MPI.COMM_WORLD
half = world.Split(world.rank % 2, world.rank)
assert half.allreduce(1) == (world.size + (world.rank % 2 == 0)) // 2
assert world.allgather(world.rank) == list(range(world.size))
print("mpi4py:", world.rank, "of", world.size, "over", MPI.Get_library_version().split()[0])
PYTHON

# gang NODES NPROC CODE COMMAND...
gang() {
  local nodes=$1 nproc=$2 expected=$3 code=0
  shift 3
  timeout 120 mltrain run --framework mpi --nnodes "$nodes" --nproc "$nproc" --max-restarts "${restarts:-0}" -- "$@" >said.txt 2>&1 || code=$?
  [ $code = "$expected" ] || { cat said.txt; echo "FAIL: $* on $nodes x $nproc ended with code $code"; exit 1; }
}
says() { [ "$(grep -cF -- "$2" said.txt)" = "$1" ] || { cat said.txt; echo "FAIL: not $1 lines of \`$2\`"; exit 1; }; }

for nodes in 1 2 4; do
  world=$((nodes * 2))
  for network in ucx ofi; do
    gang $nodes 2 0 env MPIR_CVAR_CH4_NETMOD=$network ./allreduce 5000
    says $world "of $world: all sums are right; 2 ranks share memory"
  done
  gang $nodes 2 0 mpich/bin/python allreduce.py
  says $world "of $world over MPICH"
  echo "ok: $nodes pods"
done
gang 2 2 7 ./probe abort 7
says 2 "it has called MPI_Abort with code 7"
gang 2 2 1 ./probe leave
restarts=1 gang 2 2 0 ./probe die
says 4 "of 4, sum 6, attempt 2"
echo "ok: MPI_Abort, a rank that leaves, a killed rank"
cat >sdk.py <<'PYTHON'
import os

import mltrain
from mpi4py import MPI
world = MPI.COMM_WORLD
assert mltrain.gather("ranks", b"%d" % world.rank) == [b"%d" % i for i in range(world.size)]
os.write(1, b"libmltrain: %d of %d\n" % (world.rank, world.size))  # whole: mpirun brings all ranks' words in one stream
PYTHON
gang 2 2 0 mpich/bin/mpiexec mpich/bin/python sdk.py
for rank in 0 1 2 3; do says 1 "libmltrain: $rank of 4"; done
echo "ok: mpiexec"

# Its libfabric is a package of its own that not every index has; it takes any.
if install intel --no-deps impi-rt; then
  for nodes in 1 2 4; do
    gang $nodes 2 0 env LD_LIBRARY_PATH="$folder/intel/lib" ./allreduce 5000
    says $((nodes * 2)) "of $((nodes * 2)): all sums are right; 2 ranks share memory"
  done
  # Its own mpiexec, in the command of the job: mltrain-rsh starts its daemons in all pods; Intel's own benchmark checks nothing, but
  # all must come to its end.
  for nodes in 2 8; do
    gang $nodes 1 0 env LD_LIBRARY_PATH="$folder/intel/lib" I_MPI_ROOT="$folder/intel" "$folder/intel/bin/mpiexec.hydra" -n $nodes \
      "$folder/intel/bin/IMB-MPI1" -npmin $nodes -iter 5 -msglog 3 Allreduce Alltoall
    says 2 "#processes = $nodes"
    says 1 "All processes entering MPI_Finalize"
  done
  echo "ok: Intel MPI"
else
  echo "note: PyPI gives no Intel MPI: $(tail -n 1 pip.txt)"
fi
