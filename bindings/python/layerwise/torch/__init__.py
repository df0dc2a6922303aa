"""layerwise for PyTorch: NovoGrad, LARC and LARCSGD as torch.optim.Optimizer.

    import torch, layerwise.torch

    model = torch.nn.Linear(10, 2)
    optimizer = layerwise.torch.NovoGrad(model.named_parameters(), lr=0.01)
    model(torch.ones(4, 10)).square().mean().backward()
    optimizer.step()

Every parameter tensor is a layer of its own. Parameters stay where they are; CPU and CUDA; torch.compile and captured
CUDA graphs go through the operators in torch.ops.layerwise.
"""

try:
    import torch
except ImportError as problem:
    raise ImportError("layerwise.torch needs PyTorch, which is not installed: pip install torch") from problem
if torch.__version__ < "2.6":  # whose optimizers take no named_parameters, and custom_op no annotations of ours
    raise ImportError(f"layerwise.torch needs PyTorch 2.6 or newer: this is {torch.__version__}")

from . import engines, pieces
from ._checkpoints import apex_state_dict, load_apex_state_dict, load_timm_state_dict, timm_state_dict
from ._filters import is_bias_or_norm, is_weight
from ._larc import LARC
from ._larc_sgd import LARCSGD
from ._like import like, peers
from ._novograd import NovoGrad
from ._stats import LayerStats, write_summaries
from ._tensorflow import TensorFlowState, state_from_openseq2seq

__all__ = [
    "LARC",
    "LARCSGD",
    "LayerStats",
    "NovoGrad",
    "TensorFlowState",
    "apex_state_dict",
    "engines",
    "is_bias_or_norm",
    "is_weight",
    "like",
    "load_apex_state_dict",
    "load_timm_state_dict",
    "peers",
    "pieces",
    "state_from_openseq2seq",
    "timm_state_dict",
    "write_summaries",
]
