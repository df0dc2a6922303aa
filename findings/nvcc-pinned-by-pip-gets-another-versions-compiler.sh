#!/usr/bin/env bash
# `pip install nvidia-cuda-nvcc==13.2.86` installs an nvcc that can compile no kernel.
#
# One would guess that a pin of nvcc pins the compiler. The package holds nvcc and ptxas; cicc, which makes PTX of C++, is
# in nvidia-nvvm, and nvcc asks for that, and for nvidia-cuda-crt, without a version. So the newest comes: seen with nvcc
# 13.2.86 beside nvvm 13.5.37, it writes PTX 9.5, and ptxas 13.2 stops: "Unsupported .version 9.5; current version is
# '9.2'". The same nvcc with nvvm and crt of 13.2 compiles. Who pins one of the three pins all three.
#
# Needs g++, python3 with venv, and a package index. Exits 1 where the packages do otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo '__global__ void one(float* p) { p[threadIdx.x] = 1; }' >kernel.cu
python3 -m venv venv
site=$(venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
nvcc=$site/nvidia/cu13/bin/nvcc

expect() { # WHAT TEST...
  local what=$1
  shift
  if "$@"; then echo "as found: $what"; else echo "OTHERWISE: $what" && exit 1; fi
}
compiles() { "$nvcc" -arch=sm_90 -c kernel.cu -o kernel.o 2>log; }
stops_at_the_version() { ! compiles && grep -q 'Unsupported .version' log; }
asks_without_a_version() {
  venv/bin/python -c "import importlib.metadata as m; assert 'nvidia-nvvm' in m.requires('nvidia-cuda-nvcc')"
}

venv/bin/python -m pip install -q nvidia-cuda-nvcc==13.2.86
venv/bin/python -m pip list 2>/dev/null | grep '^nvidia'
expect "nvcc 13.2.86 asks for nvidia-nvvm without a version" asks_without_a_version
expect "with the nvvm that pip then chooses, ptxas does not read the PTX" stops_at_the_version
venv/bin/python -m pip install -q nvidia-nvvm==13.2.86 nvidia-cuda-crt==13.2.86
expect "with nvvm and crt of the same version it compiles" compiles
