#!/usr/bin/env python3
"""libmltrain's exchange in Python against a launcher that says what the test wants: tests/unit/sdk/test_exchange.c in C."""
import errno
import os
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.environ["MLTRAIN_SOURCE_DIR"], "sdk", "python"))
sys.dont_write_bytecode = True
import mltrain  # noqa: E402

mltrain.GRACE_SECONDS = 0.3
folder = tempfile.TemporaryDirectory()
path = os.path.join(folder.name, "sdk.sock")
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(path)
server.listen(0)
os.environ.update(RANK="2", WORLD_SIZE="4", LOCAL_RANK="1", MLTRAIN_ATTEMPT="3", MLTRAIN_SOCKET=path)
heard = []


def serve(answer, piece):
    connection, _ = server.accept()
    with connection:
        text = b""
        while text.count(b"\n") < 2:
            text += connection.recv(1 << 16)
        heard.append(text.decode())
        for at in range(0, len(answer), piece):
            try:
                connection.sendall(answer[at:at + piece])
            except OSError:
                return
        if not answer:
            connection.recv(1)  # says nothing, and waits for the other to go


def asked(answer, call, *arguments, piece=1000, **options):
    thread = threading.Thread(target=serve, args=(answer, piece))
    thread.start()
    try:
        return call(*arguments, **options)
    except OSError as error:
        return error.errno, str(error.strerror)
    finally:
        thread.join()


def expect(got, wanted, what):
    if got != wanted:
        raise SystemExit(f"{what}: {got!r} instead of {wanted!r}")


def expect_failure(answer, number, words, **options):
    got = asked(answer, mltrain.barrier, "b", **options)
    if not isinstance(got, tuple) or got[0] != number or words not in got[1]:
        raise SystemExit(f"{answer!r}: {got!r} instead of {errno.errorcode[number]} {words!r}")


def test_answers():
    expect(asked(b"data 1 0\n", mltrain.barrier, "epoch/1", timeout=1.5), None, "barrier")
    hello, question, _ = heard[-1].split("\n")
    expect(hello, "hello 1 1 3", "hello")
    name, milliseconds, data = question.split(" ")[1:]
    expect((name, data, 1000 < int(milliseconds) <= 1500), ("epoch/1", "-", True), "question")
    parts = b"data 4 17\n\0\0\0\0\0\2ab\0\0\0\3\0\3xyz"
    for piece in (1, 7, 1000):
        expect(asked(parts, mltrain.gather, "g", b"\1\xff", piece=piece), [b"ab", b"", b"", b"xyz"], "gather")
    expect(heard[-1].endswith(" 01ff\n"), True, "what was given")
    expect(asked(b"done\n", mltrain.put, "v", b"xy"), None, "put")
    expect(heard[-1].split("\n")[1], "put v 7879", "put")
    expect(asked(b"data 0 2\nxy", mltrain.get, "v"), b"xy", "get")
    large = bytes(range(256)) * 1000
    expect(asked(b"data 0 256000\n" + large, mltrain.get, "v", piece=9999), large, "a long value")


def test_failures():
    expect_failure(b"failed 110 rank 3 has not come\n", errno.ETIMEDOUT, "rank 3 has not come")
    expect_failure(b"failed 125 the attempt ends\n", errno.ECANCELED, "the attempt ends")
    expect_failure(b"refused hello: attempt 3 (MLTRAIN_ATTEMPT): 4 runs\n", errno.ECONNREFUSED, "4 runs")
    expect_failure(b"refused this line is none of the protocol\n", errno.EOPNOTSUPP, "none of the protocol")
    expect_failure(b"save\n", errno.EPROTO, "save")
    expect_failure(b"data 1 99999999\n", errno.EPROTO, "99999999")
    expect_failure(b"data 1 5\nab", errno.ECONNRESET, "gone")
    expect_failure(b"data 1 3\nabc", errno.EPROTO, "no parts")
    expect_failure(b"data 1 7\n\0\0\0\4\0\1x", errno.EPROTO, "no parts")    # a rank that is none of this world
    expect_failure(b"data 1 7\n\0\0\0\1\0\2x", errno.EPROTO, "no parts")    # cut
    expect_failure(b"da", errno.ECONNRESET, "gone")
    expect_failure(b"x" * 100000, errno.EPROTO, "too long")
    expect_failure(b"", errno.ETIMEDOUT, "has not answered", timeout=0.1)


def test_a_launcher_that_takes_nobody():
    waiting = []
    while True:  # until the backlog is full
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.setblocking(False)
        try:
            one.connect(path)
        except BlockingIOError:
            one.close()
            break
        waiting.append(one)
    began = time.monotonic()
    try:
        mltrain.barrier("b", timeout=0.2)
        raise SystemExit("a barrier without a launcher")
    except TimeoutError as error:
        expect(error.strerror, "the launcher takes no connection", "words")
    expect(0.2 <= time.monotonic() - began < 5, True, "in time")

    def let_in():
        time.sleep(0.2)
        for one in waiting:
            one.close()
        for _ in waiting:
            server.accept()[0].close()
        serve(b"data 1 0\n", 100)

    thread = threading.Thread(target=let_in)
    thread.start()
    mltrain.barrier("b", timeout=10)
    thread.join()


def test_arguments():
    for name in ("", "a b", "nccl:world", "\u00e9", "n" * 64, "a\n"):
        for call in (mltrain.barrier, mltrain.get):
            try:
                call(name)
                raise SystemExit(f"name {name!r} was taken")
            except ValueError:
                pass
    for call, options in ((mltrain.barrier, {"timeout": 0}), (mltrain.barrier, {"timeout": 86401}),
                          (mltrain.gather, {"data": bytes(4097)}), (mltrain.nccl_init, {"colour": -2})):
        try:
            call("b", **options)
            raise SystemExit(f"{options} was taken")
        except ValueError:
            pass


def test_ranks_of_mpirun():
    names = dict(MLTRAIN_POD_SOCKET=path, MLTRAIN_WORLD="pod-0-17-4711", PMI_RANK="5", PMI_SIZE="6", MPI_LOCALRANKID="1",
                 MPI_LOCALNRANKS="2", MLTRAIN_SOCKET="/of/another/pod")
    own = os.environ["MLTRAIN_SOCKET"]
    os.environ.update(names)
    got = asked(b"data 4 8\n\0\0\0\5\0\2ab", mltrain.gather, "g", b"ab")
    expect(got, [b""] * 5 + [b"ab"], "gather")
    hello = heard[-1].split("\n")[0]
    # The same as tests/unit/sdk/test_place.c has.
    expect(hello, "hello 1 1 3 aa219926c385f1b0 5 6 2", "of Hydra")
    os.environ.update(PMIX_RANK="0", PMIX_NAMESPACE="prterun-vm-1@1", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="1",
                      OMPI_COMM_WORLD_LOCAL_RANK="0", OMPI_COMM_WORLD_LOCAL_SIZE="1")
    expect(asked(b"data 1 0\n", mltrain.barrier, "b"), None, "barrier")
    expect(heard[-1].split("\n")[0], "hello 1 0 3 aa00784544bac058 0 1 1", "of Open MPI")
    os.environ["TORCHELASTIC_RUN_ID"] = "1"
    expect(asked(b"data 1 0\n", mltrain.barrier, "b"), None, "barrier")
    expect(heard[-1].split("\n")[0], "hello 1 1 3", "of torchrun")
    for name in [*names, "PMIX_RANK", "PMIX_NAMESPACE", "TORCHELASTIC_RUN_ID"]:
        del os.environ[name]
    os.environ["MLTRAIN_SOCKET"] = own


def test_without_mltrain():
    def number(call, *arguments):
        try:
            return call(*arguments)
        except OSError as error:
            return error.errno

    del os.environ["MLTRAIN_SOCKET"]
    expect(number(mltrain.barrier, "b"), errno.ENOTCONN, "under torchrun")
    del os.environ["WORLD_SIZE"]
    expect(number(mltrain.barrier, "b"), None, "alone")
    expect(number(mltrain.gather, "b", b"me"), [b"me"], "alone")
    expect(number(mltrain.put, "b", b"me"), errno.ENOTCONN, "alone")
    expect(number(mltrain.get, "b"), errno.ENOTCONN, "alone")
    os.environ["MLTRAIN_SOCKET"] = "/nowhere"
    expect(number(mltrain.barrier, "b"), errno.ENOTCONN, "no place")
    os.environ["WORLD_SIZE"] = "4"
    expect(number(mltrain.barrier, "b"), errno.ECONNRESET, "no launcher")


for test in (test_answers, test_failures, test_a_launcher_that_takes_nobody, test_arguments, test_ranks_of_mpirun, test_without_mltrain):
    test()
    print(f"ok: {test.__name__}")
