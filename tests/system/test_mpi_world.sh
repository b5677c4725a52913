#!/usr/bin/env bash
# Ranks that mpirun has started and that are no world: each has begun MPI by itself, because the program is built with another MPI than
# mpirun's. The job fails with words. What only looks like that must not fail: MPI that begins late or never, a tool below a rank's
# shell, ranks that speak to somebody, a job that wants it so. And pods in which nothing has run are told.
. "$(dirname "$0")/common.sh"

for program in mpirun.openmpi mpicc.openmpi mpiexec.hydra mpicc.mpich; do
  command -v $program >/dev/null || skip "$program (openmpi-bin, libopenmpi-dev, mpich, libmpich-dev)"
done
mpicc.openmpi -O1 -o probe.openmpi "$MLTRAIN_SOURCE_DIR/tests/system/mpi_probe.c" || fail "mpicc.openmpi"
mpicc.mpich -O1 -o probe.mpich "$MLTRAIN_SOURCE_DIR/tests/system/mpi_probe.c" || fail "mpicc.mpich"
mltrain cluster up >/dev/null || fail "cluster up"

# rsh NAME NODES NPROC COMMAND [ENVIRONMENT]
rsh() {
  volumes="            env: [{name: A, value: b}${5:+, $5}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]" \
    plain_job "$1" "$2" "$3" "cd '$work'; $4" "  mpi: {wireup: rsh}
  backoffLimit: 1" | sed "s/framework: plain/framework: mpi/" >"$1.yaml"
  mltrain submit "$1.yaml" >/dev/null || fail "submit $1"
}
ends() {
  mltrain wait "$1" --timeout 150s >/dev/null; got=$?
  mltrain logs "$1" --launcher >"$1.txt" 2>&1
  mltrain describe "$1" >"$1.described"
  [ $got = "$2" ] || { tail -n 40 "$1.txt"; fail "$1 ended with code $got and not $2"; }
  [ "$(job "$1" '.status.attempt')" = 1 ] || fail "$1 was started again"
}
events() { [ "$(grep -c "$2" "$1.described")" = "$3" ] || { cat "$1.described" >&2; fail "$1: not $3 events $2"; }; }
quiet() { events "$1" MpiWorldOfOne 0; events "$1" MpiPodUnused 0; }

# All at once: each takes its half minute. What is wrong would sleep far longer than it may.
rsh wrong1 2 2 'exec mpirun.openmpi ./probe.mpich stay 100'
rsh wrong2 2 1 'exec mpiexec.hydra ./probe.openmpi stay 100'
rsh short1 2 2 'mpirun.openmpi ./probe.mpich stay 1'
rsh short2 2 1 'mpiexec.hydra ./probe.openmpi stay 1'
rsh short3 2 1 'sleep 2; mpirun.openmpi ./probe.mpich stay 1' '{name: MLTRAIN_MPI_WORLD_CHECK, value: warn}'
rsh short4 2 2 'mpirun.openmpi ./probe.openmpi stay 1 && mpiexec.hydra ./probe.mpich stay 1'
rsh short5 2 1 'mpirun.openmpi ./probe.mpich stay 1 && mpirun.openmpi ./probe.openmpi stay 2' # a tool, and then a world
rsh meant 2 1 'exec mpirun.openmpi ./probe.mpich stay 50' '{name: MLTRAIN_MPI_WORLD_CHECK, value: warn}'
rsh late 2 1 'exec mpirun.openmpi ./probe.openmpi late 50'
rsh idle 2 1 'exec mpirun.openmpi ./probe.mpich idle 50'
rsh tool 2 1 'exec mpirun.openmpi sh -c "./probe.mpich stay 50; :"'
rsh before 2 1 './probe.mpich stay 45 && exec mpirun.openmpi ./probe.openmpi stay 8'
rsh below 2 1 'exec mpirun.openmpi ./loader'
rsh direct 3 1 'exec ./probe.mpich stay 1'
cat >loader <<'SH'
#!/usr/bin/env python3
import subprocess, time
below = subprocess.Popen(["./probe.mpich", "stay", "45"])
time.sleep(50)
below.wait()
SH
chmod +x loader
cat >talker <<'SH'
#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/$(cat port) # it stays open in the program
exec ./probe.mpich stay 50
SH
chmod +x talker
python3 -c '
import socket, time
s = socket.create_server(("127.0.0.1", 0))
open("port.new", "w").write(str(s.getsockname()[1]))
import os; os.rename("port.new", "port")
kept = []
s.settimeout(150)
try:
    while True: kept.append(s.accept())
except OSError: pass
' &
server=$!
eventually 10 test -e port || fail "the server does not listen"
rsh talks 2 1 'exec mpirun.openmpi ./talker'

ends wrong1 93
grep -q 'no gang: each of 2 of the 4 ranks of Open MPI.s mpirun here runs MPI (libmpich.so.12' wrong1.txt || fail "wrong1: $(cat wrong1.txt)"
grep -q 'call the mpiexec of that library' wrong1.described || fail "$(cat wrong1.described)"
[ "$(job wrong1 '.status.failures[0].exitCode')" = 93 ] || fail "wrong1: $(job wrong1 '.status.failures')"
ends wrong2 93
grep -q 'no gang: each of 1 of the 2 ranks of Hydra (MPICH.s mpiexec) here runs MPI (libmpi.so.40' wrong2.txt || fail "wrong2: $(cat wrong2.txt)"
for name in short1 short2; do # which end by themselves
  ends $name 93
  grep -q 'no gang: each rank of .* here that was seen has run MPI (libmpi.* as a world of its own' $name.txt || fail "$name: $(cat $name.txt)"
done
for name in short3 short5; do
  ends $name 0
  events $name MpiWorldOfOne 1
done
ends short4 0; quiet short4
ends meant 0
events meant MpiWorldOfOne 1
ends late 0; quiet late
ends idle 0; quiet idle
grep -q 'idle ends' idle.txt || fail "idle: $(cat idle.txt)"
ends tool 0
events tool MpiWorldOfOne 1
ends before 0; quiet before
ends below 0; quiet below
ends talks 0
events talks MpiWorldOfOne 1
kill $server; wait $server 2>/dev/null
ends direct 0
events direct MpiWorldOfOne 0
events direct MpiPodUnused 1
grep -q "nothing of the job's command has run in pod-2, the last of 3" direct.described || fail "$(cat direct.described)"
exit 0
