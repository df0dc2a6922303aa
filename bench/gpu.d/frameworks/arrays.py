"""layerwise.Plan on the arrays of CuPy and PyTorch, by each protocol they speak, on the default stream and on others,
gives the CPU's bits. What a step reads is written on the stream late: a step that does not wait has other bits."""

import contextlib
import functools
import sys

import numpy as np
import program
from bits import difference, flip_one_bit, planted

SIZES = (1, 64, 8191, 8192, 8193, 40_000)
STEPS = 5
DELAY_BYTES, DELAY_COPIES = 1 << 28, 16


class OnlyDlpack:
    """An array that speaks no other protocol."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnlyInterface:
    def __init__(self, array):
        self.__cuda_array_interface__ = array.__cuda_array_interface__


PROTOCOLS = {None: "as they are", OnlyDlpack: "by __dlpack__", OnlyInterface: "by __cuda_array_interface__"}


class Torch:
    name = "PyTorch"

    def __init__(self, device):
        self.torch, self.device = program.torch_on(device), device

    def array(self, values):
        return self.torch.from_numpy(values.copy()).to(self.device)

    def copy(self, to, of):
        to.copy_(of)

    def new_stream(self):
        return self.torch.cuda.Stream() if self.device == "cuda" else None

    def on(self, stream):
        return self.torch.cuda.stream(stream)

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def flip_one_bit(self, array):
        flip_one_bit(array)


class Cupy:
    """Copies alone, so that nothing has to be compiled."""

    name = "CuPy"

    def __init__(self, device):
        if device == "cpu":
            raise program.Missing("CuPy has no arrays on the CPU")
        program.need("cupy")
        import cupy

        if not cupy.cuda.is_available():
            raise program.Missing("CuPy sees no CUDA device")
        self.cupy = cupy

    def array(self, values):
        return self.cupy.asarray(values)

    def copy(self, to, of):
        self.cupy.copyto(to, of)

    def new_stream(self):
        return self.cupy.cuda.Stream(non_blocking=True)

    def on(self, stream):
        return stream

    def wait(self):
        self.cupy.cuda.Device().synchronize()

    def flip_one_bit(self, array):
        bits = array.get().view(np.uint32)
        bits[0] ^= 1
        array.set(bits.view(np.float32))


class Arrays:
    """What the steps read and write, made by `array`; gradients of each step wait in memory of their own."""

    def __init__(self, array):
        random = np.random.default_rng(3)
        count = sum(SIZES)
        self.weights = array(random.uniform(-0.05, 0.05, count).astype(np.float32))
        self.all_grads = [array(random.uniform(-0.01, 0.01, count).astype(np.float32)) for _ in range(STEPS)]
        self.grads, self.moment = array(np.zeros(count, np.float32)), array(np.zeros(count, np.float32))
        self.second_moment, self.stats = array(np.zeros(len(SIZES), np.float32)), array(np.zeros((len(SIZES), 6)))

    def pairs(self, others):
        return [(name, getattr(self, name), getattr(others, name))
                for name in ("weights", "grads", "moment", "second_moment", "stats")]


def step(plan, arrays, wrap=lambda array: array, stream=None):
    plan.novograd_step(wrap(arrays.weights), wrap(arrays.grads), wrap(arrays.moment), wrap(arrays.second_moment),
                       lr=0.01, layer_stats=wrap(arrays.stats), stream=stream)
    plan.larc_scale(wrap(arrays.weights), wrap(arrays.grads), lr=0.1, stream=stream)


@functools.cache
def reference():
    import layerwise

    arrays, plan = Arrays(np.array), layerwise.Plan(SIZES, threads=1)
    for grads in arrays.all_grads:
        arrays.grads[:] = grads
        step(plan, arrays)
    return arrays


def work(run):
    run.facts("cupy", "torch", "numpy")
    default, own, other = "the default stream", "a stream of its own", "another stream than the arrays'"
    for library, wrap, stream in ((Torch, None, default), (Torch, OnlyDlpack, default), (Torch, OnlyInterface, default),
                                  (Torch, None, own), (Torch, OnlyDlpack, own), (Torch, OnlyDlpack, other),
                                  (Cupy, None, default), (Cupy, OnlyDlpack, default), (Cupy, OnlyInterface, default),
                                  (Cupy, None, own), (Cupy, OnlyDlpack, own), (Cupy, OnlyDlpack, other)):
        run.attempt(f"python: Plan on {library.name}'s arrays {PROTOCOLS[wrap]}, {stream}: the CPU's bits",
                    functools.partial(_steps, run, library, wrap, stream))
    run.attempt("python: Plan on CuPy's arrays, scattered: the CPU's bits", functools.partial(_scattered, run))


def _steps(run, library, wrap, where):
    import layerwise

    if run.rehearsal and wrap is OnlyInterface:
        raise program.Missing("the protocol is for CUDA arrays")
    if run.rehearsal and not where.startswith("the default"):
        raise program.Missing("the CPU has no streams")
    library = library(run.device)
    arrays = Arrays(library.array)
    plan = layerwise.Plan(SIZES, device="cpu" if run.rehearsal else "cuda:0")
    delay = library.array(np.zeros(4 if run.rehearsal else DELAY_BYTES // 4, np.float32))
    scratch = library.array(np.zeros(delay.shape, np.float32))
    library.wait()
    current = None if where.startswith("the default") else library.new_stream()
    # Where the arrays are not of the step's stream, it is their library that makes the one wait for the other.
    stream = library.new_stream() if where.startswith("another") else current
    if library.name == "CuPy" and wrap is None:
        stream = None  # the arrays name the stream themselves
    with contextlib.nullcontext() if current is None else library.on(current):
        for number, grads in enumerate(arrays.all_grads):
            for _ in range(DELAY_COPIES):
                library.copy(scratch, delay)
            library.copy(arrays.grads, grads)
            step(plan, arrays, wrap or (lambda array: array), stream)
            if where.startswith("another"):
                library.wait()  # nothing makes the arrays' stream wait for the step
            if planted(number + 1):
                library.flip_one_bit(arrays.weights)
    library.wait()
    return difference(arrays.pairs(reference()))


def _scattered(run):
    """A table of addresses that the caller copies to the device."""
    import layerwise

    library = Cupy(run.device)
    arrays = Arrays(library.array)
    plan = layerwise.Plan(SIZES, device="cuda:0", layout="scattered")
    begins = [int(begin) for begin in np.cumsum((0, *SIZES[:-1]))]

    def table(array, name):
        layers = [array[begin:begin + size] for begin, size in zip(begins, SIZES)]
        return library.array(plan.pointer_table(layers, name))

    weights, moment = table(arrays.weights, "weights"), table(arrays.moment, "first_moment")
    grads = table(arrays.grads, "grads")
    for values in arrays.all_grads:
        library.copy(arrays.grads, values)
        plan.novograd_step(weights, grads, moment, arrays.second_moment, lr=0.01, layer_stats=arrays.stats)
        plan.larc_scale(weights, grads, lr=0.1)
    library.wait()
    return difference(arrays.pairs(reference()))


if __name__ == "__main__":
    sys.exit(program.run("arrays", work))
