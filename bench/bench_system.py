#!/usr/bin/env python3
"""Whole-system times on the one-machine cluster, through the real binaries:

* run.hello.*: exec of `mltrain run` on the hello example to the first rank's first line, with a private cluster (started and
  ended for the job) and on a cluster that is up;
* restart.*: a rank is killed with SIGKILL; until every rank of the next attempt runs its first instruction (8 ranks in 1 pod,
  and in 8 pods). The ranks print the time themselves (bash's EPOCHREALTIME).

Prints one JSON object a line: name, value (the median), unit, n."""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("MLTRAIN_BIN_DIR", os.path.join(ROOT, "build", "release", "bin"))
MLTRAIN = os.path.join(BIN, "mltrain")
HELLO = os.path.join(ROOT, "examples", "hello", "job.yaml")

JOB = """
apiVersion: mltrain.io/v1alpha1
kind: TrainingJob
metadata: {{name: restart}}
spec:
  framework: plain
  nprocPerNode: {nproc}
  backoffLimit: 1000
  workers:
    replicas: {replicas}
    template:
      spec:
        containers:
          - name: trainer
            image: none
            command: [bash, -c, 'echo "start $EPOCHREALTIME"; exec sleep 100000']
            resources: {{requests: {{cpu: 1m, memory: 1Mi}}}}
"""


def report(name, values, unit):
    print(json.dumps({"name": name, "value": round(statistics.median(values), 2), "unit": unit, "n": len(values)}), flush=True)


def environment(home):
    env = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG",)}
    env.update(MLTRAIN_HOME=home, HOME=home)
    return env


def first_line_ms(env):
    begin = time.monotonic()
    process = subprocess.Popen([MLTRAIN, "run", "--quiet", HELLO], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    process.stdout.readline()
    took = (time.monotonic() - begin) * 1000
    process.stdout.read()
    if process.wait() != 0:
        raise SystemExit("mltrain run failed")
    return took


def rank_pids(job):
    """rank -> process id, of the ranks of a job on this machine."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                env = dict(v.split(b"=", 1) for v in file.read().split(b"\0") if b"=" in v)
        except OSError:
            continue
        if env.get(b"MLTRAIN_JOB") == job.encode() and b"RANK" in env:
            found[int(env[b"RANK"])] = int(pid)
    return found


def starts(env, attempt):
    """The times at which the ranks of an attempt began."""
    out = subprocess.run([MLTRAIN, "logs", "restart", "--attempt", str(attempt)], capture_output=True, text=True, env=env, check=False).stdout
    return [float(match) for match in re.findall(r"start (\d+\.\d+)", out)]


def wait_starts(env, attempt, ranks):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        times = starts(env, attempt)
        if len(times) == ranks:
            return times
        time.sleep(0.05)
    raise SystemExit(f"attempt {attempt} did not start on all ranks")


def restart_ms(env, home, replicas, nproc):
    """One job, one kill, one restart: further failures without progress would make mltrain create the pods again."""
    with open(os.path.join(home, "job.yaml"), "w", encoding="utf-8") as file:
        file.write(JOB.format(replicas=replicas, nproc=nproc))
    subprocess.run([MLTRAIN, "submit", file.name], env=env, check=True, stdout=subprocess.DEVNULL)
    ranks = replicas * nproc
    wait_starts(env, 1, ranks)
    victim = rank_pids("restart")[ranks // 2]
    time.sleep(0.3)
    begin = time.time()
    os.kill(victim, 9)
    took = (max(wait_starts(env, 2, ranks)) - begin) * 1000
    subprocess.run([MLTRAIN, "cancel", "restart"], env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([MLTRAIN, "wait", "restart", "--timeout", "60s"], env=env, check=False, stdout=subprocess.DEVNULL)
    delete_job(env)
    return took


def delete_job(env):
    kubeconfig = subprocess.run([MLTRAIN, "cluster", "kubeconfig"], env=env, capture_output=True, text=True, check=True).stdout.strip()
    with open(kubeconfig, encoding="utf-8") as file:
        server = re.search(r"server: (\S+)", file.read()).group(1)
    folder = os.path.dirname(kubeconfig)
    with open(os.path.join(folder, "token"), encoding="utf-8") as file:
        token = file.read().strip()
    subprocess.run(["curl", "-s", "-o", "/dev/null", "-X", "DELETE", "--cacert", os.path.join(folder, "ca.crt"), "-H",
                    f"Authorization: Bearer {token}", f"{server}/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs/restart"], check=True)
    for _ in range(100):
        if subprocess.run([MLTRAIN, "get", "restart"], env=env, capture_output=True, check=False).returncode != 0:
            return
        time.sleep(0.1)


def main():
    n = int(os.environ.get("BENCH_N", "7"))
    if not os.path.exists(MLTRAIN):
        raise SystemExit(f"{MLTRAIN} does not exist: build the release preset first")
    with tempfile.TemporaryDirectory(prefix="mltrain-bench-") as home:
        env = environment(home)
        report("run.hello.private_cluster", [first_line_ms(env) for _ in range(n)], "ms")
        subprocess.run([MLTRAIN, "cluster", "up"], env=env, check=True, stdout=subprocess.DEVNULL)
        try:
            report("run.hello.running_cluster", [first_line_ms(env) for _ in range(n)], "ms")
            for replicas, nproc in ((1, 8), (8, 1)):
                took = [restart_ms(env, home, replicas, nproc) for _ in range(n)]
                report(f"restart.{replicas}_pods_of_{nproc}_ranks", took, "ms")
        finally:
            subprocess.run([MLTRAIN, "cluster", "down", "--delete"], env=env, check=False, stdout=subprocess.DEVNULL)
    return 0


sys.exit(main())
