# Shared by the tests of hard times (test_hard_*.sh); sourced after common.sh. A cluster, a job whose ranks count steps in files
# until they are told that it is enough, and the programs of the cluster by name.

dir=$MLTRAIN_HOME/clusters/default
steps=$work/steps
mkdir -p "$steps"

# program NAME: the process id of api, controller, supervisor, node-0 ... of this cluster
program() {
  case $1 in
  controller) pgrep -f "mltrain-controller --kubeconfig $dir/" ;;
  api) pgrep -f "mltrain-localcluster api --dir $dir " ;;
  supervisor) pgrep -f "mltrain cluster supervise --dir $dir " ;;
  *) pgrep -f "mltrain-localcluster agent --dir $dir --node $1 " ;;
  esac | head -1
}
runs_program() { [ -n "$(program "$1")" ]; }
parent() { awk '/^PPid/ {print $2}' "/proc/$1/status"; }

# counting NAME REPLICAS NPROC [spec lines]: a manifest of ranks that count
counting() {
  volumes="            volumeMounts: [{name: seen, mountPath: $steps}${mounts:-}]
        volumes: [{name: seen, hostPath: {path: $steps}}${more_volumes:-}]" \
    plain_job "$1" "$2" "$3" "n=0
while [ ! -e $steps/enough ]; do
  n=\$((n + 1))
  echo \$n >$steps/\$RANK.new && mv $steps/\$RANK.new $steps/\$RANK
  echo \"step \$n\"
  sleep 0.05
done" "${4:-  progress: {pattern: 'step (?<step>\d+)'\}}"
}

# begin REPLICAS NPROC: the job `steady` runs, its ranks' processes are in $ranks
begin() {
  counting steady "$1" "$2" >steady.yaml
  mltrain submit steady.yaml >/dev/null || fail "submit"
  mltrain wait steady --for Running --timeout 60s >/dev/null || { mltrain describe steady; fail "steady does not run"; }
  eventually 20 ranks_are steady $(($1 * $2)) || fail "not $(($1 * $2)) ranks"
  ranks=$(rank_pids steady)
  first_rank=$(awk '$1 == 0 {print $2}' <<<"$ranks")
  last_rank=$(awk 'END {print $2}' <<<"$ranks")
  launcher=$(parent "$first_rank")
  other_launcher=$(parent "$last_rank")
  for shim in $(parent "$launcher") $(parent "$(parent "$launcher")"); do
    tr '\0' ' ' <"/proc/$shim/cmdline" | finds 'mltrain-localcluster shim' && break
  done
}

# Each rank is the process that it was, and takes further steps.
counts() {
  local rank before
  for rank in $(awk '{print $1}' <<<"$ranks"); do
    before=$(cat "$steps/$rank")
    eventually 20 sh -c "[ \$(cat $steps/$rank) -gt $before ]" || fail "$*: rank $rank stands still"
  done
  [ "$(rank_pids steady)" = "$ranks" ] || { echo "$ranks"; rank_pids steady; mltrain describe steady; fail "$*: not the ranks that were"; }
}

# serves WHAT: the cluster answers, runs a new job to its end, and shows that `steady` is as it was
serves() {
  eventually 30 mltrain get || fail "$1: the API server does not answer"
  number=$((${number:-0} + 1))
  plain_job "small-$number" 1 1 'echo small' >small.yaml
  eventually 20 mltrain submit small.yaml || { mltrain submit small.yaml; fail "$1: no job can be submitted"; }
  timeout 70 mltrain wait "small-$number" --timeout 60s >/dev/null || { mltrain describe "small-$number"; fail "$1: a new job does not end"; }
  mltrain logs "small-$number" | finds small || fail "$1: its output is lost"
  counts "$1"
  eventually 30 job_is steady .status.phase Running || { mltrain describe steady; fail "$1: steady does not count as running"; }
  job_is steady '"\(.status.attempt) \(.status.restarts // 0)"' "1 0" || { mltrain describe steady; fail "$1: steady was restarted"; }
  echo "$1: $SECONDS s"
}

# The job ends as if nothing had happened.
enough() {
  touch "$steps/enough"
  mltrain wait steady --timeout 60s >/dev/null || { mltrain describe steady; fail "steady does not end well"; }
  job_is steady '"\(.status.attempt) \(.status.restarts // 0)"' "1 0" || { mltrain describe steady; fail "steady was restarted"; }
}
