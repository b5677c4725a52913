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

/usr/bin/python3 -c 'import mpi4py' 2>/dev/null || skip "mpi4py-allreduce: Debian's python3-mpi4py is not installed"
mltrain run "$examples/mpi4py-allreduce/job.yaml" >out.txt 2>err.txt || { cat out.txt err.txt; fail "mpi4py-allreduce"; }
sed 's/^\[rank [0-9]*\] //' out.txt | sort | diff - "$examples/mpi4py-allreduce/expected-output.txt" || fail "mpi4py-allreduce said something else"

# What is chosen, and why, as the example's README shows it.
mltrain cluster up >/dev/null || fail "cluster up"
mltrain submit "$examples/mpi4py-allreduce/job.yaml" >/dev/null || fail "submit"
mltrain wait mpi4py-allreduce >/dev/null || fail "mpi4py-allreduce fails"
mltrain logs mpi4py-allreduce --launcher >out.txt 2>&1
grep -qE 'MPI wire-up pmix: /.*/mpi4py/MPI\..*\.so needs libmpi\.so\.40 \(Open MPI\)' out.txt || { cat out.txt; fail "other words than the README's"; }
