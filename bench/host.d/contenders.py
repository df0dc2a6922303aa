"""The optimizers that are timed, by name: each is made from parameters or groups of them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from layerwise.torch import LARC, LARCSGD, NovoGrad

Maker = Callable[[Any], Any]

OURS: dict[str, Maker] = {
    "NovoGrad": lambda params: NovoGrad(params, 1e-6),
    "LARCSGD": lambda params: LARCSGD(params, 1e-6),
    "LARC(SGD fused)": lambda params: LARC(torch.optim.SGD(params, 1e-6, momentum=0.9, fused=True)),
}
TORCHS: dict[str, Maker] = {
    "torch SGD fused": lambda params: torch.optim.SGD(params, 1e-6, momentum=0.9, fused=True),
    "torch SGD foreach": lambda params: torch.optim.SGD(params, 1e-6, momentum=0.9, foreach=True),
    "torch Adam fused": lambda params: torch.optim.Adam(params, 1e-6, fused=True),
}


def timms() -> dict[str, Maker]:
    """timm's, where it is installed."""
    spec = importlib.util.find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "optim"
    package = types.ModuleType("timm_optim")  # timm's own asks for torchvision
    package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "optim")]
    sys.modules[package.__name__] = package
    novograd, lars = (importlib.import_module(f"timm_optim.{name}") for name in ("nvnovograd", "lars"))
    return {
        "timm NvNovoGrad": lambda params: novograd.NvNovoGrad(params, 1e-6),
        # Without weight decay its layers have no rate of their own, and no norm is taken.
        "timm Lars": lambda params: lars.Lars(params, 1e-6, momentum=0.9, weight_decay=1e-4),
    }


def parameters(sizes: Sequence[int]) -> list[torch.nn.Parameter]:
    """With gradients, the same at every step."""
    made = [torch.nn.Parameter(torch.randn(size)) for size in sizes]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made
