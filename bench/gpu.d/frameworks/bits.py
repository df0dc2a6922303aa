"""Arrays compared bit by bit, whatever library they are of, and a wrong bit planted to see that it is found."""

import os

import numpy as np

WRONG_BIT = "LAYERWISE_BENCH_WRONG_BIT"  # after which step of the device one bit is flipped; 0 or not set: never


def as_bits(array):
    """A copy on the host as unsigned integers, in the order of the array's dimensions."""
    if hasattr(array, "detach"):  # PyTorch's
        array = array.detach().cpu().contiguous()
        if array.element_size() == 2:  # NumPy has no bfloat16
            import torch

            array = array.view(torch.int16)
        array = array.numpy()
    elif hasattr(array, "get"):  # CuPy's
        array = array.get()
    array = np.ascontiguousarray(array)
    return array.view(f"u{array.dtype.itemsize}")


def _is_nan(bits):
    """Of bfloat16, float32 and float64, by their width; integers this large do not occur."""
    infinity = {2: 0x7F80, 4: 0x7F800000, 8: 0x7FF0000000000000}[bits.dtype.itemsize]
    return bits & (2 ** (8 * bits.dtype.itemsize - 1) - 1) > infinity


def difference(pairs):
    """The first bit that differs, NaN equal to any NaN, in words; empty where none does.

    pairs  (what, on the device, on the CPU)
    """
    for what, device, host in pairs:
        device, host = as_bits(device).ravel(), as_bits(host).ravel()
        if device.shape != host.shape or device.dtype != host.dtype:
            return f"{what}: {device.size} {device.dtype} on the device, {host.size} {host.dtype} on the CPU"
        wrong = np.flatnonzero((device != host) & ~(_is_nan(device) & _is_nan(host)))
        if wrong.size:
            at = wrong[0]
            return (f"{what}, element {at} of {device.size}: bits {int(device[at]):x} on the device, {int(host[at]):x} "
                    f"on the CPU; {wrong.size} differ")
    return ""


def planted(step):
    """Whether a wrong bit is due after this step of the device, the first being 1."""
    return step == int(os.environ.get(WRONG_BIT) or 0)


def flip_one_bit(tensor):
    """The lowest bit of a PyTorch tensor's first element, in place."""
    import torch

    bits = tensor.detach().view(torch.int16 if tensor.element_size() == 2 else torch.int32)
    bits[(0,) * bits.ndim] ^= 1
