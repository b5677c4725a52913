"""A rank of the soak test: plain Python that keeps step with its gang over MASTER_ADDR:MASTER_PORT, saves, and checks for itself
what mltrain has promised. What it does stands in /notes/rank-R, one line each: time, attempt, event, step. A broken promise
is a line in /notes/broken.

SOAK_WAY is how it saves: `sdk`, a shard a rank and libmltrain; `signal`, a zip by rank 0, asked for by SIGTERM. It ends well when
/notes/finish is there."""
import os
import signal
import socket
import struct
import sys
import time
import zipfile

RANK, WORLD, ATTEMPT = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "MLTRAIN_ATTEMPT"))
FOLDER, WAY, PAUSE = os.environ["MLTRAIN_CHECKPOINT_DIR"], os.environ["SOAK_WAY"], float(os.environ["SOAK_PAUSE"])
SAVE_EVERY = 20
HELLO, STEP = struct.Struct("!qqq"), struct.Struct("!q")
STOP_BIT, SAVE_BIT = 1 << 61, 1 << 60  # rank 0's answer: the step, and what to do


def append(name, line):
    with open(f"/notes/{name}", "a", encoding="utf-8") as file:  # one write: whole or not at all, even under SIGKILL
        file.write(line + "\n")


def note(event, step):
    append(f"rank-{RANK}", f"{time.time():.3f} {ATTEMPT} {event} {step}")


def broken(words):
    append("broken", f"{time.time():.3f} attempt {ATTEMPT} rank {RANK}: {words}")


def once():
    """Two ranks with one number in one attempt, alive at once or not, must not be."""
    try:
        os.close(os.open(f"/notes/once-{ATTEMPT}-{RANK}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        broken("started twice in this attempt")


# ---- the gang ----

def receive(peer, size):
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise ConnectionError("the peer has gone")
        data += part
    return data


class Gang:
    """All ranks make a step together. Who loses a peer ends with an exception, as with any collective library."""

    def __init__(self, step):
        address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
        self.peers = {}
        if RANK == 0:
            self.gather(address, step)
        else:
            self.join(address, step)

    def gather(self, address, step):
        listener = socket.create_server(address, backlog=WORLD)
        listener.settimeout(120)
        while len(self.peers) < WORLD - 1:
            peer, _ = listener.accept()
            attempt, rank, theirs = HELLO.unpack(receive(peer, HELLO.size))
            if attempt != ATTEMPT:
                continue  # one of an older attempt, behind its time
            if rank in self.peers or theirs != step:
                broken(f"rank {rank} came {'twice' if rank in self.peers else f'from step {theirs}, we from {step}'}")
            self.peers[rank] = peer
        listener.close()

    def join(self, address, step):
        end = time.monotonic() + 120
        while True:
            try:
                self.peers[0] = socket.create_connection(address, timeout=120)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        self.peers[0].settimeout(None)
        self.peers[0].sendall(HELLO.pack(ATTEMPT, RANK, step))

    def together(self, step, bits=0):
        """Waits for all; returns rank 0's bits."""
        if RANK != 0:
            self.peers[0].sendall(STEP.pack(step))
            answer = STEP.unpack(receive(self.peers[0], STEP.size))[0]
            return answer & (STOP_BIT | SAVE_BIT)
        for rank, peer in self.peers.items():
            theirs = STEP.unpack(receive(peer, STEP.size))[0]
            if theirs != step:
                broken(f"rank {rank} is at step {theirs}, we at {step}")
                raise ConnectionError("out of step")  # else a checkpoint with a part missing would be called complete
        for peer in self.peers.values():
            peer.sendall(STEP.pack(step | bits))
        return bits


# ---- checkpoints: each file holds its step and rank, and enough bytes to be cut ----

def content(step, rank):
    return f"{step} {rank}\n".encode() * 2000


def write(path, data):
    with open(path + ".tmp", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".tmp", path)


def save(gang, step):
    note("saving", step)
    if WAY == "sdk":
        folder = f"{FOLDER}/step-{step}"
        os.makedirs(folder, exist_ok=True)
        write(f"{folder}/rank-{RANK}", content(step, RANK))
        gang.together(step)
        if RANK == 0:
            mltrain.checkpoint_committed(step, folder)
    elif RANK == 0:
        path = f"{FOLDER}/ckpt-{step}.zip"
        with zipfile.ZipFile(path + ".tmp", "w") as archive:
            archive.writestr("data", content(step, 0))
        os.rename(path + ".tmp", path)
    if RANK == 0:
        note("saved", step)


def load():
    """Checks what we were told to go on from; returns its step."""
    if "MLTRAIN_RESUME_STEP" not in os.environ:
        return 0
    step, path = int(os.environ["MLTRAIN_RESUME_STEP"]), os.environ["MLTRAIN_RESUME_PATH"]
    try:
        if WAY == "sdk":
            whole = all(open(f"{path}/rank-{rank}", "rb").read() == content(step, rank) for rank in range(WORLD))
        else:
            whole = zipfile.ZipFile(path).read("data") == content(step, 0)
    except (OSError, zipfile.BadZipFile) as error:
        whole = False
        broken(f"{path}: {error}")
    if not whole:
        broken(f"resumes from {path}, which is not whole")
    return step


def main():
    note("exec", 0)
    once()
    asked = []
    if WAY == "signal":
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    step = load()
    note("resume", step)
    gang = Gang(step)
    while True:
        step += 1
        time.sleep(PAUSE)
        bits = (STOP_BIT if os.path.exists("/notes/finish") else 0) | (SAVE_BIT if asked or step % SAVE_EVERY == 0 else 0)
        bits = gang.together(step, bits)
        note("step", step)
        print(f"step {step}", flush=True)
        save_now = bits & SAVE_BIT
        if WAY == "sdk":
            mltrain.report(step)
            save_now = mltrain.should_save(step) or save_now
        if save_now:
            asked.clear()
            save(gang, step)
        if bits & STOP_BIT:
            return


if WAY == "sdk":
    sys.path.insert(0, "/sdk")
    import mltrain
main()
