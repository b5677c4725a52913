# shellcheck shell=bash
# The programs of a real Kubernetes, built from their Go modules; sourced by scripts/kubernetes, never run.
#
# Some minutes and about 4 GB of Go's caches the first time, nothing after that: what is built lies in $home/programs/VERSION and
# is never built twice. kwok and helm are built from module files of their own, since each of
# them wants another release of Kubernetes' libraries.

programs_of_kubernetes="kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl"
programs_of_server="kube-apiserver kubectl" # a cluster without nodes needs no more
kwok_version=v0.7.0
containerd_version=v2.1.9 # Debian's (1.6) mounts no images: for those it takes 2.1
helm_version=v3.19.5
go_minor_needed=24

# Ends with 77 where no Go is that can build these programs.
need_go() {
  local minor
  minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p') || true
  [ "${minor:-0}" -ge $go_minor_needed ] ||
    skip "Kubernetes is built from its Go modules and needs Go 1.$go_minor_needed or newer; here is $(go env GOVERSION 2>/dev/null || echo none)"
}

# module_of_kubernetes FOLDER PROGRAM...: a module that requires k8s.io/kubernetes. That one names its staging modules as v0.0.0, so
# each is replaced by its released form.
module_of_kubernetes() {
  local upstream
  mkdir -p "$1"
  cd "$1"
  shift
  upstream=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  [ -n "$upstream" ] || { echo "the Go module proxy does not serve k8s.io/kubernetes v$version" >&2; return 1; }
  {
    printf 'module programs\n\n%s\n\nrequire k8s.io/kubernetes v%s\n' "$(grep '^go ' "$upstream")" "$version"
    grep -oE 'k8s\.io/[a-z-]+ v0\.0\.0$' "$upstream" | awk '{print $1}' | sort -u |
      sed "s#\(.*\)#replace \1 => \1 v0.${version#1.}#"
  } >go.mod
  {
    printf '//go:build tools\n\npackage programs\n\n'
    printf 'import _ "k8s.io/kubernetes/cmd/%s"\n' "$@"
  } >tools.go
  # Of old releases (before 1.31) the proxy may lack the cloud providers, which are not built.
  go mod tidy -e
}

# go_build_kubernetes BIN PROGRAM...: the programs call themselves what they are only when the linker is told.
go_build_kubernetes() {
  local bin=$1 major minor component=k8s.io/component-base/version client=k8s.io/client-go/pkg/version flags name
  shift
  IFS=. read -r major minor _ <<<"$version"
  flags="-s -w"
  for name in $component $client; do
    flags="$flags -X $name.gitVersion=v$version -X $name.gitMajor=$major -X $name.gitMinor=$minor"
  done
  (module_of_kubernetes "$scratch/kubernetes" "$@" &&
    go build -trimpath -tags providerless -ldflags "$flags" -o "$bin/" "${@/#/k8s.io/kubernetes/cmd/}")
}

# shellcheck disable=SC2086 # lists of words on purpose
build_kubernetes() { go_build_kubernetes "$1" $programs_of_kubernetes; }

# shellcheck disable=SC2086
build_server() { [ -e "$programs/built/kubernetes" ] || go_build_kubernetes "$1" $programs_of_server; }

# build_helm BIN: "helm template" without a cluster pretends the version that is linked in.
build_helm() {
  local major minor chart=helm.sh/helm/v3/pkg/chartutil lint=helm.sh/helm/v3/pkg/lint/rules
  IFS=. read -r major minor _ <<<"$version"
  GOBIN=$1 go install -trimpath -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$helm_version
    -X $chart.k8sVersionMajor=$major -X $chart.k8sVersionMinor=$minor
    -X $lint.k8sVersionMajor=$major -X $lint.k8sVersionMinor=$minor" "helm.sh/helm/v3/cmd/helm@$helm_version"
}

build_kwok() {
  GOBIN=$1 go install -trimpath -ldflags "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=$kwok_version" \
    "sigs.k8s.io/kwok/cmd/kwok@$kwok_version"
}

# build_debian BIN: etcd, runc, the network plugins and an older containerd are Debian's. They are unpacked, not installed: an installed one
# would start a service, or quarrel with a container engine that is here already.
build_debian() {
  local name
  mkdir -p "$scratch/debian"
  for name in etcd-server containerd runc containernetworking-plugins; do
    unpack_package "$name" "$scratch/debian" || return 1
  done
  rm -rf "$programs/debian"
  mv "$scratch/debian" "$programs/debian"
}

# build_containerd BIN: into $programs/containerd, beside Debian's. Its module is not to be installed by name: it excludes versions of others.
build_containerd() {
  local module=github.com/containerd/containerd/v2 name packages=()
  for name in containerd containerd-shim-runc-v2 ctr; do packages+=("$module/cmd/$name"); done
  mkdir -p "$scratch/module" "$scratch/containerd"
  (cd "$scratch/module" || return 1
    printf 'module programs\n\ngo 1.%s\n\nrequire %s %s\n' $go_minor_needed $module $containerd_version >go.mod
    { printf '//go:build tools\n\npackage programs\n\n'; printf 'import _ "%s"\n' "${packages[@]}"; } >tools.go
    go mod tidy &&
      go build -trimpath -tags no_btrfs,no_zfs,no_devmapper -ldflags "-s -w -X $module/version.Version=$containerd_version" \
        -o "$scratch/containerd/" "${packages[@]}") || return 1
  rm -rf "$programs/containerd"
  mv "$scratch/containerd" "$programs/containerd"
}

# build_pause BIN: the image of a pod's sandbox
build_pause() {
  mkdir "$scratch/pause"
  cc -O2 -static -s -o "$scratch/pause/pause" "$root/scripts/kubernetes.d/pause.c" &&
    tar -C "$scratch/pause" --owner=0 --group=0 -cf "$scratch/pause.tar" pause &&
    "$root/scripts/image-archive" docker.io/mltrain/pause:1 "$1/pause.tar" "$scratch/pause.tar" \
      --entrypoint '["/pause"]' --user 65535:65535
}

# build_programs PART...: builds those that are not there yet. Two at once: the second waits for the first and finds all done.
build_programs() {
  local part
  programs=$home/programs/$version
  mkdir -p "$programs"/{bin,built}
  # What cannot be built is told before anything is fetched.
  for part in "$@"; do
    [ -e "$programs/built/$part" ] || case "$part" in kubernetes | server | containerd | kwok | helm) need_go ;; esac
  done
  for part in "$@"; do
    [ -e "$programs/built/$part" ] || (build_part "$part") 9>"$programs/lock" || exit $?
  done
}

build_part() {
  local begin=$SECONDS
  flock 9
  [ ! -e "$programs/built/$1" ] || return 0
  say "making $1 for Kubernetes $version (once)"
  rm -rf "$programs"/scratch.* # of one that was killed
  scratch=$(mktemp -d "$programs/scratch.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  mkdir "$scratch/bin"
  export CGO_ENABLED=0 GOTOOLCHAIN=local
  "build_$1" "$scratch/bin" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; return 1; }
  [ -z "$(ls "$scratch/bin")" ] || mv "$scratch/bin"/* "$programs/bin/" || return 1
  touch "$programs/built/$1"
  say "made $1 in $((SECONDS - begin)) s"
}
