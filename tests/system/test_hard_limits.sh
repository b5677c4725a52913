#!/usr/bin/env bash
# Programs that get no descriptor any more, or no memory: the ranks run on, and when there is room again (or the program has been
# started anew by its supervisor) all is served as before.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hard.sh"
command -v prlimit >/dev/null || skip "no prlimit"
mltrain cluster up --nodes 2 >/dev/null || fail "up"
begin 2 2

# Things that need descriptors and memory of everybody: a job, a look, a log, channels that break.
bother() {
  local pid
  plain_job bother 1 1 true >bother.yaml
  timeout 2 mltrain submit bother.yaml >/dev/null 2>&1 &
  timeout 2 mltrain get >/dev/null 2>&1 &
  timeout 2 mltrain logs steady --rank 0 >/dev/null 2>&1 &
  pid=$(program controller)
  [ "$1" = controller ] || { [ -n "$pid" ] && kill -9 "$pid"; }
  sleep 1
  timeout 2 mltrain cancel bother >/dev/null 2>&1
  wait
}
# With the highest descriptor in use as the limit only holes below it are to be had.
no_descriptors() { prlimit --pid "$1" --nofile="$(find "/proc/$1/fd" -mindepth 1 -printf '%f\n' | sort -n | tail -1):"; }
no_memory() { prlimit --pid "$1" --as="$(awk '/^VmSize/ {print $2 * 1024}' "/proc/$1/status"):"; }
process() {
  case $1 in launcher) echo "$launcher" ;; shim) echo "$shim" ;; *) program "$1" ;; esac
}

for what in no_descriptors no_memory; do
  for names in "launcher node-0" "api" "controller shim"; do
    pids=
    for name in $names; do
      pid=$(process "$name")
      [ -n "$pid" ] || fail "$name is not there"
      $what "$pid" || fail "$what $name"
      pids="$pids $pid"
    done
    bother "${names%% *}"
    [ -d "/proc/$launcher" ] || fail "$what: the launcher has ended"
    counts "$what, $names"
    for pid in $pids; do prlimit --pid "$pid" --nofile=4096: --as=unlimited: 2>/dev/null; done # those that live still
    serves "$what, $names"
  done
done
enough
