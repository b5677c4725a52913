# shellcheck shell=bash
# Faults of the control plane and of the channel: the last rows of docs/kubernetes.md. Sourced by faults.sh.

# subjects VALUE: whom the controller's rights are bound to
subjects() {
  k patch clusterrolebinding mltrain-controller --type=json -p "[{\"op\":\"replace\",\"path\":\"/subjects\",\"value\":$1}]" >/dev/null &&
    k -n $system patch rolebinding mltrain-controller --type=json -p "[{\"op\":\"replace\",\"path\":\"/subjects\",\"value\":$1}]" >/dev/null &&
    k -n kube-node-lease patch rolebinding mltrain-controller --type=json -p "[{\"op\":\"replace\",\"path\":\"/subjects\",\"value\":$1}]" >/dev/null ||
    fail "the rights are not changed"
}
give_rights() {
  subjects "[{\"kind\":\"ServiceAccount\",\"name\":\"mltrain-controller\",\"namespace\":\"$system\"}]"
  taken=''
}

rights_taken() {
  begin gang "$(saving_job gang)"
  ranks gang >ranks
  taken=1
  subjects '[]'
  # Long enough for the Lease to be lost.
  eventually 40 nobody_leads || fail "$(leader) leads without any right"
  nobody_has_noticed gang
  give_rights
  eventually 60 has_progress gang "$(last_step gang)" || fail "no leader serves again"
  expect gang 0 "" Running
  nobody_has_noticed gang
}
nobody_leads() {
  local renewed
  renewed=$(k -n $system get lease mltrain-controller -o jsonpath='{.spec.renewTime}')
  [ $(($(date +%s) - $(date -d "$renewed" +%s))) -gt 16 ]
}

# The controller-manager, which elsewhere loses its own Lease and starts again, would take nodes for dead for a minute.
api_server_is_back() {
  eventually 60 k get --raw /readyz || fail "the API server does not come back"
  kubernetes restart controller-manager
  k wait --for=condition=Ready node --all --timeout=90s >/dev/null || fail "not all nodes are Ready again"
}

api_server_restarted() {
  begin gang "$(saving_job gang)"
  ranks gang >ranks
  kubernetes restart apiserver
  api_server_is_back
  eventually 60 has_progress gang "$(last_step gang)" || fail "the controller does not go on"
  nobody_has_noticed gang
  expect gang 0 "" Running
}

# What etcd serves; it has no client here, and speaks JSON beside its own protocol.
etcd() { kubernetes exec curl -fsS -X POST "http://127.0.0.1:2379/v3/$1" -d "$2"; }

# While the API server is away, all that its watchers have seen is forgotten: they come back with a version that is too old. That
# answer is told within the watch, so that the audit log shows no 410; but who has only been waiting does not list without one.
etcd_compacted() {
  local revision since address
  begin gang "$(saving_job gang)"
  eventually 60 two_controllers || fail "no standby"
  address=$(k -n $system get pods -l app=mltrain-controller --field-selector "metadata.name!=$(leader)" -o jsonpath='{.items[0].status.podIP}')
  ranks gang >ranks
  since=$(date -u +%FT%T)
  kubernetes stop apiserver
  revision=$(etcd maintenance/status '{}' | grep -o '"revision":"[0-9]*"' | grep -o '[0-9]*') || fail "etcd does not answer"
  etcd kv/compaction "{\"revision\": $revision, \"physical\": true}" >/dev/null || fail "not compacted"
  kubernetes start apiserver
  api_server_is_back
  eventually 60 has_progress gang "$(last_step gang)" || fail "the controller does not go on"
  nobody_has_noticed gang
  expect gang 0 "" Running
  # New pods are seen, too: what was watched was listed anew.
  begin gang
  k delete pod "$(pod_of gang 1)" --wait=false >/dev/null
  expect gang 0 1 "$again" Infrastructure
  kubernetes logs audit | grep -F "\"sourceIPs\":[\"$address\"]" | grep '"verb":"list"' | grep -o '"requestReceivedTimestamp":"[^"]*"' |
    cut -d'"' -f4 | awk -v since="$since" '$1 >= since {found = 1} END {exit !found}' || fail "the standby's watches were not too old"
}

# ---- a webhook ----

# webhook_up: a server of its own beside the control plane. /slow answers too late, /sidecar puts a container first.
webhook_up() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=webhook -addext subjectAltName=IP:127.0.0.1 \
    -keyout webhook.key -out webhook.crt 2>/dev/null || fail "no certificate"
  cat >webhook.py <<PY
import base64, http.server, json, ssl, time
class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"uid": review["request"]["uid"], "allowed": True}
        if self.path.startswith("/slow"):
            time.sleep(3)
        else:
            sidecar = {"name": "sidecar", "image": "$shell_image", "command": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"],
                       "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                       "resources": {"requests": {"cpu": "$1"}}}
            patch = [{"op": "add", "path": "/spec/containers/0", "value": sidecar}]
            answer.update(patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode())
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9443), Webhook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("webhook.crt", "webhook.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
  kubernetes exec sh -c "cd $work && exec setsid python3 webhook.py >webhook.log 2>&1 </dev/null & echo \$!" >webhook.pid
  eventually 10 kubernetes exec curl -ks https://127.0.0.1:9443/ -o /dev/null || fail "no webhook: $(cat webhook.log)"
}

# webhook PATH
webhook() {
  k apply -f - >/dev/null <<YAML || fail "no webhook configuration"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: faults}
webhooks:
  - name: pods.faults.test
    clientConfig: {url: "https://127.0.0.1:9443$1", caBundle: $(base64 -w0 <webhook.crt)}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $namespace}}
    admissionReviewVersions: [v1]
    sideEffects: None
    timeoutSeconds: 1
    failurePolicy: Fail
YAML
}
webhook_down() {
  k delete mutatingwebhookconfiguration faults --ignore-not-found >/dev/null
  # The process ids of that namespace are its own.
  kubernetes exec kill "$(cat webhook.pid)"
  rm -f webhook.pid
}

webhook_times_out() {
  make_room
  webhook_up 10m
  webhook /slow
  job delayed | submit
  waits_as delayed Queued Admitted PodRefused 'pods.faults.test.*(deadline exceeded|timeout)'
  no_pods delayed || fail "it has pods"
  k delete mutatingwebhookconfiguration faults >/dev/null
  starts delayed
  end_job delayed
  webhook_down
}

webhook_mutates() {
  make_room
  webhook_up 10m
  webhook /sidecar
  job joined | submit
  starts joined
  [ "$(k get pod joined-worker-0 -o jsonpath='{.spec.containers[*].name}')" = "sidecar trainer" ] || fail "no sidecar"
  eventually 10 has_progress joined 1 || fail "no step is seen"
  end_job joined
  webhook_down
  # What the webhook adds is planned with: no node has 64 processors.
  webhook_up 64
  webhook /sidecar
  job heavy | submit
  waits_as heavy Queued Queued 'Unschedulable|Waiting' cpu
  no_pods heavy || fail "it has pods"
  end_job heavy
  webhook_down
}

# ---- the channel ----

cut_off() {
  local n
  for n in "$@"; do
    kubernetes exec --node "$n" -- nft -f - <<'NFT' || fail "node $n is not cut off"
table ip faults {
  chain forward {
    type filter hook forward priority 0;
    tcp dport 7443 drop
  }
}
NFT
  done
}
mend() {
  local n
  for n in 2 3 4; do kubernetes exec --node $n -- nft delete table ip faults; done 2>/dev/null
  return 0
}

channel_cut_before() {
  make_room
  cut_off 2 3 4
  job cutoff | submit
  eventually 40 all_run cutoff || fail "the pods do not run"
  eventually 90 tells cutoff PodsReady ChannelUnreachable 'at [0-9.]+:7443 \(TCP\).*NetworkPolicy' || fail "not ChannelUnreachable: $(field cutoff .status.conditions)"
  is cutoff .status.phase Admitted || fail "phase $(field cutoff .status.phase)"
  members cutoff >cutoff.members
  mend
  starts cutoff
  [ -z "$(moved cutoff)" ] && runs cutoff 1 || fail "pods were created again"
  end_job cutoff
}
all_run() { [ "$(k get pods -l "mltrain.io/job-name=$1" -o jsonpath='{.items[*].status.phase}')" = "Running Running" ]; }

channel_cut_later() {
  begin gang "$(saving_job gang)"
  ranks gang >ranks
  cut_off "$(node_of gang 1 | sed 's/node-//')"
  sleep 20
  nobody_has_noticed gang
  mend
  eventually 60 has_progress gang "$(last_step gang)" || fail "the launcher does not come back"
  nobody_has_noticed gang
  expect gang 0 "" Running
}
