# shellcheck shell=bash disable=SC2034
# The addresses of a cluster, for cluster.sh and node.sh. All are from ranges for documentation and benchmarks, so that nothing
# looks like somebody's network; every cluster has the same ones, each in a network namespace of its own.
control_plane=198.51.100.1
services=192.0.2.0/24
first_service=192.0.2.1
all_pods=198.18.0.0/16
address_of() { echo "198.51.100.$((10 + $1))"; }
pods_of() { echo "198.18.$1.0/24"; }
