"""How the tests run `mltrain simulate`, and have scripts/check-placements recompute what it printed."""
import csv
import json
import os
import subprocess
import tempfile

ROOT = os.environ.get("MLTRAIN_SOURCE_DIR", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.path.join(os.environ.get("MLTRAIN_BIN_DIR", os.path.join(ROOT, "build/debug/bin")), "mltrain")
CHECK = os.path.join(ROOT, "scripts", "check-placements")
TRACES = os.environ.get("MLTRAIN_TRACES", os.path.join(ROOT, "..", "shared", "traces"))


def simulate(*arguments, code=0):
    done = subprocess.run([BIN, "simulate", *arguments], capture_output=True, text=True)
    assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
    return done.stderr if code else done.stdout


def results(*arguments):
    return json.loads(simulate("--json", *arguments))["results"]


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def swf(folder, jobs, name="trace.swf"):
    """jobs: (submit, run, processors, estimate, user)"""
    return write(folder, name, "; MaxProcs: 8\n" + "".join(
        f"{i} {submit} -1 {run} {size} -1 -1 {size} {limit} -1 1 {user} 1 -1 1 -1 -1 -1\n"
        for i, (submit, run, size, limit, user) in enumerate(jobs, 1)))


def starts(trace, nodes, policy, folder, *more):
    """When each job's first attempt starts, by the placements; which are checked on the way."""
    placements, said = os.path.join(folder, "placements.csv"), os.path.join(folder, "said.json")
    write(folder, "said.json", simulate("--json", "--trace", trace, "--nodes", nodes, "--policy", policy, "--placements",
                                        placements, *more))
    done = subprocess.run([CHECK, "--trace", trace, "--nodes", nodes, "--json", said, placements], capture_output=True,
                          text=True)
    assert done.returncode == 0, f"{policy} {more}: {done.stdout}{done.stderr}"
    with open(placements, encoding="utf-8") as file:
        return {row["job"]: float(row["start"]) for row in csv.DictReader(file) if row["attempt"] == "1"}


def real(name):
    path = os.path.join(TRACES, name)
    if not os.path.exists(path):
        print(f"SKIP: {name} is not there")
        return None
    return path


def run_tests(functions):
    """Each test with a folder of its own."""
    for name, test in functions.items():
        if name.startswith("test_"):
            with tempfile.TemporaryDirectory() as folder:
                test(folder)
            print(f"ok {name}")
