"""The shared vectors through torch tensors, one parameter a layer. Expectations and their bound: test_vectors.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch_models  # skips where PyTorch is missing
from test_vectors import LARC as LARC_FILES
from test_vectors import NOVOGRAD, assert_layers_close, larc_options, load, novograd_options
from torch_models import LARC, LARCSGD, NovoGrad

torch = torch_models.torch


def layers_of(values: Any, sizes: list[int]) -> list[Any]:
    return list(torch.tensor(values, dtype=torch.float32).split(sizes))


def parameters_of(case: dict[str, Any]) -> list[Any]:
    return [torch.nn.Parameter(part.clone()) for part in layers_of(case["initial_weights"], case["layer_sizes"])]


def set_gradients(parameters: list[Any], values: Any, sizes: list[int]) -> None:
    for parameter, grad in zip(parameters, layers_of(values, sizes), strict=True):
        parameter.grad = grad.clone()


def joined(tensors: Any) -> Any:
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).numpy()


@pytest.mark.parametrize("path", NOVOGRAD, ids=lambda path: path.stem)
def test_novograd_follows_the_other_implementation(path: Any) -> None:
    case = load(path)
    sizes, steps, options = case["layer_sizes"], case["steps"], novograd_options(case["hyper_parameters"])
    betas = (options.pop("beta1"), options.pop("beta2"))
    parameters = parameters_of(case)
    optimizer = NovoGrad(parameters, betas=betas, **options)
    for grads in case["gradients"]:
        set_gradients(parameters, grads, sizes)
        optimizer.step()
    start = np.array(case["initial_weights"])
    assert_layers_close(joined(parameters), case["expected_weights"], start, sizes, steps, "weights")
    states = [optimizer.state[parameter] for parameter in parameters]
    assert_layers_close(joined(state["first_moment"] for state in states), case["expected_first_moment"], 0 * start,
                        sizes, steps, "first_moment")
    assert all(state["step"] == steps for state in states)


@pytest.mark.parametrize("path", LARC_FILES, ids=lambda path: path.stem)
def test_larc_around_sgd_and_larcsgd_follow_the_other_implementation(path: Any) -> None:
    case = load(path)
    sizes, steps, options = case["layer_sizes"], case["steps"], larc_options(case["hyper_parameters"])
    options |= {"trust_coefficient": options.pop("eta"), "clip": options.pop("mode") == "clip"}
    lr, decay, momentum = options.pop("lr"), options.pop("weight_decay"), case["hyper_parameters"].get("momentum", 0.0)
    wrapped, fused = parameters_of(case), parameters_of(case)
    around = LARC(torch.optim.SGD(wrapped, lr, momentum, weight_decay=decay), **options)
    single = LARCSGD(fused, lr, momentum, weight_decay=decay, **options)
    start = np.array(case["initial_weights"])
    for step in range(steps):
        for parameters, optimizer in ((wrapped, around), (fused, single)):
            set_gradients(parameters, case["gradients"][step], sizes)
            optimizer.step()
        assert_layers_close(joined(p.grad for p in wrapped), case["expected_scaled_gradients"][step], 0 * start, sizes,
                            steps, "scaled")
        for optimizer in (around, single):
            factors = [row.factor for row in optimizer.layer_stats().values()]
            if "expected_factors" in case:
                np.testing.assert_allclose(factors, case["expected_factors"][step], rtol=8 * steps * 2.0**-24)
    for parameters in (wrapped, fused):
        assert_layers_close(joined(parameters), case["expected_weights"], start, sizes, steps, "weights")
