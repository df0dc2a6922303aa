"""Trains, measures, prints and draws; started by bench/demo, which has installed and built what this needs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import layerwise
import pictures
import speed
import table
import training
from network import Network


def main() -> int:
    folder = Path(sys.argv[1])
    train, make_step = training.train, speed.packed_step
    if "--torch" in sys.argv:
        import in_torch  # where PyTorch is installed

        train, make_step = in_torch.train, in_torch.scattered_step
    begin = time.perf_counter()
    print(layerwise.build_info().rstrip(), flush=True)
    cores = len(os.sched_getaffinity(0))
    network = Network(training.WIDTHS, 0)
    print(f"\nTraining a {'-'.join(map(str, training.WIDTHS))} perceptron ({network.weights.size:,} parameters, "
          f"{len(network.sizes)} layers) on digits: {len(training.OPTIMIZERS)} optimizers, {len(training.RATES)} "
          f"learning rates, {len(training.SEEDS)} seeds; CPU backend, {cores} runs at a time", flush=True)
    runs = training.train_all(cores, train)
    print("\nMeasuring", flush=True)
    loop = speed.compile_plain_loop()
    times = [speed.measure(label, sizes, loop, make_step) for label, sizes in (
        ("this network", network.sizes), ("ResNet-50's layers", speed.resnet50_sizes()))]
    report = "\n".join([table.table(runs), "", *speed_report(times, loop is not None)])
    print("\n" + report)
    drawn = pictures.draw_all(runs, folder)
    (folder / "report.txt").write_text(report + "\n")
    print(f"\nPictures, and this report: {', '.join(path.name for path in drawn)}, report.txt in {folder}")
    print(f"Took {time.perf_counter() - begin:.0f} s")
    return 0


def speed_report(times: list[str], compared: bool) -> list[str]:
    note = ["  Bytes are the 20 a parameter that must move: gradient, momentum and weight read, momentum and weight",
            "  written. The plain loop is C, one pass over the same arrays with the same threads, timed in turn with",
            "  the step; a network that fits the caches is compared with the loop in the caches."]
    return ["Time of a step, called from Python, median", *times, *(note if compared else [
        "  no C compiler with OpenMP here: not compared with a plain loop"])]


if __name__ == "__main__":
    sys.exit(main())
