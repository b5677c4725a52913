#!/usr/bin/env bash
# The channel's port, which running pods know for life, is taken by another program while the controller is away.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "up"
dir="$MLTRAIN_HOME/clusters/default"
plain_job port 2 1 'echo begin $MLTRAIN_ATTEMPT; sleep 1000' >port.yaml
mltrain submit port.yaml >/dev/null
mltrain wait port --for Running --timeout 30s >/dev/null || fail "not running"
port=$(cut -d' ' -f1 "$dir/master.key.state")
controller() { pgrep -f "mltrain-controller .*$dir" | head -n 1; }

# Held for 2 s: the controller waits for it, and the ranks run on.
supervisor=$(head -n 1 "$dir/supervisor.pid")
take_port() { # SECONDS
  kill -STOP "$supervisor"
  kill -9 "$(controller)"
  rm -f held.txt # of the time before
  python3 -c '
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for i in range(100):
    try: s.bind(("127.0.0.1", int(sys.argv[1]))); break
    except OSError: time.sleep(0.05)
s.listen(1); print("held", flush=True); time.sleep(float(sys.argv[2]))' "$port" "$1" >held.txt &
  holder=$!
  eventually 10 grep -q held held.txt || fail "the port could not be taken"
  kill -CONT "$supervisor"
}
before=$(rank_pids port)
take_port 2
wait "$holder"
eventually 20 grep -q "adopted attempt=1" "$dir/log/controller.log" || fail "not adopted after a short wait"
[ "$(rank_pids port)" = "$before" ] || fail "ranks did not live through it"
[ "$(cut -d' ' -f1 "$dir/master.key.state")" = "$port" ] || fail "the port changed"

# Held for good: another port, and pods that know it.
take_port 1000
eventually 60 job_is port .status.attempt 2 || { kill "$holder"; fail "no second attempt"; }
eventually 20 job_is port .status.phase Running || { kill "$holder"; fail "not running again"; }
kill "$holder"
grep -q "the port that running pods know is taken" "$dir/log/controller.log" || fail "the log does not say why"
[ "$(cut -d' ' -f1 "$dir/master.key.state")" != "$port" ] || fail "the port stayed"
job_is port '.status.restartsCharged // 0' 0 || fail "it was charged"
mltrain cancel port >/dev/null
mltrain wait port --timeout 30s >/dev/null
job_is port .status.phase Failed || fail "not cancelled"
