#!/usr/bin/env bash
# Several shells bring the same cluster up at the same moment, while others look at it: one starts it, all find it ready.
. "$(dirname "$0")/common.sh"

for round in 1 2 3; do
  for i in 1 2 3; do
    (
      mltrain cluster up >up$i.txt 2>&1 || exit 1
      exec mltrain get >get$i.txt 2>&1
    ) &
    shells[i]=$!
  done
  (for _ in $(seq 40); do mltrain cluster status >/dev/null; done) &
  looker=$!
  for i in 1 2 3; do wait "${shells[i]}" || { cat up$i.txt get$i.txt; fail "round $round: shell $i finds no cluster"; }; done
  wait $looker
  [ "$(cat up?.txt | grep -c 'is up after')" = 1 ] || { cat up?.txt; fail "round $round: not one of them started it"; }
  [ "$(pgrep -fc "mltrain cluster supervise --dir $MLTRAIN_HOME/")" = 1 ] || fail "round $round: not one supervisor"
  mltrain cluster down >/dev/null || fail "round $round: down"
done
