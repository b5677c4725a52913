#!/usr/bin/env bash
# Scripts that call mpirun or mpiexec themselves: the command runs once, in the first pod; MPI's daemons and ranks run in all pods, by
# mltrain-rsh. Exit codes, output, input, what is refused; nothing is left when a job is cancelled, or when a caller dies.
. "$(dirname "$0")/common.sh"

mltrain cluster up >/dev/null || fail "cluster up"

# rsh NAME NODES NPROC COMMAND [SPEC-LINES]
rsh() {
  volumes="            env: [{name: A, value: b}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]" \
    plain_job "$1" "$2" "$3" "cd '$work'; $4" "  mpi: {wireup: ${wireup:-rsh}}
${5:-  backoffLimit: 0}" | sed "s/framework: plain/framework: mpi/" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}
log() { mltrain logs "$1" --launcher >"$1.txt" 2>&1; }
ends() { mltrain wait "$1" >/dev/null; got=$?; log "$1"; [ $got = "$2" ] || { tail -n 40 "$1.txt"; fail "$1 ended with code $got and not $2"; }; }
has() { grep -qF -- "$2" "$1.txt" || { tail -n 60 "$1.txt"; fail "$1: no \`$2\`"; }; }
times() { [ "$(grep -cF -- "$2" "$1.txt")" = "$3" ] || { tail -n 60 "$1.txt"; fail "$1: \`$2\` not $3 times"; }; }

# ---- the agent by itself: no MPI is needed ----

cat >agent.sh <<'EOF'
rsh=$HYDRA_LAUNCHER_EXEC
tree=$PWD/tree.txt
echo "command runs in $GROUP_WORLD_SIZE pods of $LOCAL_WORLD_SIZE, rank [$RANK]"
cat "$HYDRA_HOST_FILE" "$OMPI_MCA_orte_default_hostfile"
$rsh pod-1 'echo "out [$MLTRAIN_ROLE]"; echo err >&2; exit 7' >o.txt 2>e.txt
echo "code $? $(cat o.txt) $(cat e.txt)"
$rsh -x -l somebody pod-1 'kill -9 $$'
echo "killed $?"
seq 300000 >in.txt
$rsh pod-2 'cat; exit 3' <in.txt >back.txt
echo "cat $?"
cmp in.txt back.txt && echo "three hundred thousand lines came back"
$rsh pod-1 "exec sh -c 'cat >/dev/null; echo input ended'" </dev/null
seq 300000 | $rsh pod-1 true
echo "unread input $?"
$rsh pod-3 true; echo "foreign $?"
$rsh worker-1 true; echo "unknown $?"
MLTRAIN_ATTEMPT=9 $rsh pod-1 true; echo "attempt $?"
$rsh pod-1; echo "shell $?"
# What hangs below a command ends with its caller, wherever it has gone.
$rsh pod-1 "echo \$\$ >$tree; setsid sh -c 'echo \$\$ >>$tree; exec sleep 1000' & sleep 1001; :" &
agent=$!
while [ "$(wc -l <$tree)" != 2 ]; do sleep 0.05; done 2>/dev/null
kill -9 $agent
$rsh pod-1 'i=0; for p in $(cat '$tree'); do while kill -0 $p 2>/dev/null && [ $i -lt 200 ]; do i=$((i + 1)); sleep 0.05; done; kill -0 $p 2>/dev/null && exit 1; done; exit 0'
echo "tree gone $?"
exit 5
EOF
rsh agent 3 2 'exec sh agent.sh 2>&1'
ends agent 5
for line in 'command runs in 3 pods of 2, rank []' 'pod-0:2' 'pod-2 slots=2' 'code 7 out [worker] err' 'killed 137' 'cat 3' \
  'three hundred thousand lines came back' 'input ended' 'unread input 0' 'foreign 255' 'unknown 255' 'attempt 255' 'shell 255' 'tree gone 0' \
  'pod-3: `pod-3` is no host of this job: pod-0 to pod-2 are' '`worker-1` is no host of this job' 'attempt 9 (MLTRAIN_ATTEMPT): 1 runs' \
  'a command is missing: nobody can log in to pod-1' 'MPI wire-up rsh, as the job says'; do
  has agent "$line"
done
times agent 'command runs in' 1

# In a job with another wire-up there is no such agent.
wireup=pmi1 rsh other 1 1 'MLTRAIN_SOCKET=$MLTRAIN_SOCKET /mltrain/bin/mltrain-launcher rsh pod-0 true 2>&1; echo "code $?"; exit 4'
ends other 4
has other "this job's MPI wire-up is not rsh"
has other 'code 255'

# A failing command is restarted by the rules; the next attempt has an agent of its own.
rsh again 2 1 'echo "attempt $MLTRAIN_ATTEMPT"; $HYDRA_LAUNCHER_EXEC pod-1 "exit \$((MLTRAIN_ATTEMPT == 1 ? 9 : 0))"' '  backoffLimit: 1'
ends again 0
[ "$(job again '.status.attempt')" = 2 ] || fail "attempts: $(job again '.status.attempt')"
[ "$(job again '.status.failures[0].exitCode')" = 9 ] || fail "again: $(job again '.status.failures')"

# The controller dies meanwhile: no command notices, and the end is heard of by all pods.
rsh leader 3 1 'exec $HYDRA_LAUNCHER_EXEC pod-2 "touch $PWD/leader.runs; while [ ! -e $PWD/leader.over ]; do sleep 0.1; done"'
eventually 20 test -e leader.runs || fail "the command does not run"
kill -9 "$(sed -n 's/.*program=controller pid=//p' "$MLTRAIN_HOME/clusters/default/log/supervisor.log" | tail -n 1)" || fail "kill the controller"
sleep 1
touch leader.over
ends leader 0
[ "$(job leader '.status.attempt')" = 1 ] || fail "attempts: $(job leader '.status.attempt')"

# Cancelled while commands run: nothing is left, and the end is awaited.
mark=$((100000 + RANDOM)) # tells this test's processes from those of others on this machine
rsh cancelled 2 1 'exec $HYDRA_LAUNCHER_EXEC pod-1 "touch $PWD/runs; setsid sleep '$mark'.1 & exec sleep '$mark'.2"'
there() { [ -e runs ] && pgrep -fx "sleep $mark.1" >/dev/null && pgrep -fx "sleep $mark.2" >/dev/null; }
eventually 20 there || { log cancelled; cat cancelled.txt; fail "the command does not run"; }
mltrain cancel cancelled >/dev/null || fail "cancel"
mltrain wait cancelled >/dev/null
pgrep -fa "^sleep $mark|mltrain-rsh .*$mark" && fail "something is left after the job was cancelled"

# ---- Open MPI ----

if command -v mpirun.openmpi >/dev/null && command -v mpicc.openmpi >/dev/null; then
  mpicc.openmpi -O1 -o program "$MLTRAIN_SOURCE_DIR/tests/component/helper/mpi_program.c" || fail "mpicc"
  wireup=auto rsh ompi 2 2 'RMA=0 exec mpirun.openmpi -x RMA ./program'
  ends ompi 0
  for rank in 0 1 2 3; do has ompi "rank $rank of 4: sum 6, 2 share memory"; done
  times ompi 'rank 0 of 4: sum' 1
  has ompi 'MPI wire-up rsh: the command calls mpirun.openmpi'
  mpicc.openmpi -O1 -o allreduce.openmpi "$MLTRAIN_SOURCE_DIR/examples/mpi-c/allreduce.c" || fail "mpicc allreduce"
  rsh sums 2 2 'exec mpirun.openmpi ./allreduce.openmpi'
  ends sums 0
  for rank in 0 1 2 3; do has sums "rank $rank of 4: all sums are right; 2 ranks share memory"; done
  # Daemons that start others, each by the agent in its own pod.
  rsh tree 9 1 'exec mpirun.openmpi --mca routed_radix 2 ./allreduce.openmpi 100'
  ends tree 0
  times tree 'of 9: all sums are right' 9
  # A part of the pods, chosen by mpirun's own options.
  rsh part 2 2 'RMA=0 exec mpirun.openmpi -x RMA -n 2 --host pod-1:2 ./program'
  ends part 0
  has part 'rank 1 of 2: sum 1, 2 share memory'
  # The code of a rank that fails, and MPI_Abort's.
  rsh code 2 1 "exec mpirun.openmpi sh -c '[ \$OMPI_COMM_WORLD_RANK = 1 ] && exit 41; sleep 30'"
  ends code 41
  rsh abort 2 2 'exec mpirun.openmpi ./program abort 3 7'
  ends abort 7
  # A rank in another pod is killed inside MPI_Allreduce: the job starts again.
  rsh killed 2 2 '[ $MLTRAIN_ATTEMPT = 1 ] && exec mpirun.openmpi ./program die 3 9; RMA=0 exec mpirun.openmpi -x RMA ./program' '  backoffLimit: 1'
  ends killed 0
  [ "$(job killed '.status.attempt')" = 2 ] || fail "attempts: $(job killed '.status.attempt')"
  # Cancelled.
  rsh waits 2 2 "exec mpirun.openmpi --mca a_mark $mark ./program wait $mark"
  ranks() { [ "$(pgrep -fx "./program wait $mark" | wc -l)" = 4 ]; }
  daemons() { pgrep -fa "orted .*$mark"; }
  eventually 20 ranks || { log waits; cat waits.txt; fail "the ranks do not run"; }
  daemons >/dev/null || fail "the daemons have no mark"
  mltrain cancel waits >/dev/null || fail "cancel"
  mltrain wait waits >/dev/null
  { pgrep -fa "^./program wait $mark|mltrain-rsh .*$mark" || daemons; } && fail "something is left after the job was cancelled"
else
  echo "skipped: Open MPI (openmpi-bin, libopenmpi-dev)"
fi

# ---- Hydra ----

if command -v mpiexec.hydra >/dev/null; then
  wireup=auto rsh hydra 2 2 "exec mpiexec.hydra sh -c 'echo rank \$PMI_RANK of \$PMI_SIZE; exit \$((PMI_RANK == 3 ? 42 : 0))'"
  ends hydra 42
  for rank in 0 1 2 3; do has hydra "rank $rank of 4"; done
  rsh wide 12 1 "exec mpiexec.hydra sh -c 'echo wide \$PMI_RANK of \$PMI_SIZE'"
  ends wide 0
  times wide 'of 12' 12
  if command -v mpicc.mpich >/dev/null; then
    mpicc.mpich -O1 -o allreduce.mpich "$MLTRAIN_SOURCE_DIR/examples/mpi-c/allreduce.c" || fail "mpicc.mpich"
    # Debian's MPICH 4.0.2 hangs in MPI_Finalize now and then when its ranks are on several hosts (UCX), without mltrain as well.
    for ((try = 1; try <= 8; try++)); do
      rsh "mpich$try" 2 2 'exec timeout 8 mpiexec.hydra ./allreduce.mpich'
      mltrain wait "mpich$try" >/dev/null && break
      log "mpich$try"
      has "mpich$try" 'rank 0 of 4: all sums are right; 2 ranks share memory'
    done
    log "mpich$try"
    for rank in 0 1 2 3; do has "mpich$try" "rank $rank of 4: all sums are right; 2 ranks share memory"; done
  fi
else
  echo "skipped: Hydra (mpich)"
fi
exit 0
