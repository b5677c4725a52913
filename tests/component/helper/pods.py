"""Pretended launchers for the real mltrain-helper: a pod is a helper and the ranks that this program starts with the
environment that the helper gives. What helpers ask each other goes through this program instead of a channel."""
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

FIELDS = {1: "IRNWL", 2: "ISD", 3: "ISD", 4: "IR", 5: "ISCD", 6: "IRW", 32: "ND", 33: "SW", 34: "IFLD", 35: "IR", 36: "ISD",
          37: "IFNLD", 38: "RSW", 39: "R", 40: "R"}
KINDS = dict(BEGIN=1, FENCED=2, FETCHED=3, LOOK_UP=4, GROUPED=5, PREPARE=6, READY=32, REFUSED=33, FENCE=34, FETCH=35, LOOKED_UP=36,
             GROUP=37, ABORT=38, CONNECTED=39, FINALIZED=40)
NAMES = {number: name for name, number in KINDS.items()}
NUMBERS = {"I": ("id", "<Q"), "C": ("context", "<Q"), "R": ("rank", "<I"), "S": ("status", "<i"), "F": ("flags", "<I")}
VERSION = 2
COLLECT, DESTROY, CONTEXT = 1, 2, 4
NOT_FOUND = -46


def encode(kind, **fields):
    body = bytes([KINDS[kind]])
    for field in FIELDS[KINDS[kind]]:
        if field in NUMBERS:
            name, form = NUMBERS[field]
            body += struct.pack(form, fields.get(name, 0))
        elif field in "NW":
            text = fields.get("name" if field == "N" else "words", "").encode() + b"\0"
            body += struct.pack("<H", len(text)) + text
        elif field == "L":
            numbers = fields.get("list", [])
            body += struct.pack("<I", len(numbers)) + struct.pack(f"<{len(numbers)}I", *numbers)
        else:
            data = fields.get("data", b"")
            body += struct.pack("<I", len(data)) + data
    return struct.pack("<I", len(body)) + body


def decode(body):
    message, at = {"kind": NAMES[body[0]]}, 1
    for field in FIELDS[body[0]]:
        if field in NUMBERS:
            name, form = NUMBERS[field]
            message[name] = struct.unpack_from(form, body, at)[0]
            at += struct.calcsize(form)
        elif field in "NW":
            length = struct.unpack_from("<H", body, at)[0]
            message["name" if field == "N" else "words"] = body[at + 2:at + 1 + length].decode()
            at += 2 + length
        elif field == "L":
            count = struct.unpack_from("<I", body, at)[0]
            message["list"] = list(struct.unpack_from(f"<{count}I", body, at + 4))
            at += 4 + 4 * count
        else:
            length = struct.unpack_from("<I", body, at)[0]
            message["data"] = body[at + 4:at + 4 + length]
            at += 4 + length
    assert at == len(body), message
    return message


class Pod:
    def __init__(self, helper, folder, env, mpi):
        ours, theirs = socket.socketpair()
        self.socket, self.folder, self.bytes = ours, folder, b""
        os.makedirs(folder)

        self.process = subprocess.Popen([helper, str(theirs.fileno()), mpi], pass_fds=[theirs.fileno()], env=env,
                                        stdin=subprocess.DEVNULL)
        theirs.close()
        self.socket.setblocking(True)

    def send(self, kind, **fields):
        self.socket.sendall(encode(kind, **fields))

    def receive(self):
        """What has come; None at the end."""
        data = self.socket.recv(1 << 20)
        if not data:
            return None
        self.bytes += data
        messages = []
        while len(self.bytes) >= 4:
            length = struct.unpack_from("<I", self.bytes)[0]
            if len(self.bytes) < 4 + length:
                break
            messages.append(decode(self.bytes[4:4 + length]))
            self.bytes = self.bytes[4 + length:]
        return messages


class Job:
    """pods x ranks processes of one command, run to their end."""

    def __init__(self, helper, sizes, env=None, name="test", attempt=1, collect=True, mpi="", prepared=0):
        self.sizes, self.env, self.collect = sizes, dict(os.environ if env is None else env), collect
        self.nspace, self.prepared = f"{name}.{attempt}", prepared
        self.folder = tempfile.mkdtemp(prefix="mltrain-pods-")
        self.pods, self.ranks, self.log, self.fences, self.groups = [], {}, [], {}, {}
        self.answers, self.outputs, self.codes, self.contexts = {}, {}, {}, 0
        for number in range(len(sizes)):
            self.pods.append(Pod(helper, f"{self.folder}/pod-{number}", self.env, mpi))
        self.of_rank = [pod for pod, size in zip(self.pods, sizes) for _ in range(size)]

    def begin(self):
        """Each rank's environment, or the words of a refusal."""
        for number, pod in enumerate(self.pods[:self.prepared]):
            pod.send("PREPARE", id=VERSION, rank=number, words=pod.folder)
        for number, pod in enumerate(self.pods):
            pod.send("BEGIN", id=VERSION, rank=number, name=self.nspace, words=pod.folder, list=self.sizes)
        self.environments = []
        for pod, size in zip(self.pods, self.sizes):
            messages = pod.receive()
            while messages == []:
                messages = pod.receive()
            if not messages:
                return "no word"
            message = messages[0]
            if message["kind"] == "REFUSED":
                return message["words"]
            self.version = message["name"]
            texts, current = [], {}
            for text in message["data"].decode().split("\0")[:-1]:
                if text:
                    key, value = text.split("=", 1)
                    current[key] = value
                else:
                    texts.append(current)
                    current = {}
            assert len(texts) == size, (len(texts), size)
            self.environments += texts
        return None

    def start(self, command):
        for rank, environment in enumerate(self.environments):
            env = dict(self.env, **environment, JSM_JSRUN_PORT="1", TMPDIR=self.of_rank[rank].folder,
                       OMPI_MCA_btl_vader_backing_directory=self.of_rank[rank].folder,
                       OMPI_MCA_osc_sm_backing_directory=self.of_rank[rank].folder)
            out = open(f"{self.folder}/rank-{rank}", "w+b")
            self.outputs[rank] = out
            self.ranks[rank] = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def output(self, rank=None):
        if rank is None:
            return "".join(self.output(r) for r in sorted(self.outputs))
        with open(f"{self.folder}/rank-{rank}", errors="replace") as file:
            return file.read()

    def collective(self, table, key, pod, message, finish):
        members = message["list"] or list(range(len(self.of_rank)))
        pods = sorted({self.pods.index(self.of_rank[r]) for r in members})
        come = table.setdefault(key, {})
        come[self.pods.index(pod)] = message
        if sorted(come) == pods:
            del table[key]
            finish([come[p] for p in pods], [self.pods[p] for p in pods])

    def handle(self, pod, message):
        self.log.append((time.monotonic(), self.pods.index(pod), message))
        kind = message["kind"]
        if kind == "FENCE":
            def finish(come, pods):
                data = b"".join(m["data"] for m in come) if self.collect else b""
                for m, p in zip(come, pods):
                    p.send("FENCED", id=m["id"], data=data)
            self.collective(self.fences, tuple(message["list"]), pod, message, finish)
        elif kind == "GROUP":
            def finish(come, pods):
                self.contexts += 1
                for m, p in zip(come, pods):
                    p.send("GROUPED", id=m["id"], context=self.contexts, data=b"".join(c["data"] for c in come))
            self.collective(self.groups, (message["name"], message["flags"]), pod, message, finish)
        elif kind == "FETCH":
            self.answers[len(self.answers) + 1] = (pod, message["id"])
            self.of_rank[message["rank"]].send("LOOK_UP", id=len(self.answers), rank=message["rank"])
        elif kind == "LOOKED_UP":
            asker, number = self.answers[message["id"]]
            asker.send("FETCHED", id=number, status=message["status"], data=message["data"])
        elif kind == "ABORT":
            self.aborted = message

    def run(self, seconds=60, until=None):
        """Serves until all ranks have ended, a helper has, or `until`. False when the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            readable = select.select([pod.socket for pod in self.pods], [], [], 0.005)[0]
            for pod in self.pods:
                if pod.socket in readable:
                    for message in pod.receive() or ():
                        self.handle(pod, message)
            for rank, process in self.ranks.items():
                if rank not in self.codes and process.poll() is not None:
                    self.codes[rank] = process.returncode
                    self.log.append((time.monotonic(), None, {"kind": "EXIT", "rank": rank, "code": process.returncode}))
            if len(self.codes) == len(self.ranks) or (until and until()):
                return True
        return False

    def close(self):
        for process in list(self.ranks.values()) + [pod.process for pod in self.pods]:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        for pod in self.pods:
            pod.socket.close()
        for out in self.outputs.values():
            out.close()
        shutil.rmtree(self.folder)

    def kinds(self, kind):
        return [message for _, _, message in self.log if message["kind"] == kind]
