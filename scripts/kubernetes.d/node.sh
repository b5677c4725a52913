#!/usr/bin/env bash
# A node of a cluster: containerd, kubelet and kube-proxy in network, mount and host-name namespaces of their own, where the
# folders that they expect (/var/lib, /var/log, /run) are the node's; /mnt is shared by all nodes. Started by cluster.sh, stays as long as the cluster.
# usage: node.sh CLUSTER_FOLDER PROGRAMS DEBIAN NUMBER NODES CGROUP true|false|unknown     (the last: image volumes)
set -euo pipefail
cluster=$1 programs=$2 debian=$3 number=$4 nodes=$5 cgroup=$6/node-$4 image_volumes=$7
containerd=${programs%/bin}/containerd
[ "$image_volumes" = true ] || containerd=$debian/usr/bin
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/kubernetes.d/components.sh
. "$here/components.sh"
# shellcheck source=scripts/kubernetes.d/addresses.sh
. "$here/addresses.sh"
node=node-$number folder=$cluster/node-$number address=$(address_of "$number")

start_network() {
  local n
  until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
  ip link set lo up
  ip link set eth0 up
  ip addr add "$address/24" dev eth0
  ip route add default via "$control_plane"
  for ((n = 1; n <= nodes; n++)); do
    [ "$n" = "$number" ] || ip route add "$(pods_of "$n")" via "$(address_of "$n")"
  done
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# The kubelet sets some values of the kernel that no namespace holds. It finds here what it wants and leaves the kernel's alone.
shade_kernel_values() {
  local value
  for value in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    [ -e "/proc/sys/${value%=*}" ] || continue
    mkdir -p "$(dirname "$folder/kernel/${value%=*}")"
    echo "${value#*=}" >"$folder/kernel/${value%=*}"
    mount --bind "$folder/kernel/${value%=*}" "/proc/sys/${value%=*}"
  done
}

start_mounts() {
  mkdir -p "$folder"/{lib,log,kernel,cni}
  shade_kernel_values
  mkdir -p "$folder"/lib/{kubelet,containerd,cni} "$folder"/log/{pods,containers}
  mount --bind "$folder/lib" /var/lib
  mount --bind "$folder/log" /var/log
  mount --bind "$cluster/shared" /mnt # the same on all nodes, as a network file system is
  mount -t tmpfs tmpfs /run
  mkdir -p /run/containerd /run/netns
  hostname "$node"
}

# A group in every hierarchy. In version 1 a new group may use no processor until it is told; in version 2 its parent has to hand
# the controllers down.
new_cgroup() {
  local hierarchy type value parent
  parent=$(dirname "$1")
  while read -r _ hierarchy type _; do
    case "$type" in cgroup | cgroup2) ;; *) continue ;; esac
    for value in $(cat "$hierarchy$parent/cgroup.controllers" 2>/dev/null); do
      echo "+$value" 2>/dev/null >"$hierarchy$parent/cgroup.subtree_control" || true
    done
    mkdir -p "$hierarchy$1"
    [ "$type" = cgroup ] || continue
    for value in cpuset.cpus cpuset.mems; do
      [ ! -e "$hierarchy/$value" ] || cat "$hierarchy/$value" >"$hierarchy$1/$value"
    done
  done </proc/mounts
}

start_cgroups() {
  new_cgroup "$(dirname "$cgroup")"
  new_cgroup "$cgroup"
}

start_containerd() {
  local snapshotter=overlayfs
  [ "$(stat -f -c %T "$folder")" != overlayfs ] || snapshotter=native # no overlay over an overlay
  cat >"$folder/containerd.toml" <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/mltrain/pause:1"
  # Without CAP_SYS_RESOURCE runc may not lower it, and no sandbox starts.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$debian/usr/lib/cni"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "$snapshotter"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
TOML
  # A cable from each pod to the node, not a bridge: what pods of one node send each other passes the Services' rules too.
  cat >"$folder/cni/10-pods.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{"subnet": "$(pods_of "$number")"}]],
            "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON
  component "$node-containerd" env "PATH=$containerd:$debian/usr/bin:$debian/usr/sbin:$PATH" \
    "$containerd/containerd" -c "$folder/containerd.toml"
  until "$containerd/ctr" version >/dev/null 2>&1; do
    component_runs "$node-containerd" || { echo "containerd has ended: see $cluster/log/$node-containerd.log" >&2; exit 1; }
    sleep 0.1
  done
  "$containerd/ctr" -n k8s.io images import "$programs/pause.tar" >/dev/null
}

start_kubelet() {
  local gates="featureGates: {ImageVolume: $image_volumes}"
  [ "$image_volumes" != unknown ] || gates=''
  cat >"$folder/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $cluster/pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $cluster/pki/$node.crt
tlsPrivateKeyFile: $cluster/pki/$node.key
cgroupDriver: cgroupfs
cgroupRoot: $cgroup
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
failCgroupV1: false
resolvConf: ""
$gates
evictionHard: {memory.available: "100Mi"}
imageGCHighThresholdPercent: 100
YAML
  component "$node-kubelet" "$programs/kubelet" --kubeconfig="$cluster/pki/$node.conf" --config="$folder/kubelet.yaml" \
    --hostname-override="$node" --node-ip="$address"
}

start_proxy() {
  cat >"$folder/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $all_pods
hostnameOverride: $node
clientConnection: {kubeconfig: $cluster/pki/kube-proxy.conf}
conntrack: {maxPerCore: 0}
YAML
  component "$node-proxy" "$programs/kube-proxy" --config="$folder/proxy.yaml"
}

start_network
start_mounts
start_cgroups
start_containerd
start_kubelet
start_proxy
while :; do wait -n || true; sleep 1; done
