"""CUDA without a CUDA device: the exception where none is there, and the checks of arrays that say they lie on one.

The stand-ins speak version 3 of the CUDA Array Interface, as Numba's documentation defines it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import layerwise
from layerwise import ArgumentError, DtypeError, _buffers
from layerwise._arrays import Rule, check_array


class DeviceArray:
    """Claims to lie on a CUDA device. Nothing reads its memory here."""

    def __init__(self, shape: tuple[int, ...] = (8,), typestr: str = "<f4", dtype: str | None = None, **interface: Any):
        self.__cuda_array_interface__ = {"shape": shape, "typestr": typestr, "data": (4096, False), "version": 3,
                                         "strides": None, **interface}
        if dtype:
            self.dtype = dtype


def rule(**changes: Any) -> Rule:
    return Rule(**{"name": "weights", "dtypes": ("float32",), "length": 8, "device": 0, "writable": True, **changes})


def has_cuda() -> bool:
    try:
        layerwise.Plan([1], device="cuda").close()
    except layerwise.BackendError:
        return False
    return True


@pytest.mark.parametrize("device", ["cuda", "cuda:0", 0])
def test_a_cuda_plan_without_a_driver_is_a_clear_exception(device: Any) -> None:
    if has_cuda():
        pytest.skip("a CUDA device is here")
    with pytest.raises(layerwise.BackendError, match="LAYERWISE_ERROR_NO_CUDA") as caught:
        layerwise.Plan([1], device=device)
    assert caught.value.status == 401


def test_a_device_array_in_a_cpu_plan_and_a_host_array_in_a_cuda_plan_are_refused() -> None:
    with layerwise.Plan([8]) as plan, pytest.raises(ArgumentError, match="grads lies in CUDA memory"):
        plan.larc_scale(np.zeros(8, np.float32), DeviceArray(), lr=0.1)
    with pytest.raises(ArgumentError, match="weights lies in host memory: this plan runs on CUDA device 0"):
        check_array(np.zeros(8, np.float32), rule())


@pytest.mark.parametrize(("array", "kind", "text"), [
    (DeviceArray(typestr="<f8"), DtypeError, "dtype float64: it must be float32"),
    (DeviceArray(shape=(2, 3)), ArgumentError, "6 elements: it must have at least 8"),
    (DeviceArray(shape=(4, 2), strides=(4, 16)), ArgumentError, "not C-contiguous"),
    (DeviceArray(data=(4096, True)), ArgumentError, "read-only"),
    (DeviceArray(mask=DeviceArray()), ArgumentError, "masked"),
    (SimpleNamespace(__cuda_array_interface__=DeviceArray().__cuda_array_interface__, device=SimpleNamespace(id=1)),
     ArgumentError, "lies on CUDA device 1: this plan runs on CUDA device 0"),
])
def test_a_device_array_that_breaks_a_rule_is_refused(array: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        check_array(array, rule())
    assert text in str(caught.value)


def test_contiguous_strides_and_lengths_of_one_are_contiguous() -> None:
    for shape, strides in (((4, 2), (8, 4)), ((1, 8), (999, 4)), ((0, 3), (5, 5))):
        check_array(DeviceArray(shape=shape, strides=strides), rule(length=0))


def test_bfloat16_is_known_by_the_arrays_own_dtype_or_by_declaration() -> None:
    for array in (DeviceArray(typestr="<V2", dtype="torch.bfloat16"),
                  layerwise.bfloat16(DeviceArray(typestr="<u2"))):
        assert check_array(array, rule(dtypes=("bfloat16",))).dtype == "bfloat16"
    with pytest.raises(DtypeError, match="declares a uint16 array"):
        check_array(DeviceArray(typestr="<u2"), rule(dtypes=("bfloat16",)))


def collected(device: int = 0, scattered: bool = False, stream: Any = None) -> _buffers.Buffers:
    sizes = np.array([4, 4])
    return _buffers.Buffers(_buffers.Shape(sizes, np.array([0, 4]), 8, scattered, device), stream)


def test_the_stream_comes_from_the_caller_or_from_arrays_that_agree() -> None:
    buffers, told = collected(), collected(stream=9)
    assert buffers.stream() is None and told.stream() == 9
    for either in (buffers, told):
        either.elements(DeviceArray(stream=7), "weights", "float32", True)
        either.elements(DeviceArray(stream=None), "grads", "float32", False)
    assert buffers.stream() == 7 and told.stream() == 9
    buffers.elements(DeviceArray(stream=1), "first_moment", "float32", True)
    with pytest.raises(ArgumentError, match="the arrays belong to 2 CUDA streams: pass stream="):
        buffers.stream()


@pytest.mark.parametrize("stream", [5, SimpleNamespace(cuda_stream=5), SimpleNamespace(ptr=5),
                                    SimpleNamespace(__cuda_stream__=lambda: (0, 5)),
                                    SimpleNamespace(handle=SimpleNamespace(value=5))])
def test_stream_objects_of_every_library_are_understood(stream: Any) -> None:
    assert _buffers.stream_address(stream) == 5


def test_what_is_no_stream_is_refused() -> None:
    with pytest.raises(TypeError, match="stream is 'main'"):
        _buffers.stream_address("main")


def test_a_scattered_cuda_plan_takes_a_device_table_and_explains_how_to_make_one() -> None:
    buffers = collected(scattered=True)
    assert buffers.elements(DeviceArray(shape=(2,), typestr="<u8"), "weights", "float32", True) == 4096
    with pytest.raises(ArgumentError, match=r"make it with plan\.pointer_table and copy it there"):
        buffers.elements([DeviceArray(), DeviceArray()], "weights", "float32", True)
