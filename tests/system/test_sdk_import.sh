#!/usr/bin/env bash
# The launcher brings libmltrain's Python module along: a rank imports it without any PYTHONPATH, and the job's own module wins.
. "$(dirname "$0")/common.sh"

unset PYTHONPATH
# shellcheck disable=SC2016 # for the shell in the pod
script='mkdir -p /tmp/own/mltrain && echo "def attempt(): return \"my own\"" >/tmp/own/mltrain/__init__.py && cd / &&
  exec python3 -c "import mltrain; print(\"found\", mltrain.attempt(), mltrain.__file__)"'
plain_job import 1 1 "$script" '  backoffLimit: 0' >import.yaml
mltrain run import.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "exit code $?"; }
grep -q 'found 1 /mltrain/bin/python/mltrain/__init__.py' out.txt || { cat out.txt; fail "another module was imported"; }

sed "s|image: none|image: none\n            env: [{name: PYTHONPATH, value: /tmp/own}]|" import.yaml >own.yaml
mltrain run own.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "exit code $? with a module of its own"; }
grep -q "found my own /tmp/own/mltrain/__init__.py" out.txt || { cat out.txt; fail "the job's own module did not win"; }
