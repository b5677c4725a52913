#!/usr/bin/env bash
# The chart's life on a real cluster with unmodified helm, as tests/chart/on_cluster tells it, and at the end every request of the
# controller against its RBAC rules. On a cluster of its own: there is one mltrain in a cluster.
# usage: MLTRAIN_SOURCE_DIR=. MLTRAIN_BIN_DIR=build/debug/bin [MLTRAIN_CHART_FROM=COMMIT] tests/kubernetes/chart.sh
# With MLTRAIN_CHART_FROM the first install is that commit's chart with that commit's programs, whose launcher stays in the pods of
# the job that lives through the upgrade.
unset MLTRAIN_KUBERNETES_NAME
. "$(dirname "$0")/common.sh"

# old_images COMMIT: its chart in ./old/charts/mltrain, its images on the nodes under the tag "before"
old_images() {
  local archives
  mkdir old && git -C "$MLTRAIN_SOURCE_DIR" archive "$1" | tar -x -C old || fail "no commit $1"
  cmake -S old -B old/build -G Ninja -DCMAKE_BUILD_TYPE=Release >old.log 2>&1 &&
    ninja -C old/build mltrain mltrain-controller mltrain-launcher >>old.log 2>&1 || { tail -n 20 old.log >&2; fail "$1 was not built"; }
  echo before >old/VERSION
  # In a folder of their own, with the Debian that is made already: old scripts/images have no option for that.
  mkdir -p images-before "$MLTRAIN_SOURCE_DIR/build/images/layers" && ln -s "$MLTRAIN_SOURCE_DIR/build/images/layers" images-before/layers
  archives=$(old/scripts/images --bin old/build/bin --out "$PWD/images-before" controller launcher) || fail "no images of $1"
  # shellcheck disable=SC2086 # a list of paths on purpose
  kubernetes load $archives || fail "the images of $1 were not loaded"
}

cluster_up
from=()
if [ -n "${MLTRAIN_CHART_FROM:-}" ]; then
  old_images "$MLTRAIN_CHART_FROM"
  from=(--from old/charts/mltrain --from-tag before)
  say "the chart of $MLTRAIN_CHART_FROM comes first"
fi
load_images controller launcher
AUDIT="$MLTRAIN_SOURCE_DIR/scripts/kubernetes --name $name logs audit" \
  "$MLTRAIN_SOURCE_DIR/tests/chart/on_cluster" ${from[@]+"${from[@]}"} --audit - || fail "the chart does not live through it"
