#!/usr/bin/env bash
# The main example on 4 ranks: learns, keeps its weights equal, survives a killed rank with the same weights as undisturbed,
# and fails when gradients are not synchronised.
. "$(dirname "$0")/common.sh"
/usr/bin/python3 -c 'import torch, sklearn' 2>/dev/null || skip "Debian's python3-torch and python3-sklearn are not installed"
export PATH="/usr/bin:$PATH"

# manifest FOLDER STEPS PAUSE [SYNCHRONISE]
manifest() {
  mkdir -p "$1"
  sed -e "s|/tmp/mltrain-pytorch-ddp|$work/$1|" -e "s|\[\"python3\", |[\"/usr/bin/python3\", |" \
    -e "/PAUSE_SECONDS/s/value: \"0\"/value: \"$2\"/" \
    -e "/TOTAL_STEPS, value/a\\              - {name: SYNCHRONISE, value: \"${3:-1}\"}" \
    "$MLTRAIN_SOURCE_DIR/examples/pytorch-ddp/job.yaml"
}

manifest whole 0 >whole.yaml
mltrain run whole.yaml >whole.txt 2>whole.err || { cat whole.txt whole.err; fail "undisturbed"; }
[ "$(grep -c 'test accuracy' whole.txt)" = 4 ] || { cat whole.txt whole.err; fail "not four ranks"; }
[ "$(sed -n 's/.*weights //p' whole.txt | sort -u | wc -l)" = 1 ] || fail "weights differ"

manifest broken 0.03 >broken.yaml
mltrain run broken.yaml >broken.txt 2>broken.err &
runner=$!
eventually 60 grep -q 'step 1[3-9]0 ' broken.txt || { cat broken.txt broken.err; fail "no progress"; }
pid=$(rank_pids pytorch-ddp | awk '$1 == 2 {print $2; exit}')
kill -9 "$pid" || fail "rank 2 not found"
wait "$runner" || { cat broken.txt broken.err; fail "with a killed rank"; }
grep -qE "begin at step (50|100|150)" broken.txt || fail "did not resume at a step above 0"
[ "$(sed -n 's/.*weights //p' broken.txt | sort -u)" = "$(sed -n 's/.*weights //p' whole.txt | sort -u)" ] ||
  fail "the weights after recovery are not those of the undisturbed run"

manifest apart 0 0 | sed 's/totalSteps: 400/totalSteps: 400\n  backoffLimit: 0/' >apart.yaml
if mltrain run apart.yaml >apart.txt 2>&1; then cat apart.txt; fail "succeeded without gradient synchronisation"; fi
grep -q "weights differ" apart.txt || { cat apart.txt; fail "failed for another reason"; }
