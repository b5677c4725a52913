#!/usr/bin/env bash
# The MPI examples with Open MPI, which is Debian's own mpicc; test_mpi_mpich.sh runs them with MPICH.
. "$(dirname "$0")/common.sh"
command -v mpicc.openmpi >/dev/null || skip "Debian's libopenmpi-dev is not installed"
examples=$MLTRAIN_SOURCE_DIR/examples
mkdir program
mpicc.openmpi -O1 -o program/allreduce "$examples/mpi-c/allreduce.c" || fail "allreduce.c"
sed "s|/tmp/mltrain-mpi-c|$work/program|" "$examples/mpi-c/job.yaml" >mpi-c.yaml
sed 's/mpicc /mpicc.openmpi /' "$examples/mpi-hello/job.yaml" >mpi-hello.yaml
for name in mpi-c mpi-hello; do
  mltrain run $name.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "$name"; }
  sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff - "$examples/$name/expected-output.txt" || fail "$name said something else"
done
