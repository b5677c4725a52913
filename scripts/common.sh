# shellcheck shell=bash
# Shared by the scripts beside it; sourced, never run. Expects `set -eu` in the caller.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else echo "needs root or sudo to run: $*" >&2; return 1
  fi
}

# missing_packages build|test|kubernetes -> names from scripts/packages that are not installed (test needs those of build too)
missing_packages() {
  local name tag
  while read -r name tag _; do
    [ "$tag" = "[$1]" ] || [ "$1 $tag" = "test [build]" ] || continue
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
  done < <(grep -v '^#' "$root/scripts/packages")
}

install_packages() {
  local missing
  missing=$(missing_packages "$1" | tr '\n' ' ')
  [ -n "${missing// /}" ] || return 0
  say "installing with apt: $missing(some minutes the first time)"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # shellcheck disable=SC2086 # a list of words on purpose
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# unpack_package NAME FOLDER: what Debian's package holds, below an existing folder. Nothing is installed, and nothing started.
unpack_package() {
  local download rc=0
  download=$(mktemp -d)
  (cd "$download" && apt-get download -qq "$1") >&2 && dpkg-deb -x "$download/$1"_*.deb "$2" || rc=1
  rm -rf "$download"
  return $rc
}

# build PRESET [cmake options] -> build/PRESET
build() {
  local preset=$1
  shift
  say "building build/$preset"
  local log=$root/build/$preset.log
  mkdir -p "$root/build"
  (cd "$root" && cmake --preset "$preset" "$@") >"$log" 2>&1 || { cat "$log" >&2; return 1; }
  # The linker warns of getaddrinfo and the like in the archives of the static launcher, which never calls them.
  ninja -C "$root/build/$preset" --quiet 2>&1 |
    sed -e '/statically linked applications requires at runtime/d' -e '/\.a(.*): in function /d'
}
