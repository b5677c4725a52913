#!/usr/bin/env bash
# examples/tutorial-multi-gpu-job: its TrainingJob trains on four pretended GPUs with torch.distributed.launch; it differs from the
# tutorial's Job in nothing but what its README tells; and what is left in by who does not read that is refused or overridden, in words.
. "$(dirname "$0")/common.sh"
/usr/bin/python3 -c 'import torch, yaml' 2>/dev/null || skip "Debian's python3-torch and python3-yaml are not installed"
example=$MLTRAIN_SOURCE_DIR/examples/tutorial-multi-gpu-job

# What the README's table says, done to the Job; all else has to be equal.
/usr/bin/python3 - "$example" <<'PY' || fail "job.yaml differs from before.yaml otherwise than its README tells"
import json
import sys
import yaml

def only(name, kind):
    with open(f"{sys.argv[1]}/{name}", encoding="utf-8") as file:
        return next(document for document in yaml.safe_load_all(file) if document["kind"] == kind)

before, after = only("before.yaml", "Job"), only("job.yaml", "TrainingJob")
spec = before["spec"]
assert spec.pop("completions") == spec.pop("parallelism") == 1
pod = spec["template"]["spec"]
assert pod.pop("restartPolicy") == "OnFailure"
container, = pod["containers"]
container["env"] = [variable for variable in container["env"] if variable["name"] not in ("MASTER_ADDR", "MASTER_PORT")]
container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["mountPath"] != "/dev/shm"]
pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "shm"]
spec["workers"] = {"template": spec.pop("template")}
before.update(apiVersion="mltrain.io/v1alpha1", kind="TrainingJob")
if before != after:
    sys.exit(f"{json.dumps(before, indent=1)}\n{json.dumps(after, indent=1)}")
PY

# here [SED OPTIONS]: for this machine: a folder in place of the claim, which has nothing to be bound to, Debian's Python, less memory
here() {
  sed -e "s|persistentVolumeClaim: .*|hostPath: {path: $work/model}|" -e 's|"python", |"/usr/bin/python3", |' \
    -e 's|requests: {cpu: "4", memory: 16Gi}|requests: {cpu: 100m, memory: 64Mi}|' \
    -e "s|env:|env:\n              - {name: OMP_NUM_THREADS, value: \"1\"}|" "$@" "$example/job.yaml"
}
mkdir model
mltrain cluster up --nodes 1 --gpus-per-node 4 >/dev/null || fail "cluster up"
here >job.yaml
mltrain submit job.yaml >/dev/null || fail "submit"
mltrain wait multi-gpu-training >/dev/null || { mltrain logs multi-gpu-training --launcher; fail "multi-gpu-training: $(job multi-gpu-training .status)"; }
# One torchrun stands for four programs, which share its output: their lines may run together.
mltrain logs multi-gpu-training >out.txt 2>&1
grep -o 'rank [0-9] of [0-9]: the weights are learned' out.txt | sort | diff - "$example/expected-output.txt" ||
  { cat out.txt; fail "it said something else"; }
[ -s model/model.pt ] || fail "no model"
/usr/bin/python3 -c 'import torch; print([round(w) for w in torch.load("model/model.pt")["weight"][0].tolist()])' | finds -xF '[0, 1, 2, 3, 4, 5, 6, 7]' ||
  fail "another model"

# The tutorial's lines left in: one is refused by name, the address is overridden with an event.
here -e 's/^        containers:/        restartPolicy: OnFailure\n&/' >policy.yaml
mltrain submit policy.yaml >policy.txt 2>&1 && fail "restartPolicy: OnFailure was accepted"
grep -q 'restartPolicy' policy.txt || { cat policy.txt; fail "not told of restartPolicy"; }
here -e 's/multi-gpu-training$/addressed/' -e "s|env:|env:\n              - {name: MASTER_ADDR, value: localhost}|" |
  sed 's|"/usr/bin/python3", "-m", .*|sh, -c, "echo address $MASTER_ADDR"]|' >addressed.yaml
mltrain submit addressed.yaml >/dev/null || fail "submit addressed"
mltrain wait addressed >/dev/null || { mltrain logs addressed --launcher; fail "addressed"; }
mltrain describe addressed >described.txt
grep ReservedVariable described.txt | finds MASTER_ADDR || { cat described.txt; fail "no event of MASTER_ADDR"; }
[ "$(mltrain logs addressed 2>/dev/null | grep -cE 'address 127\.[0-9.]+$')" = 4 ] || { mltrain logs addressed; fail "not four ranks with the address of the pod"; }

# With its claim as it stands: here it waits, and says for what.
mltrain submit "$example/job.yaml" >/dev/null 2>&1 && fail "two jobs of one name"
sed -n 's/^  name: multi-gpu-training$/  name: claims/; p' "$example/job.yaml" | sed 's|requests: {cpu: "4", memory: 16Gi}|requests: {cpu: 100m}|' >claims.yaml
mltrain submit claims.yaml >/dev/null || fail "submit claims"
waits() { job claims '.status.conditions[] | select(.type == "Queued") | .reason + " " + .message' | finds 'VolumeMissing.*model'; }
eventually 20 waits || { job claims .status; fail "it does not say that its claim is missing"; }
