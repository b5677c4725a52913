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

All calls do nothing when the program was not started by mltrain, so that the same script runs without it. None fails or
waits because the launcher is gone; should_save() alone waits, for ASK_SECONDS at most, while the ranks of the job agree
on a step. Any thread may call. A forked child has no part in its parent's connection. The words on the socket stand
in sdk/socket_message.h, the form of the commit record in sdk/mltrain.h. How to use it: docs/libmltrain.md.
"""
import operator
import os
import select
import socket
import stat
import sys
import threading
import time

__all__ = ["report", "should_save", "checkpoint_committed", "resume", "attempt"]

VERSION = 1
ASK_SECONDS = 10.0        # should_save() waits no longer: then the answer is no
COME_BACK_SECONDS = 1.0   # between two attempts to connect
COMMIT_FILES_MAX = 100000  # of one checkpoint
COMMIT_NAME_MAX = 511     # bytes of a path or name in the record
COMMIT_DEPTH_MAX = 32     # folders in folders of one checkpoint
ANSWER_MAX = 256          # bytes of a line from the launcher
STEP_MAX = 10 ** 12


def _step_of(step):
    """An int of whatever counts steps: int, numpy's integers, a tensor with one integer."""
    step = operator.index(step)
    if not 0 <= step <= STEP_MAX:
        raise ValueError(f"step {step}: 0 to {STEP_MAX} expected")
    return step


def _number_of(name):
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


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
        path = os.environ.get("MLTRAIN_SOCKET")
        if self.socket is not None:
            return True
        if not path or self.refused or time.monotonic() < self.come_back:
            return False
        rank, attempt_number = _number_of("LOCAL_RANK"), _number_of("MLTRAIN_ATTEMPT")
        try:
            if rank is None or attempt_number is None:
                raise OSError("no place in a job")
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.setblocking(False)
            self.socket.connect(path)
        except OSError:
            self.close(COME_BACK_SECONDS)
            return False
        return self.send(f"hello {VERSION} {rank} {attempt_number}")

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
