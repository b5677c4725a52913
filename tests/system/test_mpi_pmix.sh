#!/usr/bin/env bash
# Open MPI programs by PMIx: pods of ranks find each other and share memory within a pod and nowhere else; MPI_Abort ends all ranks
# with its code; a killed rank and a killed helper restart the job; images that cannot serve are told so and not tried again.
. "$(dirname "$0")/common.sh"

command -v mpicc >/dev/null && mpicc --showme:version 2>&1 | finds 'Open MPI' || skip "needs Open MPI (libopenmpi-dev)"
mpicc -O1 -o program "$MLTRAIN_SOURCE_DIR/tests/component/helper/mpi_program.c" || fail "mpicc"

# A helper that cannot run in the image (its dynamic linker is not there, as with musl), and none at all: once, and in words.
mkdir lacking
cp "$MLTRAIN_BIN_DIR"/mltrain* lacking/
LC_ALL=C sed -i 's#/ld-linux-#/ld-lacks-#' lacking/mltrain-helper
lacking/mltrain run --framework mpi --nproc 2 -- ./program >musl.txt 2>&1
[ $? = 93 ] || { cat musl.txt; fail "musl: another code"; }
grep -q 'could not be started: the image has no glibc' musl.txt || { cat musl.txt; fail "musl: other words"; }
grep -q 'attempt 2' musl.txt && fail "musl: it was tried again"
rm lacking/mltrain-helper
lacking/mltrain run --framework mpi --nproc 2 -- ./program >missing.txt 2>&1
[ $? = 93 ] || { cat missing.txt; fail "without a helper: another code"; }
grep -q 'mltrain-helper is missing: it has to lie beside mltrain-launcher' missing.txt || { cat missing.txt; fail "without a helper: other words"; }

# One that never becomes ready: the job can be suspended and cancelled all the same.
printf '#!/bin/sh\nexec sleep 300\n' >lacking/mltrain-helper
lacking/mltrain cluster up --name slow >/dev/null || fail "cluster up --name slow"
plain_job slow 2 2 'echo never' '  mpi: {wireup: pmix}' | sed 's/framework: plain/framework: mpi/' | mltrain submit --cluster slow - >/dev/null || fail "submit slow"
slow_is() { [ "$(mltrain get slow --cluster slow -o json | jq -r .status.phase)" = "$1" ]; }
waits() { pgrep -fx 'sleep 300' >/dev/null && slow_is Starting; }
eventually 10 waits || fail "slow does not wait for its helper"
mltrain suspend slow --cluster slow >/dev/null || fail "suspend slow"
eventually 5 slow_is Suspended || fail "slow is not suspended"
mltrain resume slow --cluster slow >/dev/null || fail "resume slow"
eventually 10 waits || fail "slow does not wait for its second helper"
mltrain cancel slow --cluster slow >/dev/null || fail "cancel slow"
eventually 5 slow_is Failed || fail "slow is not cancelled"
mltrain logs slow --cluster slow 2>/dev/null | finds never && fail "a rank was started without a server"
mltrain cluster down --name slow >/dev/null

mltrain cluster up >/dev/null || fail "cluster up"

# mpi NAME NODES NPROC COMMAND [SPEC-LINES]: a job that starts COMMAND in a shell of each rank
mpi() {
  volumes="            env: [{name: A, value: b}${env:+, $env}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]" \
    plain_job "$1" "$2" "$3" "cd '$work'; $4" "${5:-  backoffLimit: 0}" | sed "s/framework: plain/framework: mpi/" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}
log() { mltrain logs "$1" --launcher >"$1.txt" 2>&1; }
ends() { mltrain wait "$1" >/dev/null; [ $? = "$2" ] || { log "$1"; tail -n 40 "$1.txt"; fail "$1 did not end with code $2"; }; }
has() { grep -qF -- "$2" "$1.txt" || { tail -n 60 "$1.txt"; fail "$1: no \`$2\`"; }; }

# All sizes; ranks in two pods on this one machine do not think that they share memory.
for nodes in 1 2 4; do
  world=$((nodes * 2))
  rma=0
  [ $nodes = 1 ] && rma=1 # over TCP this Open MPI has no one-sided operations, under mpirun neither
  mpi "n$nodes" $nodes 2 "RMA=$rma exec ./program"
  ends "n$nodes" 0
  log "n$nodes"
  for ((rank = 0; rank < world; rank++)); do
    has "n$nodes" "rank $rank of $world: sum $((world * (world - 1) / 2)), 2 share memory, segments 2"
  done
  has "n$nodes" "MPI ranks are served by "
done
has n2 "MPI wire-up pmix"

# Addresses that no fence brings: each rank asks for those that it needs, through the launchers.
mpi modex 2 2 'OMPI_MCA_pmix_base_async_modex=1 OMPI_MCA_pmix_base_collect_data=0 RMA=0 exec ./program'
ends modex 0
log modex
for ((rank = 0; rank < 4; rank++)); do has modex "rank $rank of 4: sum 6, 2 share memory, segments 2"; done
ls /dev/shm | finds '^mltrain-.*-1$' && fail "shared memory is left behind"

# MPI_Abort: its code, its words, and all others end at once (SIGTERM is what a job's ranks get first).
python3 - >ended.txt <<'PYTHON' &
import glob, time
def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"
def ranks():
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path) as file:
                if file.read() == "./program\0abort\0003\0007\0":
                    yield path.split("/")[2]
        except OSError:
            pass
end, pids = time.time() + 30, []
while len(pids) < 4 and time.time() < end:
    pids = list(ranks())
    time.sleep(0.05)
while pids and time.time() < end:
    for pid in [p for p in pids if state(p) in ("gone", "Z", "X")]:
        pids.remove(pid)
        print("ended at", int(time.time() * 1000))
    time.sleep(0.002)
PYTHON
mpi abort 2 2 'exec ./program abort 3 7'
ends abort 7
wait $!
log abort
has abort "rank 3 has called MPI_Abort with code 7"
job abort '.status.failures[0].message' | finds 'it has called MPI_Abort with code 7' || fail "$(job abort '.status.failures')"
[ "$(job abort '.status.failures[0].rank')" = 3 ] || fail "another rank is blamed: $(job abort '.status.failures')"
[ "$(wc -l <ended.txt)" = 4 ] || fail "not all four ranks were seen: $(cat ended.txt)"
after=$(($(sed -n 's/ended at //p' ended.txt | sort -n | tail -n 1) - $(sed -n 's/.*abort at //p' abort.txt)))
echo "from MPI_Abort to the end of the last rank: $after ms"
[ $after -lt "${MLTRAIN_TEST_ABORT_MS:-1000}" ] || fail "the last rank ended $after ms after MPI_Abort"

# Without MPI_Finalize.
mpi forget 1 2 'exec ./program forget'
ends forget 1
job forget '.status.failures[0].message' | finds 'without MPI_Finalize' || fail "$(job forget '.status.failures')"

# A rank killed inside MPI_Allreduce: the job starts again in the same pods, under another name.
mpi killed 2 2 'echo "namespace $PMIX_NAMESPACE"; [ $MLTRAIN_ATTEMPT = 1 ] && exec ./program die 1 9; RMA=0 exec ./program' '  backoffLimit: 2'
ends killed 0
[ "$(job killed '.status.attempt')" = 2 ] || fail "attempts: $(job killed '.status.attempt')"
job_is killed .status.placement.podCreations '1*2' || fail "pods were replaced: $(job killed .status.placement)"
log killed
[ "$(sed -n 's/.*namespace \(killed\..*\.[12]\)$/\1/p' killed.txt | sort -u | wc -l)" = 2 ] || { cat killed.txt; fail "names of attempts"; }

# The helper of a pod dies while ranks run: the attempt fails in words, the next one runs.
mpi helper 2 2 '[ $MLTRAIN_ATTEMPT = 1 ] && exec ./program wait; RMA=0 exec ./program' '  backoffLimit: 2'
running() { [ "$(pgrep -f "^$work/program|^./program wait" | wc -l)" -ge 1 ] && log helper && grep -q 'served by' helper.txt; }
helper_of() { # process id of one mltrain-helper of this test's cluster
  local dir
  for dir in /proc/[0-9]*; do
    [ "$(cat "$dir/comm" 2>/dev/null)" = mltrain-helper ] && grep -qF "$work" "$dir/mountinfo" 2>/dev/null && echo "${dir#/proc/}" && return
  done
  return 1
}
eventually 20 running || fail "the ranks do not run"
sleep 1
kill -9 "$(helper_of)" || fail "no helper found"
ends helper 0
log helper
has helper "the PMIx server of this pod's MPI ranks, has ended: killed by signal 9"
job helper '.status.failures[0].message' | finds 'has ended: killed by signal 9' || fail "$(job helper '.status.failures')"
[ "$(job helper '.status.attempt')" = 2 ] || fail "attempts: $(job helper '.status.attempt')"

# An image without libpmix: once, and in words.
env='{name: MLTRAIN_PMIX, value: /nowhere/libpmix.so.2}' mpi lacks 2 2 'exec ./program' '  backoffLimit: 3'
ends lacks 93
[ "$(job lacks '.status.attempt')" = 1 ] || fail "it was tried again"
job lacks '.status.failures[0].message' | finds 'libpmix.so.2 cannot be loaded: /nowhere' || fail "$(job lacks '.status.failures')"

# Suspended in the middle, resumed: another attempt, another server.
mpi pause 2 2 '[ $MLTRAIN_ATTEMPT = 1 ] && exec ./program wait; RMA=0 exec ./program'
served() { log pause && grep -q 'served by' pause.txt; }
eventually 20 served || fail "pause does not run"
mltrain suspend pause >/dev/null || fail "suspend"
eventually 20 job_is pause .status.phase Suspended || fail "not suspended: $(job pause .status.phase)"
mltrain resume pause >/dev/null || fail "resume"
ends pause 0
helper_of && fail "a helper is left"
exit 0
