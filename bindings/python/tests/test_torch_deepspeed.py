"""DeepSpeed cuts flat parameters over ranks; apart from test_torch_ranks.py, since DeepSpeed is seldom installed. What is
right is the same network in one process."""

from __future__ import annotations

from typing import Any

import pytest
from test_torch_ranks import expect_one_network, network_programs, on_ranks

ENGINE = "network_programs.deepspeed_engine"


@pytest.mark.parametrize("stage", [1, 2])
def test_deepspeed_trains_along_the_curve_of_one_process(stage: int) -> None:
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    returned = on_ranks(2, ENGINE, stage=stage, maker="NovoGrad", steps=(0, 8))
    expect_one_network(returned, network_programs.one_process("NovoGrad", 8))


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("maker", ["NovoGrad", "LARCSGD"])
def test_a_checkpoint_of_two_ranks_goes_on_with_another_number(stage: int, maker: str, tmp_path: Any) -> None:
    """DeepSpeed's own holds flat parameters' state, and is refused by DeepSpeed where the number of ranks is another."""
    pytest.importorskip("deepspeed", reason="DeepSpeed is not installed")
    on_ranks(2, ENGINE, stage=stage, maker=maker, steps=(0, 5), save=str(tmp_path))
    whole = network_programs.one_process(maker, 10)
    for ranks in (1, 2, 3):
        returned = on_ranks(ranks, ENGINE, stage=stage, maker=maker, steps=(5, 10), load=str(tmp_path))
        expect_one_network(returned, whole)
