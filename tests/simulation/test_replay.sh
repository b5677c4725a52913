#!/usr/bin/env bash
# A seed is a history: told twice, and with memory at other addresses, it has the same hash.
set -euo pipefail
sim=$MLTRAIN_BUILD_DIR/tests/mltrain-sim
hashes() { "$@" --seeds 1..12 --jobs 2 | sed -n 's/^seed \([0-9]*\) ok hash \([0-9a-f]*\) .*/\1 \2/p' | sort -n; }
first=$(hashes "$sim")
[ "$(wc -l <<<"$first")" = 12 ] || { echo "not every seed ends well: $first"; exit 1; }
[ "$first" = "$(hashes "$sim")" ] || { echo "a second telling differs"; exit 1; }
if ! setarch -R true 2>/dev/null; then
  echo "skipped: address randomisation cannot be switched off here (setarch -R)"
  exit 77
fi
[ "$first" = "$(hashes setarch -R "$sim")" ] || { echo "without address randomisation it differs"; exit 1; }
