#!/usr/bin/env python3
"""audit.py LOG RIGHTS NAMESPACE: what the controller has asked of a real API server, by its audit log (JSON lines), against the
table that it prints of itself. No request may be outside the table, and none refused while its roles were there."""
import json
import sys


def requests(lines, user):
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("user", {}).get("username") == user and entry.get("stage") != "RequestReceived":
            yield entry


def right_of(entry):
    about = entry.get("objectRef", {})
    resource = about.get("resource", "?") + ("/" + about["subresource"] if "subresource" in about else "")
    return about.get("apiGroup") or "-", resource, entry["verb"]


def main():
    log, rights, namespace = sys.argv[1:]
    with open(rights, encoding="utf-8") as file:
        allowed = {tuple(line.split("\t")[1:4]) for line in file}
    seen, wrong, refused = {}, set(), 0
    with open(log, encoding="utf-8") as file:
        for entry in requests(file, f"system:serviceaccount:{namespace}:mltrain-controller"):
            right = right_of(entry)
            # A watch has two entries: its beginning and its end.
            seen.setdefault(right, set()).add(entry["auditID"])
            if right not in allowed:
                wrong.add("outside the table: " + " ".join(right) + " " + entry["requestURI"])
            # An uninstallation takes the roles away while the last controller gives its Lease back.
            is_refused = entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
            if is_refused and right[1:] != ("leases", "patch"):
                refused += 1
                wrong.add(f"refused: {entry['verb']} {entry['requestURI']}")
    for words in sorted(wrong):
        print(words)
    print(f"{sum(map(len, seen.values()))} requests of the controller under {len(seen)} of {len(allowed)} rights, {refused} refused")
    return 1 if wrong or not seen else 0


sys.exit(main())
