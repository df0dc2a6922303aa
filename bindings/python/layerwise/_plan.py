"""The plan and its steps: what this package is for."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from . import _abi, _errors
from ._arrays import Array, Scalar
from ._buffers import Buffers
from ._errors import refusal
from ._handle import PlanHandle
from ._keywords import Unpack, takes
from ._library import check, library
from ._options import filled, selector

Buffer = Array | Sequence[Array | None]


class LarcSgdValues(_abi.LarcValues, _abi.SgdValues, total=False):
    """The options of both as keywords."""


class Plan(PlanHandle):
    """The layout of a model's layers, their dtypes and where they run: made once, used for every step.

    sizes    (layers,) integers >= 0, elements of each layer
    offsets  (layers,) integers >= 0, elements from the start of every packed buffer, in any order, gaps allowed, no
             overlap; None: one layer after the other. Scattered plans add it to each layer's own address; None: 0
    device   "cpu"; "cuda", "cuda:N" or N for a CUDA device
    weights_dtype, grads_dtype  "float32", "bfloat16" or "float16", in any mix
    first_moment_dtype          "float32" or "bfloat16": NovoGrad's m and SGD's momentum
    second_moment_dtype         "float32" or "float64"
    weights_extra_dtype         None, or "bfloat16" or "float16" beside float32 weights: a low-precision copy of the
                                new weights, written in the same pass; or "remainder16" beside bfloat16 weights: split
                                weights, an int16 or uint16 array with what they lack of a float32 master, zeros at first
    layout     "packed": each buffer is one array of `extent` elements, of any shape, or with offsets of at least as
               many; "scattered": each buffer is a list of one array a layer
    threads    CPU threads, the caller's included; 0: the least of the cores in the process's affinity, the first number
               of OMP_NUM_THREADS, and the container's CPU quota, rounded up
    isa        "auto", "baseline", "avx2", "avx512" or "neon"; the bits are the same with each
    path       CUDA: "auto", "two_pass" or "one_pass" (where the device can); the bits are the same with each
    multiprocessors  CUDA: a step launches no more blocks than this many hold, so that each has room left; 0: than all
    experimental  CUDA: ways of running a step that no GPU has yet shown to be right and faster, left out where the device
               (compute capability 9.0 or newer) has none; the bits are the same with each. "dependent_launch": of two
               passes the update's launch begins while the norms' ends; "bulk_copy": in one pass a warp of its own fetches
               tiles by asynchronous bulk copies
    workspace  CUDA: a uint8 array on the device, aligned to 256 bytes, of workspace_bytes of a like plan; None: the
               plan allocates its own

    Memory. CPU plans take arrays in host memory: NumPy's, and any that has `__dlpack__` (PyTorch tensors; JAX arrays
    where they are only read). CUDA plans take objects with `__cuda_array_interface__` or `__dlpack__` (CuPy, PyTorch,
    Numba, JAX) on the plan's device. Arrays must be C-contiguous and, where written, writable. NumPy has no bfloat16:
    use ml_dtypes.bfloat16, or declare a uint16 array with `layerwise.bfloat16`. PyTorch parameters are changed in
    place behind autograd's back, as its own optimizers do it.

    A plan serves one stream at a time. On CUDA a step returns at once; arrays may be released in the order of that
    stream, as the allocators of CuPy and PyTorch do.

    Raises LibraryError where the library cannot be used; LayoutError, DtypeError, ArgumentError, TypeError;
    BackendError without CUDA or the instruction set asked for; OutOfMemoryError; CudaError.
    """

    def __init__(self, sizes: Sequence[int] | np.ndarray[Any, Any],
                 offsets: Sequence[int] | np.ndarray[Any, Any] | None = None, device: str | int = "cpu",
                 weights_dtype: Any = "float32", grads_dtype: Any = "float32", first_moment_dtype: Any = "float32",
                 second_moment_dtype: Any = "float32", weights_extra_dtype: Any = None,
                 layout: Literal["packed", "scattered"] = "packed", threads: int = 0,
                 isa: Literal["auto", "baseline", "avx2", "avx512", "neon"] = "auto",
                 path: Literal["auto", "two_pass", "one_pass"] = "auto", multiprocessors: int = 0,
                 experimental: Sequence[Literal["dependent_launch", "bulk_copy"]] = (), workspace: Array | None = None) -> None:
        dtypes = {"weights_dtype": weights_dtype, "grads_dtype": grads_dtype, "first_moment_dtype": first_moment_dtype,
                  "second_moment_dtype": second_moment_dtype, "weights_extra_dtype": weights_extra_dtype}
        super().__init__(sizes, offsets, device, layout, dtypes, threads, isa, path, multiprocessors,
                         experimental, workspace)

    @takes(_abi.NovogradOptions)
    def novograd_step(
            self, weights: Buffer, grads: Buffer, first_moment: Buffer, second_moment: Array, *, lr: Scalar,
            max_second_moment: Array | None = None, weights_extra: Buffer | None = None,
            layer_mask: Array | None = None, layer_stats: Array | None = None, larc: Mapping[str, Any] | None = None,
            grad_sums: Array | None = None, weight_sums: Array | None = None, stream: Any = None,
            **options: Unpack[_abi.NovogradValues]) -> None:
        """Applies one NovoGrad step to every layer (Ginsburg et al., arXiv 1905.11286).

            g' = g / grad_scale, negated by maximize        n2 = sum g'^2
            v  = n2 where seed_second_moment says so: where v is 0, or t is 1; else beta2*v + (1-beta2)*n2
            u  = g' / (sqrt(v + eps_root) + eps) + weight_decay*w
            m  = beta1*m + c*u, c = 1, or 1 - beta1 with grad_averaging;    w = w - lr*m

        weights            in/out, weights_dtype, extent elements (scattered: a list of arrays, as each buffer below)
        grads              in, grads_dtype, extent elements; scattered: None for a layer leaves it out
        first_moment       in/out, first_moment_dtype, extent elements; zeros before the first step
        second_moment      in/out, second_moment_dtype, (layers,); zeros before the first step
        max_second_moment  in/out, like second_moment; with amsgrad only
        weights_extra      out, weights_extra_dtype, extent elements: the rounded new weights; in/out, and needed, where
                           weights are split
        layer_mask         in, uint8 or bool (layers,), 1 takes part; None: all
        layer_stats        out, float64 (layers, 6), columns `layerwise.Stat`
        lr, grad_scale     a number, or a float32 array of one element that is read when the step runs
        step               t, 1-based, as an int; or an int64 array of one element with the COMPLETED steps, so that
                           t = step + 1, to which advance_step adds 1. Needed with bias_correction, with
                           grad_averaging and average_first_step=False, and with seed_second_moment="first_step"
        found_inf          float32, one element; not 0: the whole step changes nothing
        nonfinite_layers   int64, one element; the number of layers skipped because their gradient is not finite is
                           added to it
        larc               LARC before NovoGrad, in the same call: a dict of eta, eps, min_update, max_update, mode,
                           zero_norm, zero_grad_norm and weight_norm_threshold, each as in larc_scale
        grad_sums          in, float64 (layers,), what partial_norms gives or the caller has
        weight_sums        in, float64 (layers,), the same; beside larc and grad_sums only
        stream             a cudaStream_t as an int, or a stream object; None: the arrays' own stream where they name
                           one, else the legacy default stream. Arrays with `__dlpack__` are made ready for it by
                           their library. PyTorch's names none: pass torch.cuda.current_stream(). Not used by CPU plans

        Options, of which None is the library's default:

        {options}

        All arrays lie in the plan's memory. Buffers that are written may not overlap others. CUDA: returns at once,
        allocates nothing, safe to capture into a graph.

        Raises ArgumentError, DtypeError, TypeError, before anything is written; CudaError; BackendError after a step
        of this plan that failed (see reset).
        """
        buffers = Buffers(self._shape, stream)
        [struct] = filled([_abi.NovogradOptions], buffers, options, lr=lr)
        if weight_sums is not None and larc is None:
            raise refusal(_errors.COMBINATION, "weight_sums is given without larc: NovoGrad alone needs no norm of "
                                               "weights")
        second = (self._dtypes["second_moment_dtype"],)
        addresses = [
            self._elements(buffers, weights, "weights", True), self._elements(buffers, grads, "grads", False),
            self._elements(buffers, first_moment, "first_moment", True),
            buffers.per_layer(second_moment, "second_moment", second, True),
            None if max_second_moment is None
            else buffers.per_layer(max_second_moment, "max_second_moment", second, True),
            self._extra(buffers, weights_extra), *_mask_and_stats(buffers, layer_mask, layer_stats)]
        if larc is not None:
            [ahead] = filled([_abi.LarcOptions], buffers, _checked_larc(larc))
            function = library().layerwise_larc_novograd_step
            if grad_sums is not None or weight_sums is not None:
                addresses += _larc_sums(buffers, grad_sums, weight_sums)
                function = library().layerwise_larc_novograd_apply
            self._run(function, addresses, [ahead, struct], buffers.stream())
        elif grad_sums is not None:
            addresses += [_sums(buffers, grad_sums, "grad_sums", False), _abi.SUMS_LAYERS]
            self._run(library().layerwise_novograd_apply, addresses, [struct], buffers.stream())
        else:
            self._run(library().novograd_step, addresses, [struct], buffers.stream())

    @takes(_abi.LarcOptions)
    def larc_scale(
            self, weights: Buffer, grads: Buffer, *, lr: Scalar, layer_mask: Array | None = None,
            layer_stats: Array | None = None, grad_sums: Array | None = None, weight_sums: Array | None = None,
            stream: Any = None, **options: Unpack[_abi.LarcValues]) -> None:
        """Scales every layer's gradient by LARC's factor, in place, so that any optimizer can follow (You et al.,
        LARS, arXiv 1708.03888; OpenSeq2Seq's and apex's LARC).

            g'    = g / grad_scale, negated by maximize
            n     = |g'|; fold_weight_decay "norms": |g'| + weight_decay*|w|; "gradient": |g' + weight_decay*w|;
                    "both": |g' + weight_decay*w| + weight_decay*|w|
            r_raw = eta*|w| / (n + eps)
            r     = clip:  min(max(r_raw/lr, min_update), 1)       lr * r is then min(lr, r_raw)
                    scale: max(r_raw, min_update), at most max_update where that is not 0
            g     = r*g', or r*(g' + weight_decay*w) with fold_weight_decay

        weights  in, weights_dtype, extent elements; split ones without their remainders
        grads    in/out, grads_dtype, extent elements
        grad_sums, weight_sums  in, float64 (layers,), what partial_norms gives or the caller has; both or neither

        The other arguments are those of novograd_step. Options, of which None is the library's default:

        {options}

        What follows uses grad_scale 1 and maximize False. Raises as novograd_step.
        """
        buffers = Buffers(self._shape, stream)
        [struct] = filled([_abi.LarcOptions], buffers, options, lr=lr)
        addresses = [self._elements(buffers, weights, "weights", False), self._elements(buffers, grads, "grads", True),
                     *_mask_and_stats(buffers, layer_mask, layer_stats)]
        if grad_sums is None and weight_sums is None:
            self._run(library().larc_scale, addresses, [struct], buffers.stream())
        else:
            addresses[2:2] = [None, None]
            addresses += _larc_sums(buffers, grad_sums, weight_sums)
            self._run(library().layerwise_larc_apply, addresses, [struct, None], buffers.stream())

    @takes(_abi.LarcOptions, _abi.SgdOptions)
    def larc_sgd_step(
            self, weights: Buffer, grads: Buffer, momentum_buffer: Buffer | None, *, lr: Scalar,
            weights_extra: Buffer | None = None, layer_mask: Array | None = None, layer_stats: Array | None = None,
            grad_sums: Array | None = None, weight_sums: Array | None = None, stream: Any = None,
            **options: Unpack[LarcSgdValues]) -> None:
        """Applies LARC and SGD with momentum in one step. With skip_larc set for every layer it is plain SGD.

            r, g' as in larc_scale     h = r*(g' + weight_decay*w) with fold_weight_decay, else r*g' + weight_decay*w
            b = h at t = 1 (torch.optim.SGD) unless dampen_first_step, else momentum*b + (1 - dampening)*h
            w = w - lr*(h + momentum*b with nesterov, else b)

        With lr_in_momentum lr*h stands for h, and 1 for lr; with factor_after_momentum h = g' + weight_decay*w and lr*r
        stands for lr; with fold_weight_decay "decoupled" w shrinks by 1 - lr*weight_decay first, and h has no decay.

        weights          in/out, weights_dtype, extent elements
        grads            in, grads_dtype, extent elements
        momentum_buffer  in/out, the buffer b, first_moment_dtype, extent elements; zeros before the first step; None
                         exactly when momentum is 0
        weights_extra    out, weights_extra_dtype, extent elements: the rounded new weights; in/out, and needed, where
                         weights are split
        grad_sums, weight_sums  as in larc_scale
        step             as in novograd_step; needed with dampening

        The other arguments are those of novograd_step. Options, of which None is the library's default:

        {options}

        Raises as novograd_step.
        """
        buffers = Buffers(self._shape, stream)
        larc, sgd = filled([_abi.LarcOptions, _abi.SgdOptions], buffers, options, lr=lr)
        if sgd.momentum != 0 and momentum_buffer is None:
            raise refusal(_errors.NULL_ARGUMENT, f"momentum_buffer is None: momentum {sgd.momentum:g} needs it")
        addresses = [
            self._elements(buffers, weights, "weights", True), self._elements(buffers, grads, "grads", False),
            None if momentum_buffer is None
            else buffers.elements(momentum_buffer, "momentum_buffer", self._dtypes["first_moment_dtype"], True),
            self._extra(buffers, weights_extra), *_mask_and_stats(buffers, layer_mask, layer_stats)]
        if grad_sums is None and weight_sums is None:
            self._run(library().larc_sgd_step, addresses, [larc, sgd], buffers.stream())
        else:
            addresses += _larc_sums(buffers, grad_sums, weight_sums)
            self._run(library().layerwise_larc_apply, addresses, [larc, sgd], buffers.stream())

    def partial_norms(self, grads: Buffer, grad_sums: Array, *, weights: Buffer | None = None,
                      weight_sums: Array | None = None, weights_extra: Buffer | None = None,
                      layer_mask: Array | None = None, norm: Literal["l2", "inf"] = "l2", stream: Any = None) -> None:
        """Sums every layer: the first half of a step, for grad_sums and weight_sums of the second.

            grad_sums[l] = sum g^2, or max |g| with norm "inf";    weight_sums[l] = sum w^2

        grads          in, grads_dtype, extent elements
        grad_sums      out, float64 (layers,)
        weights, weight_sums  in, weights_dtype, extent elements, and out, float64 (layers,): for LARC, norm "l2" only
        weights_extra  in: split weights are summed with their remainders; None: without, as larc_scale sees them

        Sums are of raw gradients, before grad_scale; those of layers that are empty, masked or, of a shard, not counted
        are 0. One launch on CUDA. Raises as novograd_step.
        """
        buffers = Buffers(self._shape, stream)
        mask, _ = _mask_and_stats(buffers, layer_mask, None)
        addresses = [
            None if weights is None else self._elements(buffers, weights, "weights", False),
            None if weights_extra is None else self._elements(buffers, weights_extra, "weights_extra", False),
            self._elements(buffers, grads, "grads", False), mask, _sums(buffers, grad_sums, "grad_sums", True),
            None if weight_sums is None else _sums(buffers, weight_sums, "weight_sums", True), _abi.SUMS_LAYERS,
            selector(norm, "norm", _abi.NORM)]
        self._run(library().layerwise_partial_norms, addresses, [], buffers.stream())

    def _elements(self, buffers: Buffers, array: Any, name: str, writable: bool) -> int | None:
        return buffers.elements(array, name, self._dtypes[name + "_dtype"], writable)

    def _extra(self, buffers: Buffers, array: Any) -> int | None:
        if array is None:
            return None
        if self._dtypes["weights_extra_dtype"] == "none":
            raise refusal(_errors.COMBINATION, "weights_extra is given: this plan was made without weights_extra_dtype")
        return self._elements(buffers, array, "weights_extra", True)

    def _run(self, function: Callable[..., int], addresses: Sequence[int | None],
             options: Sequence[_abi.Struct | None], stream: int | None) -> None:
        structs = [None if struct is None else ctypes.byref(struct) for struct in options]
        with self._lock:
            check(function(self._live(), *addresses, *structs, stream))


_LARC_AHEAD = ("eta", "eps", "min_update", "max_update", "mode", "zero_norm", "zero_grad_norm", "weight_norm_threshold")


def _checked_larc(larc: Any) -> Mapping[str, Any]:
    if not isinstance(larc, Mapping):
        raise TypeError(f"larc is {larc!r}: it must be a dict of LARC's options")
    for name in larc:
        if name not in _LARC_AHEAD:
            raise refusal(_errors.UNKNOWN_FLAG, f"larc has the key {name!r}: it takes {', '.join(_LARC_AHEAD)}")
    return larc


def _mask_and_stats(buffers: Buffers, layer_mask: Any, layer_stats: Any) -> list[int | None]:
    return [None if layer_mask is None else buffers.per_layer(layer_mask, "layer_mask", ("uint8", "bool"), False),
            None if layer_stats is None
            else buffers.per_layer(layer_stats, "layer_stats", ("float64",), True, _abi.STAT_COUNT)]


def _sums(buffers: Buffers, array: Any, name: str, writable: bool) -> int | None:
    return buffers.per_layer(array, name, ("float64",), writable)


def _larc_sums(buffers: Buffers, grad_sums: Any, weight_sums: Any) -> list[int | None]:
    if grad_sums is None or weight_sums is None:
        given, lacking = ("weight_sums", "grad_sums") if grad_sums is None else ("grad_sums", "weight_sums")
        raise refusal(_errors.NULL_ARGUMENT, f"{lacking} is None and {given} is given: LARC needs both or neither")
    return [_sums(buffers, grad_sums, "grad_sums", False), _sums(buffers, weight_sums, "weight_sums", False),
            _abi.SUMS_LAYERS]
