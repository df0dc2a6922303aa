"""Whether two implementations of one formula agree, where their bits need not."""

import numpy as np


def disagreement(before, one, other, steps):
    """Which layer they have moved apart by more than roundings, in words; empty where there is none.

    before, one, other  float32 arrays, one a layer: the weights at first, and after so many steps of either

    The bound: a norm's sum in float32 is off by less than 1e-6 of itself, a moment rounds a few times a step, and a
    step rounds a weight once, one unit in the last place apart at most.
    """
    for layer, arrays in enumerate(zip(before, one, other)):
        begin, first, second = (np.array(array, np.float64) for array in arrays)
        moved, apart = abs(first - begin).max(), abs(first - second).max()
        bound = 1e-5 * moved + steps * 2.0**-23 * abs(first).max()
        if not (moved > 0 and apart <= bound):  # NaN is neither
            return f"layer {layer} moved by {moved:.3g}, and they differ by {apart:.3g}, more than {bound:.3g}"
    return ""
