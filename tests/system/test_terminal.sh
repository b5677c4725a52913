#!/usr/bin/env bash
# `mltrain run` on a real terminal of 80 columns: the line at the bottom is drawn below the ranks' lines and leaves nothing behind;
# Ctrl-C cancels with the job's grace, a second one at once, and the shell has its prompt back in order.
. "$(dirname "$0")/common.sh"
command -v script >/dev/null || skip "no script(1) here"

# on_terminal NAME COMMAND...: the command on a terminal of its own; what is typed comes from the fifo NAME.keys, the screen's bytes
# go to NAME.raw, the exit code to NAME.rc. The shell in between catches Ctrl-C: a shell that it kills would not write the exit code.
on_terminal() {
  local name=$1
  shift
  mkfifo "$name.keys"
  (TERM=xterm script -qefc "trap : INT; stty cols 80 rows 24; $*; echo \$? >$name.rc" "$name.raw" <"$name.keys" >/dev/null 2>&1) &
  exec {keys}>"$name.keys"
}
type_key() { printf '%b' "$1" >&"$keys"; }
hang_up() { exec {keys}>&-; }
# What a person sees in the end, line by line: what stands after the last "go to column 0 and wipe".
# script(1) closes its file with a line of its own, which comes after the program's exit code.
seen() { eventually 5 wrote "$1" '^Script done'; tr -d '\000' <"$1.raw" | sed '1d; $d; s/\r$//; s/^.*\r\x1b\[K//; s/\^C//g'; }
wrote() { grep -qE -- "$2" "$1.raw"; }

plain_job shown 1 2 'for i in 1 2 3 4 5 6; do echo "step $i of rank $RANK"; sleep 0.2; done; exit 4' '  backoffLimit: 0
  progress: {pattern: "step (?<step>\\d+)", totalSteps: 6}' >shown.yaml
on_terminal shown mltrain run shown.yaml
eventually 30 test -s shown.rc || { cat shown.raw; fail "the job on a terminal does not end"; }
hang_up
[ "$(cat shown.rc)" = 4 ] || fail "exit code $(cat shown.rc)"
wrote shown 'Running.*workers 1/1' || { cat -A shown.raw; fail "no line at the bottom"; }
seen shown >seen.txt
for rank in 0 1; do
  [ "$(grep -c "^\[rank $rank\] step [1-6] of rank $rank$" seen.txt)" = 6 ] || { cat seen.txt; fail "lines of rank $rank are not whole"; }
done
grep -E 'workers [0-9]/[0-9]' seen.txt && { cat seen.txt; fail "the line at the bottom was left behind"; }
grep . seen.txt | tail -n 1 | finds '^mltrain: shown failed: rank [01] (worker 0 on node) exited with code 4' || { cat seen.txt; fail "the last line"; }
# Nothing that was drawn at the bottom is wider than the terminal.
tr '\r' '\n' <shown.raw | sed -n 's/^\x1b\[K//p' | awk '/^[A-Z][a-z]+ +workers/ && length($0) > 79' | grep . && fail "the line at the bottom is too long for 80 columns"

plain_job polite 1 1 'trap "sleep 0.5; echo saved; exit 0" TERM; echo begun; while :; do sleep 0.1; done' >polite.yaml
on_terminal polite mltrain run polite.yaml
eventually 20 wrote polite begun || { cat polite.raw; fail "polite does not begin"; }
type_key '\003'
eventually 20 test -s polite.rc || { cat polite.raw; fail "Ctrl-C does not end it"; }
hang_up
[ "$(cat polite.rc)" = 130 ] || fail "exit code after Ctrl-C: $(cat polite.rc)"
seen polite >seen.txt
grep -q '^\[rank 0\] saved$' seen.txt || { cat seen.txt; fail "Ctrl-C on the terminal gave no grace: it must not reach the ranks itself"; }
grep -q '^mltrain: cancelling with a grace of' seen.txt || { cat seen.txt; fail "Ctrl-C is not told"; }

plain_job deaf 1 1 'trap : TERM; trap "" INT; echo begun; while :; do sleep 0.1; done' >deaf.yaml
on_terminal deaf mltrain run deaf.yaml
eventually 20 wrote deaf begun || { cat deaf.raw; fail "deaf does not begin"; }
type_key '\003'
eventually 5 wrote deaf cancelling || fail "the first Ctrl-C is not told"
sleep 0.3
[ ! -s deaf.rc ] || fail "the first Ctrl-C ended a job that does not listen at once"
begin=$SECONDS
type_key '\003'
eventually 10 test -s deaf.rc || { cat deaf.raw; fail "the second Ctrl-C does not end it"; }
hang_up
[ $((SECONDS - begin)) -lt 8 ] || fail "the second Ctrl-C took $((SECONDS - begin)) s"
[ "$(cat deaf.rc)" = 130 ] || fail "exit code after two Ctrl-C: $(cat deaf.rc)"
eventually 5 no_ranks deaf || fail "the rank lives"

# The terminal is closed under a private cluster: nothing of it stays.
plain_job closed 1 1 'echo begun; sleep 1000' >closed.yaml
on_terminal closed exec mltrain run closed.yaml
eventually 20 wrote closed begun || { cat closed.raw; fail "closed does not begin"; }
runner=$(pgrep -f "mltrain run closed.yaml" | while read -r pid; do [ "$(readlink "/proc/$pid/cwd")" = "$work" ] && [ "$(cat "/proc/$pid/comm")" = mltrain ] && echo "$pid"; done | head -1)
folder=$(tr '\0' '\n' <"/proc/$(pgrep -P "$runner" -f 'cluster supervise')/cmdline" | grep '^/tmp/mltrain-run-')
[ -d "$folder" ] || fail "the private cluster was not found"
kill -HUP "$runner"
eventually 20 test ! -e "$folder" || fail "the private cluster outlives its terminal"
hang_up
nothing_runs() { [ -z "$(pgrep -f -- "--dir $folder ")$(rank_pids closed)" ]; }
eventually 10 nothing_runs || fail "something of the private cluster still runs"
