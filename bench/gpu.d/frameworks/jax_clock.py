"""How steps are timed in JAX, which hands out no CUDA events: by the clock on the host, around steps that wait in the
device's queue."""

import statistics
import time

import jax
import jax.numpy as jnp
from program import Missing

FEW, MANY = 4, 20  # steps in a queue; JAX lets at most 32 computations wait
MOST_BUSY = 8  # computations that keep the device busy meanwhile
REPEATS, WARM_UPS = 7, 2


class JaxClock:
    """Prints a row for each step. The copy is measured when it is made."""

    def __init__(self, run, device):
        self.run, self.rehearsal = run, run.rehearsal
        self._work = jax.jit(lambda x: jnp.matmul(x, x, precision="highest"))
        width = 64 if self.rehearsal else 8192
        self._busy = jax.device_put(jnp.full((width, width), 1 / width, jnp.float32), device)
        self._busy_seconds = min(_seconds(lambda: self._work(self._busy)) for _ in range(3))
        self.copy_gb_per_s = self._copy_rate(device)
        run.say("copy", gb_per_s=self.copy_gb_per_s, by="jax.numpy.copy", **self._note())

    def row(self, kind, step, state, *, op, model, dtypes, parameters, floor, ran="", **more):
        """Prints what a step takes. step: of the state the next state; the old one's memory may be donated."""
        us, us_host, hidden = self.measure(step, state)
        rate = floor * parameters / us / 1e3
        self.run.say(kind, op=op, model=model, dtypes=dtypes, ran=ran, us=us, us_host=us_host, parameters=parameters,
                     floor_bytes_per_parameter=floor, gb_per_s_at_the_floor=rate,
                     floor_share_of_copy=rate / self.copy_gb_per_s, **more, **self._note(hidden))

    def measure(self, step, state):
        """Median microseconds of the device and of the host, and whether the host's were hidden.

        The device's: it is kept busy while steps are put into its queue, a few and many; what many take longer is
        divided by how many more they are. So the time to empty the queue holds nothing of the host's.
        """
        for _ in range(WARM_UPS):
            state = jax.block_until_ready(step(state))
        host = []
        for _ in range(REPEATS):
            begin = time.perf_counter()
            state = step(state)
            host.append(time.perf_counter() - begin)
            jax.block_until_ready(state)
        wanted = 2 * MANY * statistics.median(host) / self._busy_seconds
        busy = 1 if self.rehearsal else max(1, min(MOST_BUSY, round(wanted + 0.5)))
        device, hidden = [], True
        for _ in range(REPEATS):
            many, launching, state = self._queue(step, state, MANY, busy)
            hidden &= launching < 0.9 * busy * self._busy_seconds
            if self.rehearsal:  # all that is asked for is a figure, which the difference of two is not certain to be
                device.append(many / MANY)
                continue
            few, _, state = self._queue(step, state, FEW, busy)
            device.append((many - few) / (MANY - FEW))
        if statistics.median(device) <= 0:
            raise Missing(f"no figure: {MANY} queued steps took no longer than {FEW}, so that the clock is too coarse "
                          "or the machine too busy")
        return 1e6 * statistics.median(device), 1e6 * statistics.median(host), hidden

    def _queue(self, step, state, count, busy):
        """Seconds until the queue is empty, those of them that the host launched in, and the last state."""
        begin = time.perf_counter()
        for _ in range(busy):
            waiting = self._work(self._busy)
        for _ in range(count):
            state = step(state)
        launched = time.perf_counter()
        jax.block_until_ready((waiting, state))
        return time.perf_counter() - begin, launched - begin, state

    def _copy_rate(self, device):
        size = 1 << 20 if self.rehearsal else 1 << 30
        source = jax.device_put(jnp.full((size,), 0x3A, jnp.uint8), device)
        copy = jax.jit(jnp.copy)
        us, *_ = self.measure(copy, source)
        return 2 * size / us / 1e3

    def _note(self, hidden=True):
        if self.rehearsal:
            return {"note": "a rehearsal on the CPU, no figure of a GPU"}
        return {} if hidden else {"note": "launching waited for the device, or took longer: us holds time of the host"}


def _seconds(work):
    begin = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - begin
