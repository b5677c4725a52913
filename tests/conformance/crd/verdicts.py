#!/usr/bin/env python3
"""Asks two API servers for their verdict on the objects that the unit tests of trainingjob/ use, and on those of queues.yaml: a real one,
which has the CRDs, and the one-machine cluster's, which asks trainingjob/. Nothing but their verdicts is compared; a row says what
trainingjob/ has to decide.

    verdicts.py FOLDER REAL_URL OWN_URL [SEED]      FOLDER: tests/unit/trainingjob; the URLs want no credentials (kubectl proxy)

full.yaml is also changed at random (the same changes for the same seed); there only the two verdicts are compared. Creations and
changes of the specification are dry runs with strict field validation; what stands in a status is really written."""
import copy
import json
import os
import random
import sys
import urllib.error
import urllib.request

import yaml

NAMESPACE = "research"
KIND = "/apis/mltrain.io/v1alpha1/namespaces/" + NAMESPACE + "/trainingjobs"
QUEUES = "/apis/mltrain.io/v1alpha1/trainingqueues"
QUEUE = {"apiVersion": "mltrain.io/v1alpha1", "kind": "TrainingQueue", "metadata": {"name": "a"}, "spec": {"weight": 1}}
STRICT = "?dryRun=All&fieldValidation=Strict&fieldManager=verdicts"
OF_THE_SERVER = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
NEVER_TIMES = {key: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
               for key, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


class Loader(yaml.SafeLoader):
    """A time stays a string, as in JSON."""
    yaml_implicit_resolvers = NEVER_TIMES


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return yaml.load(file, Loader)


def changed(document, row):
    """A copy with the row's change at its JSON pointer."""
    copied = copy.deepcopy(document)
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in row["at"].split("/")[1:]]
    node = copied
    for step in steps:
        node = node[int(step)] if isinstance(node, list) else node[step]
    if isinstance(node, list):
        last = int(last)
    if row.get("remove"):
        del node[last]
    else:
        node[last] = row["value"]
    return copied


class Server:
    def __init__(self, url):
        self.url = url

    def ask(self, verb, path, body=None):
        """(status code, answer)"""
        request = urllib.request.Request(self.url + path, method=verb, data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def must(self, verb, path, body=None):
        code, answer = self.ask(verb, path, body)
        if code not in (200, 201):
            raise SystemExit(f"{self.url}: {verb} {path}: {code} {answer.get('message')}")
        return answer

    def verdict(self, verb, path, body):
        """(accepted or not, words). Any other answer than yes and no is an error."""
        code, answer = self.ask(verb, path, body)
        if code not in (200, 201, 400, 422):
            raise SystemExit(f"{self.url}: {verb} {path}: {code} {answer.get('message')}")
        return code < 300, answer.get("message", "")

    def write_status(self, name, status):
        """Puts it in place of the one that is there; what is kept of it."""
        job = self.must("GET", f"{KIND}/{name}")
        job["status"] = status
        return self.must("PUT", f"{KIND}/{name}/status", job)


# What is put into full.yaml at random: ends of ranges, other types, names of other fields' choices.
VALUES = [None, True, False, 0, 1, -1, 2, 5, 9, 10, 255, 256, 257, 16384, 16385, 86400, 86401, 10**6, 10**6 + 1, 2**31, 2**53, 2**63 - 1,
          1.0, 1.5, "", "a", "A", "0", "1", "a b", " a", "a\n", "-a", "a-", "a.b", "/", "a/", "/a", "/a/", "//", "\u00e9", "x" * 63, "x" * 64,
          "x" * 316, "x" * 317, "x" * 5000, "auto", "None", "All", "Running", "In", "NotIn", "Never", "Always", "Rank0", "AllRanks", "dcp",
          "libmltrain", "pattern", "pytorch", "plain", "mpi", "jax", "node", "affinity", "pmix", "worker", "mltrain", "mltrain-x",
          "SIGKILL", "SIGTERM", "SIGUSR1", "{step}", "step (?<step>\\d+)", "(?<step>", "2Gi", "1e3", "100m", [], {}, [1], ["a"], ["a", "a"],
          [{}], [None], {"a": "b"}, {"a": 1}, {"required": "a"}, {"preferred": "a", "maxWaitSeconds": 0}]
# The schema has no word on quantities, and an object without these is none of any kind.
NOT_OF_THE_SCHEMA, KEPT = "is not a quantity", ("apiVersion", "kind")
RANDOM_COUNT = 200


def places(node, found):
    """Appends (container, key) of everything below."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        found.append((node, key))
        if isinstance(node[key], (dict, list)):
            places(node[key], found)
    return found


def changed_at_random(document, dice):
    copied = copy.deepcopy(document)
    for _ in range(dice.choice((1, 1, 1, 2))):
        found = places(copied, [])
        container, key = dice.choice([place for place in found if place[0] is not copied or place[1] not in KEPT])
        what = dice.random()
        if what < 0.2:
            del container[key]
        elif what > 0.9 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        else:
            container[key] = copy.deepcopy(dice.choice(VALUES))
    return copied


class Comparison:
    def __init__(self, real, own):
        self.real, self.own, self.count, self.forgiven, self.wrong = real, own, 0, 0, 0

    def hold(self, what, expected, real, own, may_differ=False):
        """Each verdict is (accepted, words); `expected` is what trainingjob/'s unit tests say."""
        self.count += 1
        if own[0] != expected:
            self.wrong += 1
            print(f"WRONG   {what}: trainingjob/ should {'accept' if expected else 'refuse'} it: {own[1]}")
        if real[0] == own[0]:
            return
        if may_differ:
            self.forgiven += 1
        else:
            self.wrong += 1
        words = "accepts what trainingjob/ refuses" if real[0] else "refuses what trainingjob/ accepts"
        print(f"{'differs' if may_differ else 'DIFFERS'} {what}: the API server {words}: {real[1] or own[1]}")

    def creation(self, what, expected, document, may_differ=False, kind=KIND):
        self.hold(what, expected, *(s.verdict("POST", kind + STRICT, document) for s in (self.real, self.own)), may_differ)

    def invalid(self, rows, valid, kind):
        """Each row makes the valid document wrong in one place."""
        for row in rows:
            what = f"{valid['kind']} {row['at']} {'removed' if row.get('remove') else json.dumps(row['value'])}"
            self.creation(what, False, changed(valid, row), row.get("crd") is False, kind)

    def random(self, valid, seed):
        dice = random.Random(seed)
        for number in range(RANDOM_COUNT):
            document = changed_at_random(valid, dice)
            real, own = (s.verdict("POST", KIND + STRICT, document) for s in (self.real, self.own))
            self.hold(f"seed {seed}, object {number}", own[0], real, own, NOT_OF_THE_SCHEMA in own[1])

    def update(self, what, expected, row, name):
        verdicts = []
        for server in (self.real, self.own):
            before = server.write_status(name, {"phase": row["phase"]} if row["phase"] else {})
            verdicts.append(server.verdict("PUT", f"{KIND}/{name}{STRICT}", changed(before, row)))
        self.hold(what, expected, *verdicts)

    def status(self, name, status):
        """A status with every field: nothing of it may be dropped."""
        for server in (self.real, self.own):
            self.count += 1
            if server.write_status(name, status)["status"] != status:
                self.wrong += 1
                print(f"WRONG   status.yaml: {server.url} has not kept all of it")


def main():
    folder = sys.argv[1]
    comparison = Comparison(*(Server(url) for url in sys.argv[2:4]))
    full = read(folder, "full.yaml")
    for key in OF_THE_SERVER:
        full["metadata"].pop(key, None)
    name = full["metadata"]["name"]
    for server in (comparison.real, comparison.own):
        server.must("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    comparison.creation("full.yaml", True, full)
    comparison.creation("small.yaml", True, {"apiVersion": full["apiVersion"], "kind": full["kind"], **read(folder, "small.yaml")})
    comparison.invalid(read(folder, "invalid.yaml"), full, KIND)
    comparison.creation("a queue", True, QUEUE, kind=QUEUES)
    comparison.invalid(read(os.path.dirname(os.path.abspath(__file__)), "queues.yaml"), QUEUE, QUEUES)
    comparison.random(full, int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    for server in (comparison.real, comparison.own):
        server.must("POST", KIND, full)
    comparison.status(name, read(folder, "status.yaml"))
    for row in read(folder, "updates.yaml"):
        comparison.update(f"{row['phase'] or 'no phase'}: {row['at']}", "message" not in row, row, name)
    print(f"{comparison.count} verdicts, {comparison.wrong} not as they should be, {comparison.forgiven} known to differ")
    return 1 if comparison.wrong or comparison.count < 100 else 0


sys.exit(main())
