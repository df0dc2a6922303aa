"""What is timed in PyTorch: optimizers over a model's parameters, and whether those that claim one formula agree."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch
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


def disagreement(one, other, device, steps=5):
    """Where two optimizers move the same small model apart by more than roundings; `one` and `other` make them.

    The bound: a norm's sum in float32 is off by less than 1e-6 of itself, a moment rounds a few times a step, and a
    step rounds a weight once, one unit in the last place apart at most.
    """
    models = [parameters([(7,), (64, 33), (9000,)], device, torch.float32) for _ in range(2)]
    begin = [parameter.detach().clone() for parameter in models[0]]
    for make, model in zip((one, other), models):
        optimizer = make(model)
        for _ in range(steps):
            optimizer.step()
    for layer, (before, *after) in enumerate(zip(begin, *models)):
        first, second = (parameter.detach().double() for parameter in after)
        moved, apart = (first - before).abs().max().item(), (first - second).abs().max().item()
        if not 0 < moved or not apart <= 1e-5 * moved + steps * 2.0**-23 * first.abs().max().item():
            return f"layer {layer} moved by {moved:.3g}, and they differ by {apart:.3g}"
    return ""
