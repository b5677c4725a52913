# shellcheck shell=bash
# Starts and stops the programs of a cluster from inside its namespaces; sourced by cluster.sh, node.sh and components below.
# Expects $cluster, the cluster's folder. Each component is a script in components/, so that whoever enters the namespaces
# later starts it again just as it was.

# component NAME COMMAND...: writes it down and starts it
component() {
  local name=$1
  shift
  {
    printf '#!/bin/sh\nexec'
    printf ' %q' "$@"
    echo
  } >"$cluster/components/$name"
  chmod +x "$cluster/components/$name"
  start_component "$name"
}

component_runs() {
  local pid
  pid=$(cat "$cluster/run/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null &&
    ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}

start_component() {
  component_runs "$1" && return
  setsid "$cluster/components/$1" >>"$cluster/log/$1.log" 2>&1 3<&- 9<&- </dev/null &
  echo $! >"$cluster/run/$1.pid"
}

# The API server waits a minute for open watches when it is asked politely; so long as a test cares, 5 s are polite enough.
stop_component() {
  local pid i
  component_runs "$1" || return 0
  pid=$(cat "$cluster/run/$1.pid")
  kill -CONT "$pid"
  kill -TERM "$pid"
  for ((i = 0; i < 50; i++)); do
    component_runs "$1" || return 0
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  while component_runs "$1"; do sleep 0.05; done
}
