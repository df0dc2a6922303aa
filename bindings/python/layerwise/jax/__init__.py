"""NovoGrad and LARC for JAX, as optax's gradient transformations, inside jax.jit, on CPU and CUDA.

    import functools, jax
    import layerwise.jax

    optimizer = layerwise.jax.novograd(0.01)
    state = optimizer.init(params)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params, state, batch):
        grads = jax.grad(loss)(params, batch)
        return optimizer.step(params, grads, state)            # or optax's update and apply_updates

Every leaf of the parameter tree that has a gradient is a layer. The steps call the C library through jax.ffi; their
handlers are in the package, or are compiled when the first optimizer is made, against the installed jaxlib's headers.
"""

try:
    import jax.ffi as _ffi
except ImportError as problem:
    raise ImportError("layerwise.jax needs JAX with jax.ffi: pip install jax (0.6.2 or later)") from problem

from ._larc import LarcSgdState, LarcState, larc, larc_sgd
from ._like import like
from ._novograd import NovogradState, novograd, novograd_state_by_leaf
from ._transformation import Transformation

__all__ = ["LarcSgdState", "LarcState", "NovogradState", "Transformation", "larc", "larc_sgd", "like",
           "novograd", "novograd_state_by_leaf"]

del _ffi
