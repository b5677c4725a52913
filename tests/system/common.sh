# Shared by the system tests; sourced. Each test gets a folder of its own, a cluster home in it, and programs in its PATH; at the
# end clusters are stopped and nothing of them may still run.

: "${MLTRAIN_SOURCE_DIR:?}" "${MLTRAIN_BIN_DIR:?}"
set -uo pipefail
# shellcheck source=tests/finds.sh
. "$MLTRAIN_SOURCE_DIR/tests/finds.sh"
export PATH="$MLTRAIN_BIN_DIR:$PATH"
work=$(mktemp -d "${TMPDIR:-/tmp}/mltrain-test-XXXXXX")
export MLTRAIN_HOME="$work/home" HOME="$work/user"
unset KUBECONFIG XDG_STATE_HOME
mkdir -p "$HOME"
cd "$work" || exit 1

fail() {
  echo "FAIL: $*" >&2
  for log in "$MLTRAIN_HOME"/clusters/*/log/*.log; do
    [ -f "$log" ] && { echo "--- ${log##*/}" >&2; tail -n 30 "$log" >&2; }
  done
  exit 1
}

skip() {
  echo "SKIP: ${0##*/}: $*"
  exit 77
}

# Processes that were started from this test's folder or its clusters.
left_over() {
  local dir
  for dir in /proc/[0-9]*; do
    [ "${dir#/proc/}" = $$ ] && continue
    if grep -qzF "$work/" "$dir/cmdline" 2>/dev/null ||
      { grep -qzxF "MLTRAIN_HOME=$MLTRAIN_HOME" "$dir/environ" 2>/dev/null && [ "${dir#/proc/}" != "$BASHPID" ]; }; then
      case "$(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null)" in *test_*|tee*|"") ;; *) echo "${dir#/proc/} $(tr '\0' ' ' <"$dir/cmdline")" ;; esac
    fi
  done 2>/dev/null
}

finish() {
  local rc=$? dir pid rest
  trap - EXIT
  for dir in "$MLTRAIN_HOME"/clusters/*; do
    [ -d "$dir" ] && mltrain cluster down --name "${dir##*/}" >/dev/null 2>&1
  done
  sleep 0.2
  rest=$(left_over)
  if [ -n "$rest" ]; then
    echo "still running after the end:" >&2
    echo "$rest" >&2
    while read -r pid _; do kill -9 "$pid" 2>/dev/null; done <<<"$rest"
    [ "$rc" = 0 ] && rc=1
  fi
  cd /
  rm -rf "$work"
  exit "$rc"
}
trap finish EXIT

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

# job NAME JQ-FILTER: a value of the job's object
job() { mltrain get "$1" -o json | jq -r "$2"; }
job_is() { [ "$(job "$1" "$2")" = "$3" ]; }

# rank_processes JOB: rank and process id of everything that a job's ranks run on this machine, their children included
rank_processes() {
  local dir rank
  for dir in /proc/[0-9]*; do
    if grep -qzx "MLTRAIN_JOB=$1" "$dir/environ" 2>/dev/null && grep -qF "$work" "$dir/mountinfo" 2>/dev/null; then
      rank=$(tr '\0' '\n' <"$dir/environ" 2>/dev/null | sed -n 's/^RANK=//p')
      [ -n "$rank" ] && echo "$rank ${dir#/proc/}"
    fi
  done 2>/dev/null | sort -n
}

# rank_pids JOB: only the ranks themselves, which are children of a launcher
rank_pids() {
  local rank pid parent
  rank_processes "$1" | while read -r rank pid; do
    parent=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null)
    [ "$(cat "/proc/${parent:-0}/comm" 2>/dev/null)" = mltrain-launche ] && echo "$rank $pid"
  done
}

# rank_pid JOB RANK
rank_pid() { rank_pids "$1" | sed -n "s/^$2 //p" | head -1; }

# program NAME WORDS: the process of this test's cluster that runs this program and has these words in its command line
program() {
  local dir line
  for dir in /proc/[0-9]*; do
    line=$(tr '\0' ' ' <"$dir/cmdline" 2>/dev/null)
    [[ $line == *"/$1 "*"$work/"*"$2"* ]] && echo "${dir#/proc/}"
  done 2>/dev/null | head -1
}

no_ranks() { [ -z "$(rank_processes "$1")" ]; }
ranks_are() { [ "$(rank_pids "$1" | awk '{print $1}' | sort -u | wc -l)" = "$2" ]; }

# plain_job NAME REPLICAS NPROC SCRIPT [extra spec lines]: a manifest on standard output
plain_job() {
  cat <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: $1}
spec:
  framework: plain
  nprocPerNode: $3
${5:-}
  workers:
    replicas: $2
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [bash, -c, $(jq -Rn --arg s "$4" '$s')]
            resources: {requests: {cpu: ${cpu:-10m}, memory: 16Mi}${gpus:+, limits: {nvidia.com/gpu: $gpus\}}}
${volumes:-}
YAML
}

# ask_api METHOD PATH [JSON]: the API server of the cluster that `mltrain cluster up` has made; prints the answer
ask_api() {
  local config server
  config=$(mltrain cluster kubeconfig)
  server=$(sed -n 's/^ *server: //p' "$config" | tr -d '"')
  curl -sk -X "$1" -H "Authorization: Bearer $(sed -n 's/^ *token: //p' "$config" | tr -d '"')" -H 'Content-Type: application/json' \
    ${3:+-d "$3"} "$server$2"
}
