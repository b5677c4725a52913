#!/usr/bin/env bash
# 10,000 pods that are none of ours appear, change and go at once, while the controller is stopped or away: no rank notices, the
# controller and the API server catch up, a new job runs, and memory goes back.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/hard.sh"
count=${MLT_PODS:-10000}
mltrain cluster up --nodes 2 >/dev/null || fail "up"
begin 2 2

cat >crowd.py <<'PY'
"""crowd.py create|label|delete COUNT: pods of somebody else, unbound, over a few connections."""
import http.client, json, ssl, sys, threading
verb, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
base = "/api/v1/namespaces/default/pods"
headers = {"Authorization": "Bearer " + open(folder + "/token").read().strip()}
context = ssl.create_default_context(cafile=folder + "/ca.crt")

def call(c, method, path, body=None, kind="application/json"):
    c.request(method, path, body and json.dumps(body), {**headers, "Content-Type": kind})
    answer = c.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"{method} {path}: {answer.status} {text[:300]}")

def work(first):
    c = http.client.HTTPSConnection("127.0.0.1", int(open(folder + "/port").read()), context=context)
    for i in range(first, count, 4):
        name = f"crowd-{i}"
        if verb == "create":
            call(c, "POST", base, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"crowd": "yes"}},
                                   "spec": {"nodeName": "elsewhere", "containers": [{"name": "c", "image": "none",
                                            "resources": {"requests": {"cpu": "1"}}}]}})
        else:
            call(c, "PATCH", base + "/" + name, {"metadata": {"labels": {"crowd": "still"}}}, "application/merge-patch+json")

if verb == "delete":
    c = http.client.HTTPSConnection("127.0.0.1", int(open(folder + "/port").read()), context=context)
    call(c, "DELETE", base + "?labelSelector=crowd", {"gracePeriodSeconds": 0})
else:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
PY
crowd() { python3 crowd.py "$1" "$count" "$dir" || fail "crowd: $1"; }
memory() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$(program "$1")/status"; }
tell() { printf '%-52s %4s s  controller %4s MiB  API server %4s MiB\n' "$1" "$SECONDS" "$(memory controller)" "$(memory api)"; }

tell "before"
kill -STOP "$(program controller)"
crowd create
kill -CONT "$(program controller)"
serves "$count pods created while the controller was stopped"
tell "$count pods"
kill -STOP "$(program controller)"
crowd label
kill -CONT "$(program controller)"
serves "$count pods changed while the controller was stopped"
tell "$count changes"
kill -9 "$(program controller)"
serves "a new controller finds $count pods"
tell "a new controller"
kill -STOP "$(program controller)"
crowd delete
kill -CONT "$(program controller)"
serves "$count pods deleted while the controller was stopped"
tell "$count deletions"
for name in controller api; do
  [ "$(memory $name)" -lt 400 ] || fail "$name holds $(memory $name) MiB"
done
enough
