"""What is timed in PyTorch: optimizers over a model's parameters, and whether those that claim one formula agree."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
from agreement import disagreement
from program import imported, need

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
NOVOGRAD, LARC, ADAM = 5, 5, 7  # values of a parameter read and written once: weights, gradient and moments


def parameters(shapes, device, dtype, seed=0):
    """With gradients, all random."""
    random = torch.Generator(device).manual_seed(seed)
    made = []
    for shape in shapes:
        values = torch.empty(shape, dtype=dtype, device=device).normal_(0, 0.05, generator=random)
        parameter = torch.nn.Parameter(values)
        parameter.grad = torch.empty_like(parameter).normal_(0, 0.01, generator=random)
        made.append(parameter)
    return made


def novograd(made, **options):
    return imported("layerwise.torch").NovoGrad(made, 0.01, first_moment_dtype=_moment(made), **options)


def larc_sgd(made, **options):
    ours = imported("layerwise.torch")
    return ours.LARCSGD(made, 0.1, weight_decay=1e-4, first_moment_dtype=_moment(made), **options)


def nv_novograd(made):
    return _timms_class()(made, 0.01, betas=(0.95, 0.98), weight_decay=0.001)


def _timms_class():
    """From its own files, because the import of the package needs torchvision."""
    need("timm")
    folder = Path(importlib.util.find_spec("timm").origin).parent / "optim"
    package = ModuleType("timm_optim")
    package.__path__ = [str(folder)]
    sys.modules["timm_optim"] = package
    return imported("timm_optim.nvnovograd").NvNovoGrad


def _moment(made):
    """As wide as the parameters, which is what PyTorch's own optimizers keep."""
    return "bfloat16" if made[0].dtype is torch.bfloat16 else "float32"


def disagree(one, other, device, steps=5):
    """Where the optimizers that `one` and `other` make move the same small model apart; in words, or empty."""
    ends = []
    for make in (one, other):
        model = parameters([(7,), (64, 33), (9000,)], device, torch.float32)
        begin, optimizer = _on_the_host(model), make(model)
        for _ in range(steps):
            optimizer.step()
        ends.append(_on_the_host(model))
    return disagreement(begin, *ends, steps)


def _on_the_host(model):
    return [parameter.detach().cpu().numpy().copy() for parameter in model]
