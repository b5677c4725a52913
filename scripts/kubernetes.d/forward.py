#!/usr/bin/env python3
"""Carries connections from the machine's loopback address into the cluster's network namespace.

    forward.py listen CLUSTER_FOLDER COMMAND...   opens a socket on 127.0.0.1, writes its port to CLUSTER_FOLDER/port and who it is
                                                  to CLUSTER_FOLDER/outer, lets go of the lock, becomes COMMAND with the socket as fd 3
    forward.py serve                              (below COMMAND, in the namespace) carries what arrives on fd 3 to the same port there

A socket belongs to the namespace that it was opened in, wherever its owner goes: so one process with one inherited socket
is the whole bridge, and nothing of the machine's network is changed."""
import asyncio
import os
import socket
import sys

LISTENER, LOCK = 3, 9
CHUNK = 1 << 16


async def pump(reader, writer):
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def carry(reader, writer, port):
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
    for end in (writer, inner_writer):
        end.close()


async def serve():
    listener = socket.socket(fileno=LISTENER)
    port = listener.getsockname()[1]
    server = await asyncio.start_server(lambda r, w: carry(r, w, port), sock=listener)
    await server.serve_forever()


def write_whole(path, text):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.replace(path + ".new", path)


def listen(folder, command):
    with open("/proc/self/stat", encoding="utf-8") as file:
        start_time = file.read().rsplit(")", 1)[1].split()[19]
    write_whole(os.path.join(folder, "outer"), f"{os.getpid()} {start_time}\n")
    os.close(LOCK)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    write_whole(os.path.join(folder, "port"), f"{listener.getsockname()[1]}\n")
    if listener.fileno() == LISTENER:
        os.set_inheritable(LISTENER, True)
    else:
        os.dup2(listener.fileno(), LISTENER, inheritable=True)
    os.execvp(command[0], command)


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    listen(sys.argv[2], sys.argv[3:])
