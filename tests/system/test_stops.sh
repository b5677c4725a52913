#!/usr/bin/env bash
# suspend and resume, cancel, deadline, TTL, and Ctrl-C in `mltrain run`.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "up"
script='trap "echo saved; exit 0" TERM; echo begin; while :; do sleep 0.1; done'
plain_job stops 2 1 "$script" >stops.yaml
mltrain submit stops.yaml >/dev/null
mltrain wait stops --for Running --timeout 30s >/dev/null || fail "not running"
mltrain suspend stops >/dev/null || fail "suspend"
eventually 20 job_is stops .status.phase Suspended || fail "not suspended"
eventually 20 no_ranks stops || fail "ranks run on"
mltrain resume stops >/dev/null || fail "resume"
eventually 20 job_is stops .status.phase Running || fail "not running after resume"
job_is stops '.status.restartsCharged // 0' 0 || fail "a suspension was charged"
mltrain cancel stops >/dev/null
mltrain wait stops --timeout 20s >/dev/null
job_is stops '.status.conditions[] | select(.type=="Failed") | .reason' Cancelled || fail "not cancelled"
mltrain logs stops >logs.txt; grep -q saved logs.txt || fail "no time to save"

plain_job deadline 1 1 'sleep 1000' '  activeDeadlineSeconds: 1' >deadline.yaml
mltrain submit deadline.yaml >/dev/null
eventually 20 job_is deadline .status.phase Failed || fail "deadline passed"
job_is deadline '.status.conditions[] | select(.type=="Failed") | .reason' DeadlineExceeded || fail "deadline's reason"

plain_job ttl 1 1 'true' '  ttlSecondsAfterFinished: 1' >ttl.yaml
mltrain submit ttl.yaml >/dev/null
mltrain wait ttl --timeout 20s >/dev/null || true
eventually 20 sh -c '! mltrain get ttl' || fail "still there after its TTL"
mltrain get 2>/dev/null | finds ttl && fail "ttl is listed"

plain_job interrupted 1 1 "$script" >interrupted.yaml
mltrain run interrupted.yaml >out.txt 2>err.txt &
runner=$!
eventually 20 grep -q begin out.txt || { cat err.txt; fail "run did not begin"; }
kill -INT $runner
wait $runner
[ $? = 130 ] || { cat err.txt; fail "exit code after Ctrl-C"; }
grep -q saved out.txt || fail "the first Ctrl-C gave no grace"
plain_job stubborn 1 1 'trap : TERM; echo begin; while :; do sleep 0.1; done' >stubborn.yaml
mltrain run stubborn.yaml >out.txt 2>err.txt &
runner=$!
eventually 20 grep -q begin out.txt || fail "run did not begin"
begin=$SECONDS
kill -INT $runner; sleep 0.5; kill -INT $runner
wait $runner
[ $((SECONDS - begin)) -lt 10 ] || { cat err.txt; fail "the second Ctrl-C took $((SECONDS - begin)) s"; }
eventually 10 no_ranks stubborn || fail "the stubborn rank lives"

# `cancel` lets who catches the signal go on until the grace is over, `cancel --now` does not.
sed 's/stubborn/obstinate/' stubborn.yaml >obstinate.yaml
mltrain submit obstinate.yaml >/dev/null
eventually 20 job_is obstinate .status.phase Running || fail "obstinate does not run"
mltrain cancel obstinate >/dev/null || fail "cancel"
eventually 10 job_is obstinate .status.recovery.pendingStop.reason Cancelled || fail "the cancellation is not noted"
job_is obstinate .status.phase Running || fail "a rank that catches the signal was not given its grace"
mltrain cancel --now obstinate >/dev/null || fail "cancel --now"
begin=$SECONDS
eventually 20 job_is obstinate .status.phase Failed || fail "cancel --now does not end it"
[ $((SECONDS - begin)) -lt 15 ] || fail "cancel --now took $((SECONDS - begin)) s"
eventually 10 no_ranks obstinate || fail "the obstinate rank lives"
