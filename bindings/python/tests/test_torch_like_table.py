"""The page of other libraries' names is made from the table that layerwise.torch.like reads, and README names them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch_models  # noqa: F401  skips where PyTorch is missing

import layerwise.torch
from layerwise._peer_arguments import told
from layerwise.torch import _peer_table

FOLDER = Path(__file__).resolve().parents[1]


def test_the_page_is_made_from_the_table() -> None:
    assert (FOLDER / "PEERS.md").read_text() == _peer_table.page() + "\n", (
        "make it again: python -m layerwise.torch._peer_table > PEERS.md")


def test_the_readme_counts_the_names_and_those_that_are_replayed() -> None:
    runs = [json.loads(path.read_text()) for path in (FOLDER / "tests" / "peers").glob("*.json")]
    replayed = {told(run["class"], run["arguments"]).peer.name for run in runs if "class" in run}
    readme = (FOLDER.parents[1] / "README.md").read_text()
    said = re.search(r"takes the place of (\d+) other implementations.*?(\d+) are replayed", readme, re.S)
    assert said and (int(said[1]), int(said[2])) == (len(layerwise.torch.peers()), len(replayed))


def test_every_name_and_argument_is_on_the_page() -> None:
    page = (FOLDER / "PEERS.md").read_text()
    for name, arguments in layerwise.torch.peers().items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for argument in arguments:
            assert re.search(rf"^\| `{argument}` \|", section, re.M), f"{name}: {argument}"
