"""The stage of the chaos tests: a one-machine cluster of its own, jobs made from examples/pytorch-ddp, and everything of them
that a fault can strike (ranks, launchers, pods, the cluster's programs)."""
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
TOTAL_STEPS, SAVE_EVERY = 300, 20
PATIENCE = 120  # seconds; only a machine that does not move at all gets there


class Wrong(Exception):
    """Something did not happen that should have."""


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def eventually(what, condition, seconds=PATIENCE, pause=0.02):
    """Waits until condition() is true, and returns what it said."""
    end = time.monotonic() + seconds
    while True:
        said = condition()
        if said:
            return said
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s in vain: {what}")
        time.sleep(pause)


# ---- processes ----

def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def environment(pid):
    return dict(word.split("=", 1) for word in read(f"/proc/{pid}/environ").split("\0") if "=" in word)


def parent(pid):
    match = re.search(r"^PPid:\s*(\d+)", read(f"/proc/{pid}/status"), re.M)
    return int(match.group(1)) if match else 0


def family(pid):
    """The process and all that it has started, parents first."""
    children = {}
    for other in processes():
        children.setdefault(parent(other), []).append(other)
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def kill(pids, number=signal.SIGKILL):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


# ---- the cluster ----

class Proxy:
    """Stands between launchers and controller at another address with the same port, and can hold everything back: nothing
    is refused or cut, bytes only do not arrive, as when a switch on the way has died."""

    ADDRESS = "127.0.0.99"

    def __init__(self, port):
        self.flows = threading.Event()
        self.flows.set()
        self.port = port
        self.listener = socket.create_server((self.ADDRESS, port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                down = self.listener.accept()[0]
            except OSError:
                return
            self.flows.wait()
            try:
                up = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                down.close()
                continue
            for source, target in ((down, up), (up, down)):
                threading.Thread(target=self.carry, args=(source, target), daemon=True).start()

    def carry(self, source, target):
        try:
            while True:
                data = source.recv(65536)
                self.flows.wait()
                if not data:
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.flows.set()
        self.listener.close()


class Cluster:
    def __init__(self, name, binaries, home, nodes, behind_proxy=False):
        self.name, self.home, self.nodes = name, home, nodes
        self.dir = os.path.join(home, "clusters", name)
        self.binaries = self.copy_behind_proxy(binaries) if behind_proxy else binaries
        self.up()
        self.proxy = Proxy(int(read(f"{self.dir}/master.key.state").split()[0])) if behind_proxy else None

    def copy_behind_proxy(self, binaries):
        """The same programs, but the controller tells pods the proxy's address: of an option given twice the last counts."""
        folder = os.path.join(self.home, "bin-" + self.name)
        os.makedirs(folder)
        for name in ("mltrain", "mltrain-localcluster", "mltrain-launcher"):
            shutil.copy2(os.path.join(binaries, name), folder)
        wrapper = os.path.join(folder, "mltrain-controller")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nexec {binaries}/mltrain-controller "$@" --advertise {Proxy.ADDRESS}\n')
        os.chmod(wrapper, 0o755)
        return folder

    def mltrain(self, *words, check=True):
        done = subprocess.run([os.path.join(self.binaries, "mltrain"), *words], capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "MLTRAIN_HOME": self.home, "KUBECONFIG": ""}, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Wrong(f"mltrain {' '.join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def up(self):
        self.mltrain("cluster", "up", "--name", self.name, "--nodes", str(self.nodes))

    def down(self, *options):
        self.mltrain("cluster", "down", "--name", self.name, *options)

    def remove(self):
        if self.proxy:
            self.proxy.close()
        if os.path.isdir(self.dir):
            self.down("--delete")

    def api(self, path, method="GET"):
        """The answer as an object; None when there is no answer, or none but an error."""
        context = ssl.create_default_context(cafile=f"{self.dir}/ca.crt")
        url = f"https://127.0.0.1:{read(f'{self.dir}/port').strip()}{path}"
        headers = {"Authorization": f"Bearer {read(f'{self.dir}/token').strip()}"}
        request = urllib.request.Request(url, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def program(self, words):
        """The process of one of the cluster's programs, by words of its command line; 0 when it does not run."""
        for pid in processes():
            line = read(f"/proc/{pid}/cmdline").replace("\0", " ")
            if words in line and self.dir in line:
                return pid
        return 0

    def log(self, program):
        return read(f"{self.dir}/log/{program}.log")


# ---- a job ----

class Job:
    def __init__(self, cluster, folder, name, seed, replicas=2, nproc=2, pause=0.08, fault="none", layout="file"):
        self.cluster, self.name, self.replicas, self.world = cluster, name, replicas, replicas * nproc
        self.checkpoints, self.notes_dir = os.path.join(folder, name, "checkpoints"), os.path.join(folder, name, "notes")
        os.makedirs(self.checkpoints, exist_ok=True)  # may be there already, as a mount
        os.makedirs(self.notes_dir)
        self.story = ""  # what was done to it, when the case does not say it
        self.first, self.status = {}, {}  # the first status seen of each attempt, and the newest
        path = os.path.join(folder, name, "job.json")
        with open(path, "w", encoding="utf-8") as file:
            for document in self.manifest(seed, nproc, pause, fault, layout):
                file.write("---\n" + json.dumps(document) + "\n")
        cluster.mltrain("submit", path, "--cluster", cluster.name)
        self.uid = self.look()["metadata"]["uid"]

    def manifest(self, seed, nproc, pause, fault, layout):
        """The example's own, with under_fire.py around its script, and folders of this job."""
        with open(os.path.join(ROOT, "examples/pytorch-ddp/job.yaml"), encoding="utf-8") as file:
            code, job = yaml.safe_load_all(file)
        code["metadata"]["name"] = job["metadata"]["name"] = self.name
        code["data"]["under_fire.py"] = read(os.path.join(HERE, "under_fire.py"))
        spec = job["spec"]
        spec["nprocPerNode"], spec["workers"]["replicas"] = nproc, self.replicas
        spec["progress"]["totalSteps"] = TOTAL_STEPS
        spec["checkpoint"]["gracePeriodSeconds"] = 10
        if layout != "file":
            spec["checkpoint"]["format"] = layout
            del spec["checkpoint"]["pattern"]
        pod = spec["workers"]["template"]["spec"]
        trainer = pod["containers"][0]
        trainer["command"] = ["/usr/bin/python3", "/code/under_fire.py"]
        trainer["resources"] = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        wanted = {"TOTAL_STEPS": TOTAL_STEPS, "SAVE_EVERY": SAVE_EVERY, "SEED": seed, "CHAOS_PAUSE": pause, "CHAOS_FAULT": fault,
                  "CHAOS_LAYOUT": layout, "OMP_NUM_THREADS": 1}
        trainer["env"] = [{"name": key, "value": str(value)} for key, value in wanted.items()]
        trainer["volumeMounts"].append({"name": "notes", "mountPath": "/notes"})
        pod["volumes"] = [{"name": "code", "configMap": {"name": self.name}},
                          {"name": "checkpoints", "hostPath": {"path": self.checkpoints}},
                          {"name": "notes", "hostPath": {"path": self.notes_dir}}]
        return code, job

    # ---- what it tells ----

    def look(self):
        """Asks for the job; remembers the first status of each attempt."""
        job = self.cluster.api(f"/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs/{self.name}")
        if job and "status" in job:
            self.status = job["status"]
            self.first.setdefault(self.status.get("attempt", 0), self.status)
            if self.status.get("phase") == "Failed":
                raise Wrong(f"the job has failed: {self.condition('Failed').get('message', '')[:200]}")
        return job

    def condition(self, kind):
        return next((c for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def is_phase(self, phase):
        self.look()
        return self.status.get("phase") == phase

    def notes(self):
        """(time, attempt, rank, event, step), rank by rank."""
        found = []
        for rank in range(self.world):
            for line in read(os.path.join(self.notes_dir, f"rank-{rank}")).splitlines():
                words = line.split()
                if len(words) == 4:  # the last line may be on its way
                    found.append((float(words[0]), int(words[1]), rank, words[2], int(words[3])))
        return found

    def wait_note(self, event, step, attempt=1):
        """Until some rank has noted this event at this step or a later one."""
        return eventually(f"{event} {step} in attempt {attempt}", lambda: next(
            (n for n in self.notes() if n[1] == attempt and n[3] == event and n[4] >= step), None))

    def newest(self, event):
        return max((n[4] for n in self.notes() if n[3] == event), default=0)

    def has_seen_checkpoint(self):
        return re.search(rf"checkpoint step=\d+ job=default/{self.name}\b", self.cluster.log("controller"), re.M)

    def trains_in_attempt(self, attempt):
        self.look()
        if self.status.get("phase") == "Succeeded":
            raise Wrong(f"the job has succeeded, says mltrain, at step {self.newest('step')}")
        return len({n[2] for n in self.notes() if n[1] >= attempt and n[3] == "step"}) == self.world

    def events(self):
        answer = self.cluster.api("/api/v1/namespaces/default/events?limit=5000") or {"items": []}
        return [e for e in answer["items"] if e["involvedObject"].get("name") == self.name]

    def tell(self, word):
        """To the ranks: `fast`, no pause in the steps from now on; `strike`, the fault that is theirs."""
        with open(os.path.join(self.notes_dir, word), "w", encoding="utf-8"):
            pass

    def digests(self):
        text = self.cluster.mltrain("logs", self.name, "--cluster", self.cluster.name)
        return re.findall(r"weights ([0-9a-f]{16})", text)

    # ---- what can be struck ----

    def launchers(self):
        """Process of each launcher, by index of its pod."""
        found = {}
        for pid in processes():
            if read(f"/proc/{pid}/comm").startswith("mltrain-launche"):
                variables = environment(pid)
                # A launcher's own child, on its way to become a rank, has the same environment for a moment.
                if variables.get("MLTRAIN_JOB_UID") == self.uid and "RANK" not in variables and \
                        not read(f"/proc/{parent(pid)}/comm").startswith("mltrain-launche"):
                    found[int(variables["MLTRAIN_SLOT"])] = pid
        return found

    def ranks(self):
        """Process of each rank."""
        above = set(self.launchers().values())
        found = {}
        for pid in processes():
            if parent(pid) in above:
                variables = environment(pid)
                if variables.get("MLTRAIN_JOB_UID") == self.uid and "RANK" in variables:
                    found[int(variables["RANK"])] = pid
        return found

    def all_ranks(self):
        return eventually("all ranks as processes", lambda: len(self.ranks()) == self.world and self.ranks())

    def pod_of(self, index):
        pods = self.cluster.api(f"/api/v1/namespaces/default/pods?labelSelector=mltrain.io/job-name={self.name}")
        return next(p["metadata"]["name"] for p in pods["items"] if p["metadata"]["labels"]["mltrain.io/index"] == str(index)
                    and p["status"].get("phase") == "Running")


class Stage:
    """A folder that everything is in, clusters, mounts; nothing of them is left at the end."""

    def __init__(self, binaries, seed):
        self.binaries, self.seed = os.path.abspath(binaries), seed
        self.folder = tempfile.mkdtemp(prefix="mltrain-chaos-")
        self.home = os.path.join(self.folder, "home")
        self.clusters, self.mounts = {}, []

    def cluster(self, behind_proxy=False):
        name = "blocked" if behind_proxy else "chaos"
        if name not in self.clusters:
            self.clusters[name] = Cluster(name, self.binaries, self.home, 4, behind_proxy)
        return self.clusters[name]

    def mount_small(self, path, size):
        """A file system of its own, of so many bytes; only root can."""
        os.makedirs(path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", path], check=True)
        self.mounts.append(path)

    def close(self):
        """Ends all; returns the processes that should have been gone by then."""
        for cluster in self.clusters.values():
            try:
                cluster.remove()
            except (Wrong, subprocess.TimeoutExpired) as error:
                print(f"cluster down: {error}")
        end, rest = time.monotonic() + 5, self.left_over()
        while rest and time.monotonic() < end:
            time.sleep(0.1)
            rest = self.left_over()
        kill(rest)
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        return list(rest.values())

    def left_over(self):
        found = {}
        for pid in processes():
            line = read(f"/proc/{pid}/cmdline").replace("\0", " ")
            if pid != os.getpid() and (self.folder in line or environment(pid).get("MLTRAIN_HOME") == self.home):
                found[pid] = line
        return found
