"""libmltrain: what a training program may tell mltrain, and ask it. Python alone, no dependencies.

    import mltrain

    resume = mltrain.resume()                      # (step, path) to go on from, or None
    for step in range(resume[0] if resume else 0, steps):
        train()
        mltrain.report(step, steps)                # each step; costs microseconds
        save_now = mltrain.should_save()           # each step, every rank: ask first, then decide
        if save_now or step % 100 == 0:
            save(path)                             # all ranks
            barrier()
            if rank == 0:
                mltrain.checkpoint_committed(step, path)

All calls do nothing when the program was not started by mltrain, so that the same script runs without it. None of the
calls about steps and checkpoints fails or waits because the launcher is gone; of them should_save() alone waits, for
ASK_SECONDS at most, while the ranks of the job agree on a step.

    mltrain.barrier("loaded")                      # a few bytes from rank to rank, over the launchers
    hosts = mltrain.gather("hosts", socket.gethostname().encode())
    comm = mltrain.nccl_init()                     # a communicator of NCCL: mltrain/nccl.py

Those wait for the other ranks, no longer than their timeout and a few seconds more. Any thread may call. A forked child has no part in its parent's connection. The words on the socket stand
in sdk/socket_message.h, the form of the commit record in sdk/mltrain.h. How to use it: docs/libmltrain.md.
"""
import errno
import importlib
import operator
import os
import re
import select
import socket
import stat
import struct
import sys
import threading
import time

__all__ = ["report", "should_save", "checkpoint_committed", "resume", "attempt", "barrier", "gather", "put", "get",
           "nccl_init"]

VERSION = 1
ASK_SECONDS = 10.0        # should_save() waits no longer: then the answer is no
COME_BACK_SECONDS = 1.0   # between two attempts to connect
COMMIT_FILES_MAX = 100000  # of one checkpoint
COMMIT_NAME_MAX = 511     # bytes of a path or name in the record
COMMIT_DEPTH_MAX = 32     # folders in folders of one checkpoint
ANSWER_MAX = 256          # bytes of a line from the launcher
STEP_MAX = 10 ** 12
WAIT_SECONDS = 300.0      # of an exchange, unless said otherwise
WAIT_SECONDS_MAX = 86400.0
AGAIN_SECONDS = 0.05      # between attempts to connect to a launcher that takes nobody at the moment
GRACE_SECONDS = 5.0       # the launcher asks who is missing before it says that time is over
DATA_MAX = 4096           # bytes of a value, or that a rank gives to a gather
NAME_MAX = 63
BODY_MAX = 4 << 20        # bytes that all ranks have given


def _step_of(step):
    """An int of whatever counts steps: int, numpy's integers, a tensor with one integer."""
    step = operator.index(step)
    if not 0 <= step <= STEP_MAX:
        raise ValueError(f"step {step}: 0 to {STEP_MAX} expected")
    return step


def _number_of(name):
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


class _Place:
    """The place of a rank: as mltrain has started it, or mpirun or mpiexec (sdk/place.h)."""

    def __init__(self):
        # Hydra passes on the variables of the pod in which it runs; the first is of its daemons'.
        self.socket = os.environ.get("MLTRAIN_POD_SOCKET") or os.environ.get("MLTRAIN_SOCKET")
        self.attempt = _number_of("MLTRAIN_ATTEMPT")
        self.world = None
        if not self.find_in_world():
            self.rank, self.size, self.local_rank = _number_of("RANK"), _number_of("WORLD_SIZE"), _number_of("LOCAL_RANK")

    def find_in_world(self):
        world = os.environ.get("MLTRAIN_WORLD")
        if not world or "TORCHELASTIC_RUN_ID" in os.environ:
            return False
        open_mpi = _number_of("PMIX_RANK") is not None and bool(_number_of("OMPI_COMM_WORLD_SIZE"))
        names = ["OMPI_COMM_WORLD_" + n for n in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")] if open_mpi else \
            ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"]
        numbers = [_number_of(name) for name in names]
        if None in numbers:
            return False
        self.rank, self.size, self.local_rank, self.local_size = numbers
        if not self.rank < self.size or not self.local_rank < self.local_size <= self.size:
            return False
        text = f"{world}/{os.environ.get('PMIX_NAMESPACE', '') if open_mpi else ''}/{self.size}"
        self.world = 0xcbf29ce484222325
        for byte in os.fsencode(text)[:511]:
            self.world = (self.world ^ byte) * 0x100000001b3 % 2 ** 64
        self.world = self.world or 1
        return True

    def hello(self):
        """The first line on each connection; None for no place in a job."""
        if self.local_rank is None or self.attempt is None:
            return None
        line = f"hello {VERSION} {self.local_rank} {self.attempt}"
        return line if self.world is None else f"{line} {self.world:016x} {self.rank} {self.size} {self.local_size}"


class _Client:
    """The connection of one process."""

    def __init__(self):
        self.pid = os.getpid()
        # Taken again by a signal handler that interrupts a call in its own thread: `busy` tells it.
        self.lock = threading.RLock()
        self.busy = False
        self.socket = None
        self.come_back = 0.0
        self.refused = False  # the launcher wants to hear no more of us
        self.late = False     # an answer that we no longer wait for is still to come
        self.step = None      # reported last

    def call(self, what, *arguments):
        """Runs a method under the lock; None where a signal handler has come into the middle of another call."""
        with self.lock:
            if self.busy:
                return None
            self.busy = True
            try:
                return what(*arguments)
            except BaseException:  # a signal handler that raises: half a line may have been read
                self.close(COME_BACK_SECONDS)
                raise
            finally:
                self.busy = False

    def close(self, wait):
        if self.socket is not None:
            self.socket.close()
        self.socket = None
        self.late = False
        self.come_back = time.monotonic() + wait

    def connect(self):
        if self.socket is not None:
            return True
        if self.refused or time.monotonic() < self.come_back:
            return False
        place = _Place()
        if not place.socket:
            return False
        hello = place.hello()
        try:
            if hello is None:
                raise OSError("no place in a job")
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.setblocking(False)
            self.socket.connect(place.socket)
        except OSError:
            self.close(COME_BACK_SECONDS)
            return False
        return self.send(hello)

    def send(self, line):
        """A line is sent whole or not at all: what the launcher does not take at once is not worth waiting for."""
        data = os.fsencode(line) + b"\n"
        try:
            if self.socket.send(data, socket.MSG_NOSIGNAL) == len(data):
                return True
        except BlockingIOError:
            return False
        except OSError:
            self.note_refusal(self.receive(0.0))
        self.close(COME_BACK_SECONDS)
        return False

    def receive(self, seconds):
        """A line from the launcher; b"" when it closes, None when none comes in time."""
        until, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n") and len(line) < ANSWER_MAX:
            try:
                part = self.socket.recv(ANSWER_MAX - len(line))
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    return None
                waiting = select.poll()
                waiting.register(self.socket, select.POLLIN)
                waiting.poll(left * 1000 + 1)
                continue
            except OSError:
                return b""
            if not part:
                return b""
            line += part
        return line.rstrip(b"\n")

    def note_refusal(self, line):
        if line and line.startswith(b"refused "):
            self.refused = True
            print("mltrain: the launcher has", line.decode("utf-8", "replace"), file=sys.stderr)

    def report(self, step, total):
        self.step = step
        if self.connect():
            self.send(f"report {step} {total}")

    def should_save(self, step):
        step = self.step if step is None else step
        if step is None or not self.connect():
            return False
        # A launcher that has not answered in time is asked nothing until it has: nobody waits for it a second time, and
        # as soon as it runs again this rank takes part in what the others save.
        if self.late:
            self.answer(0.0)  # to a step that was left long ago
        if self.late or self.socket is None or not self.send(f"ask {step}"):
            return False
        return self.answer(ASK_SECONDS) == b"save"

    def answer(self, seconds):
        answer = self.receive(seconds)
        self.late = answer is None
        if answer not in (b"save", b"go", None):
            self.note_refusal(answer)
            self.close(COME_BACK_SECONDS)
        return answer

    def committed(self, step, path):
        if self.connect():
            self.send(f"committed {step} {path}")


_client = _Client()


def _mine():
    """This process's client: a child that was forked makes its own."""
    global _client
    if _client.pid != os.getpid():
        parents = _client
        _client = _Client()
        if parents.socket is not None:
            parents.socket.close()
    return _client


def report(step, total=None):
    """This rank is at `step` of `total` (None: unknown)."""
    step = _step_of(step)
    total = 0 if total is None else _step_of(total)
    client = _mine()
    client.call(client.report, step, total)


def should_save(step=None):
    """Is this step (None: the one reported last) to be saved now, because a stop is coming? To be called at each step, by
    every rank, with the same steps. When True, every rank of the job is told so at the same step."""
    step = None if step is None else _step_of(step)
    client = _mine()
    return bool(client.call(client.should_save, step))


def resume():
    """(step, path) of the checkpoint to go on from, the same for all ranks; None when the job begins anew."""
    step, path = _number_of("MLTRAIN_RESUME_STEP"), os.environ.get("MLTRAIN_RESUME_PATH")
    return (step, path) if step is not None and path else None


def attempt():
    """1, 2, 3 ...: the life of the gang between two starts; 0 without mltrain."""
    return _number_of("MLTRAIN_ATTEMPT") or 0


def checkpoint_committed(step, path):
    """The checkpoint of `step` is complete: all shards of `path`, a file or a folder below MLTRAIN_CHECKPOINT_DIR, are
    written and flushed. To be called by one rank, after all have saved (a barrier). Writes the commit record and tells
    the launcher. ValueError when the path is not below the folder, is an empty folder, or holds what a record cannot
    name; OSError of the files."""
    step, path = _step_of(step), os.fspath(path)
    folder = os.environ.get("MLTRAIN_CHECKPOINT_DIR")
    if "MLTRAIN_SOCKET" not in os.environ or not folder:
        return
    relative = _write_record(folder, step, os.fsdecode(path))
    client = _mine()
    client.call(client.committed, step, relative)


# ---- the commit record ----

def _files_below(path, prefix="", depth=0):
    """(name, size) of each regular file. Links to files count as what they point to, links to folders are left out."""
    if depth > COMMIT_DEPTH_MAX:
        raise ValueError(f"{path}: more than {COMMIT_DEPTH_MAX} folders deep")
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, prefix + entry.name + "/", depth + 1)
            elif stat.S_ISREG(os.stat(entry.path).st_mode):
                yield prefix + entry.name, os.stat(entry.path).st_size


def _record(step, relative, path):
    """The record's lines."""
    single = stat.S_ISREG(os.stat(path).st_mode)
    count = 0
    yield f"mltrain-commit 1\nstep {step}\npath {relative}\n"
    for name, size in [(".", os.stat(path).st_size)] if single else _files_below(path):
        count += 1
        if "\n" in name or len(os.fsencode(name)) > COMMIT_NAME_MAX:
            raise ValueError(f"{path}: the name {name!r} has a newline, or more than {COMMIT_NAME_MAX} bytes")
        if count > COMMIT_FILES_MAX:
            raise ValueError(f"{path}: more than {COMMIT_FILES_MAX} files")
        yield f"file {size} {name}\n"
    if count == 0:
        raise ValueError(f"{path}: no file in this folder")
    yield f"end {count}\n"


def _write_record(folder, step, path):
    """Gives the path relative to the folder."""
    os.stat(path)  # OSError when it is not there
    folder, path = os.path.realpath(folder), os.path.realpath(path)
    relative = os.path.relpath(path, folder)
    if relative == "." or relative.split(os.sep)[0] == ".." or "\n" in relative or \
            len(os.fsencode(relative)) > COMMIT_NAME_MAX:
        raise ValueError(f"{path}: a path below MLTRAIN_CHECKPOINT_DIR ({folder}) of at most {COMMIT_NAME_MAX} bytes, without a "
                         "newline, expected")
    name = os.path.join(folder, f".mltrain-commit-{step}")
    temporary = f"{name}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.writelines(os.fsencode(line) for line in _record(step, relative, path))
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, name)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return relative


# ---- a few bytes from rank to rank ----

def _world():
    """(rank, size, whether there is a launcher to talk to)."""
    place = _Place()
    path, rank, size = place.socket, place.rank, place.size
    if path:
        if rank is None or size is None or rank >= size:
            raise OSError(errno.ENOTCONN, "RANK and WORLD_SIZE are no place in a world, but MLTRAIN_SOCKET is set: was the "
                                          "environment changed?")
        return rank, size, True
    if size is not None and size > 1:
        why = "not started by mltrain" if path is None else "the launcher could not make its socket"
        raise OSError(errno.ENOTCONN, f"{why}: the {size} ranks of WORLD_SIZE cannot be reached")
    return 0, 1, False


def _check(name, timeout, data=b""):
    """Gives the moment when time is over, and the bytes."""
    data = bytes(data)
    if not re.fullmatch(r"[A-Za-z0-9._/-]{1,%d}" % NAME_MAX, name):
        raise ValueError(f"name {name!r}: 1 to {NAME_MAX} of A-Z a-z 0-9 . _ / - expected")
    if not 0 < timeout <= WAIT_SECONDS_MAX:
        raise ValueError(f"timeout {timeout}: more than 0 s, at most {WAIT_SECONDS_MAX:.0f} expected")
    if len(data) > DATA_MAX:
        raise ValueError(f"{len(data)} bytes: at most {DATA_MAX} expected")
    return time.monotonic() + timeout, data


def _receive(connection, until):
    """Some bytes."""
    left = until - time.monotonic()
    if left <= 0:
        raise OSError(errno.ETIMEDOUT, "the launcher has not answered in time")
    connection.settimeout(left)
    try:
        data = connection.recv(1 << 16)
    except socket.timeout:
        raise OSError(errno.ETIMEDOUT, "the launcher has not answered in time") from None
    if not data:
        raise OSError(errno.ECONNRESET, "the launcher is gone: it has closed the connection")
    return data


def _answer(connection, until):
    """(sequence, bytes) of what the launcher says."""
    line = b""
    while b"\n" not in line:
        if len(line) >= ANSWER_MAX + (1 << 16):
            raise OSError(errno.EPROTO, "the launcher's answer is too long")
        line += _receive(connection, until)
    line, _, body = line.partition(b"\n")
    words = line.decode("utf-8", "replace").split(" ")
    if words == ["done"]:
        return 0, b""
    if words[0] == "data" and len(words) == 3 and words[1].isdigit() and words[2].isdigit() and int(words[2]) <= BODY_MAX:
        parts, length, missing = [body], int(words[2]), int(words[2]) - len(body)
        while missing > 0:
            parts.append(_receive(connection, until))
            missing -= len(parts[-1])
        return int(words[1]), b"".join(parts)[:length]
    if words[0] == "failed" and len(words) > 1 and words[1].isdigit():
        raise OSError(int(words[1]), " ".join(words[2:]))
    if words[0] == "refused":
        # One of a release before this question calls it a line that is none.
        old = "none of the protocol" in " ".join(words)
        raise OSError(errno.EOPNOTSUPP if old else errno.ECONNREFUSED, "the launcher has " + " ".join(words))
    raise OSError(errno.EPROTO, "the launcher's answer is none: " + " ".join(words)[:80])


def _connect(connection, path, until):
    while True:
        try:
            connection.connect(path)
            return
        except BlockingIOError:  # more than the launcher has taken wait already
            if time.monotonic() >= until:
                raise OSError(errno.ETIMEDOUT, "the launcher takes no connection") from None
            time.sleep(AGAIN_SECONDS)


def _exchange(question, until):
    """Asks on a connection of its own: closing it takes the question back."""
    place = _Place()
    hello = place.hello()
    if hello is None:
        raise OSError(errno.ENOTCONN, "LOCAL_RANK and MLTRAIN_ATTEMPT are no place in a job: was the environment changed?")
    until += GRACE_SECONDS
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(max(until - time.monotonic(), 0.001))
        try:
            _connect(connection, place.socket, until)
            connection.sendall(f"{hello}\n{question}\n".encode("ascii"))
        except socket.timeout:
            raise OSError(errno.ETIMEDOUT, "the launcher takes no connection") from None
        except BrokenPipeError:
            pass  # perhaps it has said why it closes
        except TimeoutError:
            raise
        except OSError as error:
            raise OSError(errno.ECONNRESET, f"the launcher is gone: {error}") from None
        return _answer(connection, until)


def _milliseconds(until):
    return max(int((until - time.monotonic()) * 1000), 1)


def _gather(name, data, until):
    """(sequence, parts by rank as a dict). For names that the launcher takes, also those of mltrain.nccl."""
    sequence, body = _exchange(f"gather {name} {_milliseconds(until)} {data.hex() or '-'}", until)
    parts, at, last, size = {}, 0, -1, _world()[1]
    while at < len(body):
        rank, length = struct.unpack_from(">IH", body, at) if len(body) - at >= 6 else (0, 0)
        if not last < rank < size or not 0 < length <= DATA_MAX or len(body) - at - 6 < length:
            raise OSError(errno.EPROTO, "the launcher's answer is none: no parts of ranks")
        parts[rank] = body[at + 6:at + 6 + length]
        at, last = at + 6 + length, rank
    return sequence, parts


def barrier(name, timeout=WAIT_SECONDS):
    """Returns when each rank of the job has called it with this name: the first call of a name meets the first calls of the
    others, and so on; a call that has failed counts. OSError (TimeoutError and so on) as in sdk/mltrain.h."""
    gather(name, b"", timeout)


def gather(name, data=b"", timeout=WAIT_SECONDS):
    """As a barrier (with which it shares its names), and gives a list of what all have given: bytes, by rank."""
    until, data = _check(name, timeout, data)
    rank, size, served = _world()
    parts = _gather(name, data, until)[1] if served else {rank: data}
    return [parts.get(i, b"") for i in range(size)]


def put(name, data):
    """Puts a value (bytes), once, for all ranks of the attempt; returns when they can get it."""
    until, data = _check(name, WAIT_SECONDS, data)
    if not _world()[2]:
        raise OSError(errno.ENOTCONN, "not started by mltrain: there is nobody to keep values")
    _exchange(f"put {name} {data.hex() or '-'}", until)


def get(name, timeout=WAIT_SECONDS):
    """Waits until a value is put, and gives it."""
    until, _ = _check(name, timeout)
    if not _world()[2]:
        raise OSError(errno.ENOTCONN, "not started by mltrain: there is nobody to keep values")
    return _exchange(f"get {name} {_milliseconds(until)}", until)[1]


def nccl_init(name="world", colour=None, key=0, device=None, timeout=WAIT_SECONDS):
    """A communicator of NCCL for all ranks, or for those of a colour: see mltrain/nccl.py."""
    return __getattr__("nccl").init(name, colour, key, device, timeout)


def __getattr__(name):
    """mltrain.nccl is there without an import of its own, and loaded when it is used: nothing else needs it."""
    if name == "nccl":
        return importlib.import_module(__name__ + ".nccl")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
