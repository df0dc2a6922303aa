"""Bad arguments: an exception that names the argument, what was received and the rule; and no byte written.

The rules are those of layerwise.h and of the docstrings of layerwise.Plan.
"""

from __future__ import annotations

import platform
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import make_model

import layerwise
from layerwise import ArgumentError, DtypeError, LayoutError

SIZES = [3, 4]


@pytest.fixture
def plan() -> Any:
    with layerwise.Plan(SIZES) as plan:
        yield plan


def step(plan: layerwise.Plan, **changes: Any) -> None:
    model = make_model(SIZES)
    before = {name: getattr(model, name).copy() for name in ("weights", "grads", "first_moment", "second_moment")}
    arguments = {"weights": model.weights, "grads": model.grads, "first_moment": model.first_moment,
                 "second_moment": model.second_moment, "lr": 0.1, **changes}
    try:
        plan.novograd_step(**arguments)
    finally:
        for name, array in before.items():
            assert (getattr(model, name) == array).all(), f"{name} was written by a call that was refused"


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


F32, F64, I64 = np.float32, np.float64, np.int64

BUFFERS = [
    ("grads", None, ArgumentError, "grads is None"),
    ("weights", [1.0] * 7, TypeError, "weights is a list: this plan takes one array of all layers"),
    ("weights", np.zeros(7, F64), DtypeError, "weights has dtype float64: it must be float32"),
    ("grads", np.zeros(7, np.uint16), DtypeError, "grads has dtype uint16: it must be float32"),
    ("grads", np.zeros(7, ">f4"), DtypeError, "grads has dtype >f4"),
    ("grads", layerwise.bfloat16(np.zeros(7, np.uint16)), DtypeError, "grads has dtype bfloat16"),
    ("weights", np.zeros(6, F32), ArgumentError, "weights has 6 elements: it must have exactly 7"),
    ("weights", np.zeros(14, F32)[::2], ArgumentError, "weights is not C-contiguous"),
    ("grads", np.zeros((4, 4), F32).T[:2], ArgumentError, "grads is not C-contiguous"),
    ("weights", read_only(np.zeros(7, F32)), ArgumentError, "weights is read-only"),
    ("first_moment", read_only(np.zeros(7, F32)), ArgumentError, "first_moment is read-only"),
    ("second_moment", np.zeros(3, F32), ArgumentError, "second_moment has 3 elements: it must have exactly 2"),
    ("second_moment", np.zeros(2, F64), DtypeError, "second_moment has dtype float64"),
    ("max_second_moment", np.zeros(2, F32), ArgumentError, "max_second_moment"),
    ("weights_extra", np.zeros(7, np.float16), ArgumentError, "weights_extra is given"),
    ("layer_mask", np.ones(3, np.uint8), ArgumentError, "layer_mask has 3 elements"),
    ("layer_mask", np.ones(2, I64), DtypeError, "layer_mask has dtype int64"),
    ("layer_stats", np.zeros((2, 5)), ArgumentError, "layer_stats has 10 elements: it must have exactly 12"),
]


@pytest.mark.parametrize(("name", "value", "kind", "text"), BUFFERS, ids=[f"{b[0]}: {b[3][:40]}" for b in BUFFERS])
def test_a_buffer_that_breaks_a_rule_is_refused(plan: Any, name: str, value: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        step(plan, **{name: value})
    assert text in str(caught.value)


OPTIONS = [
    ({"lr": -1.0}, ValueError, "lr is -1"),
    ({"lr": float("nan")}, ValueError, "lr is nan"),
    ({"lr": "0.1"}, TypeError, "lr is '0.1': it must be a number"),
    ({"lr": np.array(0.1)}, DtypeError, "lr has dtype float64: it must be float32"),
    ({"lr": np.zeros(2, F32)}, ArgumentError, "lr has 2 elements: it must have exactly 1"),
    ({"beta1": 1.0}, ValueError, "beta1 is 1"),
    ({"beta2": np.zeros(1)}, TypeError, "beta2 is array([0.]): it must be a number"),
    ({"eps": -1e-8}, ValueError, "eps is -1e-08"),
    ({"grad_scale": 0.0}, ValueError, "grad_scale is 0"),
    ({"norm": "l3"}, ValueError, "norm is 'l3': it must be one of 'l2', 'inf'"),
    ({"amsgrad": "no"}, TypeError, "amsgrad is 'no': it must be True or False"),
    ({"amsgrad": True}, ValueError, "max_second_moment"),
    ({"bias_correction": True}, ValueError, "step"),
    ({"step": 1.5}, TypeError, "step is 1.5: it must be an integer"),
    ({"step": 2**64 + 1}, ValueError, "it must fit 64 bits"),
    ({"step": np.zeros(1, F32)}, DtypeError, "step has dtype float32: it must be int64"),
    ({"step": read_only(np.zeros(1, I64)), "advance_step": True}, ValueError, "step is read-only"),
    ({"step": 1, "advance_step": True}, ValueError, "advance_step"),
    ({"found_inf": True}, TypeError, "found_inf is True: it must be an array"),
    ({"nonfinite_layers": read_only(np.zeros(1, I64))}, ValueError, "nonfinite_layers is read-only"),
    ({"lr_in_momentum": True, "decoupled_weight_decay": True}, ValueError, "exclude each other"),
    ({"momentum": 0.9}, TypeError, "momentum"),
]


@pytest.mark.parametrize(("options", "kind", "text"), OPTIONS, ids=[o[2][:50] for o in OPTIONS])
def test_an_option_that_breaks_a_rule_is_refused(plan: Any, options: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        step(plan, **options)
    assert text in str(caught.value)


def test_buffers_that_overlap_are_refused(plan: Any) -> None:
    shared = np.ones(7, F32)
    with pytest.raises(ArgumentError) as caught:
        step(plan, weights=shared, grads=shared)
    assert caught.value.status == 107 and caught.value.status_name == "LAYERWISE_ERROR_ALIASED"


def test_an_array_at_an_odd_address_is_refused(plan: Any) -> None:
    odd = np.zeros(7 * 4 + 1, np.uint8)[1:].view(F32)
    with pytest.raises(ArgumentError, match="must be aligned"):
        step(plan, weights=odd)


PLANS = [
    ({"sizes": [1, -2]}, LayoutError, "size"),
    ({"sizes": [1.5]}, TypeError, "sizes holds float64: it must hold integers"),
    ({"sizes": 3}, TypeError, "sizes is 3: it must be a sequence of one integer a layer"),
    ({"sizes": [(3, 4), (4,)]}, TypeError, "sizes is [(3, 4), (4,)]: it must be a sequence of one integer a layer"),
    ({"sizes": [2**64]}, LayoutError, "does not fit 64 bits"),
    ({"sizes": np.array([2**63], np.uint64)}, LayoutError, "does not fit 64 bits"),
    ({"sizes": [[1, 2]]}, ArgumentError, "sizes has shape (1, 2)"),
    ({"sizes": [2**62, 2**62, 2**62]}, LayoutError, "LAYER_OVERFLOW"),
    ({"sizes": [4, 4], "offsets": [0, 3]}, LayoutError, "LAYER_OVERLAP"),
    ({"sizes": [4, 4], "offsets": [0]}, ArgumentError, "offsets has 1 values: it must have 2"),
    ({"sizes": [4], "weights_dtype": "float8"}, DtypeError, "weights_dtype is 'float8': it must be one of 'float32'"),
    ({"sizes": [4], "weights_dtype": "float64"}, DtypeError, "weights_dtype"),
    ({"sizes": [4], "weights_dtype": None}, DtypeError, "weights_dtype is None"),
    ({"sizes": [4], "layout": "sparse"}, ValueError, "layout is 'sparse': it must be one of 'packed', 'scattered'"),
    ({"sizes": [4], "isa": "avx2" if platform.machine() == "aarch64" else "neon"}, layerwise.BackendError, "ISA"),
    ({"sizes": [4], "device": "gpu"}, ValueError, "device is 'gpu'"),
    ({"sizes": [4], "threads": -1}, ValueError, "threads"),
    ({"sizes": [4], "threads": 2**40}, ValueError, "threads is 1099511627776: it must fit 32 bits"),
]


@pytest.mark.parametrize(("arguments", "kind", "text"), PLANS, ids=[str(p[0])[:50] for p in PLANS])
def test_a_plan_that_breaks_a_rule_is_refused(arguments: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        layerwise.Plan(**arguments)
    assert text in str(caught.value)


@pytest.mark.parametrize(("values", "kind", "text"), [
    ({"lr_mult": [1]}, ArgumentError, "lr_mult has shape (1,): it must be (2,)"),
    ({"lr_mult": [1, -1]}, ArgumentError, "lr_mult"),
    ({"wd_mult": ["a", "b"]}, TypeError, "wd_mult holds"),
    ({"wd_mult": [[1, 2], [3]]}, TypeError, "it must hold one number a layer"),
    ({"skip_larc": [0, 2]}, ArgumentError, "skip_larc must hold only 0 and 1"),
])
def test_per_layer_options_that_break_a_rule_are_refused(plan: Any, values: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        plan.set_layers(**values)
    assert text in str(caught.value)


def test_momentum_without_its_buffer_and_a_buffer_without_momentum_are_refused(plan: Any) -> None:
    model = make_model(SIZES)
    with pytest.raises(ArgumentError, match=r"momentum_buffer is None: momentum 0\.9 needs it"):
        plan.larc_sgd_step(model.weights, model.grads, None, lr=0.1)
    with pytest.raises(ArgumentError, match="momentum_buffer is given; where the option momentum is 0 it must be None"):
        plan.larc_sgd_step(model.weights, model.grads, model.first_moment, lr=0.1, momentum=0.0)


class TestScattered:
    @pytest.fixture
    def lists(self) -> SimpleNamespace:
        return SimpleNamespace(weights=[np.ones(size, F32) for size in SIZES],
                               grads=[np.ones(size, F32) for size in SIZES])

    @pytest.mark.parametrize(("change", "text"), [
        (lambda w: w.pop(), "weights has 1 arrays: it must have 2"),
        (lambda w: w.__setitem__(1, np.ones(3, F32)), r"weights\[1\] has 3 elements: it must have at least 4"),
        (lambda w: w.__setitem__(0, w[1]), r"weights\[1\] is the same memory as weights\[0\]"),
        (lambda w: w.__setitem__(0, None), r"weights\[0\] is None"),
    ])
    def test_a_list_that_breaks_a_rule_is_refused(self, lists: Any, change: Any, text: str) -> None:
        change(lists.weights)
        with layerwise.Plan(SIZES, layout="scattered") as plan, pytest.raises(ArgumentError, match=text):
            plan.larc_sgd_step(lists.weights, lists.grads, None, lr=0.1, momentum=0.0)
        assert all((array == 1).all() for array in lists.weights if array is not None)

    def test_a_packed_array_is_not_mistaken_for_a_table(self, lists: Any) -> None:
        with layerwise.Plan(SIZES, layout="scattered") as plan, pytest.raises(DtypeError, match="table of addresses"):
            plan.larc_scale(np.ones(7, F32), lists.grads, lr=0.1)


def test_only_uint16_can_be_declared_bfloat16() -> None:
    with pytest.raises(DtypeError, match="takes a uint16 array"):
        layerwise.bfloat16(np.zeros(3, F32))


def test_an_error_carries_status_and_name_and_survives_pickling() -> None:
    import pickle

    with pytest.raises(layerwise.Error) as caught:
        layerwise.Plan([4, 4], offsets=[0, 3])
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.status, again.status_name) == (202, "LAYERWISE_ERROR_LAYER_OVERLAP")
    assert isinstance(again, LayoutError) and str(again) == str(caught.value)
