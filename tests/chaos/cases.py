"""The faults: how each is done, and what mltrain has to make of it.

A case gets a running job and a generator of random numbers (from the seed and its own name), strikes, waits until it sees
what should follow, and returns the time of the fault; None when the ranks are to notice nothing."""
import os
import shutil
import signal
import time
from dataclasses import dataclass, field

from stage import SAVE_EVERY, Wrong, environment, eventually, family, kill, parent, processes, read


@dataclass
class Case:
    name: str
    title: str
    strike: object
    attempts: int = 2  # of the whole job; 1: no rank may notice
    storm: bool = False  # many faults: only that it ends, with the right weights and no rank started twice
    causes: tuple = ()  # one of these stands in status.failures; none: no failure is recorded
    rank: object = None  # the culprit: a function of (Job) when it is known
    signal: object = 0  # None: whichever
    exit_code: object = None
    charged: int = 0
    events: tuple = ()  # reasons that have to be among the job's events
    lost_max: int = SAVE_EVERY
    options: dict = field(default_factory=dict)  # of Job
    behind_proxy: bool = False
    identical: bool = True
    needs_root: bool = False


def reach(job, rng):
    """Some step, by when mltrain has seen a checkpoint of this job: only then a charge shows in the status for certain."""
    eventually("mltrain has seen a checkpoint", job.has_seen_checkpoint)
    job.wait_note("step", job.newest("step") + rng.randrange(1, SAVE_EVERY))


def recovered(job, when, attempt=2):
    """All ranks have begun a step of the next attempt."""
    eventually(f"all ranks train in attempt {attempt}", lambda: job.trains_in_attempt(attempt))
    return when


# ---- nothing ----

def nothing(job, rng):
    reach(job, rng)


# ---- ranks ----

def strike_ranks(number, count):
    def strike(job, rng):
        reach(job, rng)
        ranks = job.all_ranks()
        job.culprits = rng.sample(sorted(ranks), count)
        when = time.time()
        kill([ranks[rank] for rank in job.culprits], number)
        return recovered(job, when)
    return strike


def own_exit(job, rng):
    reach(job, rng)
    job.tell("strike")
    when, _, rank, _, _ = job.wait_note("fault", 0)
    job.culprits = [rank]
    return recovered(job, when)


def during_save(job, rng):
    reach(job, rng)
    job.tell("strike")
    job.wait_note("fault", 0)
    when = time.time()
    job.culprits = [0]
    kill([job.all_ranks()[0]])
    return recovered(job, when)


# ---- pods ----

def strike_launcher(job, rng):
    reach(job, rng)
    launchers = job.launchers()
    when = time.time()
    kill([launchers[rng.randrange(job.replicas)]])
    return recovered(job, when)


def strike_whole_pod(job, rng):
    """All that runs in the pod's sandbox, in any order; only the shim, which is the node's, stays."""
    reach(job, rng)
    pids = family(parent(job.launchers()[rng.randrange(job.replicas)]))
    if "bwrap" not in read(f"/proc/{pids[0]}/comm"):
        raise Wrong("the launcher's parent is not the sandbox")
    rng.shuffle(pids)
    when = time.time()
    kill(pids)
    return recovered(job, when)


def delete_pods(count):
    def strike(job, rng):
        reach(job, rng)
        names = [job.pod_of(index) for index in rng.sample(range(job.replicas), count)]
        when = time.time()
        for name in names:
            if job.cluster.api(f"/api/v1/namespaces/default/pods/{name}", method="DELETE") is None:
                raise Wrong(f"pod {name} could not be deleted")
        return recovered(job, when)
    return strike


# ---- the cluster's programs: the ranks run on, and afterwards all is as before ----

def trains_on(job, steps):
    """Some more steps are done, and mltrain sees them."""
    job.wait_note("step", job.newest("step") + steps)


def strike_program(words):
    def strike(job, rng):
        reach(job, rng)
        node = words.format(node=f"node-{rng.randrange(job.cluster.nodes)}")
        if node != words:  # an agent of a node that has a pod of the job
            slots = {environment(pid).get("MLTRAIN_NODE") for pid in job.launchers().values()}
            node = words.format(node=rng.choice(sorted(slots)))
        old = job.cluster.program(node)
        if not old:
            raise Wrong(f"no process with `{node}`")
        before = job.all_ranks()
        kill([old])
        eventually("its successor", lambda: job.cluster.program(node) not in (0, old))
        eventually("the API server", job.look)
        if "controller" in words:
            eventually("the attempt is adopted", lambda: "adopted attempt=1" in job.cluster.log("controller"))
        trains_on(job, 10)
        if job.all_ranks() != before:
            raise Wrong("other processes than before")
        return None
    return strike


def down_and_up(job, rng):
    reach(job, rng)
    job.cluster.down()
    when = time.time()
    if any("RANK" in environment(pid) and environment(pid).get("MLTRAIN_JOB_UID") == job.uid for pid in processes()):
        raise Wrong("ranks outlive `cluster down`")
    job.cluster.up()
    return recovered(job, when)


def block_channel(job, rng):
    reach(job, rng)
    before = job.all_ranks()
    job.cluster.proxy.flows.clear()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        time.sleep(0.5)
        job.look()
    job.cluster.proxy.flows.set()
    if job.all_ranks() != before:
        raise Wrong("the channel's silence ended ranks")
    # Heard again: a step that the controller can only know from a launcher.
    heard = job.newest("step")
    eventually("progress is heard of again", lambda: job.look() and job.status.get("progress", {}).get("step", 0) >= heard)
    return None


# ---- requests ----

def suspend_and_resume(job, rng):
    reach(job, rng)
    job.cluster.mltrain("suspend", job.name, "--cluster", job.cluster.name)
    eventually("Suspended", lambda: job.is_phase("Suspended"))
    eventually("no rank", lambda: not job.ranks())
    when = time.time()
    job.cluster.mltrain("resume", job.name, "--cluster", job.cluster.name)
    return recovered(job, when)


# ---- checkpoints ----

def fill_the_disk(job, rng):
    """So that the next checkpoint fits by half."""
    reach(job, rng)
    step = job.wait_note("saved", job.newest("saved") + SAVE_EVERY)[4]
    size = os.path.getsize(f"{job.checkpoints}/ckpt-{step}.pt")
    left = os.statvfs(job.checkpoints)
    filler = os.path.join(job.checkpoints, "filler")
    with open(filler, "wb") as file:
        file.write(bytes(left.f_bavail * left.f_bsize - size // 2))
    eventually("the failure", lambda: job.look() and job.status.get("failures"))
    when = job.wait_note("saving", step + SAVE_EVERY)[0]
    os.unlink(filler)
    job.culprits = [0]
    return recovered(job, when)


def damage_then_kill(damage):
    def strike(job, rng):
        reach(job, rng)
        step = job.wait_note("saved", job.newest("saved") + SAVE_EVERY)[4]
        job.wait_note("step", step + rng.randrange(1, SAVE_EVERY - 8))
        damage(job, step)
        ranks = job.all_ranks()
        job.culprits = [rng.choice(sorted(ranks))]
        when = time.time()
        kill([ranks[job.culprits[0]]])
        return recovered(job, when)
    return strike


def truncate(job, step):
    path = f"{job.checkpoints}/ckpt-{step}.pt"
    os.truncate(path, os.path.getsize(path) // 2)


def lose_a_shard(job, step):
    os.unlink(f"{job.checkpoints}/step-{step}/__{job.world - 1}_0.distcp")


def lose_what_latest_names(job, step):
    shutil.rmtree(f"{job.checkpoints}/global_step{step}")


def name_what_never_was(job, step):
    with open(f"{job.checkpoints}/latest_checkpointed_iteration.txt", "w", encoding="utf-8") as file:
        file.write(str(step * 1000))


# ---- many at once ----

def kill_some(find, number=signal.SIGKILL):
    """One of the processes that find(job) knows, if there is any just now."""
    def strike(job, rng):
        pids = sorted(find(job))
        kill(rng.sample(pids, min(1, len(pids))), number)
    return strike


def shims(job):
    found = []
    for pid in job.launchers().values():
        while pid > 1 and " shim" not in read(f"/proc/{pid}/cmdline").replace("\0", " "):
            pid = parent(pid)
        found.append(pid)
    return [pid for pid in found if pid > 1]


def delete_some_pod(job, rng):
    job.cluster.api(f"/api/v1/namespaces/default/pods/{job.name}-worker-{rng.randrange(job.replicas)}", method="DELETE")


def suspend_a_while(job, rng):
    for word in ("suspend", "resume"):
        eventually(word, lambda: job.cluster.mltrain(word, job.name, "--cluster", job.cluster.name, check=False) or job.look())
        time.sleep(rng.uniform(0, 2))


def down_a_while(job, rng):
    job.cluster.down()
    job.cluster.up()


STORM = {
    "SIGKILL of a rank": kill_some(lambda job: job.ranks().values()),
    "SIGSEGV of a rank": kill_some(lambda job: job.ranks().values(), signal.SIGSEGV),
    "launcher": kill_some(lambda job: job.launchers().values()),
    "shim": kill_some(shims),
    "controller": kill_some(lambda job: filter(None, [job.cluster.program("mltrain-controller --kubeconfig")])),
    "API server": kill_some(lambda job: filter(None, [job.cluster.program("mltrain-localcluster api")])),
    "agent": kill_some(lambda job: filter(None, [job.cluster.program("--node node-0 ")])),
    "pod deleted": delete_some_pod,
    "suspend": suspend_a_while,
    "down and up": down_a_while,
}


def storm(job, rng):
    """Faults that do not wait for each other, nor for the recovery from the one before."""
    reach(job, rng)
    when, names = time.time(), rng.sample(sorted(STORM), 5)
    job.story = ", ".join(names)
    for name in names:
        STORM[name](job, rng)
        time.sleep(rng.choice((0, 0.3, 1, 4)) * rng.random())
    eventually("it runs again", lambda: job.is_phase("Running"))
    return recovered(job, when, job.status["attempt"])


CULPRIT = {"rank": lambda job: job.culprits}
KILLED = {"causes": ("KilledFromOutside",), "signal": signal.SIGKILL, "charged": 1, **CULPRIT}
LOST = {"causes": ("Infrastructure",)}
FOUR_PODS = {"replicas": 4, "nproc": 1}

CASES = [
    Case("undisturbed", "undisturbed", nothing, attempts=1),
    Case("rank-sigkill", "rank killed by SIGKILL", strike_ranks(signal.SIGKILL, 1), **KILLED),
    Case("rank-sigsegv", "rank killed by SIGSEGV", strike_ranks(signal.SIGSEGV, 1), causes=("Exited",), signal=signal.SIGSEGV,
         charged=1, **CULPRIT),
    Case("rank-exit", "rank exits with 1", own_exit, causes=("Exited",), exit_code=1, charged=1,
         options={"fault": "exit:2"}, **CULPRIT),
    Case("two-ranks", "two ranks killed at once", strike_ranks(signal.SIGKILL, 2), **KILLED),
    Case("whole-pod", "every process of a pod killed, launcher included", strike_whole_pod, causes=("PodLost",), charged=1),
    Case("rank-in-save", "rank killed during a save", during_save, events=("CheckpointTorn",), options={"fault": "torn"},
         **KILLED),
    Case("launcher", "launcher killed", strike_launcher, causes=("PodLost",), charged=1),
    Case("pod", "pod deleted", delete_pods(1), **LOST),
    Case("pods", "two of four pods deleted", delete_pods(2), options=FOUR_PODS, **LOST),
    Case("controller", "controller killed", strike_program("mltrain-controller --kubeconfig"), attempts=1),
    Case("api", "API server killed and started", strike_program("mltrain-localcluster api"), attempts=1),
    Case("agent", "agent killed and started", strike_program("--node {node} "), attempts=1),
    Case("down-up", "cluster down and up (from up)", down_and_up, **LOST),
    Case("suspend", "suspended and resumed (from resume)", suspend_and_resume, events=("Suspended", "Resumed"), lost_max=0),
    Case("suspend-deaf", "suspended and resumed, no rank catches the signal", suspend_and_resume, events=("Suspended", "Resumed"),
         options={"fault": "deaf"}),
    Case("disk-full", "disk full while saving", fill_the_disk, causes=("Exited",), signal=None, charged=1, needs_root=True,
         **CULPRIT),
    Case("truncated", "last checkpoint truncated, rank killed", damage_then_kill(truncate), events=("CheckpointTorn",),
         lost_max=2 * SAVE_EVERY, **KILLED),
    Case("shard", "one shard of the last checkpoint missing, rank killed", damage_then_kill(lose_a_shard),
         events=("CheckpointTorn",), lost_max=2 * SAVE_EVERY, options={"layout": "dcp"}, **KILLED),
    Case("deepspeed", "DeepSpeed's `latest` points to nothing, rank killed", damage_then_kill(lose_what_latest_names),
         events=("CheckpointTracker",), lost_max=2 * SAVE_EVERY, options={"layout": "deepspeed"}, **KILLED),
    Case("megatron", "Megatron's tracker file points to nothing, rank killed", damage_then_kill(name_what_never_was),
         events=("CheckpointTracker",), options={"layout": "megatron"}, **KILLED),
    Case("channel", "channel blocked for 30 s", block_channel, attempts=1, behind_proxy=True, options={"pause": 0.2}),
    Case("storm", "five faults at once", storm, storm=True),
    Case("forgetful", "test of the test: random state not restored", strike_ranks(signal.SIGKILL, 1),
         options={"fault": "forget"}, identical=False, **KILLED),
]
