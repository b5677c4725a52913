#!/usr/bin/env bash
# Whoever waits for a job notices when the cluster under it goes, says so, and does not wait for ever; a private cluster whose
# supervisor is killed leaves no pod behind.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "up"
plain_job steady 1 1 'echo begun; trap "exit 0" TERM; while :; do sleep 0.1; done' >steady.yaml
mltrain run steady.yaml >out.txt 2>run.txt &
runner=$!
eventually 20 grep -q begun out.txt || { cat run.txt; fail "run did not begin"; }
mltrain logs -f steady >logs.txt 2>&1 &
follower=$!
mltrain wait steady >wait.txt 2>&1 &
waiter=$!
eventually 10 grep -q begun logs.txt || fail "logs -f did not begin"
mltrain cluster down >/dev/null || fail "down"
ended() { ! kill -0 "$1"; }
for pid in $runner $follower $waiter; do
  eventually 20 ended "$pid" || { kill -9 $runner $follower $waiter; fail "somebody waits for ever for a cluster that is down"; }
  wait "$pid"
  [ $? = 1 ] || fail "exit code of process $pid"
done
grep -q "cluster went down" run.txt || { cat run.txt; fail "run does not say why"; }
grep -q "cluster is down" logs.txt || { cat logs.txt; fail "logs -f does not say why"; }
grep -q "cluster is down" wait.txt || { cat wait.txt; fail "wait does not say why"; }

# A short absence is none: the API server is killed and comes back.
mltrain cluster up >/dev/null || fail "up again"
eventually 20 job_is steady .status.phase Running || fail "the job does not go on"
mltrain wait steady >wait.txt 2>&1 &
waiter=$!
kill -9 "$(pgrep -f "localcluster api --dir $MLTRAIN_HOME/" | head -1)"
sleep 1
mltrain cancel steady >/dev/null || { sleep 2; mltrain cancel steady >/dev/null; } || fail "cancel"
eventually 20 ended $waiter || fail "wait does not end with the job"
grep -q "is down" wait.txt && { cat wait.txt; fail "wait gave up although the API server came back"; }
mltrain cluster down >/dev/null || fail "down"

mltrain run --framework plain -- sh -c 'echo begun; sleep 1000' >out.txt 2>run.txt &
runner=$!
eventually 20 grep -q begun out.txt || { cat run.txt; fail "the private run did not begin"; }
find_supervisor() { supervisor=$(pgrep -P $runner -f 'cluster supervise'); }
eventually 10 find_supervisor || { cat run.txt; fail "the run has no supervisor"; } # pgrep may miss a process while others come and go
folder=$(tr '\0' '\n' <"/proc/$supervisor/cmdline" | grep '^/tmp/mltrain-run-')
rank=$(for d in /proc/[0-9]*; do grep -qzx RANK=0 "$d/environ" 2>/dev/null && grep -qF "$folder/" "$d/mountinfo" && echo "${d#/proc/}"; done 2>/dev/null | head -1)
[ -n "$rank" ] || fail "no rank found"
kill -9 "$supervisor"
eventually 40 ended $runner || { kill -9 $runner; fail "run waits for ever for its private cluster"; }
wait $runner
[ $? = 1 ] || fail "exit code without a cluster"
grep -q "private cluster is gone" run.txt || { cat run.txt; fail "not told"; }
eventually 5 ended "$rank" || fail "a rank outlives its cluster"
[ ! -e "$folder" ] || fail "$folder is still there"
