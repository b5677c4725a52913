#!/usr/bin/env bash
# PMI-1 as a Python program speaks it, without any MPI: many barriers, more puts than are sent to all, a barrier that a rank which has
# ended will never come to, and what is no PMI-1.
. "$(dirname "$0")/common.sh"

cat >client.py <<'E2'
"""client.py PUTS BYTES ROUNDS [LAST WORDS]: each rank puts so many values in each round, all meet, each gets all of the others."""
import os
import socket
import sys

PUTS, BYTES, ROUNDS = map(int, sys.argv[1:4])
RANK, SIZE = int(os.environ["PMI_RANK"]), int(os.environ["PMI_SIZE"])
server = socket.socket(fileno=int(os.environ["PMI_FD"]))
lines = server.makefile("r")


def ask(question, *expected):
    server.sendall((question + "\n").encode())
    answer = lines.readline().strip()
    words = dict(word.split("=", 1) for word in answer.split(" "))
    assert all(word in answer for word in expected), (question, answer)
    return words


def value(rank, put, turn):
    return f"{rank}.{put}.{turn}.".ljust(BYTES, "x")


assert "SLURM_JOB_ID" not in os.environ
ask("cmd=init pmi_version=1 pmi_subversion=1", "cmd=response_to_init", "rc=0")
name = ask("cmd=get_my_kvsname")["kvsname"]
assert name.endswith("." + os.environ["MLTRAIN_ATTEMPT"])
mapping = ask(f"cmd=get kvsname={name} key=PMI_process_mapping")["value"]
assert mapping == f"(vector,(0,{os.environ['GROUP_WORLD_SIZE']},{os.environ['LOCAL_WORLD_SIZE']}))", mapping
for turn in range(ROUNDS):
    for put in range(PUTS):
        ask(f"cmd=put kvsname={name} key=k-{RANK}-{put} value={value(RANK, put, turn)}", "rc=0")
    ask("cmd=barrier_in", "cmd=barrier_out")
    for rank in range(SIZE):
        for put in range(PUTS):
            got = ask(f"cmd=get kvsname={name} key=k-{rank}-{put}", "rc=0")["value"]
            assert got == value(rank, put, turn), (got, rank, put, turn)
    ask("cmd=barrier_in", "cmd=barrier_out")
if sys.argv[4:] == ["uneven"]:
    ask("cmd=finalize", "cmd=finalize_ack")
    if RANK != 1:  # which ends well
        ask("cmd=init pmi_version=1 pmi_subversion=1", "cmd=response_to_init", "rc=0")
        server.sendall(b"cmd=barrier_in\n")
        assert lines.readline() == "", "an answer"
    sys.exit(0)
if len(sys.argv) > 4 and RANK == SIZE - 1:
    server.sendall((" ".join(sys.argv[4:]) + "\n").encode())
    assert lines.readline() == "", "an answer"
    print("the connection was closed")
    sys.exit(0)
ask("cmd=finalize", "cmd=finalize_ack")
print("all values are there")
E2

# client PODS RANKS ARGUMENTS...
client() {
  local pods=$1 ranks=$2
  shift 2
  cat >job.yaml <<EOF
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: client}
spec:
  framework: mpi
  mpi: {wireup: pmi1}
  nprocPerNode: $ranks
  backoffLimit: 0
  workers:
    replicas: $pods
    template:
      spec:
        containers:
          - name: trainer
            image: x
            command: ["python3", "$work/client.py"]
            args: [$(printf '"%s",' "$@")]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]
EOF
  timeout 100 mltrain run job.yaml >out.txt 2>err.txt
}
ready() { [ "$(grep -c 'all values are there' out.txt)" = "$1" ]; }
client 3 2 1 20 25 || { cat out.txt err.txt; fail "25 rounds"; }
ready 6 || { cat out.txt; fail "25 rounds: not all ranks"; }
# 160 KB a pod: more than goes to all at once, so that each pod fetches the others'.
client 3 2 80 1000 2 || { cat out.txt err.txt; fail "much data"; }
ready 6 || { cat out.txt; fail "much data: not all ranks"; }
# 60 KB a pod may be sent; 2 MB to each of 35, 72 MB in all, may not: then all stay, and are fetched.
client 35 1 58 1000 1 || { cat out.txt err.txt; fail "too much for all"; }
ready 35 || { cat out.txt; fail "too much for all: not all ranks"; }
# A pod with nothing to tell, and one with all.
client 1 1 0 1 1 || { cat out.txt err.txt; fail "nothing put"; }

client 2 2 0 1 1 uneven && fail "a rank that has ended is waited for in vain, and all is well"
grep -qF "the barrier of all ranks: rank 1 has ended well: does each rank run the same MPI programs?" err.txt ||
  { cat out.txt err.txt; fail "uneven: other words"; }
client 2 1 0 1 1 cmd=fly && fail "a command that is none"
grep -qF "its connection to the launcher (pmi1): this line is none of PMI-1: \`cmd=fly\`" err.txt || { cat out.txt err.txt; fail "other words"; }
client 2 1 0 1 1 cmd=abort exitcode=9 message=no paper left
[ $? = 9 ] || { cat err.txt; fail "abort: another code"; }
grep -qF "it has called MPI_Abort with code 9: no paper left" err.txt || { cat out.txt err.txt; fail "abort: other words"; }
