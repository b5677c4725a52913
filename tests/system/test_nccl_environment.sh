#!/usr/bin/env bash
# What the launcher does to help NCCL, where a job speaks of NCCL: a line for each decision, the interface that has the pod's
# address, a warning as an event, and each of them turned off. Without a word of NCCL and without a GPU: nothing.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "cluster up"
# with NAME ENV: a job whose ranks print what they find
with() {
  # shellcheck disable=SC2016 # for the shell in the pod
  plain_job "$1" 1 2 'echo "interface [$NCCL_SOCKET_IFNAME] debug [$NCCL_DEBUG]"' '  backoffLimit: 0' |
    sed "s|image: none|image: none\n            env: [$2]|" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
  mltrain wait "$1" >/dev/null || fail "$1 did not succeed"
  mltrain logs "$1" --launcher >"$1.txt"
}
has() { grep -qF -- "$2" "$1.txt" || { cat "$1.txt"; fail "$1: no \`$2\`"; }; }
has_not() { ! grep -qF -- "$2" "$1.txt" || { cat "$1.txt"; fail "$1: \`$2\`"; }; }

with chosen '{name: NCCL_DEBUG, value: WARN}'
has chosen 'interface [=lo] debug [WARN]'
has chosen "NCCL_SOCKET_IFNAME==lo: the interface with the pod's address 127."
has chosen 'NCCL_DEBUG=WARN, as the job says'
has chosen '/dev/shm has '
has chosen 'ulimit -l is '
[ "$(grep -c 'NCCL_DEBUG=WARN, as' chosen.txt)" = 1 ] || fail "a decision is said once"

with given '{name: NCCL_SOCKET_IFNAME, value: "eth"}, {name: NCCL_DEBUG, value: LOUD}'
has given 'interface [eth] debug [LOUD]'
has given 'NCCL_SOCKET_IFNAME=eth, as the job says'
mltrain describe given >given.txt
has given 'NcclDebug'

with off '{name: MLTRAIN_NCCL_OFF, value: "interface,shm,nothing"}'
has off 'interface [] debug []'
has_not off 'NCCL_SOCKET_IFNAME'
has_not off '/dev/shm has'
has off 'ulimit -l is '
has off 'MLTRAIN_NCCL_OFF: `nothing` is none of'

[ -e /dev/nvidia0 ] && exit 0
with silent '{name: A, value: b}'
has silent 'interface [] debug []'
has_not silent 'ulimit -l'
