"""Messages name what the caller wrote, in Python's words, and what to write instead.

The texts of the rules are the C library's; who calls it from Python wrote no step_ptr, no NULL and no LAYERWISE_
constant. What each call has to say follows from its own arguments.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest

import layerwise
from layerwise._words import in_python

F32 = np.float32
C_WORDS = re.compile(r"\bNULL\b|_ptr\b|\bLAYERWISE_(?!CUDA=|ERROR_)[A-Z]+|layerwise_[a-z]+")


def step(plan: layerwise.Plan, **changes: Any) -> None:
    arguments: dict[str, Any] = {"weights": np.ones(5, F32), "grads": np.ones(5, F32), "first_moment": np.zeros(5, F32),
                                 "second_moment": np.zeros(2, F32), "lr": 0.1}
    plan.novograd_step(**{**arguments, **changes})


def said(call: Any) -> str:
    with pytest.raises((layerwise.Error, TypeError)) as caught:
        call()
    text = str(caught.value).split(" [LAYERWISE_ERROR_")[0]
    assert not C_WORDS.search(text), text
    return text


@pytest.mark.skipif("\n  device " in layerwise.build_info(), reason="a CUDA device is here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", 0])
def test_a_device_is_named_as_it_was_written(device: Any) -> None:
    text = said(lambda: layerwise.Plan([2, 3], device=device))
    assert text.startswith(f"Plan: device is {device!r}; ")
    if "CUDA backend: not built" in layerwise.build_info():
        assert text.endswith("it must be 'cpu'") and "LAYERWISE_CUDA=ON pip install" in text


@pytest.mark.parametrize(("options", "expected"), [
    ({"bias_correction": True}, "step is not given; bias_correction needs step: 1 in the first call"),
    ({"advance_step": True, "step": 1}, "advance_step is True; it needs step as an int64 array"),
    ({"amsgrad": True}, "max_second_moment is None; amsgrad needs it"),
    ({"lr_in_momentum": True, "decoupled_weight_decay": True},
     "lr_in_momentum is True beside decoupled_weight_decay 'raw'"),
    ({"larc": {"max_update": 0.5}}, "max_update is 0.5; it needs mode 'scale'"),
    ({"larc": {}, "norm": "inf"}, "norm is 'inf'; after LARC it must be 'l2'"),
])
def test_options_are_named_as_they_were_written(options: Any, expected: str) -> None:
    with layerwise.Plan([2, 3]) as plan:
        assert expected in said(lambda: step(plan, **options))


def test_every_option_of_larc_may_stand_before_novograd() -> None:
    """As the docstring says; max_update, zero_grad_norm and weight_norm_threshold were refused by name."""
    with layerwise.Plan([2, 3]) as plan:
        step(plan, larc={"eta": 0.1, "eps": 1e-9, "min_update": 0.0, "max_update": 0.5, "mode": "scale",
                         "zero_norm": "unit", "zero_grad_norm": "formula", "weight_norm_threshold": 0.01})


@pytest.mark.parametrize(("buffer", "dtype", "remedies"), [
    ("weights", np.float64, ["weights = weights.astype(np.float32)"]),
    ("grads", np.float16, ["grads = grads.astype(np.float32)", 'make the plan with grads_dtype="float16"']),
    ("second_moment", np.float64, ["second_moment = ", 'second_moment_dtype="float64"']),
    ("layer_stats", np.float32, ["layer_stats.astype(np.float64)"]),
])
def test_a_dtype_that_does_not_fit_comes_with_what_to_write(buffer: str, dtype: Any, remedies: list[str]) -> None:
    length = {"second_moment": 2, "layer_stats": 12}.get(buffer, 5)
    with layerwise.Plan([2, 3]) as plan:
        text = said(lambda: step(plan, **{buffer: np.zeros(length, dtype)}))
    assert all(remedy in text for remedy in remedies), text


def test_arrays_and_lists_are_told_apart_with_the_layout_to_ask_for() -> None:
    layers = [np.ones(2, F32), np.ones(3, F32)]
    with layerwise.Plan([2, 3]) as plan:
        assert 'layout="scattered"' in said(lambda: step(plan, weights=layers))
    with layerwise.Plan([2, 3], layout="scattered") as plan:
        assert 'layout="packed"' in said(lambda: step(plan))


@pytest.mark.parametrize("buffer", ["weights", "grads", "first_moment"])
def test_a_longer_buffer_is_refused_where_no_offsets_were_given(buffer: str) -> None:
    """Without offsets the layers fill a buffer: a longer one is another model's, and its tail would not be trained."""
    with layerwise.Plan([2, 3]) as plan:
        assert f"{buffer} has 6 elements: it must have exactly 5" in said(
            lambda: step(plan, **{buffer: np.ones(6, F32)}))
    with layerwise.Plan([2, 3], offsets=[0, 2]) as plan:
        step(plan, **{buffer: np.ones(6, F32)})


def test_messages_that_take_cuda_or_a_failure_are_put_into_pythons_words_too() -> None:
    for message, expected in [
        ("larc_scale: fold_weight_decay is LAYERWISE_FOLD_DECOUPLED (4); it needs sgd", "larc_scale: fold_weight_decay "
                                                                                     "is 'decoupled'; it needs sgd"),
        ("novograd_step: rounding is 1 (stochastic) beside a first moment of float32; it must be bfloat16",
         "novograd_step: rounding is 'stochastic' beside a first moment of float32; it must be bfloat16"),
        ("layerwise_plan_create: path is 2 beside device LAYERWISE_DEVICE_CPU; it must be 0",
         "Plan: path is 'one_pass' beside device 'cpu'; it must be 0"),
        ("novograd_step: an earlier step of this plan failed on its way; layerwise_plan_reset makes it usable",
         "novograd_step: an earlier step of this plan failed on its way; reset() makes it usable"),
        ("novograd_step: weights is 0x7f; it must be aligned to 4 bytes",) * 2,
    ]:
        assert in_python(message) == expected


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
class TestTorch:
    def test_a_tensor_is_converted_by_its_own_method(self) -> None:
        import torch

        with layerwise.Plan([2, 3]) as plan:
            assert "weights = weights.to(torch.float32)" in said(
                lambda: step(plan, weights=torch.ones(5, dtype=torch.float64)))

    def test_a_parameter_without_a_name_is_named_by_its_place(self) -> None:
        import torch

        import layerwise.torch

        model = torch.nn.Linear(2, 2).double()
        model(torch.ones(1, 2).double()).sum().backward()
        text = said(layerwise.torch.NovoGrad(model.parameters(), lr=0.1).step)
        assert text.startswith("param_groups[0]['params'][0] is torch.float64") and "model.float()" in text
        text = said(layerwise.torch.NovoGrad(model.named_parameters(), lr=0.1).step)
        assert text.startswith("weight is torch.float64")

    @pytest.mark.parametrize(("name", "options", "expected"), [
        ("NovoGrad", {"betas": (1.0, 0.9)}, "NovoGrad: betas[0] is 1;"),
        ("LARCSGD", {"trust_coefficient": -1.0}, "LARCSGD: trust_coefficient is -1;"),
        ("LARCSGD", {"max_update": 2.0}, "it needs clip=False"),
    ])
    def test_options_have_their_names_in_torch(self, name: str, options: Any, expected: str) -> None:
        import torch

        import layerwise.torch

        parameters = [torch.nn.Parameter(torch.ones(2))]
        assert expected in said(lambda: getattr(layerwise.torch, name)(parameters, lr=0.1, **options))


    @pytest.mark.parametrize(("peer", "arguments", "expected"), [
        ("timm.optim.Lars", {"lr": 0.1, "trust_coeff": -1.0}, "timm.optim.Lars: trust_coeff is -1;"),
        ("optax.novograd", {"learning_rate": 0.1, "b1": 1.5}, "optax.novograd: b1 is 1.5;"),
    ])
    def test_options_have_their_names_in_anyones_place(self, peer: str, arguments: Any, expected: str) -> None:
        import torch

        import layerwise.torch

        parameters = [torch.nn.Parameter(torch.ones(2))]
        assert expected in said(lambda: layerwise.torch.like(peer, parameters, **arguments))


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_options_have_their_names_in_jax() -> None:
    import layerwise.jax

    assert said(lambda: layerwise.jax.novograd(-0.1)).startswith("novograd: learning_rate is -0.1;")
    assert "momentum_dtype is float64" in said(lambda: layerwise.jax.larc_sgd(0.1, momentum_dtype="float64"))
