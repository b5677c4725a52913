#!/usr/bin/env bash
# A rank ends well beside others of its pod that run: what it has not come to fails for all at once, in words that name it, and so
# does what they begin later, in Python and in C. What it gave before it ended counts.
. "$(dirname "$0")/common.sh"
type cc >/dev/null 2>&1 || skip "no C compiler"

cat >ended.py <<'PY'
import os
import threading
import time

import mltrain

rank = int(os.environ["RANK"])
began = time.monotonic()

# It gives its part, and ends without waiting for the others.
if rank == 1:
    mltrain.barrier("all")
    threading.Thread(target=mltrain.gather, args=("given", b"one"), daemon=True).start()
    time.sleep(0.3)
    os._exit(0)
mltrain.barrier("all")
time.sleep(1)
given = mltrain.gather("given", b"")
if given != [b"", b"one", b"", b""]:
    raise SystemExit(f"rank {rank}: {given}")

for name in ("all", "all", "given", "new", "all"):
    if rank == 3:
        time.sleep(0.5)  # the others are told before they come
    try:
        mltrain.barrier(name)
    except ConnectionAbortedError as error:
        if "have ended" not in str(error) or not str(error).endswith(": 1"):
            raise SystemExit(f"rank {rank}: {error}")
        continue
    raise SystemExit(f"rank {rank}: the barrier {name} opened without rank 1")
if time.monotonic() - began > 100:
    raise SystemExit(f"rank {rank}: not at once")
print(f"rank {rank} was told", flush=True)
PY
timeout 150 mltrain run --framework plain --nnodes 2 --nproc 2 -- python3 ended.py >out.txt 2>err.txt ||
  { cat out.txt err.txt; fail "Python: exit code $?"; }
[ "$(grep -c 'was told' out.txt)" = 3 ] || { cat out.txt err.txt; fail "Python: not all ranks were told"; }

cat >ended.c <<'C'
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mltrain.h"

int main(void)
{
    struct mltrain_gathered *all;
    if (atoi(getenv("RANK")) == 1)
        return 0;
    int rc = mltrain_barrier("b", 0);
    if (rc != -ECONNABORTED || !strstr(mltrain_error(), "have ended, and come to nothing more: 1")) {
        printf("barrier: %d %s\n", rc, mltrain_error());
        return 1;
    }
    rc = mltrain_gather("g", "x", 1, 0, &all);
    if (rc != -ECONNABORTED || !strstr(mltrain_error(), "have ended, and come to nothing more: 1")) {
        printf("gather: %d %s\n", rc, mltrain_error());
        return 1;
    }
    puts("was told");
    return 0;
}
C
flags=$(grep -q fsanitize "$MLTRAIN_BUILD_DIR/build.ninja" && echo -fsanitize=address,undefined)
# shellcheck disable=SC2086 # perhaps none
cc -O2 -Wall -Werror $flags -I "$MLTRAIN_SOURCE_DIR/sdk" ended.c -o ended "$MLTRAIN_BUILD_DIR/lib/libmltrain.a" -ldl -lpthread ||
  fail "the C program cannot be built"
for shape in "1 2" "2 2" "2 3"; do
  read -r pods ranks <<<"$shape"
  timeout 100 mltrain run --framework plain --nnodes "$pods" --nproc "$ranks" -- ./ended >out.txt 2>err.txt ||
    { cat out.txt err.txt; fail "C, $shape: exit code $?"; }
  [ "$(grep -c 'was told' out.txt)" = $((pods * ranks - 1)) ] || { cat out.txt err.txt; fail "C, $shape: not all ranks were told"; }
done
