"""Arrays that describe themselves by DLPack: PyTorch's and JAX's on the CPU, and stand-ins that claim to lie elsewhere.

The stand-ins build the capsules that dlpack.h 0.8 and 1.0 and the Python array API standard (`__dlpack__`) describe.
Bits are compared with those of NumPy arrays in the same plan.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from conftest import make_model, split
from test_cuda_arrays import DeviceArray, collected

import layerwise
from layerwise import ArgumentError, DtypeError, _dlpack
from layerwise._arrays import Rule, check_array

_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi))


class Exporter:
    """8 elements of float32 that claim to lie on a device; records the streams it was asked to be ready for."""

    def __init__(self, device: tuple[int, int] = (_dlpack.CUDA, 0), version: tuple[int, int] | None = (1, 0),
                 shape: tuple[int, ...] = (8,), strides: tuple[int, ...] | None = None, code: int = 2, bits: int = 32,
                 flags: int = 0, offset: int = 0):
        self.device, self.version, self.streams = device, version, []
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.strides = (ctypes.c_int64 * len(shape))(*strides) if strides else None
        tensor = _dlpack._Tensor(4096, *device, len(shape), code, bits, 1, self.shape, self.strides, offset)
        self.managed = (_dlpack._ManagedVersioned(*version, None, None, flags, tensor) if version
                        else _dlpack._Managed(tensor))

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: Any = None, **options: Any) -> Any:
        if options and not self.version:
            raise TypeError("unexpected keyword argument 'max_version'")
        self.streams.append(stream)
        return _new_capsule(ctypes.addressof(self.managed), b"dltensor_versioned" if self.version else b"dltensor",
                            None)


def rule(**changes: Any) -> Rule:
    return Rule(**{"name": "weights", "dtypes": ("float32",), "length": 8, "device": 0, "writable": True, **changes})


@pytest.mark.parametrize("version", [None, (1, 0), (1, 1)])
def test_capsules_of_either_kind_are_read(version: Any) -> None:
    seen = check_array(Exporter(version=version, shape=(2, 4), strides=(4, 1), offset=64), rule())
    assert (seen.address, seen.dtype, seen.length, seen.ordinal) == (4096 + 64, "float32", 8, 0)


@pytest.mark.parametrize(("array", "kind", "text"), [
    (Exporter(bits=64), DtypeError, "weights has dtype float64: it must be float32"),
    (Exporter(code=4, bits=16), DtypeError, "weights has dtype bfloat16"),
    (Exporter(shape=(4, 2), strides=(1, 4)), ArgumentError, "weights is not C-contiguous"),
    (Exporter(shape=(2, 3)), ArgumentError, "weights has 6 elements"),
    (Exporter(flags=1), ArgumentError, "weights is read-only"),
    (Exporter(flags=2), ArgumentError, "weights cannot be read through DLPack: it comes as a copy"),
    (Exporter(version=(2, 0)), ArgumentError, r"its DLPack version is 2.0"),
    (Exporter(device=(_dlpack.CUDA, 1)), ArgumentError, "weights lies on CUDA device 1"),
    (Exporter(device=(_dlpack.CPU, 0)), ArgumentError, "weights lies in host memory"),
    (Exporter(device=(10, 0)), ArgumentError, "weights lies on a device of DLPack's type 10"),
])
def test_a_capsule_that_breaks_a_rule_is_refused(array: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        check_array(array, rule())
    assert text in str(caught.value)


@pytest.mark.parametrize(("given", "asked"), [(None, 1), (0, 1), (77, 77)])
def test_an_array_is_asked_to_be_ready_for_the_stream_the_step_runs_on(given: Any, asked: int) -> None:
    """The standard: 1 is the legacy default stream, 0 is not allowed."""
    array, buffers = Exporter(), collected(stream=given)
    buffers.elements(array, "weights", "float32", True)
    assert array.streams == [asked] and buffers.stream() == given


def test_an_array_is_made_ready_again_when_another_array_brings_the_stream() -> None:
    array, buffers = Exporter(), collected()
    buffers.elements(array, "weights", "float32", True)
    buffers.elements(DeviceArray(stream=7), "grads", "float32", False)
    assert buffers.stream() == 7 and array.streams == [1, 7]


def test_host_memory_is_asked_for_without_a_stream() -> None:
    for kind in (_dlpack.CPU, _dlpack.CUDA_HOST):
        array = Exporter(device=(kind, 0))
        check_array(array, rule(device=-1))
        assert array.streams == [None]


def test_an_array_whose_cuda_array_interface_cannot_name_its_dtype_is_read_through_dlpack() -> None:
    class Torch(Exporter):
        @property
        def __cuda_array_interface__(self) -> Any:
            raise TypeError("bfloat16 is not supported")

    assert check_array(Torch(code=4, bits=16), rule(dtypes=("bfloat16",))).dtype == "bfloat16"


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed here")


@pytest.fixture
def jnp() -> Any:
    return pytest.importorskip("jax.numpy", reason="jax is not installed here")


def numpy_step(model: SimpleNamespace, **dtypes: Any) -> Any:
    weights, grads, moment = (getattr(model, name).astype(dtypes.get(name + "_dtype", np.float32))
                              for name in ("weights", "grads", "first_moment"))
    with layerwise.Plan(model.sizes, **dtypes) as plan:
        plan.novograd_step(weights, grads, moment, model.second_moment.copy(), lr=0.125)
    return weights


def test_torch_tensors_give_the_bits_of_numpy_arrays(torch: Any, model: SimpleNamespace) -> None:
    expected = numpy_step(model)
    weights = torch.nn.Parameter(torch.from_numpy(model.weights.copy()))  # autograd tracks it
    with layerwise.Plan(model.sizes) as plan:
        plan.novograd_step(weights, torch.from_numpy(model.grads), torch.zeros(len(expected)), torch.zeros(5),
                           lr=torch.tensor(0.125))
    assert weights.detach().numpy().tobytes() == expected.tobytes()


def test_scattered_torch_tensors_give_the_bits_of_a_packed_numpy_array(torch: Any, model: SimpleNamespace) -> None:
    parts = [[torch.from_numpy(part) for part in split(getattr(model, name), model.sizes)]
             for name in ("weights", "grads", "first_moment")]
    with layerwise.Plan(model.sizes, layout="scattered") as plan:
        plan.novograd_step(*parts, torch.zeros(5), lr=0.125)
    assert torch.cat(parts[0]).numpy().tobytes() == numpy_step(model).tobytes()


def test_torchs_bfloat16_is_taken_as_it_is(torch: Any, model: SimpleNamespace) -> None:
    dtypes = {"weights_dtype": ml_dtypes.bfloat16, "grads_dtype": ml_dtypes.bfloat16}
    weights, grads = (torch.from_numpy(a.astype(ml_dtypes.bfloat16).view(np.uint16).copy()).view(torch.bfloat16)
                      for a in (model.weights, model.grads))
    with layerwise.Plan(model.sizes, weights_dtype=torch.bfloat16, grads_dtype=torch.bfloat16) as plan:
        plan.novograd_step(weights, grads, torch.zeros(len(weights)), torch.zeros(5), lr=0.125)
    assert weights.view(torch.uint16).numpy().tobytes() == numpy_step(model, **dtypes).tobytes()


@pytest.mark.parametrize(("make", "kind", "text"), [
    (lambda torch: torch.zeros(7, dtype=torch.float64), DtypeError, "weights has dtype float64"),
    (lambda torch: torch.zeros(14)[::2], ArgumentError, "weights is not C-contiguous"),
    (lambda torch: torch.zeros(6), ArgumentError, "weights has 6 elements"),
    (lambda torch: torch.zeros(7, device="meta"), ArgumentError, "weights cannot be read through DLPack"),
    (lambda torch: torch.zeros(7).to_sparse(), ArgumentError, "weights cannot be read through DLPack"),
])
def test_a_tensor_that_breaks_a_rule_is_refused(torch: Any, make: Any, kind: Any, text: str) -> None:
    with layerwise.Plan([3, 4]) as plan, pytest.raises(kind) as caught:
        plan.larc_sgd_step(make(torch), np.zeros(7, np.float32), None, lr=0.1, momentum=0.0)
    assert text in str(caught.value)


def test_jax_arrays_are_read_when_they_are_ready_and_never_written(jnp: Any) -> None:
    size = 1 << 20
    model = make_model([size])
    grads = jnp.sin(jnp.asarray(model.grads))  # computed in the background
    weights, moment, second = model.weights.copy(), np.zeros(size, np.float32), np.zeros(1, np.float32)
    with layerwise.Plan([size]) as plan:
        plan.novograd_step(weights, grads, moment, second, lr=jnp.float32(0.125))
        model.grads = np.asarray(grads)
        assert weights.tobytes() == numpy_step(model).tobytes()
        for name, value in (("weights", jnp.zeros(size)), ("second_moment", jnp.zeros(1))):
            arguments = {"weights": weights, "second_moment": second, name: value}
            with pytest.raises(ArgumentError, match=f"{name} is read-only: this call writes it; JAX arrays are immu"):
                plan.novograd_step(grads=grads, first_moment=moment, lr=0.1, **arguments)


def test_a_traced_jax_array_points_to_the_functional_form(jnp: Any) -> None:
    jax = pytest.importorskip("jax")
    with layerwise.Plan([8]) as plan, pytest.raises(ArgumentError, match=r"inside jax\.jit use layerwise\.jax"):
        jax.jit(lambda grads: plan.larc_scale(np.zeros(8, np.float32), grads, lr=0.1))(jnp.zeros(8))


@pytest.mark.parametrize("name", ["weights", "grads", "first_moment", "second_moment", "lr", "layer_mask"])
def test_what_torch_negates_when_it_is_read_is_refused(name: str) -> None:
    """A capsule holds the memory and says nothing of the sign: the weights would walk uphill."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    arguments = {"weights": torch.ones(2), "grads": torch.ones(2), "first_moment": torch.zeros(2),
                 "second_moment": torch.zeros(1), "lr": torch.tensor([0.5])}
    arguments[name] = torch._neg_view(torch.ones(1 if name in ("second_moment", "lr", "layer_mask") else 2))
    before = {key: value.clone() for key, value in arguments.items()}
    for plan in (layerwise.Plan([2]), layerwise.Plan([2], layout="scattered")):
        given = arguments
        if plan.layout == "scattered":
            given = {key: [value] if key in ("weights", "grads", "first_moment") else value
                     for key, value in arguments.items()}
        with pytest.raises(layerwise.ArgumentError, match=rf"{name}.* is lazily negated.*resolve_neg\(\)"):
            plan.novograd_step(**given)
    assert all(torch.equal(arguments[key], value) for key, value in before.items())


def test_a_conjugated_tensor_is_refused_as_such() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(layerwise.ArgumentError, match="grads is lazily conjugated"):
        layerwise.Plan([2]).novograd_step(np.ones(2, np.float32), torch.ones(2, dtype=torch.complex64).conj(),
                                          np.zeros(2, np.float32), np.zeros(1, np.float32), lr=0.1)
