#!/usr/bin/env bash
# Two torch.distributed scripts that this project did not write, unmodified, as gangs: test_script.py and test_sync.py, which
# the PyPI package accelerate 0.20.3 carries for `accelerate test` (they check data loading, gradient synchronisation and training
# against a single process). They run on Debian's python3-torch with gloo. Needs PyPI, so .ci/run runs it and ./scripts/test does not.
# usage: tests/foreign/torch_scripts.sh BIN_DIR [FOLDER for the package, default build/foreign]
set -euo pipefail
bin=$(cd "$1" && pwd)
folder=$(mkdir -p "${2:-build/foreign}" && cd "${2:-build/foreign}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH="$bin:/usr/bin:$PATH" MLTRAIN_HOME="$work/home"

if [ ! -d "$folder/accelerate" ]; then
  python3 -m pip --version >/dev/null 2>&1 || apt-get install -y -qq python3-pip >/dev/null
  python3 -m pip download -q --no-deps -d "$work/wheel" accelerate==0.20.3
  python3 -m zipfile -e "$work"/wheel/accelerate-*.whl "$folder"
fi
for package in python3-packaging python3-psutil python3-yaml; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' $package 2>/dev/null)" = installed ] || apt-get install -y -qq $package >/dev/null
done

passed=0 failed=0
# gang SCRIPT PODS RANKS
gang() {
  local script=$folder/accelerate/test_utils/scripts/$1
  cd "$folder" # a pod has a /tmp of its own; its working directory it shares with us
  if ACCELERATE_USE_CPU=true PYTHONPATH=$folder OMP_NUM_THREADS=1 timeout 400 \
    mltrain run --nnodes "$2" --nproc "$3" -- /usr/bin/python3 "$script" >"$work/out" 2>&1; then
    passed=$((passed + 1)); echo "ok: $1 as $2 x $3"
  else
    failed=$((failed + 1)); echo "FAILED: $1 as $2 x $3"; tail -n 20 "$work/out"
  fi
}
gang test_script.py 2 1 # it is written for two processes: with four it fails under any launcher
gang test_sync.py 1 2
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
