#!/usr/bin/env bash
# mltrain-helper in an old image: Debian 11 with glibc 2.31, PMIx 4.0 and Open MPI 4.1.0. It starts there, serves ranks of one and of two
# pods, and ranks of a pod share memory. Launchers are pretended (tests/component/helper). Needs root, mmdebstrap and Debian's
# archive, so .ci/run runs it.
# usage: tests/foreign/old_image.sh BIN_DIR [FOLDER for the image, default build/foreign/old_image]
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$(cd "$1" && pwd)
mkdir -p "${2:-build/foreign/old_image}"
folder=$(cd "${2:-build/foreign/old_image}" && pwd)
[ "$(id -u)" = 0 ] || { echo "SKIP: needs root"; exit 77; }
command -v mmdebstrap >/dev/null || { echo "SKIP: mmdebstrap is not installed"; exit 77; }
if [ ! -e "$folder/image.tar" ]; then
  timeout 900 mmdebstrap --quiet --variant=minbase --include=openmpi-bin,libopenmpi-dev,libpmix2,gcc,libc6-dev,python3 bullseye "$folder/new.tar" \
    2>"$folder/mmdebstrap.txt" || { echo "SKIP: no Debian 11: $(tail -n 1 "$folder/mmdebstrap.txt")"; exit 77; }
  mv "$folder/new.tar" "$folder/image.tar"
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -C "$root" --exclude='./dev/*' -xf "$folder/image.tar"
mkdir -p "$root/test" "$root/dev/shm"
cp "$bin/mltrain-helper" "$source"/tests/component/helper/{pods.py,mpi_program.c} "$root/test"
cp /etc/hosts "$root/etc/hosts"
mknod -m 666 "$root/dev/null" c 1 3
mknod -m 666 "$root/dev/urandom" c 1 9
cat >"$root/test/run" <<'PYTHON'
import os, subprocess, sys
sys.path.insert(0, "/test")
import pods
subprocess.run(["mpicc", "-O1", "-o", "/test/program", "/test/mpi_program.c"], check=True)
environment = dict(os.environ, RMA="0", OMPI_MCA_btl_tcp_if_include="lo", OMPI_MCA_mpi_yield_when_idle="1")
for sizes in ([2], [2, 2]):
    job = pods.Job("/test/mltrain-helper", sizes, env=environment)
    refused = job.begin()
    assert refused is None, refused
    job.start(["/test/program"])
    job.run(100)
    text, codes, world = job.output(), job.codes, sum(sizes)
    job.close()
    assert codes == dict.fromkeys(range(world), 0), (codes, text)
    for rank in range(world):
        line = f"rank {rank} of {world}: sum {world * (world - 1) // 2}, 2 share memory, segments 2"
        assert line in text, text
    print("ok:", sizes, job.version)
PYTHON
# shellcheck disable=SC2016 # for the shell in the namespace
unshare --mount --propagation private bash -c 'mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && mount -t tmpfs tmpfs "$1/dev/shm" &&
  exec chroot "$1" env -i PATH=/usr/bin:/bin HOME=/test python3 /test/run' - "$root"
