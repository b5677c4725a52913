#!/usr/bin/env bash
# Bad input gets an error that names the field, the value and what was expected.
. "$(dirname "$0")/common.sh"

# says CODE TEXT COMMAND...
says() {
  local code=$1 text=$2 rc
  shift 2
  "$@" >out.txt 2>&1
  rc=$?
  [ $rc = "$code" ] || { cat out.txt; fail "$*: exit code $rc, expected $code"; }
  grep -qE -- "$text" out.txt || { cat out.txt; fail "$*: expected words like \`$text\`"; }
}

says 2 'no command `fly`' mltrain fly
says 2 'missing.yaml: No such file' mltrain run missing.yaml
printf 'a: [1\n' >broken.yaml
says 2 'broken.yaml.*line' mltrain run broken.yaml
printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n' >no-job.yaml
says 2 'no TrainingJob' mltrain run no-job.yaml
plain_job BAD 1 1 true >bad-name.yaml
says 2 'metadata.name' mltrain run bad-name.yaml
plain_job ok 0 1 true >zero.yaml
says 2 'spec.workers.replicas' mltrain run zero.yaml
plain_job ok 1 1 true '  scheduling: {spares: 1}' >spares.yaml
says 2 'spec.scheduling.spares: not supported yet' mltrain run spares.yaml
plain_job ok 1 1 true '  framwork: plain' >typo.yaml
says 2 'framwork' mltrain run typo.yaml
says 2 '^mltrain run: --nproc: `0` is not a whole number from 1 to 256' mltrain run --nproc 0 -- true
says 2 '^mltrain run: --nnodes: `x` is not a whole number' mltrain run --nproc 2 --nnodes=x -- true
says 1 'no one-machine cluster is up' mltrain get
says 1 'is not up' mltrain get --cluster nowhere
mltrain cluster up >/dev/null || fail "up"
says 1 'not found' mltrain get nothing
says 1 'not found' mltrain describe nothing
plain_job twice 1 1 'sleep 100' >twice.yaml
says 0 created mltrain submit twice.yaml
says 1 'already exists' mltrain submit twice.yaml
says 1 'already exists' mltrain run twice.yaml
says 3 'timed out' mltrain wait twice --for Failed --timeout 1s
says 2 'expected a phase or a condition: Queued' mltrain wait twice --for Ready
says 0 'not suspended' mltrain resume twice
says 1 'no attempt 7' mltrain logs twice --attempt 7
mltrain wait twice --for Running --timeout 30s >/dev/null || fail "twice does not run"
says 0 'no output of rank 99' mltrain logs twice --rank 99
mltrain cancel twice >/dev/null
mltrain wait twice --timeout 30s >/dev/null
says 1 'has finished already' mltrain suspend twice
says 1 'has finished already' mltrain cancel twice
plain_job exec 1 1 true '  backoffLimit: 0' | sed 's/command: \[bash, -c, /command: [no-such-program, /' >exec.yaml
says 127 'no-such-program' mltrain run exec.yaml
