#!/usr/bin/env bash
# Clocks that are off by a day, each program's in its own way, set while it runs and met when it starts: no rank is lost, and the
# cluster serves as before. (The launcher is a static program and cannot be given another clock; it decides by the monotonic one.)
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hard.sh"
command -v cc >/dev/null || skip "no C compiler"
cc -shared -fPIC -O1 -o clock.so "$MLTRAIN_SOURCE_DIR/tests/system/clock_shim.c" -ldl || fail "the clock does not compile"
mkdir clocks
export CLOCK_FOLDER=$work/clocks LD_PRELOAD=$work/clock.so
echo 0 >clocks/none
[ "$(date +%s)" -gt 0 ] || fail "date"
mltrain cluster up --nodes 2 >/dev/null || fail "up"
begin 2 2

day=86400
set_clock() { # PROGRAM SECONDS
  echo "$2" >"clocks/$1.new" && mv "clocks/$1.new" "clocks/$1"
}
set_clock mltrain-controller $day
[ "$(tr '\0' '\n' <"/proc/$(program controller)/environ" | grep -c "^LD_PRELOAD=$work/clock.so")" = 1 ] || fail "the controller has the true clock"
serves "controller a day ahead"
set_clock mltrain-controller -$day
set_clock api $day
serves "controller a day back, API server a day ahead"
kill -9 "$(program controller)"
serves "the same, controller killed"
set_clock api -$day
set_clock agent $day
kill -9 "$(program api)"
kill -9 "$(program node-0)"
serves "API server a day back, agent a day ahead, both killed"
set_clock mltrain $day
set_clock mltrain-controller $day
serves "controller and CLI two days ahead of the API server"

# A job that was restarting when the clock went back.
plain_job again 1 1 '[ $MLTRAIN_ATTEMPT = 4 ] || exit 3' '  backoffLimit: 5' >again.yaml
mltrain submit again.yaml >/dev/null || fail "submit again"
failed() { [ "$(job again '.status.restarts // 0')" -ge 1 ]; }
eventually 30 failed || fail "again does not restart"
set_clock mltrain-controller -$day
kill -9 "$(program controller)"
mltrain wait again --timeout 60s >/dev/null || { mltrain describe again; fail "a restart waits for a clock"; }
enough
