#!/usr/bin/env bash
# Lifts the gang library out: its two folders and a consumer are built with nothing else in the include path, by the command that
# the example's README gives, and run.
set -euo pipefail
source=$(cd "${MLTRAIN_SOURCE_DIR:-.}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

mkdir -p "$work/lib" "$work/examples"
cp -r "$source/gang" "$work/gang"
cp -r "$source/lib/base" "$work/lib/base"
cp -r "$source/examples/gang-library" "$work/examples/gang-library"
cd "$work"
command=$(grep -o "^    cc .*" examples/gang-library/README.md)
cc() { command "${CC:-cc}" -Wall -Wextra -Werror "$@"; }
eval "$command" || fail "does not build: $command"
./gang-demo >output.txt || fail "does not run"
diff examples/gang-library/expected-output.txt output.txt || fail "prints something else"
