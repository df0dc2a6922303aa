"""What a step of layerwise.torch costs the host beside what it costs the device, by the number of tensors at 20 to 26
million parameters."""

import sys

import program

MODELS = ("resnet50", "1000x20000", "5000x4000")  # 161, 1000 and 5000 tensors
REHEARSED = ("20x10", "60x10")


def work(run):
    run.facts("torch")
    program.torch_on(run.device)
    from torch_contenders import LARC, NOVOGRAD, larc_sgd, novograd
    from torch_rows import Row, time_rows

    run.models = REHEARSED if run.rehearsal else MODELS
    time_rows(run, {"layerwise.torch NovoGrad": Row(novograd, NOVOGRAD, ours=True),
                    "layerwise.torch LARCSGD": Row(larc_sgd, LARC, ours=True)}, dtypes=("f32",), stage="python")


if __name__ == "__main__":
    sys.exit(program.run("host_time", work))
