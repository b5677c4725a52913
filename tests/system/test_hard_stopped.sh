#!/usr/bin/env bash
# Each program is stopped for longer than its timeouts (SIGSTOP) and goes on (SIGCONT): no rank is lost or restarted, and the cluster
# serves as before.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hard.sh"
mltrain cluster up --nodes 2 >/dev/null || fail "up"
begin 2 2

# What a stopped program holds up must not stop for good: whoever waits for it goes on afterwards.
stopped() { # SECONDS NAMES: at the same time
  local pids='' name pid
  for name in $2; do
    case $name in launcher | other_launcher | shim) pid=${!name} ;; *) pid=$(program "$name") ;; esac
    [ -n "$pid" ] || fail "$name is not there"
    pids="$pids $pid"
  done
  kill -STOP $pids || fail "stop $2"
  sleep "$1"
  kill -CONT $pids || fail "$2 ended while stopped"
  for pid in "$launcher" "$other_launcher"; do [ -d "/proc/$pid" ] || fail "$2: a launcher has ended"; done
  serves "$2 stopped for $1 s"
}

# The lease lasts 15 s and its holder gives up after 10 s; a node's lease lasts 40 s and is looked at after 15 s of silence.
stopped 17 "controller other_launcher shim"
stopped 12 "api node-0"
stopped 3 "launcher supervisor"

# A program that ends while its supervisor is stopped comes back when the supervisor does.
supervisor=$(program supervisor)
kill -STOP "$supervisor"
kill -9 "$(program controller)"
sleep 1
kill -CONT "$supervisor"
eventually 20 runs_program controller || fail "the controller does not come back"
serves "controller killed while its supervisor was stopped"

# Everything at once, ranks included.
all="$(program controller) $(program api) $(program node-0) $(program node-1) $supervisor $launcher $other_launcher $shim $(awk '{print $2}' <<<"$ranks")"
kill -STOP $all
sleep 17
kill -CONT $all
serves "everything stopped for 17 s"
enough
