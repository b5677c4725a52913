"""Runs the example's train.py as a rank, unchanged, and adds what a harness needs: notes of what the rank does and when, a
pause in each step until the harness lifts it, faults that a rank commits itself, and checkpoints in other layouts.

From its environment: CHAOS_PAUSE (seconds a step), CHAOS_LAYOUT (file, dcp, deepspeed, megatron), and CHAOS_FAULT: exit:RANK
and torn, both in attempt 1 once the file /notes/strike is there, or forget and deaf, in every attempt. It writes
/notes/rank-R; when /notes/fast is there it pauses no more."""
import os
import time

BEGIN = time.time()
RANK, ATTEMPT = int(os.environ["RANK"]), int(os.environ["MLTRAIN_ATTEMPT"])
NOTES = open(f"/notes/rank-{RANK}", "a", encoding="utf-8", buffering=1)


def note(event, step, when=None):
    NOTES.write(f"{when or time.time():.6f} {ATTEMPT} {event} {step}\n")


note("exec", 0, BEGIN)

import io  # noqa: E402 (the note comes first: importing torch takes seconds)
import pickle  # noqa: E402
import sys  # noqa: E402

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

import train  # noqa: E402

note("imported", 0)
FAULT = os.environ.get("CHAOS_FAULT", "none").split(":")
PAUSE = float(os.environ.get("CHAOS_PAUSE", "0"))


def write(path, data):
    """Whole or not at all, as the example does it."""
    with open(path + ".tmp", "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)


def packed(thing):
    data = io.BytesIO()
    torch.save(thing, data)
    return data.getvalue()


def must_strike():
    return ATTEMPT == 1 and os.path.exists("/notes/strike")


plain_init = dist.init_process_group


def init_process_group(*words):
    plain_init(*words)
    note("joined", 0)


dist.init_process_group = init_process_group

# ---- what happens at each step ----

plain_shard = train.shard


def shard(step, rank, world, count):
    """Called by the example at the beginning of each step (and once before the first)."""
    note("step", step)
    if FAULT == ["exit", str(rank)] and must_strike():
        note("fault", step)
        sys.exit(1)
    if not os.path.exists("/notes/fast"):
        time.sleep(PAUSE)
    return plain_shard(step, rank, world, count)


train.shard = shard

# ---- saving ----

plain_save = train.save


def save(step, state, random_states):
    note("saving", step)
    if FAULT == ["torn"] and must_strike():
        data = packed({"step": step, "state": state, "random_states": random_states})
        with open(f"{train.FOLDER}/ckpt-{step}.pt", "wb") as file:  # in place, as careless programs do it
            file.write(data[:len(data) // 2])
            file.flush()
            note("fault", step)
            time.sleep(3600)
    plain_save(step, state, random_states)
    note("saved", step)


def sharded(folder_of, shard_of, finish, args):
    """save() and load() for a layout of one file a rank; `finish` is rank 0's last act, which makes it count; `args` are
    what the framework writes into each file of the gang's shape."""
    def save_all(training):
        folder = os.path.join(train.FOLDER, folder_of(training.step))
        os.makedirs(folder, exist_ok=True)
        state = {name: getattr(training, name).state_dict() for name in ("model", "optimizer", "scheduler")}
        mine = {"step": training.step, "state": state, "random_state": torch.get_rng_state(), "args": args(training.world)}
        path = os.path.join(folder, shard_of(training.rank))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write(path, packed(mine))
        dist.barrier()
        if training.rank == 0:
            finish(folder, training)
        note("saved", training.step)

    def load_all(path):
        here = os.path.join(train.FOLDER, folder_of(int(os.environ["MLTRAIN_RESUME_STEP"])))
        folder = here if os.path.samefile(path, train.FOLDER) else path  # Megatron is told the folder of all, and the step
        parts = [torch.load(os.path.join(folder, shard_of(rank))) for rank in range(dist.get_world_size())]
        return parts[0]["step"], parts[0]["state"], [part["random_state"] for part in parts]

    train.Training.save = save_all
    train.load = load_all


def dcp_metadata(folder, training):
    """torch.distributed.checkpoint's files, by hand: its Python does not run on Debian 12 (torch 1.13, Python 3.11)."""
    names = {f"rank-{rank}": f"__{rank}_0.distcp" for rank in range(training.world)}
    write(os.path.join(folder, ".metadata"), pickle.dumps({"storage_data": names}))


def deepspeed_latest(folder, training):
    write(os.path.join(folder, "mp_rank_00_model_states.pt"), packed({"dp_world_size": training.world, "mp_world_size": 1}))
    write(os.path.join(train.FOLDER, "latest"), os.path.basename(folder).encode())


def megatron_latest(folder, training):
    write(os.path.join(train.FOLDER, "latest_checkpointed_iteration.txt"), str(training.step).encode())


LAYOUTS = {
    "dcp": ("step-{}".format, "__{}_0.distcp".format, dcp_metadata, lambda world: {}),
    "deepspeed": ("global_step{}".format, "zero_pp_rank_{}_mp_rank_00_optim_states.pt".format, deepspeed_latest,
                  lambda world: {}),
    "megatron": ("iter_{:07d}".format, "mp_rank_{:02d}/model_optim_rng.pt".format, megatron_latest,
                 lambda world: {"tensor_model_parallel_size": world}),
}
layout = os.environ.get("CHAOS_LAYOUT", "file")
if layout in LAYOUTS:
    sharded(*LAYOUTS[layout])
else:
    train.save = save

if FAULT == ["forget"]:  # the test of the test: a run that does not restore its random state must be seen as different
    plain_load = train.load

    def load(path):
        step, state, random_states = plain_load(path)
        return step, state, [torch.get_rng_state()] * len(random_states)

    train.load = load

if FAULT == ["deaf"]:  # a script that knows nothing of signals
    train.signal.signal = lambda *_: None

train.main()
