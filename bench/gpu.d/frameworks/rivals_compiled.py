"""NovoGrad and LARS written with torch._foreach_*, under torch.compile, which fuses what it can; ours too."""

import sys

import program


def work(run):
    run.facts("torch", "triton")
    torch = program.torch_on(run.device)
    from foreach_rules import ForeachLars, ForeachNovoGrad
    from torch_compiled import backend
    from torch_contenders import LARC, NOVOGRAD, novograd
    from torch_rows import Row, time_rows

    chosen = backend(run)

    def compiled(step):
        torch._dynamo.reset()  # every row is the same code with other tensors
        return torch.compile(step, backend=chosen, fullgraph=True, dynamic=False)

    time_rows(run, {
        "NovoGrad by torch._foreach_*, torch.compile": Row(ForeachNovoGrad, NOVOGRAD, wrap=compiled),
        "LARS by torch._foreach_*, torch.compile": Row(ForeachLars, LARC, wrap=compiled),
        "layerwise.torch NovoGrad, torch.compile": Row(novograd, NOVOGRAD, ours=True, wrap=compiled),
    })


if __name__ == "__main__":
    sys.exit(program.run("rivals_compiled", work))
