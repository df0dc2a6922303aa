"""The page of other libraries' names is made from the table that layerwise.torch.like reads, and README names them."""

from __future__ import annotations

import re
from pathlib import Path

import torch_models  # noqa: F401  skips where PyTorch is missing

import layerwise.torch
from layerwise.torch import _peer_table

FOLDER = Path(__file__).resolve().parents[1]


def test_the_page_is_made_from_the_table() -> None:
    assert (FOLDER / "PEERS.md").read_text() == _peer_table.page() + "\n", (
        "make it again: python -m layerwise.torch._peer_table > PEERS.md")


def test_every_name_and_argument_is_on_the_page() -> None:
    page = (FOLDER / "PEERS.md").read_text()
    for name, arguments in layerwise.torch.peers().items():
        section = page.split(f"## {name}\n")[1].split("\n## ")[0]
        for argument in arguments:
            assert re.search(rf"^\| `{argument}` \|", section, re.M), f"{name}: {argument}"
