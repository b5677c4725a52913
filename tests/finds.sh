# shellcheck shell=bash
# Sourced by the tests' shell scripts.
# finds OPTIONS PATTERN: whether grep finds it in its input, which is read to the end. `program | grep -q PATTERN` ends the program by
# SIGPIPE when the pattern comes early and the program has more to say, and then fails under pipefail, every tenth time or so.
finds() { [ "$(grep -c "$@")" -gt 0 ]; }
