"""torchtitan's container with our classes, by the override that README documents. It is seldom installed: `tests/long
engines` installs it. What is right is the same network in one process."""

from __future__ import annotations

from typing import Any

import pytest
from test_torch_ranks import expect_one_network, network_programs, on_ranks

pytest.importorskip("torchtitan.components.optimizer", reason="torchtitan is not installed")


@pytest.mark.parametrize("name", ["NovoGrad", "LARCSGD"])
def test_its_container_trains_along_one_process_and_goes_on_with_other_numbers_of_ranks(name: str,
                                                                                        tmp_path: Any) -> None:
    saved = str(tmp_path)
    whole = network_programs.one_process(name, 8)
    expect_one_network(on_ranks(1, "torchtitan_programs.container", name=name, steps=(0, 8)), whole)
    first = on_ranks(2, "torchtitan_programs.container", name=name, steps=(0, 4), save=saved)
    assert all(of_rank[0] == pytest.approx(whole[0][:4], rel=1e-5) for of_rank in first)
    for ranks in (1, 2, 3):
        expect_one_network(
            on_ranks(ranks, "torchtitan_programs.container", name=name, steps=(4, 8), load=saved), whole)
