#!/usr/bin/env bash
# The first process of a cluster: started by scripts/kubernetes in network, mount, process and host-name namespaces of their
# own, so that its end takes everything along. Sets up the network, certificates and control plane, starts the nodes, waits.
# usage: cluster.sh CLUSTER_FOLDER PROGRAMS DEBIAN NODES CGROUP true|false|unknown     (the last: image volumes)
set -euo pipefail
cluster=$1 programs=$2 debian=$3 nodes=$4 cgroup=$5 image_volumes=$6
port=$(cat "$cluster/port")
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/kubernetes.d/components.sh
. "$here/components.sh"
# shellcheck source=scripts/kubernetes.d/addresses.sh
. "$here/addresses.sh"
pki=$cluster/pki

# ---- network: a bridge that all nodes hang on; the control plane is a host of it; no way leads outside ----

start_network() {
  local n
  ip link set lo up
  ip link add lan type bridge
  ip addr add "$control_plane/24" dev lan
  ip link set lan up
  for ((n = 1; n <= nodes; n++)); do ip route add "$(pods_of "$n")" via "$(address_of "$n")"; done
}

# ---- certificates ----

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null; }

start_certificates() {
  new_key "$pki/ca.key"
  openssl req -x509 -new -key "$pki/ca.key" -subj /CN=kubernetes -days 365 -out "$pki/ca.crt"
  new_key "$pki/service-account.key"
  openssl pkey -in "$pki/service-account.key" -pubout -out "$pki/service-account.pub"
}

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
  new_key "$pki/$1.key"
  openssl req -new -key "$pki/$1.key" -subj "$2" |
    openssl x509 -req -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -set_serial "0x$(openssl rand -hex 8)" -days 365 \
      -extfile <(echo "subjectAltName=${3:-DNS:none.invalid}") -out "$pki/$1.crt" 2>/dev/null
}

# kubeconfig FILE CERTIFICATE SERVER: everything inside, so that the file can be copied
kubeconfig() {
  data() { base64 -w0 <"$pki/$1"; }
  cat >"$1" <<YAML
apiVersion: v1
kind: Config
clusters:
  - name: $name
    cluster: {server: "$3", certificate-authority-data: $(data ca.crt)}
users:
  - name: $2
    user: {client-certificate-data: $(data "$2.crt"), client-key-data: $(data "$2.key")}
contexts:
  - name: mltrain-$name
    context: {cluster: $name, user: $2}
current-context: mltrain-$name
YAML
  chmod 600 "$1"
}

write_certificates() {
  local n
  start_certificates
  certificate apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$control_plane,IP:$first_service,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate apiserver-kubelet-client /O=kubeadm:cluster-admins/CN=kube-apiserver-kubelet-client
  certificate admin /O=system:masters/CN=kubernetes-admin
  kubeconfig "$cluster/kubeconfig" admin "https://127.0.0.1:$port"
  for n in kube-controller-manager kube-scheduler kube-proxy; do
    certificate $n "/CN=system:$n"
    kubeconfig "$pki/$n.conf" $n "https://$control_plane:$port"
  done
  for ((n = 1; n <= nodes; n++)); do
    certificate "node-$n" "/O=system:nodes/CN=system:node:node-$n" "IP:$(address_of "$n"),DNS:node-$n"
    kubeconfig "$pki/node-$n.conf" "node-$n" "https://$control_plane:$port"
  done
}

# ---- control plane ----

kubectl() { "$programs/kubectl" --kubeconfig "$cluster/kubeconfig" "$@"; }

start_apiserver() {
  local gates=()
  [ "$image_volumes" = unknown ] || gates=(--feature-gates="ImageVolume=$image_volumes")
  # Every request is written down: what a program asks for is compared with what it is allowed to.
  cat >"$cluster/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
YAML
  component apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --secure-port="$port" --advertise-address="$control_plane" --allow-privileged=true \
    --client-ca-file="$pki/ca.crt" --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --service-cluster-ip-range="$services" --enable-aggregator-routing=true \
    --service-account-key-file="$pki/service-account.pub" \
    --service-account-signing-key-file="$pki/service-account.key" \
    --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC \
    "${gates[@]}" --enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement \
    --audit-policy-file="$cluster/audit.yaml" --audit-log-path="$cluster/log/audit.log" --audit-log-maxsize=100000
  until kubectl get --raw /readyz >/dev/null 2>&1; do
    component_runs apiserver || { echo "the API server has ended: see $cluster/log/apiserver.log" >&2; exit 1; }
    sleep 0.1
  done
}

start_control_plane() {
  # The store need not outlive the machine: it is not synced.
  component etcd "$debian/usr/bin/etcd" --data-dir "$cluster/etcd" --unsafe-no-fsync --logger=zap \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
  start_apiserver
  [ "$nodes" != 0 ] || return 0
  # The group of the API server's own certificate reaches into kubelets; kubeadm binds it in the same way.
  kubectl create clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins >/dev/null
  component controller-manager "$programs/kube-controller-manager" --kubeconfig="$pki/kube-controller-manager.conf" \
    --authentication-kubeconfig="$pki/kube-controller-manager.conf" \
    --authorization-kubeconfig="$pki/kube-controller-manager.conf" --leader-elect=false \
    --service-account-private-key-file="$pki/service-account.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --use-service-account-credentials=true
  component scheduler "$programs/kube-scheduler" --kubeconfig="$pki/kube-scheduler.conf" \
    --authentication-kubeconfig="$pki/kube-scheduler.conf" --authorization-kubeconfig="$pki/kube-scheduler.conf" \
    --leader-elect=false
}

# ---- nodes: each in namespaces of its own, at the other end of a cable ----

start_nodes() {
  local n pid
  for ((n = 1; n <= nodes; n++)); do
    unshare --net --mount --uts -- "$here/node.sh" "$cluster" "$programs" "$debian" "$n" "$nodes" "$cgroup" "$image_volumes" \
      >>"$cluster/log/node-$n.log" 2>&1 3<&- &
    pid=$!
    echo "$pid" >"$cluster/run/node-$n.pid"
    until [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
      kill -0 "$pid" || exit 1
      sleep 0.02
    done
    ip link add "node-$n" type veth peer name eth0 netns "$pid"
    ip link set "node-$n" master lan up
  done
}

name=$(basename "$cluster")
start_network
write_certificates
python3 "$here/forward.py" serve >>"$cluster/log/forward.log" 2>&1 &
exec 3<&-
start_control_plane
start_nodes
touch "$cluster/run/started"
# As the first process of its namespace it buries whatever loses its parent. A component that ends is not started again.
while :; do wait -n || true; sleep 1; done
