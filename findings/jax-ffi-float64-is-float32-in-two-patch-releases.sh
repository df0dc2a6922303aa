#!/usr/bin/env bash
# A result that jax.ffi.ffi_call declares as float64 is one in JAX 0.8.1 and 0.9.1, and a float32 in 0.8.2 and 0.8.3.
#
# One would guess that a patch release keeps the type of a foreign function's results, or that x64 mode decides in all
# of them. Seen with jax_enable_x64 off: ffi_call with ShapeDtypeStruct((3,), float64) traces to float64[3] in 0.8.1 and
# 0.9.1, and to float32[3] in between, without a warning: a handler that checks its buffers refuses the call, which
# it took from the release before. An abstract array, jax.core.ShapedArray((3,), float64), is float64 in all of them.
# Nothing is run here: the types are those of the traced program.
#
# Needs python3 (3.11 to 3.13) with venv, and a package index. Exits 1 where JAX does otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >types.txt <<'CODE'
import jax, numpy as np

def traced(declared):
    call = jax.ffi.ffi_call("nothing", declared)
    return str(jax.eval_shape(lambda x: call(x), np.ones(3, np.float32)).dtype)

print(jax.__version__, traced(jax.ShapeDtypeStruct((3,), np.float64)),
      traced(jax.core.ShapedArray((3,), np.dtype(np.float64))))
CODE

wrong=0
for expected in "0.8.1 float64 float64" "0.8.2 float32 float64" "0.8.3 float32 float64" "0.9.1 float64 float64"; do
  version=${expected%% *}
  python3 -m venv "venv-$version"
  "venv-$version/bin/python" -m pip install -q "jax==$version"
  seen=$("venv-$version/bin/python" types.txt)
  echo "JAX, as ShapeDtypeStruct, as ShapedArray: $seen"
  [ "$seen" = "$expected" ] || wrong=1
done
exit "$wrong"
