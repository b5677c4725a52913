#!/usr/bin/env bash
# The hello example: every rank says its place in the world, once, and `mltrain run` leaves nothing behind.
. "$(dirname "$0")/common.sh"

mltrain run "$MLTRAIN_SOURCE_DIR/examples/hello/job.yaml" >out.txt 2>err.txt || { cat err.txt; fail "exit code $?"; }
sed 's/^\[rank [0-9]*\] //' out.txt | sort >lines.txt
sort "$MLTRAIN_SOURCE_DIR/examples/hello/expected-output.txt" | diff - lines.txt || fail "the ranks said something else"
grep -q "hello succeeded" err.txt || fail "no closing line"
[ ! -d "$MLTRAIN_HOME/clusters" ] || fail "a private cluster left something in MLTRAIN_HOME"

# The exit code is the job's.
plain_job seven 1 1 'exit 7' '  backoffLimit: 0' >seven.yaml
mltrain run seven.yaml >/dev/null 2>err.txt
[ $? = 7 ] || { cat err.txt; fail "expected exit code 7"; }

# A command in place of torchrun, in this folder, which it may write into.
mltrain run --framework plain --nproc 2 -- sh -c 'echo "rank $RANK" > file-$RANK' >/dev/null 2>err.txt || { cat err.txt; fail "command"; }
[ "$(cat file-0 file-1 | tr '\n' ' ')" = "rank 0 rank 1 " ] || fail "the ranks did not write into the working directory"
