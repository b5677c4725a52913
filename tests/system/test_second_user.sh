#!/usr/bin/env bash
# A second user of the machine: runs jobs of his own, and of another user's cluster sees, reads and ends nothing.
. "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || skip "to become another user needs root"
command -v setpriv >/dev/null || skip "no setpriv here"
uid=$((40000 + $$ % 20000)) # nobody's, whatever runs beside this
chmod 711 "$work"
stranger_home=$work/stranger
install -d -m 700 -o $uid -g $uid "$stranger_home"
bin=$work/bin # the build folder may lie where a stranger has no business
install -d -m 755 "$bin" && install -m 755 "$MLTRAIN_BIN_DIR"/mltrain "$MLTRAIN_BIN_DIR"/mltrain-* "$bin" || fail "copy of the programs"
as_stranger() {
  (cd "$stranger_home" && setpriv --reuid $uid --regid $uid --clear-groups --no-new-privs \
    env -i PATH="$bin:/usr/bin:/bin" HOME="$stranger_home" LANG=C TMPDIR=/tmp "$@")
}
stranger_ends() {
  local rc=$?
  as_stranger mltrain cluster down >/dev/null 2>&1
  (exit $rc)
  finish
}
trap stranger_ends EXIT

# He runs a job on a private cluster of his own, and one on a cluster that stays.
install -m 644 "$MLTRAIN_SOURCE_DIR/examples/hello/job.yaml" "$stranger_home/job.yaml"
as_stranger mltrain run job.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "an ordinary user's run"; }
[ "$(grep -c '^\[rank [0-3]\] hello from rank' out.txt)" = 4 ] || { cat out.txt; fail "hello of an ordinary user"; }
as_stranger mltrain cluster up --nodes 2 --gpus-per-node 2 >/dev/null || fail "an ordinary user's cluster"
as_stranger mltrain run job.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "an ordinary user's run on his cluster"; }
[ "$(grep -c '^\[rank [0-3]\] hello from rank' out.txt)" = 4 ] || { cat out.txt; fail "hello on an ordinary user's cluster"; }

# Killed at any moment of its start, a private cluster leaves nothing: no folder (his are known by their owner), no process.
as_stranger mltrain cluster down >/dev/null || fail "an ordinary user's cluster does not go down"
for wait in 0.01 0.02 0.04 0.07 0.1 0.2; do
  for signal in TERM KILL; do
    (cd "$stranger_home" && exec setpriv --reuid $uid --regid $uid --clear-groups --no-new-privs \
      env -i PATH="$bin:/usr/bin:/bin" HOME="$stranger_home" mltrain run --framework plain -- sleep 1000) >/dev/null 2>&1 &
    runner=$!
    sleep $wait
    kill -$signal $runner
    if [ $signal = TERM ]; then # once the job is followed, the first one asks for a graceful end, and such a sleep has none
      eventually 15 sh -c "! kill -0 $runner" || fail "SIGTERM after $wait s does not end it"
    fi
    wait $runner 2>/dev/null
  done
done
# (In the first millisecond there is a folder and nobody yet who could remove it; nothing is in it then.)
his_folders() { find /tmp -maxdepth 1 -name 'mltrain-run-*' -uid $uid -exec sh -c 'ls "$0" | grep -vxE "cluster.json(\.[0-9]+)?|log" && echo "$0"' {} \; ; }
his_processes() { ps -o pid=,stat=,args= -u $uid | awk '$2 !~ /^Z/'; }
nothing_left() { [ -z "$(his_folders)$(his_processes)" ]; }
eventually 60 nothing_left || { his_folders; his_processes; fail "a killed start left something"; }
find /tmp -maxdepth 1 -name 'mltrain-run-*' -uid $uid -exec rm -r {} +

# Root's cluster with a job that has something to hide.
mltrain cluster up >/dev/null || fail "up"
dir=$MLTRAIN_HOME/clusters/default
server=https://127.0.0.1:$(cat "$dir/port")
chmod 755 "$MLTRAIN_HOME" "$MLTRAIN_HOME/clusters" # what a careless owner might do
volumes='            volumeMounts: [{name: tmp, mountPath: /scratch}]
        volumes: [{name: tmp, emptyDir: {}}]' \
  plain_job private 1 1 'echo secret-output; echo secret-data >/scratch/data; trap "exit 0" TERM; while :; do sleep 0.1; done' >private.yaml
sed -i 's/^            command:/            env: [{name: WANDB_API_KEY, value: secret-in-env}]\n&/' private.yaml
mltrain submit private.yaml >/dev/null || fail "submit"
mltrain wait private --for Running --timeout 20s >/dev/null || fail "not running"
eventually 10 sh -c 'mltrain logs private | grep -q secret-output' || fail "no output"

# Without the token: 401, and never a word of content.
for path in /api/v1/pods /api/v1/secrets /apis/mltrain.io/v1alpha1/trainingjobs /version /api /openapi/v2 /api/v1/namespaces/default/pods/private-worker-0/log; do
  for header in "X: y" "Authorization: Bearer " "Authorization: Bearer wrong" "Authorization: Basic cm9vdDpyb290" "X-Remote-User: root"; do
    code=$(as_stranger curl -sk -o /dev/null -w '%{http_code}' -H "$header" "$server$path")
    [ "$code" = 401 ] || [ "$path" = /version ] || fail "$path with \`$header\` is answered $code"
  done
done

# Files: nothing of the cluster's folder can be read or listed.
for file in "$dir"/* "$dir"/log/* "$dir"/nodes/*/logs/*/*/* "$dir"/nodes/*/pods/*/*; do
  [ -e "$file" ] || continue
  as_stranger head -c 1 "$file" >/dev/null 2>&1 && fail "a stranger reads $file"
done
as_stranger ls "$dir" >/dev/null 2>&1 && fail "a stranger lists $dir"
as_stranger env MLTRAIN_HOME="$MLTRAIN_HOME" mltrain get >out.txt 2>&1 && { cat out.txt; fail "a stranger lists root's jobs"; }
as_stranger mltrain get --kubeconfig "$dir/kubeconfig" >out.txt 2>&1 && fail "a stranger uses root's kubeconfig"
grep -q "kubeconfig: Permission denied" out.txt || { cat out.txt; fail "why a stranger may not is not told"; }
# The modes hold even if a folder above them is opened.
chmod 755 "$dir"
for file in kubeconfig token ca.key server.key master.key store.db; do
  as_stranger head -c 1 "$dir/$file" >/dev/null 2>&1 && fail "a stranger reads $file once the folder is open"
done
chmod 700 "$dir"

# Processes: none of them can be ended, none shows a secret in its command line or, to strangers, its environment or memory.
rank=$(rank_pids private | awk '{print $2}')
[ -n "$rank" ] || fail "no rank found"
token=$(cat "$dir/token")
for pid in $rank $(pgrep -f "$dir"); do
  as_stranger kill -9 "$pid" 2>/dev/null && fail "a stranger ended process $pid"
  as_stranger cat "/proc/$pid/environ" >/dev/null 2>&1 && fail "a stranger reads the environment of process $pid"
  # By the pod's own root he would see its volumes.
  as_stranger ls "/proc/$pid/root/" >/dev/null 2>&1 && fail "a stranger looks into process $pid"
  tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | finds -F -e "$token" -e secret-in-env && fail "process $pid shows a secret in ps"
done

# What listens: only on loopback, and the channel closes on who has no key.
for pid in $(pgrep -f "$dir"); do
  for inode in $(readlink "/proc/$pid"/fd/* 2>/dev/null | sed -n 's/socket:\[\(.*\)\]/\1/p'); do
    awk -v inode="$inode" '$4 == "0A" && $10 == inode {print $2}' /proc/net/tcp /proc/net/tcp6
  done
done | sort -u >listening.txt
[ -s listening.txt ] || fail "nothing listens?"
grep -vE '^[0-9A-F]{6}7F:' listening.txt && fail "something listens beyond loopback"
while read -r address; do
  port=$((16#${address##*:}))
  as_stranger timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && head -c 65536 /dev/urandom >&3; cat <&3" >/dev/null 2>&1
done <listening.txt
mltrain get private >/dev/null || fail "the API server fell over a stranger's bytes"
job_is private .status.phase Running || fail "a stranger's bytes ended the job"

# Private clusters lie in folders of their own, closed from their first moment, whatever the umask is.
mltrain cluster down >/dev/null || fail "down"
(umask 000; exec mltrain run --framework plain -- sh -c 'echo begun; sleep 2') >out.txt 2>err.txt &
runner=$!
eventually 15 grep -q begun out.txt || { cat err.txt; fail "run did not begin"; }
folder=$(for f in /tmp/mltrain-run-*; do pgrep -f -- "--dir $f " >/dev/null && pgrep -P $runner -f -- "--dir $f " >/dev/null && echo "$f"; done)
[ -d "$folder" ] || fail "the private cluster's folder was not found"
[ "$(stat -c %a "$folder")" = 700 ] || fail "$folder has mode $(stat -c %a "$folder")"
find "$folder" -name kubeconfig -o -name token -o -name '*.key' -o -name store.db | while read -r file; do
  [ "$(stat -c %a "$file")" = 600 ] || echo "$file $(stat -c %a "$file")"
done >open.txt
[ ! -s open.txt ] || { cat open.txt; fail "files of a private cluster are open"; }
wait $runner || fail "run under umask 000"
[ ! -e "$folder" ] || fail "$folder is still there"
