"""How steps are timed in PyTorch: CUDA events on the device, a clock on the host, a copy of memory as the yardstick."""

import statistics
import time

import torch

ROW_SECONDS, MOST_REPEATS, WARM_UPS = 0.3, 60, 3
CYCLES_A_MICROSECOND = 2000  # of the fastest clock: a wait that is too long does no harm
LONGEST_WAIT = 50_000  # microseconds


class TorchClock:
    """Prints a row for each step. The copy is measured when it is made."""

    def __init__(self, run):
        self.run, self.cuda = run, run.device == "cuda"
        self.copy_gb_per_s = self._copy_rate()
        run.say("copy", gb_per_s=self.copy_gb_per_s, by="torch.Tensor.copy_", **self._note({}))

    def row(self, kind, step, *, op, model, dtypes, parameters, floor, ran="", **more):
        """Times `step` and prints what it takes. floor: bytes of a parameter when every array is moved once."""
        us, us_eager, us_host, repeats = self.measure(step)
        rate = floor * parameters / us / 1e3
        self.run.say(kind, op=op, model=model, dtypes=dtypes, ran=ran, us=us, us_eager=us_eager, us_host=us_host,
                     parameters=parameters, floor_bytes_per_parameter=floor, gb_per_s_at_the_floor=rate,
                     floor_share_of_copy=rate / self.copy_gb_per_s, repeats=repeats,
                     **self._note(more, floor * parameters))

    def measure(self, step):
        """Median microseconds: of the device; between events around a step that meets an idle device; of the host.

        For the device's own time the device is kept waiting while the host launches the step, so that no gap between
        two launches is the host's. A step that waits for the device, or launches more than fits the device's queue,
        cannot hide the host.
        """
        for _ in range(WARM_UPS):
            step()
        eager, host = self._repeat(step, 0)
        wait = min(2 * statistics.median(host) + 200, LONGEST_WAIT)
        device = self._repeat(step, wait)[0] if self.cuda else eager
        return statistics.median(device), statistics.median(eager), statistics.median(host), len(device)

    def _repeat(self, step, wait):
        """Microseconds of the device and of the host, of each of some calls, all waited for."""
        device, host, begin = [], [], time.monotonic()
        while len(device) < 5 or (time.monotonic() - begin < ROW_SECONDS and len(device) < MOST_REPEATS):
            if not self.cuda:
                device.append(_microseconds(step))
                host.append(device[-1])
                continue
            events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            torch.cuda.synchronize()
            if wait:
                torch.cuda._sleep(int(wait * CYCLES_A_MICROSECOND))
            events[0].record()
            host.append(_microseconds(step))
            events[1].record()
            torch.cuda.synchronize()
            device.append(1e3 * events[0].elapsed_time(events[1]))
        return device, host

    def _copy_rate(self):
        size = 1 << 30 if self.cuda else 1 << 20
        of, to = (torch.full((size,), 0x3A, dtype=torch.uint8, device=self.run.device) for _ in range(2))
        return 2 * size / self.measure(lambda: to.copy_(of))[0] / 1e3

    def _note(self, more, moved=None):
        """`more`, whose note says what a reader must know of the figures."""
        notes = [more["note"]] if more.get("note") else []
        if not self.cuda:
            notes.append("a rehearsal on the CPU, no figure of a GPU")
        elif moved and moved < 2 * torch.cuda.get_device_properties(0).L2_cache_size:
            notes.append("may stay in the L2 cache")
        return {**more, "note": "; ".join(notes)} if notes else more


def _microseconds(step):
    begin = time.perf_counter()
    step()
    return 1e6 * (time.perf_counter() - begin)
