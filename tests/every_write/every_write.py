#!/usr/bin/env python3
"""Every write, with real processes: the controller of a one-machine cluster dies before and after its n-th effect.

Nine life stories of a job. Each runs once undisturbed, and its effects (requests that write, frames to launchers) are counted.
Then points are drawn by the seed, spread over the stories: "the controller dies before (or after) effect n". Each story has to end
as it does undisturbed, and no running rank may notice: exactly the ranks of the undisturbed story begin, save and end, each in one
process. Two things may differ. When the controller dies between the status write for an attempt and the last START of it, the gang
has not begun to run, and the next controller gives that attempt's number up, without a charge (rendezvous/README.md). And ranks
that are killed because another one failed may get the signal and the grace of a requested stop from the next controller.
What dies is the real controller, by a library that is loaded into it (die_at_effect.c); its supervisor starts the next one.

    every_write.py [--seed S] [--points N] [--lanes L] [--story NAME] [--at WHEN:N]

--at before:7 (with --story) replays one point. Exit code 0: all points as they should be; 77: cannot run here."""
import argparse
import base64
import collections
import json
import os
import queue
import random
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("MLTRAIN_BIN_DIR", os.path.join(ROOT, "build", "debug", "bin")))
LIBRARY = os.path.join(os.environ.get("MLTRAIN_BUILD_DIR", os.path.dirname(BIN)), "tests", "die_at_effect.so")
PATIENCE = 60  # seconds until what has to come is taken for lost
DEATHS_PER_CLUSTER = 4  # the supervisor waits twice as long after each death in a row: then another cluster is cheaper
PODS, RANKS_PER_POD, GPUS, NODES = 2, 2, 2, 3
RANKS = range(PODS * RANKS_PER_POD)
REACHED_MIN = 0.8  # of the points: a story may have fewer effects than the undisturbed one had
JOBS = "/apis/mltrain.io/v1alpha1/namespaces/default/trainingjobs"

# A rank writes what happens to it into a file of its job, and does what other files there say. It makes no processes.
RANK = r"""
say() { echo "$1 $MLTRAIN_ATTEMPT $RANK $BASHPID" >>"$SEEN/said"; }
trap 'say saved; exit 0' TERM
say begin
exec 3<> <(:)
until [ -e "$SEEN/go" ]; do
  [ -e "$SEEN/die-$MLTRAIN_ATTEMPT-$RANK" ] && kill -9 $BASHPID
  read -t 0.05 -u 3
done
say end
"""


class Wrong(Exception):
    """What should be is not."""


def eventually(what, condition):
    """The first true value of condition(); Wrong when there is none in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise Wrong(f"not within {PATIENCE} s: {what}")


def processes():
    """(process id, command line, environment) of everything that may be looked at."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
            with open(f"/proc/{pid}/environ", "rb") as file:
                yield int(pid), words, file.read().decode(errors="replace").split("\0")
        except OSError:
            continue


def descendants(pids):
    """All processes below these."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                parents[int(pid)] = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, size = set(pids), 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found - set(pids)


def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def make_programs(folder):
    """mltrain looks for the others beside itself; the controller there is the real one with the library loaded into it."""
    os.makedirs(folder)
    shutil.copy(os.path.join(BIN, "mltrain"), folder)
    os.symlink(os.path.join(BIN, "mltrain-localcluster"), os.path.join(folder, "mltrain-localcluster"))
    controller = os.path.join(folder, "mltrain-controller")
    with open(controller, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nLD_PRELOAD={LIBRARY} exec {BIN}/mltrain-controller "$@"'
                   f' --launcher-command {BIN}/mltrain-launcher\n')
    os.chmod(controller, 0o755)


class Cluster:
    """A one-machine cluster whose controller can be told to die."""

    def __init__(self, folder, programs):
        self.folder, self.programs, self.deaths, self.stopped_agents = folder, programs, 0, []
        self.plans = os.path.join(folder, "plans")
        self.dir = os.path.join(folder, "home", "clusters", "default")
        os.makedirs(self.plans)
        self.env = dict(os.environ, MLTRAIN_HOME=os.path.join(folder, "home"), EVERY_WRITE_DIR=self.plans)
        self.env.pop("KUBECONFIG", None)
        self.mltrain("cluster", "up", "--nodes", str(NODES), "--gpus-per-node", str(GPUS))
        with open(os.path.join(self.dir, "kubeconfig"), encoding="utf-8") as file:
            text = file.read()
        field = lambda name: re.search(r'"?%s"?:\s*"?([^"\s,}]+)' % name, text).group(1)
        self.server, self.token = field("server"), field("token")
        self.tls = ssl.create_default_context(cadata=base64.b64decode(field("certificate-authority-data")).decode())

    def mltrain(self, *words):
        done = subprocess.run([os.path.join(self.programs, "mltrain"), *words], env=self.env, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise Wrong(f"mltrain {' '.join(words)}: {done.stderr.strip()}")

    def api(self, verb, path, body=None, kind="application/json"):
        request = urllib.request.Request(self.server + path, method=verb)
        request.add_header("Authorization", "Bearer " + self.token)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.tls) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    def patch(self, path, body):
        answer = self.api("PATCH", path, body, "application/merge-patch+json")
        if answer.get("kind") == "Status":
            raise Wrong(f"PATCH {path}: {answer.get('message')}")

    def plan(self, name):
        return os.path.join(self.plans, name)

    def patch_node(self, node, status):
        self.patch(f"/api/v1/nodes/{node}/status", {"status": status})

    def vanish(self, node):
        """What a node's power failure looks like: the agent says nothing any more, all processes of its pods are gone, and the
        cluster's node controller has noticed."""
        for pid, words, _ in processes():
            if self.dir in words and "agent" in words and node in words:
                self.stopped_agents.append(pid)
                kill(pid, signal.SIGSTOP)
        below = sorted(descendants(self.stopped_agents))
        for number in (signal.SIGSTOP, signal.SIGKILL):  # at one moment: no launcher may tell of its ranks' deaths
            for pid in below:
                kill(pid, number)
        self.patch_node(node, {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
                                               "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}]})

    def come_back(self):
        """Nodes that vanished: the supervisor starts their agents again."""
        for pid in self.stopped_agents:
            kill(pid)
        self.stopped_agents.clear()

        def ready():
            return all(any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
                       for node in self.api("GET", "/api/v1/nodes")["items"])
        eventually("all nodes are ready again", ready)

    def down(self):
        for pid in self.stopped_agents:
            kill(pid)
        try:
            self.mltrain("cluster", "down", "--delete")
        except (Wrong, subprocess.TimeoutExpired) as error:
            print(f"cluster down: {error}", file=sys.stderr)
        rest = [pid for pid, words, env in processes() if f"MLTRAIN_HOME={self.env['MLTRAIN_HOME']}" in env]
        for pid in rest:
            kill(pid)
        if rest:
            raise Wrong(f"{len(rest)} processes outlived their cluster")

    def logs(self):
        """The last words of the controller and the supervisor."""
        words = []
        for name in ("supervisor", "controller"):
            try:
                with open(os.path.join(self.dir, "log", name + ".log"), encoding="utf-8", errors="replace") as file:
                    words += [f"    {name}: {line.rstrip()}" for line in file.readlines()[-25:]]
            except OSError:
                pass
        return "\n".join(words)


class Run:
    """One story on one cluster, with a plan of when the controller dies."""

    def __init__(self, cluster, key, when, n):
        self.cluster, self.job, self.when, self.n = cluster, "j" + key, when, n
        self.seen = os.path.join(cluster.folder, "seen", self.job)
        self.effects, self.fired = [], None
        self.attempt, self.given_up, self.broken = 0, [], 0
        self.expected = collections.Counter()
        os.makedirs(self.seen)

    # ---- the person's side ----

    def submit(self, **spec):
        container = {"name": "trainer", "image": "none", "command": ["bash", "-c", RANK],
                     "env": [{"name": "SEEN", "value": self.seen}],
                     "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"nvidia.com/gpu": GPUS}},
                     "volumeMounts": [{"name": "seen", "mountPath": self.seen}]}
        template = {"spec": {"containers": [container], "volumes": [{"name": "seen", "hostPath": {"path": self.seen}}]}}
        spec = {"framework": "plain", "nprocPerNode": RANKS_PER_POD, "workers": {"replicas": PODS, "template": template},
                "checkpoint": {"gracePeriodSeconds": 10}, **spec}
        made = self.cluster.api("POST", JOBS, {"apiVersion": "mltrain.io/v1alpha1", "kind": "TrainingJob",
                                               "metadata": {"name": self.job}, "spec": spec})
        if made.get("kind") != "TrainingJob":
            raise Wrong(f"submit: {made.get('message')}")

    def arm(self):
        """From here on effects count."""
        with open(self.cluster.plan("plan.new"), "w", encoding="utf-8") as file:
            file.write(f"{self.job} {self.when} {self.n}\n")
        os.rename(file.name, self.cluster.plan("plan"))

    def disarm(self):
        for name in ("plan", "effects", "fired", "fired.new"):
            try:
                with open(self.cluster.plan(name), encoding="utf-8") as file:
                    lines = file.read().splitlines()
                os.unlink(file.name)
            except FileNotFoundError:
                continue
            if name == "effects":
                self.effects = lines
            elif name == "fired":
                self.fired = lines[0]
                self.cluster.deaths += 1

    def has_died(self):
        """Whether the controller has died, as planned."""
        return os.path.exists(self.cluster.plan("fired"))

    def starts_sent(self):
        """How many START frames had left when the controller died; None: it lives."""
        if not self.has_died():
            return None
        with open(self.cluster.plan("effects"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        return sum(line.endswith(" frame START") for line in (lines[:-1] if self.when == "before" else lines))

    def tell(self, word):
        with open(os.path.join(self.seen, word), "w", encoding="utf-8"):
            pass

    def change(self, body):
        self.cluster.patch(f"{JOBS}/{self.job}", body)

    def launcher(self, slot):
        """The process id of a launcher."""
        for pid, words, env in processes():
            if f"MLTRAIN_SLOT={slot}" in env and f"MLTRAIN_JOB={self.job}" in env and "RANK=0" not in env \
                    and words[0].endswith("mltrain-launcher") and f"SEEN={self.seen}" in env:
                return pid
        return None

    # ---- what is seen ----

    def status(self):
        return self.cluster.api("GET", f"{JOBS}/{self.job}").get("status", {})

    def said(self):
        """(word, attempt, rank) -> process ids."""
        found = collections.defaultdict(list)
        try:
            with open(os.path.join(self.seen, "said"), encoding="utf-8") as file:
                for line in file.read().splitlines():
                    word, attempt, rank, pid = line.split()
                    found[word, int(attempt), int(rank)].append(pid)
        except FileNotFoundError:
            pass
        return found

    def begins(self):
        """Waits for the next attempt that all ranks begin."""
        def whole():
            begun = self.said()
            return next((attempt for attempt in range(self.attempt + 1, self.attempt + 3)
                         if all(("begin", attempt, rank) in begun for rank in RANKS)), None)
        attempt = eventually("all ranks of a next attempt begin", whole)
        for skipped in range(self.attempt + 1, attempt):
            self.given_up.append(skipped)
            self.expected.update(set(key for key in self.said() if key[1] == skipped and key[0] != "end"))
        self.attempt = attempt
        self.expected.update(("begin", attempt, rank) for rank in RANKS)
        if self.given_up and self.starts_sent() not in range(PODS):
            raise Wrong(f"attempt {self.given_up} was given up though all its STARTs had been sent, or no controller had died")

    def all_say(self, word):
        """Waits until each rank has said so in this attempt."""
        self.expected.update((word, self.attempt, rank) for rank in RANKS)
        eventually(f"all ranks say {word}", lambda: all((word, self.attempt, rank) in self.said() for rank in RANKS))

    def phase(self, phase):
        eventually(f"phase {phase}", lambda: self.status().get("phase") == phase)

    def live_pods(self):
        pods = self.cluster.api("GET", f"/api/v1/namespaces/default/pods?labelSelector=mltrain.io/job-name={self.job}")["items"]
        return [pod for pod in pods if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def ends(self, phase, reason=None, **status):
        """The end as it should be; then no rank may have noticed anything, and nothing of the job holds nodes."""
        self.phase(phase)
        seen = self.status()
        if reason and not any(c["type"] == "Failed" and c.get("reason") == reason for c in seen["conditions"]):
            raise Wrong(f"expected reason {reason}: {seen['conditions']}")
        for name, value in {"restartsCharged": 0, "attempt": self.attempt, **status}.items():
            if seen.get(name, 0) != value:
                raise Wrong(f"status.{name} is {seen.get(name)}, expected {value}; failures: {seen.get('failures')}")
        eventually("no pod runs after the end", lambda: not self.live_pods())
        self.ranks_did_not_notice()

    def ranks_did_not_notice(self):
        said = self.said()
        counts = collections.Counter({key: len(pids) for key, pids in said.items()
                                      if not (self.has_died() and key[:2] == ("saved", self.broken))})
        if counts != self.expected:
            raise Wrong(f"ranks said {sorted((counts - self.expected).items())} too much, "
                        f"{sorted((self.expected - counts).items())} too little (word, attempt, rank)")
        for (word, attempt, rank), pids in said.items():
            if pids != said["begin", attempt, rank]:
                raise Wrong(f"rank {rank} of attempt {attempt} began as another process than the one that said {word}")

    def nothing_is_left(self):
        """After deletion or TTL."""
        secrets = f"/api/v1/namespaces/default/secrets?labelSelector=mltrain.io/job-name={self.job}"
        eventually("the job is gone", lambda: self.cluster.api("GET", f"{JOBS}/{self.job}").get("code") == 404)
        eventually("its pods are gone", lambda: not self.cluster.api(
            "GET", f"/api/v1/namespaces/default/pods?labelSelector=mltrain.io/job-name={self.job}")["items"])
        eventually("its Secrets are gone", lambda: not [s for s in self.cluster.api("GET", secrets)["items"]])


# ---- the stories: each arms when it becomes interesting, and ends by saying what has to be ----

def run_and_finish(run):
    run.arm()
    run.submit()
    run.begins()
    run.tell("go")
    run.all_say("end")
    run.ends("Succeeded")


def rank_dies(run):
    run.submit()
    run.begins()
    run.phase("Running")
    run.arm()
    run.broken = run.attempt
    run.tell("die-1-3")
    run.begins()
    run.tell("go")
    run.all_say("end")
    run.ends("Succeeded", restartsCharged=1)
    failure = run.status()["failures"][0]
    if (failure.get("rank"), failure.get("signal")) != (3, 9):
        raise Wrong(f"the culprit is rank 3 by signal 9, not {failure}")


def pod_dies(run):
    run.submit()
    run.begins()
    run.phase("Running")
    run.arm()
    run.broken = run.attempt
    kill(eventually("the launcher of slot 1 is found", lambda: run.launcher(1)))
    run.begins()
    run.tell("go")
    run.all_say("end")
    run.ends("Succeeded", restartsCharged=1)


def node_vanishes(run):
    run.submit()
    run.begins()
    run.phase("Running")
    node = next(pod["spec"]["nodeName"] for pod in run.live_pods() if pod["metadata"]["labels"]["mltrain.io/index"] == "1")
    run.arm()
    run.broken = run.attempt
    run.cluster.vanish(node)
    run.begins()
    run.cluster.come_back()
    run.tell("go")
    run.all_say("end")
    run.ends("Succeeded")


def suspend_and_resume(run):
    run.submit()
    run.begins()
    run.phase("Running")
    run.arm()
    run.change({"spec": {"suspend": True}})
    run.all_say("saved")
    run.phase("Suspended")
    eventually("no pod runs while suspended", lambda: not run.live_pods())
    run.change({"spec": {"suspend": False}})
    run.begins()
    run.tell("go")
    run.all_say("end")
    run.ends("Succeeded")


def cancel(run):
    run.submit()
    run.begins()
    run.phase("Running")
    run.arm()
    run.change({"metadata": {"annotations": {"mltrain.io/cancel": "graceful"}}})
    run.all_say("saved")
    run.ends("Failed", "Cancelled")


def deadline(run):
    run.submit(activeDeadlineSeconds=3)
    run.begins()
    run.arm()
    run.all_say("saved")
    run.ends("Failed", "DeadlineExceeded")


def ttl(run):
    run.submit(ttlSecondsAfterFinished=1)
    run.begins()
    run.arm()
    run.tell("go")
    run.all_say("end")
    run.nothing_is_left()
    run.ranks_did_not_notice()


def kubelet_rejects(run):
    """node-0 says that it has more GPUs than its agent gives away: the second pod there is refused."""
    run.cluster.patch_node("node-0", {"allocatable": {"nvidia.com/gpu": str(GPUS * PODS)}})
    try:
        run.arm()
        run.submit()
        run.begins()
        run.tell("go")
        run.all_say("end")
        run.ends("Succeeded")
    finally:
        run.cluster.patch_node("node-0", {"allocatable": {"nvidia.com/gpu": str(GPUS)}})


STORIES = [run_and_finish, rank_dies, pod_dies, node_vanishes, suspend_and_resume, cancel, deadline, ttl, kubelet_rejects]


# ---- points ----

class Lane(threading.Thread):
    """Takes points, one after the other, and tells them to a cluster of its own."""

    def __init__(self, folder, points, results):
        super().__init__()
        self.folder, self.points, self.results, self.cluster, self.made = folder, points, results, None, 0

    def run(self):
        while True:
            try:
                story, when, n = self.points.get_nowait()
            except queue.Empty:
                break
            self.results.append((story, when, n, *self.one(story, when, n)))
        self.drop()

    def drop(self):
        if self.cluster:
            self.cluster.down()
        self.cluster = None

    def one(self, story, when, n):
        """(what was told, what is wrong or None)"""
        run = None
        try:
            if self.cluster and self.cluster.deaths >= DEATHS_PER_CLUSTER:
                self.drop()
            if not self.cluster:
                self.made += 1
                self.cluster = Cluster(os.path.join(self.folder, f"{self.name}-{self.made}"), os.path.join(self.folder, "bin"))
            run = Run(self.cluster, f"{time.monotonic_ns() % 10**9}", when, n)
            story(run)
            run.disarm()
            self.cluster.api("DELETE", f"{JOBS}/{run.job}")
            run.nothing_is_left()
            return run, None
        except Exception as error:  # whatever it is: it belongs to this point
            where = "" if isinstance(error, Wrong) else traceback.format_exc()
            words = f"{error}\n{where}"
            if run:
                run.disarm()
                words += "".join(f"    effect {line}\n" for line in run.effects) + self.cluster.logs()
            try:
                self.drop()  # a cluster with something wrong in it proves nothing more
            except Wrong as more:
                words += f"\n{more}"
            return run, words


def tell(points, lanes, folder):
    """Tells them on so many clusters at once; results in the order of their end."""
    waiting, results = queue.Queue(), []
    for point in points:
        waiting.put(point)
    threads = [Lane(folder, waiting, results) for _ in range(min(lanes, len(points)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def draw(generator, effects, count):
    """So many points, as even over the stories as can be; the nodes' story, the slowest, comes first."""
    chosen = []
    left = {story: [(story, when, n) for n in range(1, len(found) + 1) for when in ("before", "after")]
            for story, found in effects.items()}
    for options in left.values():
        generator.shuffle(options)
    while len(chosen) < count and any(left.values()):
        for story in left:
            if left[story] and len(chosen) < count:
                chosen.append(left[story].pop())
    return sorted(chosen, key=lambda point: point[0] is not node_vanishes)


def show(result):
    story, when, n, run, wrong = result
    effect = run.fired.split(" ", 1)[1] if run and run.fired else "not reached: this time the story had fewer effects"
    more = f" (attempt {run.given_up[0]} given up before its last START)" if run and run.given_up else ""
    print(f"{'FAIL' if wrong else 'ok':4} {story.__name__:18} {when:6} {n:3}  {effect}{more}", flush=True)
    if wrong:
        print(f"  replay: --story {story.__name__} --at {when}:{n}\n  {wrong}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("MLT_SEED", "1")))
    parser.add_argument("--points", type=int, default=72)
    parser.add_argument("--lanes", type=int, default=6, help="clusters at once")
    parser.add_argument("--story", choices=[story.__name__ for story in STORIES])
    parser.add_argument("--at", metavar="WHEN:N", help="one point: before:N or after:N")
    return parser.parse_args()


def main():
    options = arguments()
    if not shutil.which("bwrap"):
        print("SKIP: bubblewrap is not installed")
        return 77
    if not os.path.exists(LIBRARY):
        sys.exit(f"{LIBRARY} is not there: build the target die_at_effect")
    with open(os.path.join(BIN, "mltrain-controller"), "rb") as file:
        if b"__asan_init" in file.read():
            print("SKIP: nothing can be loaded into a controller with AddressSanitizer")
            return 77
    stories = [story for story in STORIES if options.story in (None, story.__name__)]
    begin, failed, reached = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory(prefix="mltrain-every-write-") as folder:
        make_programs(os.path.join(folder, "bin"))
        if options.at:
            when, n = options.at.split(":")
            points = [(stories[0], when, int(n))]
        else:
            effects = {story: [] for story in stories}
            for story, _, _, run, wrong in tell([(story, "count", 0) for story in stories], options.lanes, folder):
                effects[story] = run.effects if run else []
                print(f"undisturbed: {story.__name__}: {len(effects[story])} effects" + (f": {wrong}" if wrong else ""), flush=True)
                failed += 1 if wrong or not effects[story] else 0
            points = draw(random.Random(options.seed), effects, options.points)
        for result in tell(points, options.lanes, folder) if not failed else []:
            show(result)
            failed += 1 if result[4] else 0
            reached += 1 if result[3] and result[3].fired else 0
    print(f"seed {options.seed}: {reached} of {len(points)} points reached, {failed} failed, {time.monotonic() - begin:.0f} s")
    too_few = reached < len(points) * REACHED_MIN
    if too_few:
        print(f"too few: at least {REACHED_MIN:.0%} of the points shall be reached")
    return 1 if failed or too_few else 0


sys.exit(main())
