# What the commands that run Python have in common, sourced by them from the top of the tree: what is missing is
# installed, packages by apt where this is root, otherwise they are named and nothing is done; Python packages in a
# folder below build/. The library is built, with the CPU backend.

command=${0##*/}
cmake_needed=3.25

say() { printf 'bench/%s: %s\n' "$command" "$*"; }
fail() { printf 'bench/%s: %s\n' "$command" "$*" >&2 && exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# Runs a command with its output in a file, which is shown only if the command fails.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  "$@" </dev/null >"$log" 2>&1 || { tail -n 60 "$log" >&2 && fail "failed: $* (all of its output: $log)"; }
}

missing_packages() {
  has g++ || echo g++
  has make || echo make
  has cmake || echo cmake
  has python3 || echo python3
  has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

apt_install() {
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

cmake_is_old() {
  local version
  version=$(cmake --version | awk 'NR == 1 { print $3 }')
  [ "$(printf '%s\n' "$cmake_needed" "$version" | sort -V | head -n 1)" != "$cmake_needed" ]
}

# prepare_python VENV PACKAGE...
# Wheels only: NumPy's come with OpenBLAS, a build from source might take the reference BLAS, many times slower.
prepare_python() {
  local venv=$1 missing
  shift
  local packages=("$@")
  missing=$(missing_packages | xargs)
  if [ -n "$missing" ]; then
    has apt-get || fail "missing, and there is no apt to install it: $missing"
    [ "$(id -u)" = 0 ] || fail "missing; as root: apt-get install $missing"
    say "installing $missing"
    quietly build/demo-apt.log apt_install $missing
  fi
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "needs Python 3.10 or newer: $(python3 --version)"
  ! cmake_is_old || packages+=(cmake)
  if [ "$(cat "$venv/installed" 2>/dev/null)" != "${packages[*]}" ]; then
    say "installing ${packages[*]} below $venv"
    rm -rf "$venv"
    quietly build/demo-venv.log python3 -m venv "$venv"
    quietly build/demo-venv.log "$venv/bin/python" -m pip install --only-binary :all: "${packages[@]}"
    echo "${packages[*]}" >"$venv/installed"
  fi
  ! cmake_is_old || PATH="$PWD/$venv/bin:$PATH"
}

# build_library FOLDER; Python finds it afterwards.
build_library() {
  say "building the library (CPU backend) in $1"
  quietly build/demo-configure.log cmake -S . -B "$1" -DCMAKE_BUILD_TYPE=Release -DLAYERWISE_CUDA=OFF -DLAYERWISE_TESTS=OFF
  quietly build/demo-build.log cmake --build "$1" --parallel "$(nproc)" --target layerwise
  export LAYERWISE_LIBRARY="$PWD/$1"
}
export PYTHONPATH="$PWD/bindings/python${PYTHONPATH:+:$PYTHONPATH}"
