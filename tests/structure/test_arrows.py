#!/usr/bin/env python3
"""Reads every #include and fails on an arrow between folders that the design does not have.

The table is the one in ARCHITECTURE.md: what a folder may include of this project, and which outside
libraries. A folder that is missing from the table fails too, so that a new one is decided on, not grown.
"""
import os
import re
import sys

ROOT = os.environ.get("MLTRAIN_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

# folder: (folders of ours, outside headers besides libc's)
ALLOWED = {
    "lib/base": ((), ()),
    "lib/json": (("lib/base",), ("cjson", "yaml")),
    "lib/kube": (("lib/base", "lib/json"), ("cjson",)),
    "lib/kube/transport": (("lib/base", "lib/json", "lib/kube"), ("cjson", "curl", "uv")),
    "lib/httpd": (("lib/base",), ("microhttpd", "uv")),
    "gang": (("lib/base",), ()),
    "sdk": ((), ()),
    "rendezvous": (("lib/base",), ()),
    "rendezvous/channel": (("lib/base", "rendezvous"), ("uv", "openssl")),
    "trainingjob": (("lib/base", "lib/json"), ("cjson",)),
    "ledger": (("lib/base", "lib/json", "lib/kube", "trainingjob", "gang"), ("cjson",)),
    "controller": (("lib/base", "lib/json", "lib/kube", "lib/kube/transport", "lib/httpd", "rendezvous", "rendezvous/channel",
                    "trainingjob", "gang", "ledger"), ("cjson", "uv")),
    "launcher": (("lib/base", "rendezvous", "rendezvous/channel", "sdk", "launcher/trackers", "launcher/helper"), ("uv", "pcre2", "openssl")),
    "launcher/trackers": (("lib/base", "launcher"), ()),
    "launcher/helper": ((), ()),  # a program of its own: libc alone
    "localcluster": (("lib/base", "localcluster/api", "localcluster/agent", "localcluster/shim"), ()),
    "localcluster/api": (("lib/base", "lib/json", "lib/kube", "lib/kube/transport", "lib/httpd", "trainingjob"),
                         ("cjson", "uv", "sqlite3", "openssl", "pcre2")),
    "localcluster/agent": (("lib/base", "lib/json", "lib/kube", "lib/kube/transport", "localcluster/shim"),
                           ("cjson", "uv")),
    "localcluster/shim": (("lib/base", "lib/json"), ("cjson", "uv")),
    "cli": (("lib/base", "lib/json", "lib/kube", "lib/kube/transport", "trainingjob", "gang", "ledger"),
            ("cjson", "uv", "libsmartcols")),
    "cli/simulate": (("lib/base", "lib/json", "trainingjob", "gang", "ledger", "cli"), ("cjson", "libsmartcols", "zlib")),
    "scripts/kubernetes.d": ((), ()),  # the program of a sandbox's image
    # curl: writes.c is a client that shares nothing with what it is compared with
    "bench": (("lib/base", "lib/json", "gang", "trainingjob", "ledger", "rendezvous", "rendezvous/channel", "controller", "launcher"), ("cjson", "uv", "curl")),
}
# Above the seam nothing may see the world: these files of a program are its edge, every other file is pure.
EDGES = {
    "controller": {"crd_update.c", "crd_update.h", "edge_uv.c", "edge_uv.h", "edge_http.c", "edge_http.h", "options.c",
                   "options.h", "state_file.c", "state_file.h", "main.c"},
}
WORLD = {"uv.h", "curl/curl.h", "time.h", "sys/time.h", "unistd.h", "fcntl.h", "sys/socket.h", "signal.h", "sys/stat.h",
         "sys/wait.h", "pthread.h", "sys/epoll.h", "dirent.h", "lib/base/log.h", "lib/kube/transport/transport.h",
         "lib/httpd/httpd.h", "rendezvous/channel/channel.h"}
PURE_FOLDERS = ("lib/json", "lib/kube", "gang", "rendezvous", "trainingjob", "ledger")
LIBC = re.compile(r"^(sys/|linux/|arpa/|netinet/|net/|sanitizer/)?[a-z0-9_]+\.h$")  # sanitizer/: the compiler's own
OUTSIDE = {"cjson": "cjson/", "yaml": "yaml.h", "curl": "curl/", "uv": "uv.h", "microhttpd": "microhttpd.h",
           "openssl": "openssl/", "pcre2": "pcre2.h", "sqlite3": "sqlite3.h",
           "libsmartcols": "libsmartcols/", "zlib": "zlib.h"}


def outside_library(header):
    for name, start in OUTSIDE.items():
        if header == start or (start.endswith("/") and header.startswith(start)):
            return name
    return None


def check(folder, name, text):
    ours, outside = ALLOWED[folder]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if not match:
            continue
        quote, header = match.groups()
        where = f"{folder}/{name}:{number}"
        if quote == '"':
            target = os.path.dirname(header)
            if target and target != folder and target not in ours and not header.startswith("generated/"):
                yield f"{where}: {folder} may not include {target} ({header})"
        else:
            library = outside_library(header)
            if library and library not in outside:
                yield f"{where}: {folder} may not use {library} ({header})"
            if not library and not LIBC.match(header):
                yield f"{where}: unknown outside header {header}"
        pure = folder in PURE_FOLDERS or (folder in EDGES and name not in EDGES[folder])
        if pure and header in WORLD and not header == "lib/base/log.h":
            yield f"{where}: above the seam, {header} lets the world in"
        if pure and header == "lib/base/log.h" and folder not in EDGES:
            yield f"{where}: libraries return errors, programs log them"


def main():
    wrong, files = [], 0
    for folder, _, names in os.walk(ROOT):
        relative = os.path.relpath(folder, ROOT)
        if relative.split(os.sep)[0] in ("build", ".git", "tests", "docs", "examples"):
            continue
        sources = [n for n in names if n.endswith((".c", ".h"))]
        if sources and relative not in ALLOWED:
            wrong.append(f"{relative}: this folder has sources but no place in the table of arrows")
            continue
        for name in sources:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                wrong += check(relative, name, file.read())
            files += 1
    print("\n".join(wrong) or f"{files} files keep to the arrows")
    # The test of the test: an arrow that must not be is seen.
    seen = list(check("gang", "x.c", '#include "lib/json/json.h"\n#include <uv.h>\n'))
    assert len(seen) >= 2, "the checker does not see a forbidden arrow"
    return 1 if wrong or files < 10 else 0


sys.exit(main())
