"""layerwise: layer-wise optimizers, NovoGrad and LARC, over one packed buffer.

    import numpy as np, layerwise

    plan = layerwise.Plan([2, 3])                       # two layers, of 2 and 3 elements
    weights = np.array([1, 2, 3, 4, 5], np.float32)
    grads = np.array([.1, .2, .3, .4, .5], np.float32)
    first_moment, second_moment = np.zeros(5, np.float32), np.zeros(2, np.float32)
    plan.novograd_step(weights, grads, first_moment, second_moment, lr=0.01)

The arrays stay yours and are changed in place. The shared library is looked for at the first use: the environment
variable LAYERWISE_LIBRARY, inside the package, in the build tree of a source checkout, then the system's loader.

`layerwise.torch` has the optimizers for PyTorch; nothing here imports it.
"""

from ._abi import STAT_COUNT, Stat
from ._arrays import Bfloat16, bfloat16
from ._errors import (
                      AbiMismatchError,
                      ArgumentError,
                      BackendError,
                      CudaError,
                      DtypeError,
                      Error,
                      LayoutError,
                      LibraryError,
                      LibraryNotFoundError,
                      OutOfMemoryError,
)
from ._fan_in import fan_in_lr_multipliers
from ._library import build_info, library_path, numerics_version, version
from ._openseq2seq import from_openseq2seq
from ._openseq2seq_scaler import scaler_from_openseq2seq
from ._openseq2seq_schedule import openseq2seq_schedule, schedule_from_openseq2seq
from ._plan import Plan
from ._version import VERSION as __version__

__all__ = [
                      "STAT_COUNT",
                      "AbiMismatchError",
                      "ArgumentError",
                      "BackendError",
                      "Bfloat16",
                      "CudaError",
                      "DtypeError",
                      "Error",
                      "LayoutError",
                      "LibraryError",
                      "LibraryNotFoundError",
                      "OutOfMemoryError",
                      "Plan",
                      "Stat",
                      "__version__",
                      "bfloat16",
                      "build_info",
                      "fan_in_lr_multipliers",
                      "from_openseq2seq",
                      "library_path",
                      "numerics_version",
                      "openseq2seq_schedule",
                      "scaler_from_openseq2seq",
                      "schedule_from_openseq2seq",
                      "version",
]
