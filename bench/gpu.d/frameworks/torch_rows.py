"""A row for every optimizer, model and dtype that is to be timed in PyTorch."""

import functools
import gc
from dataclasses import dataclass
from typing import Any

import program
import shapes
import torch
import torch_contenders as contenders
from torch_capture import captured
from torch_clock import TorchClock


@dataclass
class Row:
    make: Any  # of parameters an optimizer
    values: int  # of a parameter that are read and written, each once
    ours: bool = False
    wrap: Any = None  # of the optimizer's step what is timed; None: the step as it is
    note: str = ""


def in_a_graph(step):
    if not torch.cuda.is_available():
        raise program.Missing("no CUDA device to capture a graph on")
    return captured(step)


def time_rows(run, rows, dtypes=tuple(contenders.DTYPES), stage="rivals"):
    """rows: by their names, the most telling first; so are the models and dtypes."""
    clock = TorchClock(run)
    gc.freeze()  # what was imported is not to be looked through after every row
    for dtype in dtypes:
        for model in run.models:
            for op, row in rows.items():
                run.attempt_row(f"{stage}: {op}, {model}, {dtype}",
                                functools.partial(_time, run, clock, op, row, model, dtype), row.ours)
                gc.collect()
                if clock.cuda:
                    torch.cuda.empty_cache()


def _time(run, clock, op, row, model, dtype):
    layers = shapes.of_model(model)
    made = contenders.parameters(layers, run.device, contenders.DTYPES[dtype])
    optimizer = row.make(made)  # kept until the end: a captured graph does not keep what it writes
    step = row.wrap(optimizer.step) if row.wrap else optimizer.step
    clock.row("timing" if row.ours else "rival", step, op=op, model=model,
              dtypes="/".join(3 * [dtype]), ran="layerwise.torch" if row.ours else "", parameters=shapes.count(layers),
              layers=len(layers), floor=row.values * made[0].element_size(), **({"note": row.note} if row.note else {}))
