#!/usr/bin/env bash
# A job that has ended within a second: for a moment the API server refuses the log of its container, which it takes for one that has
# not been started. `mltrain logs` asks again, and with --follow it waits until the pod is told to have run.
. "$(dirname "$0")/common.sh"

cat >server.py <<'PYTHON'
"""An API server that has one ended job of one pod, and refuses its log twice. Whoever watches the pods is told a second later that
the pod has run."""
import http.server
import json
import time

META = {"namespace": "default", "resourceVersion": "1"}
JOB = {"metadata": {**META, "name": "short", "uid": "u"}, "status": {"phase": "Succeeded", "attempt": 1}}
LATE = {"metadata": {**META, "name": "late", "uid": "l"}, "status": {"phase": "Succeeded", "attempt": 1}}
POD = {"metadata": {**META, "name": "short-worker-0", "uid": "p", "labels": {"mltrain.io/job-uid": "u"}},
       "spec": {"containers": [{"name": "trainer"}]}, "status": {"phase": "Pending"}}
LATE_PODS = [{**POD, "metadata": {**POD["metadata"], "name": f"late-worker-{i}", "labels": {"mltrain.io/job-uid": "l"}}} for i in (0, 1)]
ENDED = {**POD, "metadata": {**POD["metadata"], "resourceVersion": "2"},
         "status": {"phase": "Succeeded", "containerStatuses": [{"name": "trainer", "state": {"terminated": {"exitCode": 0}}}]}}
REFUSAL = {"kind": "Status", "code": 400, "message": 'container "trainer" is waiting to start: PodInitializing'}
refused = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global refused
        code, body = 200, JOB
        if "/log?" in self.path:
            body = None
            if "late-worker-1" in self.path:
                code, body = 400, REFUSAL
            elif "short-worker-0" in self.path and refused < 2:
                refused += 1
                code, body = 400, REFUSAL
        elif "watch=" in self.path:
            time.sleep(1)
            body = {"type": "MODIFIED", "object": ENDED if "/pods?" in self.path else JOB}
        elif "/pods?" in self.path:
            body = {"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": LATE_PODS if "%3Dl" in self.path else [POD]}
        elif "/trainingjobs/late" in self.path:
            body = LATE
        elif "trainingjobs?" in self.path:
            body = {"kind": "TrainingJobList", "metadata": {"resourceVersion": "1"}, "items": [JOB]}
        told = "timestamps=" in self.path and "2026-01-01T00:00:00.000000000Z " or ""
        text = f"{told}[r0 a1] a word\n" if body is None else json.dumps(body) + "\n"
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
python3 server.py >port &
server=$!
eventually 10 test -s port || { kill $server; fail "no server"; }
cat >kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:$(cat port)"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
current-context: x
YAML
for how in '' --follow; do
  mltrain logs short $how --kubeconfig kubeconfig >out.txt 2>err.txt
  grep -q 'a word' out.txt || { cat out.txt err.txt; kill $server; fail "the log that came a moment later is missing ($how)"; }
  [ ! -s err.txt ] || { cat err.txt; kill $server; fail "said something of it ($how)"; }
done
mltrain logs late --kubeconfig kubeconfig >out.txt 2>err.txt
grep -q 'a word' out.txt || { cat out.txt err.txt; kill $server; fail "the log of the other pod is missing"; }
grep -qxF 'mltrain: the output of late-worker-1 is not to be had yet: container "trainer" is waiting to start: PodInitializing' err.txt ||
  { cat out.txt err.txt; kill $server; fail "a log that is missing is not told"; }
[ "$(wc -l <err.txt)" = 1 ] || { cat err.txt; kill $server; fail "told more than once"; }
kill $server
