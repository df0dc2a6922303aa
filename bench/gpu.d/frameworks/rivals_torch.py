"""layerwise.torch beside PyTorch's fused optimizers and the same formulas written with torch._foreach_*, and timm's NvNovoGrad."""

import functools
import gc
import sys

import program


def work(run):
    run.facts("torch", "timm")
    torch = program.torch_on(run.device)
    import torch_contenders as contenders
    from foreach_rules import ForeachLars, ForeachNovoGrad
    from torch_clock import TorchClock

    for name, one, other in (("NovoGrad by torch._foreach_*", contenders.novograd, ForeachNovoGrad),
                             ("LARS by torch._foreach_*", contenders.larc_sgd, ForeachLars),
                             ("timm's NvNovoGrad", contenders.novograd, contenders.nv_novograd)):
        run.attempt(f"rivals: {name} computes what layerwise.torch does",
                    functools.partial(contenders.disagreement, one, other, run.device))
    clock = TorchClock(run)
    for dtype in contenders.DTYPES:
        for model in run.models:
            for op, row in rows(torch).items():
                run.attempt_row(f"rivals: {op}, {model}, {dtype}", functools.partial(_time, run, clock, op, row, model, dtype))
                gc.collect()
                if clock.cuda:
                    torch.cuda.empty_cache()


class Row:
    """values: how many values of a parameter its floor has; capture: whether graph replays are timed."""

    def __init__(self, make, values, ours=False, capture=False, note=""):
        self.make, self.values, self.ours, self.capture, self.note = make, values, ours, capture, note


def rows(torch):
    """By their names, the most telling first."""
    import torch_contenders as contenders
    from foreach_rules import ForeachLars, ForeachNovoGrad

    def ours(make, capture=False, **options):
        return Row(functools.partial(make, **options), contenders.NOVOGRAD, True, capture)

    def sgd(made):
        return torch.optim.SGD(made, 0.1, momentum=0.9, weight_decay=1e-4, fused=True)

    def adamw(made):
        return torch.optim.AdamW(made, 1e-3, fused=True)

    return {
        "layerwise.torch NovoGrad": ours(contenders.novograd),
        "layerwise.torch NovoGrad, captured": ours(contenders.novograd, True, capturable=True),
        "layerwise.torch LARCSGD": ours(contenders.larc_sgd),
        "layerwise.torch LARCSGD, captured": ours(contenders.larc_sgd, True, capturable=True),
        "torch SGD, fused": Row(sgd, contenders.LARC),
        "torch AdamW, fused": Row(adamw, contenders.ADAM),
        "NovoGrad by torch._foreach_*": Row(ForeachNovoGrad, contenders.NOVOGRAD),
        "LARS by torch._foreach_*": Row(ForeachLars, contenders.LARC),
        "NovoGrad by torch._foreach_*, captured": Row(ForeachNovoGrad, contenders.NOVOGRAD, capture=True),
        "LARS by torch._foreach_*, captured": Row(ForeachLars, contenders.LARC, capture=True),
        "layerwise.torch NovoGrad, flatten": ours(contenders.novograd, flatten=True),
        "layerwise.torch LARCSGD, flatten": ours(contenders.larc_sgd, flatten=True),
        "timm NvNovoGrad": Row(contenders.nv_novograd, contenders.NOVOGRAD, note="reads a number of each layer back"),
    }


def _time(run, clock, op, row, model, dtype):
    import shapes
    import torch_contenders as contenders
    from torch_clock import captured

    if row.capture and not clock.cuda:
        raise program.Missing("no CUDA device to capture a graph on")
    layers = shapes.of_model(model)
    made = contenders.parameters(layers, run.device, contenders.DTYPES[dtype])
    optimizer = row.make(made)
    step = captured(optimizer.step) if row.capture else optimizer.step
    clock.row("timing" if row.ours else "rival", step, op=op, model=model, dtypes="/".join(3 * [dtype]),
              ran="layerwise.torch" if row.ours else "", parameters=shapes.count(layers), layers=len(layers),
              floor=row.values * made[0].element_size(), **({"note": row.note} if row.note else {}))


if __name__ == "__main__":
    sys.exit(program.run("rivals_torch", work))
