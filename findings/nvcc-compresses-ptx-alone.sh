#!/usr/bin/env bash
# nvcc 13.0 compresses PTX and leaves machine code as it is, in every mode of --compress-mode but one.
#
# One would guess that `--compress-mode=balance` and `speed` differ from `none` for a library of machine code, and that
# the default compresses it. Seen with nvcc 13.0.88 on x86-64 Linux, 64 small kernels: an object with code for sm_80 and
# sm_90 and no PTX has the same 537 kB with none, balance, speed and the default; size makes it 175 kB, and the
# older `-Xfatbin=-compress-all` 177 kB. An object with PTX alone is compressed in all modes but none.
# Who ships code for many GPUs and no more than one PTX gains a factor of three, or more, by one option.
#
# Needs g++, python3 with venv, and a package index. Exits 1 where nvcc does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/python -m pip install -q --target toolkit nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 \
  nvidia-cuda-crt==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85
nvcc=toolkit/nvidia/cu13/bin/nvcc
"$nvcc" --version | tail -n 2

# Some straight-line code, different in each instantiation, as a library of templates has it.
cat >kernels.cu <<'CODE'
template <int kCase>
__global__ void polynomial(float* out, const float* in, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float x = in[i], sum = kCase;
#pragma unroll
  for (int power = 0; power < 64; ++power) sum = sum * x + (power * 31 + kCase) % 17;
  out[i] = sum;
}
template <int kCase>
void launch_all(float* out, const float* in, int count) {
  polynomial<kCase><<<1, 128>>>(out, in, count);
  if constexpr (kCase > 0) launch_all<kCase - 1>(out, in, count);
}
void launch(float* out, const float* in, int count) { launch_all<63>(out, in, count); }
CODE

machine_code=(-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90)
ptx=(-gencode arch=compute_90,code=compute_90)

size_with() { # OPTION...: bytes of the object
  "$nvcc" -std=c++17 "$@" -c kernels.cu -o kernels.o
  stat -c %s kernels.o
}

declare -A code_size ptx_size
for mode in none balance speed default size; do
  code_size[$mode]=$(size_with "--compress-mode=$mode" "${machine_code[@]}")
  ptx_size[$mode]=$(size_with "--compress-mode=$mode" "${ptx[@]}")
  printf '%-8s machine code %8d bytes, PTX %8d bytes\n' "$mode" "${code_size[$mode]}" "${ptx_size[$mode]}"
done
older=$(size_with -Xfatbin=-compress-all "${machine_code[@]}")
printf '%-8s machine code %8d bytes\n' "-Xfatbin=-compress-all" "$older"

expect() { # WHAT TEST...
  local what=$1
  shift
  if "$@"; then echo "as found: $what"; else echo "OTHERWISE: $what" && exit 1; fi
}
for mode in balance speed default; do
  expect "$mode leaves machine code as it is" [ "${code_size[$mode]}" = "${code_size[none]}" ]
  expect "$mode compresses PTX" [ $((10 * ptx_size[$mode])) -lt $((7 * ptx_size[none])) ]
done
expect "size compresses machine code to less than half" [ $((2 * code_size[size])) -lt "${code_size[none]}" ]
expect "-compress-all does, too" [ $((2 * older)) -lt "${code_size[none]}" ]
