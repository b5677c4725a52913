#!/usr/bin/env bash
# What launchers notice stands among the job's events: a pattern that does not compile, reserved names, a folder that cannot be read.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "cluster up"
touch no-folder
volumes="" plain_job noticed 2 1 'echo "rank $RANK"' "  progress: {pattern: 'step (?<step>[0-9]+'}
  checkpoint: {path: $work/no-folder}" |
  sed 's/image: none/image: none\n            env: [{name: WORLD_SIZE, value: "7"}, {name: SLURM_PROCID, value: "3"}]/' >job.yaml
mltrain submit job.yaml >/dev/null || fail "submit"
mltrain wait noticed --timeout 30s || fail "the job did not succeed"
mltrain describe noticed >described.txt
for reason in InvalidProgressPattern CheckpointFolder ForeignEnvironment; do
  [ "$(grep -c "$reason" described.txt)" = 1 ] || { cat described.txt >&2; fail "no event, or more than one, with reason $reason"; }
done
[ "$(grep -cE 'Reserved(Environment|Variable)' described.txt)" = 1 ] || { cat described.txt >&2; fail "reserved names are not told once"; }
