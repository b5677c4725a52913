#!/usr/bin/env bash
# Two clusters of one user, and one of another home, at once: the same job names in all, and nothing of one is seen in another.
# Then private clusters of `mltrain run`, side by side.
. "$(dirname "$0")/common.sh"

other_home=$work/home2
in_other() { MLTRAIN_HOME=$other_home mltrain "$@"; }
other_down() {
  local rc=$?
  in_other cluster down >/dev/null 2>&1
  (exit $rc)
  finish
}
trap other_down EXIT

mltrain cluster up --name red --gpus-per-node 2 >/dev/null || fail "up red"
mltrain cluster up --name blue --nodes 2 >/dev/null || fail "up blue"
in_other cluster up >/dev/null || fail "up in another home"

# The same words come back to each.
for color in red blue; do
  plain_job same 2 2 "echo here is $color rank \$RANK; trap 'exit 0' TERM; while :; do sleep 0.1; done" >$color.yaml
  mltrain submit --cluster $color $color.yaml >/dev/null || fail "submit to $color"
done
plain_job same 2 2 "echo here is other rank \$RANK; trap 'exit 0' TERM; while :; do sleep 0.1; done" >other.yaml
in_other submit other.yaml >/dev/null || fail "submit to the other home"

says_its_color() { # COLOR COMMAND...
  local color=$1
  shift
  "$@" >"logs-$color.txt" 2>&1 && [ "$(grep -c "here is $color rank" "logs-$color.txt")" = 4 ] && [ "$(wc -l <"logs-$color.txt")" = 4 ]
}
eventually 20 says_its_color red mltrain logs --cluster red same || { cat logs-red.txt; fail "logs of red"; }
eventually 20 says_its_color blue mltrain logs --cluster blue same || { cat logs-blue.txt; fail "logs of blue"; }
eventually 20 says_its_color other in_other logs same || { cat logs-other.txt; fail "logs of the other home"; }

# Addresses of servers and of pods, tokens and keys are each cluster's own.
red=$MLTRAIN_HOME/clusters/red blue=$MLTRAIN_HOME/clusters/blue other=$other_home/clusters/default
[ "$(cat "$red/port" "$blue/port" "$other/port" | sort -u | wc -l)" = 3 ] || fail "two clusters share a port"
for secret in token master.key ca.key server.key; do
  [ "$(sha256sum "$red/$secret" "$blue/$secret" "$other/$secret" | cut -c 1-64 | sort -u | wc -l)" = 3 ] || fail "two clusters share $secret"
done
addresses() { kubectl_or_curl "$1" | jq -r '.items[].status.podIP'; }
kubectl_or_curl() {
  curl -s --cacert "$1/ca.crt" -H "Authorization: Bearer $(cat "$1/token")" "https://127.0.0.1:$(cat "$1/port")/api/v1/namespaces/default/pods"
}
for dir in "$red" "$blue" "$other"; do addresses "$dir"; done | sort >addresses.txt
[ "$(wc -l <addresses.txt)" = 6 ] || { cat addresses.txt; fail "6 pods have not 6 addresses"; }
[ -z "$(uniq -d addresses.txt)" ] || { cat addresses.txt; fail "two pods share an address"; }

# A token of one is nothing in the other.
code=$(curl -s -o /dev/null -w '%{http_code}' --cacert "$blue/ca.crt" -H "Authorization: Bearer $(cat "$red/token")" \
  "https://127.0.0.1:$(cat "$blue/port")/api/v1/pods")
[ "$code" = 401 ] || fail "red's token is answered $code by blue"
curl -s --cacert "$red/ca.crt" "https://127.0.0.1:$(cat "$blue/port")/healthz" >/dev/null && fail "red's authority vouches for blue's server"

# What ends one leaves the others alone.
ranks_of() { rank_pids same | while read -r rank pid; do grep -qF "$1/" "/proc/$pid/mountinfo" && echo "$rank $pid"; done; }
before=$(ranks_of "$blue")
[ "$(echo "$before" | wc -l)" = 4 ] || { echo "$before"; fail "not 4 ranks in blue"; }
mltrain cancel --cluster red same >/dev/null || fail "cancel"
mltrain wait --cluster red same --timeout 20s >/dev/null
mltrain cluster down --name red >/dev/null || fail "down red"
[ "$(ranks_of "$blue")" = "$before" ] || fail "blue's ranks changed when red went down"
[ "$(mltrain get --cluster blue same -o json | jq -r .status.phase)" = Running ] || fail "blue's job does not run"
[ "$(in_other get same -o json | jq -r .status.phase)" = Running ] || fail "the other home's job does not run"
mltrain get --cluster red same >out.txt 2>&1 && fail "red answers after its end"
grep -q "red.*is not up" out.txt || { cat out.txt; fail "red's end is not told"; }

# kubeconfigs merge: contexts have names of their own.
KUBECONFIG=$blue/kubeconfig:$other/kubeconfig mltrain get --context mltrain-blue same >/dev/null || fail "the context mltrain-blue"
mltrain cluster down --name blue >/dev/null || fail "down blue"
in_other cluster down >/dev/null || fail "down other"

# `mltrain run` twice at the same time: private clusters, one job name.
for run in 1 2 3; do
  plain_job same 2 1 "echo run $run rank \$RANK; sleep 1" >run$run.yaml
  mltrain run run$run.yaml >out$run.txt 2>err$run.txt &
  runners[run]=$!
done
for run in 1 2 3; do
  wait "${runners[run]}" || { cat err$run.txt; fail "run $run ended with $?"; }
  [ "$(sort out$run.txt)" = "[rank 0] run $run rank 0
[rank 1] run $run rank 1" ] || { cat out$run.txt; fail "output of run $run"; }
done
