"""layerwise.torch beside PyTorch's fused optimizers, its formulas by torch._foreach_*, and timm's NvNovoGrad."""

import functools
import sys

import program


def work(run):
    run.facts("torch", "timm")
    torch = program.torch_on(run.device)
    import torch_contenders as contenders
    from foreach_rules import ForeachLars, ForeachNovoGrad
    from torch_rows import time_rows

    for name, one, other in (("NovoGrad by torch._foreach_*", contenders.novograd, ForeachNovoGrad),
                             ("LARS by torch._foreach_*", contenders.larc_sgd, ForeachLars),
                             ("timm's NvNovoGrad", contenders.novograd, contenders.nv_novograd)):
        run.attempt(f"rivals: {name} computes what layerwise.torch does",
                    functools.partial(contenders.disagree, one, other, run.device))
    time_rows(run, _rows(torch))


def _rows(torch):
    from foreach_rules import ForeachLars, ForeachNovoGrad
    from torch_contenders import ADAM, LARC, NOVOGRAD, larc_sgd, novograd, nv_novograd
    from torch_rows import Row, in_a_graph

    novograd_in_a_graph = functools.partial(novograd, capturable=True)
    larc_sgd_in_a_graph = functools.partial(larc_sgd, capturable=True)

    def fused_sgd(made):
        return torch.optim.SGD(made, 0.1, momentum=0.9, weight_decay=1e-4, fused=True)

    def fused_adamw(made):
        return torch.optim.AdamW(made, 1e-3, fused=True)

    return {
        "layerwise.torch NovoGrad": Row(novograd, NOVOGRAD, ours=True),
        "layerwise.torch NovoGrad, captured": Row(novograd_in_a_graph, NOVOGRAD, ours=True, wrap=in_a_graph),
        "layerwise.torch LARCSGD": Row(larc_sgd, LARC, ours=True),
        "layerwise.torch LARCSGD, captured": Row(larc_sgd_in_a_graph, LARC, ours=True, wrap=in_a_graph),
        "torch SGD, fused": Row(fused_sgd, LARC),
        "torch AdamW, fused": Row(fused_adamw, ADAM),
        "NovoGrad by torch._foreach_*": Row(ForeachNovoGrad, NOVOGRAD),
        "LARS by torch._foreach_*": Row(ForeachLars, LARC),
        "NovoGrad by torch._foreach_*, captured": Row(ForeachNovoGrad, NOVOGRAD, wrap=in_a_graph),
        "LARS by torch._foreach_*, captured": Row(ForeachLars, LARC, wrap=in_a_graph),
        "layerwise.torch NovoGrad, flatten": Row(functools.partial(novograd, flatten=True), NOVOGRAD, ours=True),
        "layerwise.torch LARCSGD, flatten": Row(functools.partial(larc_sgd, flatten=True), LARC, ours=True),
        "timm NvNovoGrad": Row(nv_novograd, NOVOGRAD, note="reads a number of each layer back"),
    }


if __name__ == "__main__":
    sys.exit(program.run("rivals_torch", work))
