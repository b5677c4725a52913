#!/usr/bin/env python3
"""Looks with objdump into the object files of the pure parts: no mutable statics, and no call that lets the world in
(clocks, environment, files, sockets, processes, randomness, libuv, curl, OpenSSL)."""
import glob
import os
import re
import subprocess
import sys

BUILD = os.environ["MLTRAIN_BUILD_DIR"]
WORLD = re.compile(r"^(time|clock_gettime|gettimeofday|getenv|secure_getenv|setenv|open(64)?|openat(64)?|fopen(64)?|creat|read|write|"
                   r"socket|connect|bind|listen|accept4?|send|recv|poll|epoll_.*|select|fork|vfork|exec.*|posix_spawn.*|"
                   r"kill|signal|sigaction|nanosleep|usleep|sleep|rand|random|srand|getrandom|getpid|pthread_create|"
                   r"uv_.*|curl_.*|SSL_.*|EVP_.*|mlt_log)$")
# object folders (CMake's names) and what is below the seam in them
PURE = {
    "json.dir/lib/json": set(), "kube.dir/lib/kube": set(), "gang.dir/gang": set(), "rendezvous.dir/rendezvous": set(),
    "trainingjob.dir/trainingjob": set(), "ledger.dir/ledger": set(),
    "mltrain-controller_core.dir/controller": {"crd_update.c.o", "edge_uv.c.o", "edge_http.c.o", "options.c.o", "state_file.c.o"},
    "mltrain-launcher_core.dir/launcher": None,  # only the files named in LAUNCHER_PURE
    "mltrain-launcher_core.dir/launcher/helper": set(),  # message.c alone is in there
    "mltrain-localcluster_core.dir/localcluster/api": None,
}
PURE_FILES = {
    "mltrain-launcher_core.dir/launcher": {"supervisor.c.o", "rank_env.c.o", "mpi_wireup.c.o", "mpi_find.c.o", "mpi_elf.c.o", "mpi_rank.c.o", "remote.c.o",
                                             "pmi1.c.o", "pmi1_kvs.c.o", "helper_client.c.o",
                                             "exchange.c.o", "exchange_ask.c.o", "exchange_output.c.o", "exchange_part.c.o", "exchange_put.c.o",
                                             "sdk_exchange.c.o", "nccl_env.c.o"},
    "mltrain-localcluster_core.dir/localcluster/api": {"request.c.o"},
}
SANITIZED = re.compile(r"^(__asan|__ubsan|__tsan|__odr|__llvm|__sanitizer|\.L|asan\.|_GLOBAL__|__gcov|__prof)")


def symbols(path):
    """(section, name) of each symbol; objdump, because nm calls constant tables of pointers data."""
    out = subprocess.run(["objdump", "-t", path], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        match = re.match(r"^[0-9a-f]+ .{7} (\S+)\s+[0-9a-f]+ (?:\.hidden )?(\S+)$", line)
        if match:
            yield match.group(1), match.group(2).split("@")[0]


def main():
    wrong, looked = [], 0
    for folder, edges in PURE.items():
        for path in sorted(glob.glob(f"{BUILD}/CMakeFiles/{folder}/*.c.o")):
            name = os.path.basename(path)
            if (edges is None and name not in PURE_FILES[folder]) or (edges and name in edges):
                continue
            looked += 1
            for section, symbol in symbols(path):
                if section == "*UND*" and WORLD.match(symbol):
                    wrong.append(f"{folder}/{name}: calls {symbol}")
                mutable = re.match(r"^(\.data|\.bss|\.tdata|\.tbss|\*COM\*)", section) and ".rel.ro" not in section
                if mutable and not section.startswith(symbol) and not SANITIZED.match(symbol):
                    wrong.append(f"{folder}/{name}: mutable static {symbol}")
    print("\n".join(wrong) or f"{looked} object files are pure")
    if looked == 0:
        print(f"no object files found below {BUILD}")
    # The test of the test: an impure object is seen.
    assert WORLD.match("clock_gettime") and WORLD.match("uv_run") and not WORLD.match("memcpy")
    return 1 if wrong or looked == 0 else 0


sys.exit(main())
