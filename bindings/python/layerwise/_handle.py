"""The plan as an object: made, asked, changed and destroyed. The steps are in _plan.py."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar, Union

import numpy as np

from . import _abi, _buffers, _errors
from ._arrays import Array
from ._errors import refusal
from ._library import check, library
from ._options import defaults, dtype_number, integer, selector
from ._words import called

Self = TypeVar("Self", bound="PlanHandle")
LayerValues = Union[Sequence[float], "np.ndarray[Any, Any]"]

_plans: weakref.WeakSet[PlanHandle] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: the threads that may have held them are not there."""
    for plan in _plans:
        plan._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)

_DTYPE_NAMES = {number: name for name, number in _abi.DTYPE.items()}
_ISA_NAMES = {number: name for name, number in _abi.ISA.items()}
_PATH_NAMES = {number: name for name, number in _abi.PATH.items()}
_PATH_CHOICES = {"auto": 0} | {name: number for name, number in _abi.PATH.items() if name != "cpu"}


class PlanHandle:
    """Owns one plan of the library. Safe to close twice, to share between threads (calls wait for each other), to
    leave to the garbage collector, and to be inherited by a forked process, which may use it on the CPU: the library
    starts its threads there anew."""

    def __init__(self, sizes: Any, offsets: Any, device: Any, layout: str, dtypes: dict[str, Any], threads: int,
                 isa: str, path: str, multiprocessors: int, experimental: Any, workspace: Any) -> None:
        self._finalizer: weakref.finalize[Any, Any] | None = None
        self._lock = threading.Lock()
        _plans.add(self)
        sizes = _buffers.layer_integers(sizes, "sizes")
        offsets = None if offsets is None else _buffers.layer_integers(offsets, "offsets")
        if offsets is not None and len(offsets) != len(sizes):
            raise refusal(_errors.INVALID_VALUE, f"offsets has {len(offsets)} values: it must have {len(sizes)}, as "
                                                 "many as sizes")
        options = defaults(_abi.PlanOptions)
        options.layer_count = len(sizes)
        options.sizes = sizes.ctypes.data
        options.offsets = None if offsets is None else offsets.ctypes.data
        options.device = _buffers.device_number(device)
        options.layout = selector(layout, "layout", _abi.LAYOUT)
        for name, dtype in dtypes.items():
            setattr(options, name, 0 if dtype is None and name == "weights_extra_dtype" else dtype_number(dtype, name))
        options.threads = integer(threads, "threads", bits=32)
        options.isa = selector(isa, "isa", _abi.ISA)
        options.path = selector(path, "path", _PATH_CHOICES)
        options.multiprocessors = integer(multiprocessors, "multiprocessors")
        options.experimental = sum({selector(way, "experimental", _abi.EXPERIMENTAL) for way in _listed(experimental)})
        self._workspace = workspace
        options.workspace, options.workspace_bytes = _buffers.workspace(workspace, options.device)
        with called({f"device is {options.device}": f"device is {device!r}"}):
            self._create(options)
        self._dtypes = {name: _DTYPE_NAMES[getattr(options, name)] for name in dtypes}
        scattered = options.layout == _abi.LAYOUT["scattered"]
        self._shape = _buffers.Shape(sizes, offsets, self._query("extent"), scattered, options.device)

    def _create(self, options: _abi.PlanOptions) -> None:
        handle = ctypes.c_void_p()
        check(library().layerwise_plan_create(ctypes.byref(options), ctypes.byref(handle)))
        self._handle = handle
        self._on_cuda = options.device >= 0
        self._owner = os.getpid()
        self._finalizer = weakref.finalize(self, _destroy, library(), int(handle.value or 0),
                                           self._owner if self._on_cuda else None)

    def _live(self) -> ctypes.c_void_p:
        if self._finalizer is None or not self._finalizer.alive:
            raise refusal(_errors.INVALID_PLAN, "the plan is closed")
        if self._on_cuda and self._owner != os.getpid():
            raise refusal(_errors.INVALID_PLAN, "the plan belongs to the process this one was forked from, and CUDA "
                                                "does not work in a forked process: start it with multiprocessing's "
                                                "\"spawn\" "
                                                "or \"forkserver\", and make a plan there")
        return self._handle

    def _query(self, key: str) -> int:
        value = ctypes.c_int64()
        check(library().layerwise_plan_query(self._live(), _abi.QUERY[key], ctypes.byref(value)))
        return value.value

    def set_layers(self, lr_mult: LayerValues | None = None, wd_mult: LayerValues | None = None,
                   skip_larc: Sequence[bool] | np.ndarray[Any, Any] | None = None) -> None:
        """Sets what differs from layer to layer, replacing what was set before. None is the default again.

        lr_mult    (layers,), multiplies lr, finite, >= 0; default 1
        wd_mult    (layers,), multiplies weight_decay, finite, >= 0; default 1; 0 leaves decay out
        skip_larc  (layers,), True: LARC's factor is 1 for this layer; default False

        Host values, copied. Synchronous; not while a CUDA graph is captured nor while a step of this plan runs.
        Replays of a captured step see the new values. Raises ArgumentError, TypeError, OutOfMemoryError, CudaError.
        """
        given = {"lr_mult": (lr_mult, np.float64), "wd_mult": (wd_mult, np.float64), "skip_larc": (skip_larc, np.uint8)}
        arrays = {name: _buffers.layer_values(values, name, self._shape.layers, dtype)
                  for name, (values, dtype) in given.items()}
        options = defaults(_abi.LayerOptions)
        for name, array in arrays.items():
            setattr(options, name, None if array is None else array.ctypes.data)
        with self._lock:
            check(library().layerwise_plan_set_layers(self._live(), ctypes.byref(options)))

    def set_shard(self, layer_sizes: LayerValues, layer_begins: LayerValues | None = None,
                  counted: Sequence[bool] | np.ndarray[Any, Any] | None = None) -> None:
        """Makes the plan one of a shard: its layers are pieces, `sizes` theirs, 0 where this rank has none.

        layer_sizes   (layers,) integers, elements of the whole layers
        layer_begins  (layers,) integers, where in its layer a piece begins; -1: it is not contiguous; None: -1 for all
        counted       (layers,) False: a replica of elements that another rank counts; None: True for all

        A step is then taken in halves: partial_norms, an all-reduce of the sums over the ranks, by SUM or with norm
        "inf" by MAX, and the step with grad_sums (LARC: and weight_sums). Whole steps are refused. Host values, copied;
        otherwise as set_layers. Raises ArgumentError, LayoutError, TypeError, OutOfMemoryError, CudaError.
        """
        whole = _buffers.layer_integers(layer_sizes, "layer_sizes")
        begins = None if layer_begins is None else _buffers.layer_integers(layer_begins, "layer_begins")
        for name, array in (("layer_sizes", whole), ("layer_begins", begins)):
            if array is not None and len(array) != self._shape.layers:
                raise refusal(_errors.INVALID_VALUE, f"{name} has {len(array)} values: it must have "
                                                     f"{self._shape.layers}, one a layer")
        flags = _buffers.layer_values(counted, "counted", self._shape.layers, np.uint8)
        options = defaults(_abi.ShardOptions)
        options.layer_sizes = whole.ctypes.data
        options.layer_begins = None if begins is None else begins.ctypes.data
        options.counted = None if flags is None else flags.ctypes.data
        with self._lock:
            check(library().layerwise_plan_set_shard(self._live(), ctypes.byref(options)))

    def shard_claim(self, agreed: bytes = b"", layers: bool = True) -> np.ndarray[Any, Any]:
        """What this rank claims of its shard, as float64 numbers whose sum over the ranks `shard_verify` takes.

        agreed  what must be the same on every rank beside the layout and dtypes: lr and what else a step is told
        layers  True: that the pieces make whole layers, too, two numbers a layer; False: what must agree alone, as many
                numbers on every rank

        Raises ArgumentError for a plan of whole layers.
        """
        count = _abi.CLAIM_HEAD + (2 * self._shape.layers if layers else 0)
        claim = np.zeros(count, np.float64)
        check(library().layerwise_shard_claim(self._live(), agreed, len(agreed), claim.ctypes.data, count))
        return claim

    def shard_verify(self, claim: np.ndarray[Any, Any], total: np.ndarray[Any, Any]) -> None:
        """Raises LayoutError, on every rank, where ranks disagree or their pieces do not make whole layers.

        claim  this rank's own
        total  the sum of all ranks' claims
        """
        own, summed = (np.ascontiguousarray(array, np.float64) for array in (claim, total))
        if own.shape != summed.shape:
            raise refusal(_errors.INVALID_VALUE, f"total has shape {summed.shape}: it must have the claim's, "
                                                 f"{own.shape}")
        check(library().layerwise_shard_verify(self._live(), own.ctypes.data, summed.ctypes.data, own.size))

    def pointer_table(self, arrays: Sequence[Array | None], name: str) -> np.ndarray[Any, Any]:
        """The addresses of one array a layer, checked, as a uint64 array of shape (layers,) on the host; 0 for None.

        name is the argument the table is for: "weights", "grads", "first_moment", "momentum_buffer" or
        "weights_extra". A scattered CUDA plan takes such a table, copied to the device by the caller, in place of the
        buffer; a scattered CPU plan takes the table itself or the list. The caller keeps the arrays alive.
        Raises ArgumentError, DtypeError, TypeError.
        """
        field = {"momentum_buffer": "first_moment"}.get(name, name) + "_dtype"
        if field not in self._dtypes or name == "second_moment":
            raise refusal(_errors.UNKNOWN_FLAG, f"name is {name!r}: no such buffer has a table")
        return _buffers.pointer_table(self._shape, arrays, name, self._dtypes[field], writable=name != "grads")

    def reset(self) -> None:
        """Makes the plan usable again after a step that failed on its way: waits for the device and clears the plan's
        scratch memory. Weights and moments stay as that step left them. Raises CudaError."""
        with self._lock:
            check(library().layerwise_plan_reset(self._live()))

    def close(self) -> None:
        """Frees the plan and all it owns. CUDA: the caller must ensure that its steps have finished. Closing twice is
        allowed; every other use of a closed plan raises ArgumentError."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._workspace = None

    def __enter__(self: Self) -> Self:
        self._live()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a layerwise.Plan holds threads or device memory: it cannot be copied or pickled; save the "
                        "sizes and the state arrays, and make a new plan")

    def __repr__(self) -> str:
        if self._finalizer is None or not self._finalizer.alive:
            return "<layerwise.Plan, closed>"
        return (f"<layerwise.Plan: {self.layers} layers, {self.elements} elements, "
                f"{'scattered' if self._shape.scattered else 'packed'}, on {self.device}>")

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self._shape.layers

    @property
    def elements(self) -> int:
        """Number of elements in all layers, gaps not counted."""
        return self._query("elements")

    @property
    def tiles(self) -> int:
        """Number of tiles of 8192 elements that the layers are cut into."""
        return self._query("tiles")

    @property
    def extent(self) -> int:
        """Elements that a packed buffer must hold: the largest offset + size. It may hold more only where the plan was
        made with offsets."""
        return self._shape.extent

    @property
    def device(self) -> str:
        """ "cpu" or "cuda:N"."""
        return "cpu" if self._shape.device < 0 else f"cuda:{self._shape.device}"

    @property
    def layout(self) -> str:
        """ "packed" or "scattered"."""
        return "scattered" if self._shape.scattered else "packed"

    @property
    def dtypes(self) -> dict[str, str]:
        """The dtype of each buffer: {"weights_dtype": "float32", ...}; "none" for a weights_extra the plan lacks."""
        return dict(self._dtypes)

    @property
    def threads(self) -> int:
        """CPU threads, the caller's included; 0 on CUDA."""
        return self._query("threads")

    @property
    def isa(self) -> str:
        """The instruction set in use: "baseline", "avx2", "avx512" or "neon"; "auto" on CUDA."""
        return _ISA_NAMES[self._query("isa")]

    @property
    def path(self) -> str:
        """How the last step ran; before the first, how novograd_step would: "cpu", or on CUDA "one_pass" or
        "two_pass"."""
        number = self._query("path")
        return _PATH_NAMES.get(number, str(number))

    @property
    def held_grads(self) -> int:
        """Elements whose gradient a one-pass step reads from memory once; 0 where it takes two passes."""
        return self._query("held_grads")

    @property
    def held_weights(self) -> int:
        """Elements of which a one-pass larc_sgd_step reads the gradient and the weight once; 0 where it holds gradients
        alone, or takes two passes."""
        return self._query("held_weights")

    @property
    def experimental(self) -> list[str]:
        """Of the experimental ways that the plan was given, those that its device has."""
        flags = self._query("experimental")
        return [name for name, flag in _abi.EXPERIMENTAL.items() if flags & flag]

    @property
    def workspace_bytes(self) -> int:
        """Bytes of device scratch memory; 0 on the CPU."""
        return self._query("workspace")

    @property
    def fingerprint(self) -> int:
        """A hash of sizes, offsets and dtypes, the same on every backend: keep it beside a checkpoint."""
        return self._query("fingerprint")

    @property
    def global_fingerprint(self) -> int:
        """A hash of the whole layers' sizes, dtypes and the numerics version: the same on every rank of a sharded
        model, however it is cut."""
        return self._query("global_fingerprint")


def _listed(experimental: Any) -> Any:
    if not isinstance(experimental, (list, tuple, set, frozenset)):
        raise TypeError(f"experimental is {experimental!r}: it must be a list of names of "
                        f"{', '.join(map(repr, _abi.EXPERIMENTAL))}")
    return experimental


def _destroy(loaded: ctypes.CDLL, handle: int, owner: int | None) -> None:
    """owner: the one process that may, None: any."""
    if owner is None or os.getpid() == owner:  # a forked child has no CUDA context
        loaded.layerwise_plan_destroy(handle)
