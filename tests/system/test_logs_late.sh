#!/usr/bin/env bash
# A job that has ended within a second: for a moment the API server refuses the log of its container, which it takes for one that has
# not been started. `mltrain logs` asks again.
. "$(dirname "$0")/common.sh"

cat >server.py <<'PYTHON'
"""An API server that has one ended job of one pod, and refuses its log twice."""
import http.server
import json

JOB = {"metadata": {"name": "short", "namespace": "default", "uid": "u"}, "status": {"phase": "Succeeded", "attempt": 1}}
POD = {"metadata": {"name": "short-worker-0"}, "spec": {"containers": [{"name": "trainer"}]}}
REFUSAL = {"kind": "Status", "code": 400, "message": 'container "trainer" is waiting to start: PodInitializing'}
refused = 0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global refused
        code, body = 200, json.dumps(JOB).encode()
        if "/log?" in self.path:
            body = b"2026-01-01T00:00:00.000000000Z [r0 a1] a word\n"
            if refused < 2:
                refused += 1
                code, body = 400, json.dumps(REFUSAL).encode()
        elif "/pods?" in self.path:
            body = json.dumps({"kind": "PodList", "items": [POD]}).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
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
mltrain logs short --kubeconfig kubeconfig >out.txt 2>err.txt
kill $server
grep -q 'a word' out.txt || { cat out.txt err.txt; fail "the log that came a moment later is missing"; }
[ ! -s err.txt ] || { cat err.txt; fail "said something of it"; }
