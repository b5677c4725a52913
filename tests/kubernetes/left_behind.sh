#!/usr/bin/env bash
# Nothing is left behind: `scripts/kubernetes up` is killed at some moments, from the first to the last; after `down` there is no process,
# mount, network interface, control group or file of the cluster. A cluster that is up afterwards works, with another one beside it.
# usage: tests/kubernetes/left_behind.sh [SECONDS...]     when `up` is killed (default: some moments from 0 to 8)
# Ends with 77 where no cluster can be made.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${MLTRAIN_KUBERNETES_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/mltrain/kubernetes}
name=left-$$
[ $# -gt 0 ] || set -- 0 0.05 0.1 0.15 0.2 0.3 0.5 1 2 4 8
kubernetes() { "$root/scripts/kubernetes" "$@"; }
clean() { kubernetes down --name $name; kubernetes down --name $name-b; } >/dev/null
trap clean EXIT
fail() { echo "FAIL: $*" >&2; exit 1; }

# What belongs to the machine and could show a cluster, whoever made it: another one may come or go meanwhile.
interfaces() { ip -o link | awk '{print $2}' | sort; }

# left NAME: prints what there is of it
left() {
  local process
  [ ! -e "$home/clusters/$1" ] || echo "folder $home/clusters/$1"
  awk -v name="/clusters/$1/" 'index($0, name) {print "mount " $0}' /proc/self/mountinfo
  find /sys/fs/cgroup -maxdepth 2 -type d -name "mltrain-kubernetes-$1-*" -printf 'control group %p\n'
  for process in /proc/[0-9]*; do
    tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -F -- "/clusters/$1" | sed "s|^|process ${process#/proc/}: |"
  done
  # Who is in a container of it shows no folder in its words, but in its mounts.
  grep -lF "/clusters/$1/" /proc/[0-9]*/mountinfo 2>/dev/null | sed 's/^/process in a namespace: /'
}
nothing_left() {
  local what
  for _ in $(seq 50); do
    what=$(left "$1")
    [ -n "$what" ] || return 0
    sleep 0.2
  done
  fail "$2: left behind: $what"
}

kubernetes up --name $name >/dev/null || exit $?
[ -n "$(left $name)" ] || fail "a cluster that is up does not show"
kubernetes down --name $name >/dev/null || fail "down"
nothing_left $name "a cluster that was up"
before=$(interfaces)
for seconds in "$@"; do
  setsid "$root/scripts/kubernetes" up --name $name >/dev/null 2>&1 &
  sleep "$seconds"
  kill -KILL -- $! 2>/dev/null
  wait $! 2>/dev/null
  kubernetes down --name $name >/dev/null || fail "down after $seconds s"
  nothing_left $name "killed after $seconds s"
  echo "killed after $seconds s: nothing is left (after $SECONDS s)"
done

# So early that the cluster's process waits to make its namespaces, and has made none.
slow=$(mktemp -d)
# shellcheck disable=SC2016 # for the wrapper
printf '#!/bin/sh\ncase "$*" in *cluster.sh*) sleep 4 ;; esac\nPATH=${PATH#*:} exec unshare "$@"\n' >"$slow/unshare"
chmod +x "$slow/unshare"
PATH=$slow:$PATH setsid "$root/scripts/kubernetes" up --name $name >/dev/null 2>&1 &
until [ -s "$home/clusters/$name/port" ]; do sleep 0.05; done
sleep 1
kill -KILL $!
wait $! 2>/dev/null
timeout 60 "$root/scripts/kubernetes" down --name $name >/dev/null || fail "down does not end what has not begun"
rm -r "$slow"
nothing_left $name "killed before there was a namespace"

[ "$(interfaces)" = "$before" ] || fail "other network interfaces than before: $(interfaces)"

# Two at once, from nothing but what is built.
pids=()
for which in $name $name-b; do kubernetes up --name $which >/dev/null & pids+=($!); done
for pid in "${pids[@]}"; do wait "$pid" || fail "two at once"; done
for which in $name $name-b; do
  [ "$(kubernetes exec --name $which -- kubectl get nodes --no-headers | grep -c ' Ready ')" = 2 ] || fail "$which has not its two nodes"
done
kubernetes down --name $name-b >/dev/null
nothing_left $name-b "beside another"
[ "$(kubernetes exec --name $name -- kubectl get --raw /readyz)" = ok ] || fail "the end of another has taken it along"
kubernetes down --name $name >/dev/null
nothing_left $name "after another"
echo "nothing is left behind, after $SECONDS s"
