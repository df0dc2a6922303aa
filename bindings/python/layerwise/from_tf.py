"""Lists what a TensorFlow 1 checkpoint holds: python -m layerwise.from_tf run/model-1000

The names are those that `layerwise.torch.state_from_openseq2seq` and `layerwise.torch.write_summaries` take. Needs
neither TensorFlow nor PyTorch.
"""

from __future__ import annotations

import argparse

from ._tensor_bundle import read_checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m layerwise.from_tf", description="Lists what a checkpoint holds.")
    parser.add_argument("checkpoint", help="prefix of its files, or the .index")
    try:
        arrays = read_checkpoint(parser.parse_args().checkpoint)
    except (OSError, ValueError) as problem:
        raise SystemExit(f"layerwise.from_tf: {problem}") from problem
    for name in sorted(arrays):
        print(f"{name}  {arrays[name].dtype}  {list(arrays[name].shape)}")


if __name__ == "__main__":
    main()
