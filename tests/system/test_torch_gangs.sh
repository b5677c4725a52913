#!/usr/bin/env bash
# An unmodified torch.distributed script as gangs of 1x1, 2x2 and 4x2, and under torch.distributed.launch, started once per pod.
. "$(dirname "$0")/common.sh"
/usr/bin/python3 -c 'import torch' 2>/dev/null || skip "Debian's python3-torch is not installed"
export OMP_NUM_THREADS=1

cat >reduce.py <<'PY'
import os
import torch
import torch.distributed as dist

dist.init_process_group("gloo")
value = torch.tensor([float(dist.get_rank() + 1)])
dist.all_reduce(value)
world = dist.get_world_size()
assert value.item() == world * (world + 1) / 2, value
assert int(os.environ["LOCAL_RANK"]) < int(os.environ["LOCAL_WORLD_SIZE"])
print(f"sum over {world} ranks is right", flush=True)
dist.barrier()
PY

mltrain cluster up >/dev/null || fail "up"
for gang in "1 1" "2 2" "4 2"; do
  read -r pods ranks <<<"$gang"
  mltrain run --nnodes "$pods" --nproc "$ranks" -- /usr/bin/python3 reduce.py >out.txt 2>err.txt || { cat out.txt err.txt; fail "$pods x $ranks"; }
  [ "$(grep -c "sum over $((pods * ranks)) ranks is right" out.txt)" = $((pods * ranks)) ] || { cat out.txt; fail "$pods x $ranks: not all ranks"; }
done

# PyTorch 1.13's launcher breaks on Python 3.11 by itself; in a pod it is given the defaults with which it runs.
cat >launch.yaml <<YAML
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {name: launch}
spec:
  nprocPerNode: 4
  backoffLimit: 0
  workers:
    template:
      spec:
        containers:
          - name: trainer
            image: none
            workingDir: $work
            command: [/usr/bin/python3, -m, torch.distributed.launch, --nproc_per_node=4, reduce.py]
            env: [{name: OMP_NUM_THREADS, value: "1"}]
            volumeMounts: [{name: work, mountPath: $work}]
        volumes: [{name: work, hostPath: {path: $work}}]
YAML
sed -i 's/^assert int(os.environ\["LOCAL_RANK"\]).*$//; s/^import os$/import os, sys/' reduce.py
mltrain run launch.yaml >out.txt 2>err.txt || { cat out.txt err.txt; fail "torch.distributed.launch"; }
# One torchrun stands for four programs, which share its output: their lines may run together.
[ "$(grep -o "sum over 4 ranks is right" out.txt | wc -l)" = 4 ] || { cat out.txt err.txt; fail "torch.distributed.launch: not 4 ranks"; }
