#!/usr/bin/env bash
# examples/tutorial-multi-gpu-job with PyPI's torch, whose torch.distributed.launch and torchrun are today's: on four pretended GPUs
# in one pod and in two, with a rank that is killed. Of torch only the package itself is loaded (540 MB; without the libraries of
# CUDA: cuda_stubs.py); it stays in ~/.cache/mltrain. Needs PyPI, so .ci/run runs it.
# usage: tests/foreign/tutorial_torch.sh BIN_DIR [FOLDER for the packages, default ~/.cache/mltrain/torch-VERSION]
set -euo pipefail
version=2.15.0
source=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/finds.sh
. "$source/tests/finds.sh"
bin=$(cd "$1" && pwd)
example=$source/examples/tutorial-multi-gpu-job
mkdir -p "${2:-$HOME/.cache/mltrain/torch-$version}"
folder=$(cd "${2:-$HOME/.cache/mltrain/torch-$version}" && pwd)
export PATH="$bin:/usr/bin:/bin"
skip() { echo "SKIP: $*"; exit 77; }

install() {
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv" || skip "python3-venv is not installed"
  timeout 900 "$folder/venv/bin/pip" install -q --no-deps --no-cache-dir "torch==$version" 2>"$folder/pip.txt" &&
    timeout 300 "$folder/venv/bin/pip" install -q filelock 'typing-extensions>=4.13' sympy networkx jinja2 fsspec setuptools numpy \
      2>"$folder/pip.txt" || skip "PyPI gives no torch $version: $(tail -n 1 "$folder/pip.txt")"
  python3 "$source/tests/foreign/cuda_stubs.py" "$(echo "$folder"/venv/lib/python3.*/site-packages)"
  touch "$folder/venv/installed"
}
[ -e "$folder/venv/installed" ] || install
"$folder/venv/bin/python" -c 'import sys, torch
print("torch", torch.__version__, "on Python", sys.version.split()[0])' || { echo "FAIL: torch cannot be imported"; exit 1; }
echo "torch is there after $SECONDS s"

work=$(mktemp -d)
export MLTRAIN_HOME="$work/home"
trap 'mltrain cluster down >/dev/null 2>&1; rm -rf "$work"' EXIT
cd "$work"
mkdir model
mltrain cluster up --nodes 1 --gpus-per-node 4 >/dev/null

# here NAME SED-OPTIONS...: the example for this machine: a folder in place of the claim, this Python, less memory
here() {
  local name=$1
  shift
  sed -e "s/name: multi-gpu-training\$/name: $name/; s/{name: multi-gpu-training}/{name: $name}/" \
    -e "s|persistentVolumeClaim: .*|hostPath: {path: $work/model}|" -e "s|\"python\", |\"$folder/venv/bin/python\", |" \
    -e 's|requests: {cpu: "4", memory: 16Gi}|requests: {cpu: 100m, memory: 64Mi}|' \
    -e "s|env:|env:\n              - {name: OMP_NUM_THREADS, value: \"1\"}|" "$@" "$example/job.yaml" >"$name.yaml"
  mltrain submit "$name.yaml" >/dev/null
}
# learned NAME: the job succeeds, all four ranks have learned, and the model is there. torch 2.15 aborts at the end of a process
# once in a while ("terminate called without an active exception"): then the job is restarted, and they have learned twice.
learned() {
  mltrain wait "$1" >/dev/null || { mltrain logs "$1" --launcher; echo "FAIL: $1: $(mltrain get "$1" -o json | jq -c .status)"; exit 1; }
  mltrain logs "$1" >out.txt 2>&1
  grep -o 'rank [0-9] of [0-9]: the weights are learned' out.txt | sort -u | diff - "$example/expected-output.txt" ||
    { cat out.txt; echo "FAIL: $1 said something else"; exit 1; }
  "$folder/venv/bin/python" -c 'import torch
print([round(w) for w in torch.load("model/model.pt")["weight"][0].tolist()])' | finds -xF '[0, 1, 2, 3, 4, 5, 6, 7]' ||
    { echo "FAIL: $1: another model"; exit 1; }
  rm model/model.pt
  echo "ok: $1, after $SECONDS s"
}

here launch
learned launch
here two-pods -e 's/nproc_per_node=4/nproc_per_node=2/' -e 's|nvidia.com/gpu: 4|nvidia.com/gpu: 2|' -e 's/^  workers:/&\n    replicas: 2/'
learned two-pods
here torchrun -e "s|\"[^\"]*python\", \"-m\", \"torch.distributed.launch\"|\"$folder/venv/bin/torchrun\"|"
learned torchrun

# One of the four is killed in the first attempt: all start again, in the same pod.
here killed
victim() { # what torch.distributed.launch has started as local rank 2 in this job's pod
  local pid
  for pid in $(pgrep -f -- '-u /code/train\.py --local-rank=2'); do
    grep -qzx 'MLTRAIN_JOB=killed' "/proc/$pid/environ" 2>/dev/null && echo "$pid" && return
  done
}
for ((i = 0; i < 600; i++)); do
  pid=$(victim || true)
  [ -n "$pid" ] && break
  sleep 0.1
done
kill -9 "$pid" || { echo "FAIL: no rank to kill"; exit 1; }
learned killed
[ "$(mltrain get killed -o json | jq .status.attempt)" = 2 ] || { echo "FAIL: $(mltrain get killed -o json | jq -c .status)"; exit 1; }
[ "$(mltrain get killed -o json | jq -r .status.placement.podCreations)" = 1 ] || { echo "FAIL: the pod was replaced"; exit 1; }
echo "4 passed, 0 failed, 0 skipped"
