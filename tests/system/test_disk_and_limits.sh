#!/usr/bin/env bash
# Full disks, read-only homes and small limits: a clear error or a clear end, never a hang and never a silent success.
. "$(dirname "$0")/common.sh"
ended() { ! kill -0 "$1"; }
# tells WORDS COMMAND...: ends soon, not with success, and says so
tells() {
  local words=$1 rc
  shift
  timeout 30 "$@" >out.txt 2>err.txt
  rc=$?
  [ $rc != 124 ] || fail "$*: hangs"
  [ $rc != 0 ] || fail "$*: succeeds"
  cat out.txt err.txt | finds -E -- "$words" || { cat out.txt err.txt; fail "$*: expected words like \`$words\`"; }
}
hello=$MLTRAIN_SOURCE_DIR/examples/hello/job.yaml

# A home that cannot be written into.
: >file
tells 'cannot make the folder .*file' env MLTRAIN_HOME="$work/file" mltrain cluster up
tells 'cannot make the folder' env MLTRAIN_HOME=/proc/mltrain mltrain cluster up
env -u MLTRAIN_HOME -u HOME mltrain version >/dev/null || fail "version without a HOME"
env -u MLTRAIN_HOME HOME=/nonexistent mltrain run "$hello" >out.txt 2>err.txt || { cat err.txt; fail "a private cluster needs no HOME"; }
# A path longer than a socket's address may be.
(
  export MLTRAIN_HOME=$work/$(head -c 120 /dev/zero | tr '\0' l)/$(head -c 200 /dev/zero | tr '\0' m)
  mltrain cluster up >out.txt && mltrain run "$hello" >out.txt 2>err.txt
  rc=$?
  mltrain cluster down >/dev/null
  exit $rc
) || { cat out.txt err.txt; fail "a long path"; }

# Few descriptors, few bytes for a file.
(ulimit -n 64 && timeout 60 mltrain run "$hello") >out.txt 2>err.txt
rc=$?
[ $rc != 124 ] || fail "with 64 descriptors it hangs"
[ $rc = 0 ] || grep -qiE 'files|descriptors|log/' err.txt || { cat err.txt; fail "with 64 descriptors it ends with $rc and without a word"; }
tells 'did not come up|Too many open files|cannot' sh -c "ulimit -n 8; mltrain run '$hello'"

if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=40m,mode=700 tmpfs small 2>/dev/null; then
  umount_all() {
    local rc=$?
    MLTRAIN_HOME=$work/small/home mltrain cluster down >/dev/null 2>&1
    mltrain cluster down >/dev/null 2>&1
    umount -l "$work/small" "$work/checkpoints" 2>/dev/null
    (exit $rc)
    finish
  }
  trap umount_all EXIT
  # MLTRAIN_HOME on a disk that is full from the beginning.
  dd if=/dev/zero of=small/filler bs=1k count=50000 2>/dev/null
  tells 'No space left|full|log/' env MLTRAIN_HOME="$work/small/home" mltrain cluster up
  rm small/filler
  # On one that fills up while it runs: what is asked for is refused in words, and after room was made all goes on.
  export MLTRAIN_HOME=$work/small/home
  mltrain cluster up >/dev/null || fail "up on a small disk"
  dd if=/dev/zero of=small/filler bs=1k count=50000 2>/dev/null
  for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    plain_job full$i 1 1 "true" >full.yaml
    sed -i "s/^metadata: .*/metadata: {name: full$i, annotations: {a: '$(head -c 60000 /dev/zero | tr '\0' x)'}}/" full.yaml
    timeout 20 mltrain submit full.yaml >out.txt 2>err.txt
    rc=$?
    [ $rc != 124 ] || fail "submit on a full disk hangs"
    [ $rc = 0 ] || break
  done
  [ $rc != 0 ] || fail "jobs were stored on a full disk"
  grep -qiE 'full|space|disk' err.txt || { cat err.txt; fail "a full disk is not the reason given"; }
  rm small/filler
  plain_job room 1 1 'echo room' >room.yaml
  eventually 20 mltrain submit room.yaml || { mltrain submit room.yaml; fail "submit after room was made"; }
  mltrain wait room --timeout 30s >/dev/null || { mltrain describe room; fail "the job after room was made"; }
  mltrain cluster down >/dev/null || fail "down on a small disk"
  export MLTRAIN_HOME=$work/home

  # A checkpoint folder that is full: the rank fails, the job fails in its words, and no torn checkpoint is the one to resume from.
  mkdir checkpoints && mount -t tmpfs -o size=1m,mode=777 tmpfs checkpoints || fail "mount"
  cat >saver.sh <<'RANK'
step=${MLTRAIN_RESUME_STEP:-0}
echo "begins at $step"
while :; do
  step=$((step + 1))
  mkdir -p "/c/tmp-$step" && head -c 300000 /dev/zero >"/c/tmp-$step/weights" || { echo "cannot save step $step" >&2; exit 9; }
  mv "/c/tmp-$step" "/c/step-$step"
  sleep 1.5 # a plain file counts when it has not changed for a second
done
RANK
  volumes="            volumeMounts: [{name: c, mountPath: /c}]
        volumes: [{name: c, hostPath: {path: $work/checkpoints}}]" \
    plain_job saver 1 1 "$(cat saver.sh)" '  backoffLimit: 1
  checkpoint: {path: /c, format: pattern, pattern: "step-{step}"}' >saver.yaml
  timeout 60 mltrain run saver.yaml >out.txt 2>err.txt
  rc=$?
  [ $rc = 9 ] || { cat out.txt err.txt; fail "a full checkpoint folder: exit code $rc"; }
  grep -q "cannot save step 4" err.txt || { cat err.txt; fail "the rank's last words"; }
  grep -q "begins at [23]" out.txt || { cat out.txt err.txt; fail "not resumed from the last complete checkpoint"; }
  umount checkpoints || fail "something holds the checkpoint folder"
else
  echo "SKIP: full disks: no small file system can be mounted here"
fi
